//! Logs that could not be decoded, and the way into the journal of those that now can.
//!
//! An entry's place in the journal is its place on the chain. So a replay takes back what stands from the first such log on, as a reorganisation
//! does, moves the cursor before it, and leaves the rest to the writer, which is fenced and indexes those blocks again like any others.

use alloy::{
    primitives::{Address, B256},
    rpc::types::Log,
};
use eyre::{OptionExt, Result, WrapErr};
use futures::TryStreamExt;
use runproof_contracts::ContractKind;
use serde::Serialize;
use sqlx::{PgConnection, PgPool, Row, postgres::PgRow, types::Json};
use tracing::info;
use url::Url;

use crate::{
    cursor::{self, Cursor, bigint, hash, unsigned},
    decode,
    error::IndexError,
    indexes, rewind,
};

/// The quarantine of one contract's journal.
pub struct Quarantine {
    pool: PgPool,
    source_id: i16,
    kind: ContractKind,
}

/// A log in quarantine, of a block that the chain has.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Held {
    /// Number of its block.
    pub block_number: u64,
    /// Hash of its block.
    pub block_hash: B256,
    /// Its transaction.
    pub transaction_hash: B256,
    /// Its place in the block.
    pub log_index: u64,
    /// Why it could not be decoded.
    pub reason: String,
    /// As the node gave it.
    pub log: Log,
}

/// What a replay did, or would do.
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct Replay {
    /// The journal was of another kind of contract: all of it is indexed again.
    pub kind_changed: bool,
    /// Logs that can be decoded now.
    pub decodable: u64,
    /// Those that still cannot, with the reason that is told now.
    pub undecodable: Vec<Held>,
    /// Last block that stands; `None` if all is indexed again, or nothing is.
    pub stands_up_to_block: Option<u64>,
    /// Entries that were taken back, to come again.
    pub retracted: u64,
}

impl Quarantine {
    /// The quarantine beside a contract's journal, whose logs are read as those of `kind`.
    ///
    /// # Errors
    /// A database that does not answer, or that holds no journal of the contract.
    pub async fn open(postgres_url: &Url, contract: Address, kind: ContractKind) -> Result<Self> {
        let pool = crate::pool(postgres_url)?;
        let source_id = sqlx::query_scalar("select source_id from journal.source where contract = $1")
            .bind(contract.as_slice())
            .fetch_optional(&pool)
            .await
            .wrap_err("Postgres does not answer")?
            .ok_or_eyre(
                "this database holds no journal of this contract: check `url` of [postgres] and `registry` of [chain]",
            )?;
        Ok(Self { pool, source_id, kind })
    }

    /// What is in quarantine, in the chain's order.
    ///
    /// # Errors
    /// What Postgres answered.
    pub async fn logs(&self) -> Result<Vec<Held>> {
        let rows = sqlx::query(HELD).bind(self.source_id).fetch_all(&self.pool).await?;
        Ok(rows.iter().map(held).collect::<Result<_, _>>()?)
    }

    /// Takes the journal back to before the first log that can be decoded now; with `dry_run` only tells what would be done.
    ///
    /// # Errors
    /// What Postgres answered; then nothing was changed.
    pub async fn replay(&self, dry_run: bool) -> Result<Replay> {
        if indexes::are_deferred(&self.pool).await? {
            // What is taken back is found by them.
            indexes::restore(&self.pool).await?;
        }
        let mut transaction = self.pool.begin().await?;
        let from = cursor::take(&mut *transaction, self.source_id).await?;
        let kind_changed = self.take_kind(&mut transaction).await?;
        let judged = self.judge(&mut transaction).await?;
        let mut replay = Replay { kind_changed, decodable: judged.decodable, ..Replay::default() };
        if let Some(first) = if kind_changed { Some(0) } else { judged.first } {
            let to = take_back(&mut transaction, &from, first).await?;
            replay.stands_up_to_block = to.block.map(|block| block.number);
            replay.retracted = to.position - from.position;
        }
        mark(&mut transaction, &judged.changed).await?;
        if !dry_run && (kind_changed || !judged.changed.is_empty()) {
            transaction.commit().await?;
            let (logs, retracted) = (judged.decodable, replay.retracted);
            info!(logs, retracted, stands_up_to_block = replay.stands_up_to_block, "logs leave quarantine");
        }
        Ok(Replay { undecodable: judged.undecodable, ..replay })
    }

