//! A range of blocks becomes rows, in one transaction with the cursor.

use std::collections::HashSet;

use alloy::primitives::B256;
use runproof_protocol::{certificate::CertificateBinding, event::Event};
use sqlx::{PgConnection, PgPool};

use crate::{
    block::{Block, Head, Transaction},
    copy::{Copy, CopyRows},
    cursor::{self, Cursor, bigint},
    decode::{Decoded, Item, Quarantined},
    error::IndexError,
    finality,
};

/// Appends what `blocks` hold; they must follow the cursor, which is moved to the last of them.
///
/// # Errors
/// After any error it is unknown whether the commit happened: read the cursor anew.
pub(crate) async fn commit(
    pool: &PgPool,
    from: &Cursor,
    blocks: &[Block],
    decoded: &Decoded,
    head: &Head,
) -> Result<Cursor, IndexError> {
    let mut to = Cursor {
        block: blocks.last().map(Block::reference).or(from.block),
        position: from.position + decoded.items.len() as u64,
        ..from.clone()
    };
    let mut transaction = pool.begin().await?;
    cursor::compare_and_set(&mut transaction, from, &to).await?;
    let known = insert_blocks(&mut transaction, &to, blocks, head).await?;
    copy_transactions(&mut transaction, blocks, &known).await?;
    copy_entries(&mut transaction, from, &decoded.items).await?;
    insert_quarantined(&mut transaction, from, &decoded.quarantined).await?;
    finality::advance(&mut transaction, &mut to, head).await?;
    cursor::notify(&mut transaction, &to).await?;
    transaction.commit().await?;
    Ok(to)
}

/// Keeps the headers that something refers to: those with logs, the cursor's, and all that a reorganisation may still end at or a tag name.
/// Returns those that were there already: a block can come back after a reorganisation and another one.
async fn insert_blocks(
    connection: &mut PgConnection,
    to: &Cursor,
    blocks: &[Block],
    head: &Head,
) -> Result<HashSet<B256>, sqlx::Error> {
    let finalized = head.finalized.map_or(0, |tag| tag.number);
    let kept = || {
        blocks.iter().filter(|block| {
            block.number >= finalized
                || !block.transactions.is_empty()
                || !block.logs.is_empty()
                || Some(block.reference()) == to.block
        })
    };
    // Only a row that was there has a transaction that updated it.
    let known: Vec<Vec<u8>> = sqlx::query_scalar(
        "with written as (
             insert into journal.block (hash, source_id, number, parent_hash, timestamp_s)
             select hash, $1, number, parent_hash, timestamp_s
             from unnest($2::bytea[], $3::bigint[], $4::bytea[], $5::bigint[]) as b (hash, number, parent_hash, timestamp_s)
             on conflict (hash) do update set canonical = true
             returning hash, xmax)
         select hash from written where xmax <> 0",
    )
    .bind(to.source_id)
    .bind(kept().map(|block| block.hash.as_slice()).collect::<Vec<_>>())
    .bind(kept().map(|block| bigint(block.number)).collect::<Vec<_>>())
    .bind(kept().map(|block| block.parent_hash.as_slice()).collect::<Vec<_>>())
    .bind(kept().map(|block| bigint(block.timestamp_s)).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    known.iter().map(|hash| cursor::hash(hash)).collect()
}

/// The transactions of blocks. One that comes again may have more of them than before: another kind of contract is read by calldata too.
async fn copy_transactions(
    connection: &mut PgConnection,
    blocks: &[Block],
    known: &HashSet<B256>,
) -> Result<(), sqlx::Error> {
    let mut emitted: Vec<(B256, &Transaction)> = Vec::new();
    for block in blocks {
        emitted.extend(block.transactions.iter().map(|one| (block.hash, one)));
    }
    if emitted.is_empty() {
        return Ok(());
    }
    let again = || emitted.iter().filter(|(block_hash, _)| known.contains(block_hash));
    if again().next().is_some() {
        sqlx::query(
            "delete from journal.transaction t using unnest($1::bytea[], $2::bytea[]) as again (hash, block_hash)
             where t.hash = again.hash and t.block_hash = again.block_hash",
        )
        .bind(again().map(|(_, one)| one.hash.as_slice()).collect::<Vec<_>>())
        .bind(again().map(|(block_hash, _)| block_hash.as_slice()).collect::<Vec<_>>())
        .execute(&mut *connection)
        .await?;
    }
    let mut copy = Copy::begin(
        connection,
        "copy journal.transaction (hash, block_hash, sender, recipient, gas_used, effective_gas_price_wei)
         from stdin with (format binary)",
    )
    .await?;
    for (block_hash, one) in emitted {
        copy.rows()
            .await?
            .row(6)
            .bytes(Some(one.hash.as_slice()))
            .bytes(Some(block_hash.as_slice()))
            .bytes(Some(one.sender.as_slice()))
            .bytes(one.recipient.as_ref().map(|recipient| recipient.as_slice()))
            .bigint(Some(bigint(one.gas_used)))
            .numeric(one.effective_gas_price_wei);
    }
    copy.finish().await
}

