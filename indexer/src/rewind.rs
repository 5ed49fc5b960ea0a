//! A reorganisation: the fork point is found by walking down the journal's own blocks, and what stood above it is taken back, newest first. A replay
//! of the quarantine takes back in the same way.

use runproof_protocol::event::Event;
use sqlx::{PgConnection, PgExecutor, PgPool, Row};
use tracing::warn;

use crate::{
    batch,
    block::BlockRef,
    converge::newest_common,
    cursor::{self, Cursor, bigint, unsigned},
    error::IndexError,
    finality,
    source::Source,
};

const FIRST_PAGE: i64 = 8;
const LARGEST_PAGE: i64 = 512;

/// Takes back all above the newest block that the node still has, and moves the cursor there.
///
/// # Errors
/// [`IndexError::ForkBelowFinalized`], with nothing written, if that block lies below what was final.
pub(crate) async fn rewind(pool: &PgPool, source: &Source, from: &Cursor) -> Result<Cursor, IndexError> {
    let fork = fork_point(pool, source, from).await?;
    if fork == from.block {
        // What the head said of the cursor's block was not confirmed.
        return Ok(from.clone());
    }
    let above = fork.map_or(-1, |block| bigint(block.number));
    let replacements = replacements(pool, source, from, above).await?;
    let mut transaction = pool.begin().await?;
    let to = take_back(&mut transaction, from, fork, "is no longer canonical", &replacements).await?;
    transaction.commit().await?;
    let retracted = to.position - from.position;
    let depth_blocks = from.block.map_or(0, |old| old.number - fork.map_or(0, |block| block.number));
    warn!(fork_block = above, depth_blocks, retracted, position = to.position, "the chain was reorganised");
    Ok(to)
}

/// Takes back all above a block of the journal, where the cursor goes. `why` goes on from "block n"; `replacements` are heights and hashes.
///
/// What was final stays told so: its promotions stand, and its blocks stay canonical, so that no other ones can come in their place.
pub(crate) async fn take_back(
    connection: &mut PgConnection,
    from: &Cursor,
    block: Option<BlockRef>,
    why: &str,
    replacements: &[(i64, Vec<u8>)],
) -> Result<Cursor, IndexError> {
    let above = block.map_or(-1, |block| bigint(block.number));
    let mut to = Cursor { block, ..from.clone() };
    // The rows to take back are those of the state that was read, or the comparison below fails.
    to.position += count_applied(connection, from, above).await?;
    // A level goes back to what promotions say, or what comes again would be promoted by no entry.
    if bigint(from.safe) > above {
        to.safe = finality::promoted(connection, from.source_id, Event::BlockSafe, above).await?;
    }
    if bigint(from.finalized) > above {
        to.finalized = finality::promoted(connection, from.source_id, Event::BlockFinalized, i64::MAX).await?;
    }
    cursor::compare_and_set(connection, from, &to).await?;
    batch::spread_all(&mut *connection).await?;
    retract(connection, from, above, why, replacements).await?;
    Ok(to)
}

async fn fork_point(pool: &PgPool, source: &Source, from: &Cursor) -> Result<Option<BlockRef>, IndexError> {
    let mut below = from.block.map_or(0, |block| block.number + 1);
    let mut page = FIRST_PAGE;
    loop {
        let ours = canonical_below(pool, from.source_id, below, page).await?;
        let numbers: Vec<u64> = ours.iter().map(|block| block.number).collect();
        let theirs = source.hashes(&numbers).await?;
        let common = newest_common(&ours, &theirs);
        let lost = ours.iter().zip(theirs).take_while(|(block, _)| Some(**block) != common);
        if let Some((lost, theirs)) = lost.filter(|(block, _)| block.number <= from.finalized).last() {
            let (number, ours, finalized) = (lost.number, lost.hash, from.finalized);
            return Err(IndexError::ForkBelowFinalized { number, ours, theirs, finalized });
        }
        match ours.last() {
            Some(last) if common.is_none() => below = last.number,
            _ => return Ok(common),
        }
        page = (page * 4).min(LARGEST_PAGE);
    }
}

