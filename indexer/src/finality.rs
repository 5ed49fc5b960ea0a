//! What the chain calls safe and finalized, as entries of the journal.
//!
//! A promotion is one entry for all that it makes safe or final, whatever their number: every entry that stands at or below its block. It is
//! written once the journal has the tagged block itself, by number and hash, and only if there is an entry that it promotes.

use runproof_protocol::event::Event;
use sqlx::{PgConnection, PgPool, Row};

use crate::{
    block::{BlockRef, Head},
    cursor::{self, Cursor, bigint, unsigned},
    error::IndexError,
};

/// Whether one of the node's tags has moved to a block that the journal may have.
pub(crate) fn may_advance(cursor: &Cursor, head: &Head) -> bool {
    let reached = cursor.block.map_or(0, |block| block.number);
    let advances =
        |known: u64, tag: Option<BlockRef>| tag.is_some_and(|tag| known < tag.number && tag.number <= reached);
    advances(cursor.safe, head.safe) || advances(cursor.finalized, head.finalized)
}

/// Takes over tags that moved while no block came.
///
/// # Errors
/// As for a commit of blocks: after any error the cursor is to be read anew.
pub(crate) async fn commit(pool: &PgPool, from: &Cursor, head: &Head) -> Result<Cursor, IndexError> {
    let mut to = from.clone();
    let mut transaction = pool.begin().await?;
    cursor::compare_and_set(&mut transaction, from, from).await?;
    advance(&mut transaction, &mut to, head).await?;
    if to != *from {
        transaction.commit().await?;
    }
    Ok(to)
}

/// Moves the cursor's levels to the node's tags, and appends what that promotes. To be called in the cursor's transaction, after all entries
/// are written. A tag that names a block which the journal does not have, or has another in place of, is left for later.
pub(crate) async fn advance(connection: &mut PgConnection, to: &mut Cursor, head: &Head) -> Result<(), sqlx::Error> {
    if !may_advance(to, head) {
        return Ok(());
    }
    let moved = sqlx::query(ADVANCE)
        .bind(to.source_id)
        .bind(Event::BlockSafe.kind())
        .bind(head.safe.map(|tag| bigint(tag.number)))
        .bind(head.safe.map(|tag| tag.hash.to_vec()))
        .bind(Event::BlockFinalized.kind())
        .bind(head.finalized.map(|tag| bigint(tag.number)))
        .bind(head.finalized.map(|tag| tag.hash.to_vec()))
        .fetch_optional(connection)
        .await?;
    if let Some(row) = moved {
        to.position = unsigned(row.try_get("position")?);
        to.safe = unsigned(row.try_get("safe_number")?);
        to.finalized = unsigned(row.try_get("finalized_number")?);
    }
    Ok(())
}

/// The range that is searched for entries is what lies between two tags: it does not grow with the journal. The first by number is asked for,
/// and not whether there is any, so that they are searched by the index on numbers, whatever Postgres knows of their distribution; until that
/// index is built, promotions wait.
const ADVANCE: &str = "
    with tag (ordinal, kind, number, hash) as (values (1, $2::text, $3::bigint, $4::bytea), (2, $5::text, $6::bigint, $7::bytea)),
    reached as (
        select t.ordinal, t.kind, case t.ordinal when 1 then s.safe_number else s.finalized_number end as known, b.number, b.hash, b.timestamp_s
        from tag t
        join journal.source s on s.source_id = $1
        join journal.block b on b.source_id = s.source_id and b.canonical and b.number = t.number and b.hash = t.hash
        where t.number > case t.ordinal when 1 then s.safe_number else s.finalized_number end
          and not exists (select from journal.deferred)
    ), promoted as (
        insert into journal.record (position, source_id, kind, event, block_number, block_hash, block_timestamp_s)
        select s.position + row_number() over (order by r.ordinal), s.source_id, r.kind, jsonb_build_object('kind', r.kind),
               r.number, r.hash, r.timestamp_s
        from reached r join journal.source s on s.source_id = $1
        where (
            select e.block_number from journal.entry e
            where e.source_id = s.source_id and e.block_number > r.known and e.block_number <= r.number
              and e.issuer is not null and e.retracts is null and e.retracted_by is null
            order by e.block_number limit 1) is not null
        returning position
    )
    update journal.source set
        position = position + (select count(*) from promoted),
        safe_number = coalesce((select number from reached where ordinal = 1), safe_number),
        finalized_number = coalesce((select number from reached where ordinal = 2), finalized_number)
    where source_id = $1 and exists (select from reached)
    returning position, safe_number, finalized_number";

/// The newest block at or below `number` that a promotion which stands calls safe or finalized: where the level goes back to when what lies above is
/// taken back.
pub(crate) async fn promoted(
    connection: &mut PgConnection,
    source_id: i16,
    level: Event,
    number: i64,
) -> Result<u64, sqlx::Error> {
    let promoted: Option<i64> = sqlx::query_scalar(
        "select block_number from journal.entry
         where source_id = $1 and kind = $2 and block_number <= $3 and retracts is null and retracted_by is null
         order by position desc limit 1",
    )
    .bind(source_id)
    .bind(level.kind())
    .bind(number)
    .fetch_optional(connection)
    .await?;
    Ok(promoted.map_or(0, unsigned))
}

#[cfg(test)]
#[path = "finality_tests.rs"]
mod tests;
