//! States of a log of many: one row of `journal.batch` at first, since a block of thousands is to be read at once; rows of their own when it is quiet.

use runproof_protocol::event::{Event, Place};
use sqlx::{PgConnection, PgExecutor};

use crate::{cursor::bigint, decode::Item, insert::column, record::Record};

/// States from which one row for all of them is worth a statement of its own.
const WORTHWHILE_STATES: usize = 250;

/// Batches that are spread at a time, so that a block that comes meanwhile does not wait long.
const SPREAD_AT_ONCE: i64 = 2;

/// A log's states, in the order of the log.
pub(crate) struct Batch<'a> {
    position: i64,
    items: &'a [Item],
}

/// The items in their order, the first at `first`: as rows of their own, and as batches.
pub(crate) fn split(first: u64, items: &[Item]) -> Result<(Vec<Record<'_>>, Vec<Batch<'_>>), sqlx::Error> {
    let (mut records, mut batches, mut position) = (Vec::new(), Vec::new(), first);
    for log in items.chunk_by(follows) {
        if log.len() >= WORTHWHILE_STATES {
            batches.push(Batch { position: bigint(position), items: log });
        } else {
            records.extend(Record::numbered(position, log)?);
        }
        position += log.len() as u64;
    }
    Ok((records, batches))
}

/// Whether both are states of one log, the second next to the first.
fn follows(one: &Item, next: &Item) -> bool {
    let place = |item: &Item| item.origin.place.map(|Place { item_index, .. }| item_index);
    let log = |item: &Item| item.origin.place.map(|place| (item.origin.block_hash, place.log_index));
    match (&one.event, &next.event) {
        (Event::StateRegistered { sequence, .. }, Event::StateRegistered { sequence: after, .. }) => {
            log(one) == log(next) && place(one).map(|place| place + 1) == place(next) && sequence + 1 == *after
        }
        _ => false,
    }
}

/// Their rows, by one statement: all states in one array, of which each row takes its part.
pub(crate) async fn insert(
    connection: &mut PgConnection,
    source_id: i16,
    batches: &[Batch<'_>],
) -> Result<(), sqlx::Error> {
    if batches.is_empty() {
        return Ok(());
    }
    let lengths: Vec<i32> = batches.iter().map(|batch| i32::try_from(batch.items.len()).unwrap_or(i32::MAX)).collect();
    let states = batches.iter().flat_map(|batch| batch.items).filter_map(|item| match &item.event {
        Event::StateRegistered { state, predecessor, .. } => Some((state.as_slice(), predecessor.map(i64::from))),
        _ => None,
    });
    let (state_ids, predecessors): (Vec<_>, Vec<_>) = states.unzip();
    let firsts = batches.iter().map(|batch| Record::numbered(batch.position.unsigned_abs(), &batch.items[..1]));
    let firsts: Vec<Record<'_>> = firsts.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect();
    sqlx::query(
        "insert into journal.batch (position, source_id, issuer, instance_id, sequence, state_ids, predecessors,
                                    block_number, block_hash, block_timestamp_s, transaction_hash, log_index)
         select position, $1, issuer, instance_id, sequence, ($2::bytea[])[until - length + 1 : until], ($3::bigint[])[until - length + 1 : until],
                block_number, block_hash, block_timestamp_s, transaction_hash, log_index
         from (select *, sum(length) over (order by position)::integer as until
               from unnest($4::integer[], $5::bigint[], $6::bytea[], $7::bytea[], $8::bigint[], $9::bigint[], $10::bytea[], $11::bigint[], $12::bytea[],
                           $13::integer[])
                    as b (length, position, issuer, instance_id, sequence, block_number, block_hash, block_timestamp_s, transaction_hash, log_index)) b",
    )
    .bind(source_id)
    .bind(state_ids)
    .bind(predecessors)
    .bind(lengths)
    .bind(column(&firsts, |first| first.position))
    .bind(column(&firsts, |first| first.columns.issuer.as_ref().map(|issuer| issuer.as_slice())))
    .bind(column(&firsts, |first| first.columns.instance.as_ref().map(|instance| instance.as_slice())))
    .bind(column(&firsts, |first| first.columns.sequence))
    .bind(column(&firsts, |first| first.block_number))
    .bind(column(&firsts, |first| first.block_hash()))
    .bind(column(&firsts, |first| first.block_timestamp_s))
    .bind(column(&firsts, |first| first.transaction_hash()))
    .bind(column(&firsts, |first| first.log_index))
    .execute(connection)
    .await?;
    Ok(())
}

/// How many are yet to be spread.
pub(crate) async fn count(executor: impl PgExecutor<'_>) -> Result<usize, sqlx::Error> {
    let count: i64 = sqlx::query_scalar("select count(*) from journal.batch").fetch_one(executor).await?;
    Ok(usize::try_from(count).unwrap_or(usize::MAX))
}

/// Spreads the oldest batches into rows. Returns how many, or more if there are none left.
pub(crate) async fn spread(executor: impl PgExecutor<'_>) -> Result<usize, sqlx::Error> {
    let spread: i64 = sqlx::query_scalar("select journal.spread($1)").bind(SPREAD_AT_ONCE).fetch_one(executor).await?;
    Ok(if spread < SPREAD_AT_ONCE { usize::MAX } else { SPREAD_AT_ONCE.unsigned_abs() as usize })
}

/// Spreads all there are: what follows changes rows.
pub(crate) async fn spread_all(executor: impl PgExecutor<'_>) -> Result<(), sqlx::Error> {
    sqlx::query("select journal.spread($1)").bind(i64::MAX).execute(executor).await?;
    Ok(())
}
