//! The journal as it is read: in the order of positions, by pages.

use alloy::primitives::{Address, B256};
use runproof_protocol::{
    StateId,
    event::{Event, JournalEntry, Origin, Place, Retraction},
};
use sqlx::{PgPool, Row, postgres::PgRow, types::Json};

use crate::cursor::{bigint, hash, unsigned};

/// At most `limit` entries of a source after a position.
pub async fn page(pool: &PgPool, source_id: i16, after: u64, limit: u32) -> Result<Vec<JournalEntry>, sqlx::Error> {
    let rows = sqlx::query(PAGE).bind(source_id).bind(bigint(after)).bind(i64::from(limit)).fetch_all(pool).await?;
    let mut entries = Vec::new();
    for row in &rows {
        match row.try_get::<Option<Vec<[u8; 32]>>, _>("state_ids")? {
            Some(states) => batch(row, &states, after, &mut entries)?,
            None => entries.push(entry(row)?),
        }
    }
    // A page may end within a batch.
    entries.truncate(limit as usize);
    Ok(entries)
}

/// Batches as they are stored, since to make rows of them is quicker here. Each table for itself by its index on positions, whatever Postgres knows of
/// their sizes while they are loaded.
const PAGE: &str = "
    (select position, retracts, reason, replaced_by, issuer, instance_id, content_id, sequence, predecessor, batch, event,
            block_number, block_hash, block_timestamp_s, transaction_hash, log_index, item_index, null::bytea[] as state_ids, null::bigint[] as predecessors
     from journal.record where source_id = $1 and position > $2 order by position limit $3)
    union all
    (select position, null::bigint, null::text, null::bytea, issuer, instance_id, state_ids[1], sequence, predecessors[1], sequence, null::jsonb,
            block_number, block_hash, block_timestamp_s, transaction_hash, log_index, 0, state_ids, predecessors
     from journal.batch where source_id = $1 and position + cardinality(state_ids) > $2 + 1 order by position limit $3)
    order by position limit $3";

/// The block of the entry at a position, `None` if there is no such entry.
pub async fn block_hash(pool: &PgPool, source_id: i16, position: u64) -> Result<Option<B256>, sqlx::Error> {
    let found: Option<Vec<u8>> =
        sqlx::query_scalar("select block_hash from journal.entry where source_id = $1 and position = $2")
            .bind(source_id)
            .bind(bigint(position))
            .fetch_optional(pool)
            .await?;
    found.map(|bytes| hash(&bytes)).transpose()
}

/// A row of `journal.record` with at least the columns that [`page`] reads.
pub(crate) fn entry(row: &PgRow) -> Result<JournalEntry, sqlx::Error> {
    let number = |column: &str| row.try_get::<i64, _>(column).map(unsigned);
    let retracts: Option<i64> = row.try_get("retracts")?;
    let replaced_by: Option<&[u8]> = row.try_get("replaced_by")?;
    let retraction = retracts.map(|position| {
        Ok::<_, sqlx::Error>(Retraction {
            position: unsigned(position),
            reason: row.try_get("reason")?,
            replaced_by: replaced_by.map(hash).transpose()?,
        })
    });
    Ok(JournalEntry {
        position: number("position")?,
        retraction: retraction.transpose()?,
        event: match row.try_get::<Option<Json<Event>>, _>("event")? {
            Some(Json(event)) => event,
            None => state(row)?,
        },
        origin: Origin {
            block_number: number("block_number")?,
            block_hash: hash(row.try_get("block_hash")?)?,
            block_timestamp_s: number("block_timestamp_s")?,
            place: place(row)?,
        },
    })
}

/// The entries of a row of `journal.batch`, read as its first: those after a position, since a page may begin within a batch.
fn batch(row: &PgRow, states: &[[u8; 32]], after: u64, entries: &mut Vec<JournalEntry>) -> Result<(), sqlx::Error> {
    let first = entry(row)?;
    let predecessors: Vec<Option<i64>> = row.try_get("predecessors")?;
    let known = (after + 1).saturating_sub(first.position);
    entries.reserve(states.len());
    for (place, (id, before)) in (0u64..).zip(states.iter().zip(predecessors)).skip_while(|(place, _)| *place < known) {
        let mut entry = first.clone();
        entry.position += place;
        if let Event::StateRegistered { state, sequence, predecessor, .. } = &mut entry.event {
            *state = StateId(id.into());
            *sequence += place;
            *predecessor = before.map(u32::try_from).transpose().map_err(decode)?;
        }
        if let Some(origin) = &mut entry.origin.place {
            origin.item_index += place;
        }
        entries.push(entry);
    }
    Ok(())
}

/// Of a state the columns tell all.
fn state(row: &PgRow) -> Result<Event, sqlx::Error> {
    let predecessor = row.try_get::<Option<i64>, _>("predecessor")?.map(u32::try_from).transpose();
    Ok(Event::StateRegistered {
        issuer: Address::try_from(row.try_get::<&[u8], _>("issuer")?).map_err(decode)?,
        instance: row.try_get::<&[u8], _>("instance_id")?.try_into().map_err(decode)?,
        state: row.try_get::<&[u8], _>("content_id")?.try_into().map_err(decode)?,
        sequence: unsigned(row.try_get("sequence")?),
        predecessor: predecessor.map_err(decode)?,
        batch: unsigned(row.try_get("batch")?),
    })
}

fn decode(error: impl std::error::Error + Send + Sync + 'static) -> sqlx::Error {
    sqlx::Error::Decode(error.into())
}

fn place(row: &PgRow) -> Result<Option<Place>, sqlx::Error> {
    let Some(transaction_hash) = row.try_get::<Option<&[u8]>, _>("transaction_hash")? else { return Ok(None) };
    let index = |index: i32| unsigned(index.into());
    Ok(Some(Place {
        transaction_hash: hash(transaction_hash)?,
        log_index: row.try_get::<Option<i32>, _>("log_index")?.map(index),
        item_index: index(row.try_get("item_index")?),
    }))
}
