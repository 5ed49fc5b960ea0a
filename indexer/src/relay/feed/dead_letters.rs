//! Logs that could not be decoded, each with its reason and all that the node said of it; and once more when the journal holds what they say.

use alloy::primitives::B256;
use serde::Serialize;
use sqlx::{
    Row,
    postgres::PgRow,
    types::{Json, JsonValue},
};
use time::OffsetDateTime;

use super::{Database, Feed, Messages};
use crate::{
    cursor::{bigint, hash, unsigned},
    relay::{
        message::{Attributes, Message, rfc3339},
        tail::Tail,
        topic::Topic,
    },
};

/// Feeds [`Topic::DeadLetters`].
pub(crate) struct DeadLetters {
    database: Database,
    /// Quarantine id up to which the topic is filled.
    quarantine_id: u64,
}

impl DeadLetters {
    pub(crate) fn new(database: Database) -> Self {
        Self { database, quarantine_id: 0 }
    }
}

/// A log in quarantine (`schema/dead-letter.schema.json`).
#[derive(Debug, Serialize)]
struct DeadLetter {
    quarantine_id: u64,
    reason: String,
    block_hash: B256,
    transaction_hash: B256,
    log_index: u64,
    recorded_at: Option<String>,
    replayed_at: Option<String>,
    /// As the node gave it.
    log: JsonValue,
}

const AFTER: &str = "
    select quarantine_id, reason, block_hash, transaction_hash, log_index, log, recorded_at, replayed_at
    from journal.quarantine where source_id = $1 and quarantine_id > $2 order by quarantine_id limit $3";

/// A row that changed has a later id, but no id is given twice.
const IS_OURS: &str = "
    select coalesce((select block_hash = $2 from journal.quarantine where quarantine_id = $1),
                    $1 <= pg_sequence_last_value(pg_get_serial_sequence('journal.quarantine', 'quarantine_id')::regclass), false)";

impl Feed for DeadLetters {
    const TOPICS: &'static [Topic] = &[Topic::DeadLetters];

    async fn resume(&mut self, tails: &[Option<Tail>]) -> eyre::Result<Result<(), Topic>> {
        let Some(Some(tail)) = tails.first() else { return Ok(Ok(())) };
        let block_hash = tail.block_hash.unwrap_or_default();
        let query = sqlx::query_scalar(IS_OURS).bind(bigint(tail.mark)).bind(block_hash.as_slice());
        let ours: bool = query.fetch_one(&self.database.pool).await?;
        self.quarantine_id = tail.mark;
        Ok(if ours { Ok(()) } else { Err(Topic::DeadLetters) })
    }

    async fn next(&mut self) -> eyre::Result<Option<Messages>> {
        let Database { pool, source_id, batch, .. } = &self.database;
        let query = sqlx::query(AFTER).bind(source_id).bind(bigint(self.quarantine_id)).bind(i64::from(*batch));
        let letters = query.fetch_all(pool).await?.iter().map(letter).collect::<Result<Vec<_>, _>>()?;
        let Some(last) = letters.last() else { return Ok(None) };
        self.quarantine_id = last.quarantine_id;
        let messages: Vec<_> = letters.iter().map(|letter| self.message(letter)).collect();
        Ok(Some(Box::new(messages.into_iter())))
    }
}

impl DeadLetters {
    fn message(&self, letter: &DeadLetter) -> Result<Message, serde_json::Error> {
        let quantity = |name: &str| {
            let digits = letter.log.get(name)?.as_str()?.strip_prefix("0x")?;
            u64::from_str_radix(digits, 16).ok()
        };
        let attributes = Attributes {
            registry: &self.database.registry,
            kind: if letter.replayed_at.is_some() { "dead_letter_replayed" } else { "dead_letter" },
            mark: letter.quarantine_id,
            subject: Some(format!("{:#x}/{}", letter.transaction_hash, letter.log_index)),
            block: Some((quantity("blockNumber").unwrap_or_default(), letter.block_hash)),
            time_s: quantity("blockTimestamp"),
        };
        let key = format!("{:#x}/{}", letter.block_hash, letter.log_index);
        Ok(Message::new(Topic::DeadLetters, key, attributes, Some(serde_json::to_vec(letter)?)))
    }
}

fn letter(row: &PgRow) -> Result<DeadLetter, sqlx::Error> {
    let time = |at: OffsetDateTime| rfc3339(unsigned(at.unix_timestamp()));
    Ok(DeadLetter {
        quarantine_id: unsigned(row.try_get("quarantine_id")?),
        reason: row.try_get("reason")?,
        block_hash: hash(row.try_get("block_hash")?)?,
        transaction_hash: hash(row.try_get("transaction_hash")?)?,
        log_index: unsigned(row.try_get::<i32, _>("log_index")?.into()),
        recorded_at: time(row.try_get("recorded_at")?),
        replayed_at: row.try_get::<Option<OffsetDateTime>, _>("replayed_at")?.and_then(time),
        log: row.try_get::<Json<JsonValue>, _>("log")?.0,
    })
}
