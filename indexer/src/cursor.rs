//! Where the journal stands, and who may move it.
//!
//! Every write begins by moving the cursor from where this writer left it, under this writer's epoch: one compare-and-set that a stale writer, a
//! second writer and a writer with a lost acknowledgement all fail.

use alloy::primitives::{Address, B256};
use runproof_contracts::ContractKind;
use sqlx::{PgConnection, PgExecutor, PgPool, Row, postgres::PgRow};

use crate::{
    block::BlockRef,
    error::IndexError,
    identity::{ChainIdentity, Identity},
};

/// A journal's state as this writer knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// The journal's source.
    pub(crate) source_id: i16,
    /// This writer's epoch.
    pub(crate) epoch: i64,
    /// Last block taken, `None` before the first.
    pub(crate) block: Option<BlockRef>,
    /// Last position given.
    pub(crate) position: u64,
    /// Newest block of the journal that the chain calls safe, 0 before the first.
    pub(crate) safe: u64,
    /// Newest block of the journal that the chain calls finalized, 0 before the first.
    pub(crate) finalized: u64,
}

/// Finds or makes the source of a contract's journal. A database holds one.
pub(crate) async fn open(
    pool: &PgPool,
    identity: Identity,
    registry: Address,
    kind: ContractKind,
    start_block: u64,
) -> Result<i16, IndexError> {
    let chain_id = identity.chain.chain_id;
    sqlx::query(
        "insert into journal.source (chain_id, contract, start_block, genesis_hash, code_hash, kind)
         select $1, $2, $3, $4, $5, $6 where not exists (select from journal.source)",
    )
    .bind(bigint(chain_id))
    .bind(registry.as_slice())
    .bind(bigint(start_block))
    .bind(identity.chain.genesis.as_slice())
    .bind(identity.code.as_slice())
    .bind(kind.name())
    .execute(pool)
    .await?;
    let (source_id, expected, contract, begun): (i16, i64, Vec<u8>, String) =
        sqlx::query_as("select source_id, chain_id, contract, kind from journal.source order by source_id limit 1")
            .fetch_one(pool)
            .await?;
    if contract != registry.as_slice() {
        let found = alloy::primitives::hex::encode_prefixed(contract);
        return Err(IndexError::OtherJournal { registry, found, chain_id: expected });
    }
    if expected != bigint(chain_id) {
        return Err(IndexError::WrongChain { expected: unsigned(expected), found: chain_id });
    }
    if begun != kind.name() {
        return Err(IndexError::OtherKind { journal: begun, kind: kind.name() });
    }
    Ok(source_id)
}

/// Which chain and contract a journal is of, if there is one of the contract.
pub(crate) async fn identity(pool: &PgPool, registry: Address) -> Result<Option<Identity>, sqlx::Error> {
    let row = sqlx::query("select chain_id, genesis_hash, code_hash from journal.source where contract = $1")
        .bind(registry.as_slice())
        .fetch_optional(pool)
        .await?;
    let identity = |row: PgRow| {
        let chain = ChainIdentity { chain_id: unsigned(row.try_get(0)?), genesis: hash(row.try_get(1)?)? };
        Ok(Identity { chain, code: hash(row.try_get(2)?)? })
    };
    row.map(identity).transpose()
}

/// Makes this the journal's writer: those before it are fenced from now on.
pub(crate) async fn take(executor: impl PgExecutor<'_>, source_id: i16) -> Result<Cursor, sqlx::Error> {
    let row = sqlx::query(
        "update journal.source set writer_epoch = writer_epoch + 1 where source_id = $1
         returning source_id, writer_epoch, block_number, block_hash, position, safe_number, finalized_number",
    )
    .bind(source_id)
    .fetch_one(executor)
    .await?;
    read(&row)
}

fn read(row: &PgRow) -> Result<Cursor, sqlx::Error> {
    let (number, hash): (Option<i64>, Option<Vec<u8>>) = (row.try_get("block_number")?, row.try_get("block_hash")?);
    Ok(Cursor {
        source_id: row.try_get("source_id")?,
        epoch: row.try_get("writer_epoch")?,
        block: match (number, hash) {
            (Some(number), Some(hash)) => Some(BlockRef { number: unsigned(number), hash: self::hash(&hash)? }),
            _ => None,
        },
        position: unsigned(row.try_get("position")?),
        safe: unsigned(row.try_get("safe_number")?),
        finalized: unsigned(row.try_get("finalized_number")?),
    })
}

/// Moves the cursor in the caller's transaction, first of all its writes. When that commits, listeners are told that the journal has moved: a hint,
/// on whose arrival nothing depends.
pub(crate) async fn compare_and_set(
    connection: &mut PgConnection,
    from: &Cursor,
    to: &Cursor,
) -> Result<(), IndexError> {
    let moved = sqlx::query(
        "update journal.source set block_number = $1, block_hash = $2, position = $3, updated_at = now(),
                safe_number = $4, finalized_number = $5
         where source_id = $6 and writer_epoch = $7 and block_hash is not distinct from $8 and position = $9
         returning pg_notify('runproof_journal', source.position::text)",
    )
    .bind(to.block.map(|block| bigint(block.number)))
    .bind(to.block.map(|block| block.hash.to_vec()))
    .bind(bigint(to.position))
    .bind(bigint(to.safe))
    .bind(bigint(to.finalized))
    .bind(from.source_id)
    .bind(from.epoch)
    .bind(from.block.map(|block| block.hash.to_vec()))
    .bind(bigint(from.position))
    .fetch_optional(&mut *connection)
    .await?;
    if moved.is_some() {
        return Ok(());
    }
    confirm(connection, from).await?;
    Err(IndexError::CursorMoved)
}

/// That this writer still is the one, for when it has nothing to write.
pub(crate) async fn confirm(executor: impl PgExecutor<'_>, cursor: &Cursor) -> Result<(), IndexError> {
    let found: i64 = sqlx::query_scalar("select writer_epoch from journal.source where source_id = $1")
        .bind(cursor.source_id)
        .fetch_one(executor)
        .await?;
    match found == cursor.epoch {
        true => Ok(()),
        false => Err(IndexError::Fenced { ours: cursor.epoch, found }),
    }
}

/// A hash column.
pub(crate) fn hash(bytes: &[u8]) -> Result<B256, sqlx::Error> {
    B256::try_from(bytes).map_err(|error| sqlx::Error::Decode(error.into()))
}

/// Numbers of blocks, positions and seconds are checked on entry to fit 63 bits; gas never comes near.
pub(crate) fn bigint(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A column that is never negative.
pub(crate) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