async fn copy_entries(connection: &mut PgConnection, from: &Cursor, items: &[Item]) -> Result<(), IndexError> {
    if items.is_empty() {
        return Ok(());
    }
    let mut copy = Copy::begin(
        connection,
        "copy journal.entry (position, source_id, kind, issuer, instance_id, model_id, content_id, sequence, predecessor, event,
                             block_number, block_hash, block_timestamp_s, transaction_hash, log_index, item_index)
         from stdin with (format binary)",
    )
    .await?;
    for (position, item) in (from.position + 1..).zip(items) {
        write(copy.rows().await?, from.source_id, position, item)?;
    }
    copy.finish().await?;
    Ok(())
}

fn write(rows: &mut CopyRows, source_id: i16, position: u64, Item { origin, event }: &Item) -> Result<(), IndexError> {
    let columns = Columns::of(event);
    let index =
        |number: Option<u64>| number.map(i32::try_from).transpose().map_err(|error| sqlx::Error::Encode(error.into()));
    rows.row(16)
        .bigint(Some(bigint(position)))
        .smallint(source_id)
        .bytes(Some(event.kind().as_bytes()))
        .bytes(event.issuer().as_ref().map(|issuer| issuer.as_slice()))
        .bytes(event.instance().as_ref().map(|instance| instance.as_slice()))
        .bytes(columns.model)
        .bytes(columns.content)
        .bigint(columns.sequence.map(bigint))
        .bigint(columns.predecessor.map(i64::from))
        .jsonb(event)
        .map_err(|error| sqlx::Error::Encode(error.into()))?
        .bigint(Some(bigint(origin.block_number)))
        .bytes(Some(origin.block_hash.as_slice()))
        .bigint(Some(bigint(origin.block_timestamp_s)))
        .bytes(origin.place.as_ref().map(|place| place.transaction_hash.as_slice()))
        .integer(index(origin.place.and_then(|place| place.log_index))?)
        .integer(index(origin.place.map(|place| place.item_index))?);
    Ok(())
}

/// The parts of an event that have columns of their own.
#[derive(Default)]
struct Columns<'a> {
    model: Option<&'a [u8]>,
    content: Option<&'a [u8]>,
    sequence: Option<u64>,
    predecessor: Option<u32>,
}

impl<'a> Columns<'a> {
    fn of(event: &'a Event) -> Self {
        let none = Self::default();
        match event {
            Event::ModelRegistered { model, .. } | Event::InstanceRegistered { model, .. } => {
                Self { model: Some(model.as_slice()), ..none }
            }
            Event::StateRegistered { state, sequence, predecessor, .. } => {
                Self { content: Some(state.as_slice()), sequence: Some(*sequence), predecessor: *predecessor, ..none }
            }
            Event::TransitionRequested { sequence, .. } => Self { sequence: Some(*sequence), ..none },
            Event::CertificateBound(CertificateBinding { fingerprint, .. })
            | Event::CertificateRevoked { fingerprint: Some(fingerprint), .. } => {
                Self { content: Some(fingerprint.as_slice()), ..none }
            }
            Event::ItrexModelRegistered { model, .. } | Event::ItrexInstanceRegistered { model, .. } => {
                Self { model: Some(model.as_slice()), ..none }
            }
            Event::ItrexStateRegistered { state, .. } | Event::ItrexClientNotified { state, .. } => {
                Self { content: Some(state.as_slice()), ..none }
            }
            Event::ItrexCertificateRegistered { fingerprint, .. } => {
                Self { content: Some(fingerprint.as_slice()), ..none }
            }
            Event::InstanceTerminated { .. }
            | Event::DelegateSet { .. }
            | Event::ParticipantSet { .. }
            | Event::ParticipationSet { .. }
            | Event::CertificateRevoked { fingerprint: None, .. }
            | Event::GuardianSet { .. }
            | Event::ItrexTransitionRegistered { .. }
            | Event::ItrexInstanceTerminated { .. }
            | Event::BlockSafe
            | Event::BlockFinalized => none,
        }
    }
}

async fn insert_quarantined(
    connection: &mut PgConnection,
    from: &Cursor,
    quarantined: &[Quarantined],
) -> Result<(), IndexError> {
    for one in quarantined {
        tracing::warn!(block_hash = %one.block_hash, log_index = one.log_index, reason = one.reason, "log quarantined");
        let log = serde_json::to_value(&one.log).map_err(|error| sqlx::Error::Encode(error.into()))?;
        sqlx::query(
            "insert into journal.quarantine (source_id, block_hash, log_index, transaction_hash, reason, log)
             values ($1, $2, $3, $4, $5, $6)
             on conflict (block_hash, log_index) do update set quarantine_id = default, reason = excluded.reason, replayed_at = null
             where quarantine.replayed_at is not null or quarantine.reason <> excluded.reason",
        )
        .bind(from.source_id)
        .bind(one.block_hash.as_slice())
        .bind(i32::try_from(one.log_index).unwrap_or(i32::MAX))
        .bind(one.transaction_hash.as_slice())
        .bind(&one.reason)
        .bind(log)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}
