//! Indexes of a fresh journal are built after its load: to keep them current while hundreds of thousands of rows come in costs several times more.
//!
//! Postgres remembers what is yet to be built, in the transaction that drops it, so a crash at any time leaves a journal that is whole, and whose
//! indexes come when the next writer has caught up. Until then the position alone is indexed, which is what the relay reads by.

use std::time::Instant;

use sqlx::PgPool;
use tracing::info;

/// Blocks to catch up with from which building anew is worth its locks.
const WORTHWHILE_BLOCKS: u64 = 1_000;

/// Whether indexes are yet to be built.
pub(crate) async fn are_deferred(pool: &PgPool) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("select exists (select from journal.deferred)").fetch_one(pool).await
}

/// Drops the indexes of an empty journal that is this far behind. Returns whether it did.
pub(crate) async fn defer(pool: &PgPool, position: u64, blocks_behind: u64) -> Result<bool, sqlx::Error> {
    if position > 0 || blocks_behind < WORTHWHILE_BLOCKS {
        return Ok(false);
    }
    sqlx::query_scalar("select journal.defer_indexes()").fetch_one(pool).await
}

/// Builds what was deferred, two at a time.
pub(crate) async fn restore(pool: &PgPool) -> Result<(), sqlx::Error> {
    let begun = Instant::now();
    info!("building the journal's indexes");
    let (some, others) = futures::try_join!(restore_in_turn(pool), restore_in_turn(pool))?;
    info!(indexes = some + others, took_ms = begun.elapsed().as_millis(), "indexes built");
    Ok(())
}

/// One after another, until nobody else has left any.
async fn restore_in_turn(pool: &PgPool) -> Result<u32, sqlx::Error> {
    let mut built = 0;
    while sqlx::query_scalar("select journal.restore_next()").fetch_one(pool).await? {
        built += 1;
    }
    Ok(built)
}