    /// Makes the journal one of this kind; tells whether it was of another.
    async fn take_kind(&self, connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
        let taken = sqlx::query("update journal.source set kind = $2 where source_id = $1 and kind <> $2")
            .bind(self.source_id)
            .bind(self.kind.name());
        Ok(taken.execute(connection).await?.rows_affected() > 0)
    }

    /// Decodes everything anew.
    async fn judge(&self, connection: &mut PgConnection) -> Result<Judged, sqlx::Error> {
        let mut judged = Judged::default();
        let mut rows = sqlx::query(HELD).bind(self.source_id).fetch(connection);
        while let Some(row) = rows.try_next().await? {
            let id: i64 = row.try_get("quarantine_id")?;
            let sender: Option<Vec<u8>> = row.try_get("sender")?;
            let sender = || Address::try_from(sender?.as_slice()).ok();
            let held = held(&row)?;
            match decode::of_log(self.kind, &held.log, sender) {
                Ok(_) => {
                    judged.first = judged.first.or(Some(held.block_number));
                    judged.decodable += 1;
                    judged.changed.push((id, None));
                }
                Err(reason) => {
                    if reason != held.reason {
                        judged.changed.push((id, Some(reason.clone())));
                    }
                    judged.undecodable.push(Held { reason, ..held });
                }
            }
        }
        Ok(judged)
    }
}

/// What the decoder says now.
#[derive(Default)]
struct Judged {
    /// Block of the first that can be decoded.
    first: Option<u64>,
    decodable: u64,
    undecodable: Vec<Held>,
    /// Rows of which it says something else than before, each with the new reason if it still is undecodable.
    changed: Vec<(i64, Option<String>)>,
}

const HELD: &str = "
    select q.quarantine_id, b.number, q.block_hash, q.transaction_hash, q.log_index, q.reason, q.log, t.sender
    from journal.quarantine q
    join journal.block b on b.hash = q.block_hash and b.canonical
    left join journal.transaction t on t.hash = q.transaction_hash and t.block_hash = q.block_hash
    where q.source_id = $1 and q.replayed_at is null order by b.number, q.log_index";

fn held(row: &PgRow) -> Result<Held, sqlx::Error> {
    Ok(Held {
        block_number: unsigned(row.try_get("number")?),
        block_hash: hash(row.try_get("block_hash")?)?,
        transaction_hash: hash(row.try_get("transaction_hash")?)?,
        log_index: unsigned(row.try_get::<i32, _>("log_index")?.into()),
        reason: row.try_get("reason")?,
        log: row.try_get::<Json<Log>, _>("log")?.0,
    })
}

/// Takes back all from block `first` on.
async fn take_back(connection: &mut PgConnection, from: &Cursor, first: u64) -> Result<Cursor, IndexError> {
    let below = rewind::canonical_below(&mut *connection, from.source_id, first, 1).await?.first().copied();
    // The chain still has these blocks: each is replaced by itself.
    let again: Vec<(i64, Vec<u8>)> = sqlx::query_as(
        "select distinct block_number, block_hash from journal.entry
         where source_id = $1 and block_number >= $2 and retracts is null and retracted_by is null",
    )
    .bind(from.source_id)
    .bind(bigint(first))
    .fetch_all(&mut *connection)
    .await?;
    rewind::take_back(connection, from, below, "is indexed again, after a replay of the quarantine", &again).await
}

/// Tells the table, and by new ids the relay, what became of logs.
async fn mark(connection: &mut PgConnection, changed: &[(i64, Option<String>)]) -> Result<(), sqlx::Error> {
    sqlx::query(
        "update journal.quarantine q
         set quarantine_id = default, reason = coalesce(c.reason, q.reason), replayed_at = case when c.reason is null then now() end
         from unnest($1::bigint[], $2::text[]) as c (quarantine_id, reason) where q.quarantine_id = c.quarantine_id",
    )
    .bind(changed.iter().map(|(id, _)| *id).collect::<Vec<_>>())
    .bind(changed.iter().map(|(_, reason)| reason.as_deref()).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}
