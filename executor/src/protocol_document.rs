//! An instance's protocol as it is published, from the executor's rows: a row stands from the moment its transaction is stored, before it is sent.

use alloy::primitives::B256;
use runproof_protocol::{
    InstanceId, ModelId, StateId,
    documents::{
        InstanceProtocol, MOST_STATE_DOCUMENTS, ProtocolRow, REGISTER_STATE, Termination, bare_address, bare_hash,
    },
    trace::Entry,
};

use crate::{sight::parse_outcome, site::Documents};

/// The protocol of an instance, as far as it is registered or about to be; `None` if there is none.
///
/// # Errors
/// The database does not answer.
pub async fn instance_protocol(site: &Documents, instance: InstanceId) -> eyre::Result<Option<InstanceProtocol>> {
    let public_url = &site.public_url;
    // One snapshot for all rows.
    let mut sql = site.database.begin_with("begin isolation level repeatable read read only").await?;
    let found: Option<InstanceRow> = sqlx::query_as(
        "select model_id, ordinal, ended_as, events_hash, exists(select from executor.history_event e where e.instance_id = i.instance_id)
         from executor.instance i where instance_id = $1",
    )
    .bind(instance.as_slice())
    .fetch_optional(&mut *sql)
    .await?;
    let Some((model, Some(ordinal), ended_as, events_hash, has_events)) = found else { return Ok(None) };
    let model = ModelId::try_from(&model[..])?;
    let rows: Vec<StateRow> = sqlx::query_as(
        "select s.sequence, s.state_id, s.name, case when position(chr(65533) in s.name) > 0 then s.part end, s.entered_at_ms, s.predecessor, r.first, t.hash, t.block_number, t.block_timestamp_s, d.sequence is not null
         from executor.state s
         join executor.registration r on r.instance_id = s.instance_id and r.kind = 'states'
          and s.sequence >= r.first and s.sequence < r.first + r.count
         join executor.transaction t using (transaction_id)
         left join executor.disclosure d on d.instance_id = s.instance_id and d.sequence = s.sequence
         where s.instance_id = $1 and t.status in ('signed', 'included') order by s.sequence",
    )
    .bind(instance.as_slice())
    .fetch_all(&mut *sql)
    .await?;
    let sealed: Option<Sealed> = sqlx::query_as(
        "select r.count, t.hash, t.block_number, t.block_timestamp_s
         from executor.registration r join executor.transaction t using (transaction_id)
         where r.instance_id = $1 and r.kind = 'termination' and t.status in ('signed', 'included')",
    )
    .bind(instance.as_slice())
    .fetch_optional(&mut *sql)
    .await?;
    let termination = sealed.zip(ended_as).map(|(sealed, ended_as)| termination(sealed, &ended_as)).transpose()?;
    Ok(Some(InstanceProtocol {
        model_hash: model,
        instance_hash: instance,
        instance_data: format!("{public_url}/{instance}/instance.json"),
        model_data: format!("{public_url}/{model}.json"),
        trace_data: format!("{public_url}/{instance}/trace.json"),
        events_data: has_events.then(|| format!("{public_url}/{instance}/events.json")),
        events_hash: events_hash.filter(|_| termination.is_some()).map(hex::encode),
        registry: site.registry,
        issuer: site.issuer,
        ordinal: ordinal as u64,
        termination,
        instance_protocol: rows
            .into_iter()
            .map(|row| protocol_row(row, instance, site))
            .collect::<eyre::Result<_>>()?,
    }))
}

/// Model, place among the issuer's, how it ended, hash of its events, whether it has some.
type InstanceRow = (Vec<u8>, Option<i64>, Option<String>, Option<Vec<u8>>, bool);

/// Sequence, id, name, the bytes in the trace where the name may have been changed for storage, time entered, predecessor, first of its batch; transaction, block, its time; whether
/// its input is disclosed.
type StateRow = (i64, Vec<u8>, String, Option<String>, i64, Option<i64>, i64, Vec<u8>, Option<i64>, Option<i64>, bool);

/// States in all, transaction, block, its time.
type Sealed = (i64, Vec<u8>, Option<i64>, Option<i64>);

fn protocol_row(row: StateRow, instance: InstanceId, site: &Documents) -> eyre::Result<ProtocolRow> {
    let public_url = &site.public_url;
    let (sequence, id, name, part, entered_at_ms, predecessor, batch, hash, block_nr, timestamp, disclosed) = row;
    let state = StateId::try_from(&id[..])?;
    let has_document = !site.stored || sequence < MOST_STATE_DOCUMENTS as i64;
    Ok(ProtocolRow {
        event_type: REGISTER_STATE.into(),
        state_hash: state,
        timestamp: timestamp.map(|seconds| seconds as u64),
        block_nr: block_nr.map(|number| number as u64),
        client_address: bare_address(site.issuer),
        transaction_hash: bare_hash(B256::try_from(&hash[..])?),
        state_data: has_document.then(|| format!("{public_url}/{state}.json")),
        input_data: disclosed.then(|| format!("{public_url}/{instance}/disclosures/{sequence}.json")),
        sequence: sequence as u64,
        predecessor: predecessor.map(u32::try_from).transpose()?,
        batch: batch as u64,
        state_name: part.as_deref().and_then(name_in_trace).unwrap_or(name),
        entered_at_ms,
    })
}

/// A state's name as its entry has it: Postgres stores no NUL in text.
fn name_in_trace(part: &str) -> Option<String> {
    let entry: Entry = serde_json::from_str(part.trim_start_matches(|c| c != '{')).ok()?;
    Some(entry.state_name)
}

fn termination((count, hash, block_nr, timestamp): Sealed, ended_as: &str) -> eyre::Result<Termination> {
    Ok(Termination {
        outcome: parse_outcome(ended_as)?,
        count: count as u64,
        block_nr: block_nr.map(|number| number as u64),
        timestamp: timestamp.map(|seconds| seconds as u64),
        transaction_hash: bare_hash(B256::try_from(&hash[..])?),
    })
}