/// The newest canonical blocks of the journal below a height, newest first.
pub(crate) async fn canonical_below(
    executor: impl PgExecutor<'_>,
    source_id: i16,
    below: u64,
    limit: i64,
) -> Result<Vec<BlockRef>, sqlx::Error> {
    let rows = sqlx::query(
        "select number, hash from journal.block where source_id = $1 and canonical and number < $2 order by number desc limit $3",
    )
    .bind(source_id)
    .bind(bigint(below))
    .bind(limit)
    .fetch_all(executor)
    .await?;
    rows.iter()
        .map(|row| Ok(BlockRef { number: unsigned(row.try_get(0)?), hash: cursor::hash(row.try_get(1)?)? }))
        .collect()
}

/// What the chain has now at the heights of the entries to take back.
async fn replacements(
    pool: &PgPool,
    source: &Source,
    from: &Cursor,
    above: i64,
) -> Result<Vec<(i64, Vec<u8>)>, IndexError> {
    let heights: Vec<i64> = sqlx::query_scalar(
        "select distinct block_number from journal.entry
         where source_id = $1 and block_number > $2 and retracts is null and retracted_by is null",
    )
    .bind(from.source_id)
    .bind(above)
    .fetch_all(pool)
    .await?;
    let numbers: Vec<u64> = heights.iter().copied().map(unsigned).collect();
    let hashes = source.hashes(&numbers).await?;
    let found = heights.into_iter().zip(hashes);
    Ok(found.filter_map(|(height, hash)| Some((height, hash?.to_vec()))).collect())
}

async fn count_applied(connection: &mut PgConnection, from: &Cursor, above: i64) -> Result<u64, sqlx::Error> {
    let count: i64 = sqlx::query_scalar(
        "select count(*) from journal.entry
         where source_id = $1 and block_number > $2 and kind <> $3 and retracts is null and retracted_by is null",
    )
    .bind(from.source_id)
    .bind(above)
    .bind(Event::BlockFinalized.kind())
    .fetch_one(connection)
    .await?;
    Ok(unsigned(count))
}

async fn retract(
    connection: &mut PgConnection,
    from: &Cursor,
    above: i64,
    why: &str,
    replacements: &[(i64, Vec<u8>)],
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into journal.record (position, source_id, retracts, reason, replaced_by, kind, issuer, instance_id, model_id, content_id,
                sequence, predecessor, batch, event, block_number, block_hash, block_timestamp_s, transaction_hash, log_index, item_index)
         select $3 + row_number() over (order by e.position desc), e.source_id, e.position,
                'block ' || e.block_number || ' ' || $6, r.hash, e.kind, e.issuer, e.instance_id, e.model_id, e.content_id,
                e.sequence, e.predecessor, e.batch, e.event, e.block_number, e.block_hash, e.block_timestamp_s, e.transaction_hash, e.log_index, e.item_index
         from journal.record e left join unnest($4::bigint[], $5::bytea[]) as r (number, hash) on r.number = e.block_number
         where e.source_id = $1 and e.block_number > $2 and e.kind <> $7 and e.retracts is null and e.retracted_by is null",
    )
    .bind(from.source_id)
    .bind(above)
    .bind(bigint(from.position))
    .bind(replacements.iter().map(|(number, _)| *number).collect::<Vec<_>>())
    .bind(replacements.iter().map(|(_, hash)| hash.as_slice()).collect::<Vec<_>>())
    .bind(why)
    .bind(Event::BlockFinalized.kind())
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "update journal.record e set retracted_by = r.position from journal.record r where r.position > $1 and r.retracts = e.position",
    )
    .bind(bigint(from.position))
    .execute(&mut *connection)
    .await?;
    sqlx::query("update journal.block set canonical = false where source_id = $1 and number > $2 and canonical")
        .bind(from.source_id)
        .bind(above.max(bigint(from.finalized)))
        .execute(connection)
        .await?;
    Ok(())
}
