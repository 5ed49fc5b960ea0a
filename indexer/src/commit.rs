//! A range of blocks becomes rows, in one transaction with the cursor.

use std::collections::HashSet;

use alloy::primitives::B256;
use sqlx::{PgConnection, PgPool};

use crate::{
    batch,
    block::{Block, Head, Transaction},
    bulk,
    cursor::{self, Cursor, bigint},
    decode::{Decoded, Quarantined},
    error::IndexError,
    finality, insert,
    record::Record,
};

/// Entries up to which a statement that carries them is quicker than a COPY, which takes several round trips.
const INSERTED_AT_ONCE: usize = 6_000;

/// Appends what `blocks` hold; they must follow the cursor, which is moved to the last of them. Returns how many batches are among it, none unless
/// `batched`.
///
/// # Errors
/// After any error it is unknown whether the commit happened: read the cursor anew.
pub(crate) async fn commit(
    pool: &PgPool,
    from: &Cursor,
    blocks: &[Block],
    decoded: &Decoded,
    head: &Head,
    batched: bool,
) -> Result<(Cursor, usize), IndexError> {
    let mut to = Cursor {
        block: blocks.last().map(Block::reference).or(from.block),
        position: from.position + decoded.items.len() as u64,
        ..from.clone()
    };
    let mut transaction = pool.begin().await?;
    cursor::compare_and_set(&mut transaction, from, &to).await?;
    let known = insert_blocks(&mut transaction, &to, blocks, head).await?;
    let all = blocks.iter().flat_map(|block| block.transactions.iter().map(|one| (block.hash, one)));
    let emitted: Vec<(B256, &Transaction)> = all.collect();
    forget_known(&mut transaction, &emitted, &known).await?;
    let (records, batches) = match batched {
        true => batch::split(from.position + 1, &decoded.items)?,
        false => (Record::numbered(from.position + 1, &decoded.items)?, vec![]),
    };
    if records.len() <= INSERTED_AT_ONCE {
        insert::transactions(&mut transaction, &emitted).await?;
        insert::records(&mut transaction, from.source_id, &records).await?;
    } else {
        bulk::transactions(&mut transaction, &emitted).await?;
        bulk::records(&mut transaction, from.source_id, &records).await?;
    }
    batch::insert(&mut transaction, from.source_id, &batches).await?;
    insert_quarantined(&mut transaction, from, &decoded.quarantined).await?;
    finality::advance(&mut transaction, &mut to, head).await?;
    transaction.commit().await?;
    Ok((to, batches.len()))
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

/// Forgets the transactions of blocks that were known already: when these come again they may have more of them, since another kind of contract is
/// read by calldata too.
async fn forget_known(
    connection: &mut PgConnection,
    emitted: &[(B256, &Transaction)],
    known: &HashSet<B256>,
) -> Result<(), sqlx::Error> {
    let again: Vec<_> = emitted.iter().filter(|(block_hash, _)| known.contains(block_hash)).collect();
    if again.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "delete from journal.transaction t using unnest($1::bytea[], $2::bytea[]) as again (hash, block_hash)
         where t.hash = again.hash and t.block_hash = again.block_hash",
    )
    .bind(again.iter().map(|(_, one)| one.hash.as_slice()).collect::<Vec<_>>())
    .bind(again.iter().map(|(block_hash, _)| block_hash.as_slice()).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
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
