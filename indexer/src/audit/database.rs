//! The journal in Postgres, read in one snapshot and held against the clean index.

use std::collections::{BTreeMap, BTreeSet};

use alloy::primitives::{B256, hex};
use eyre::{Context, OptionExt, Result};
use runproof_protocol::{event::JournalEntry, head::Registry};
use sqlx::{PgConnection, PgPool, Row, postgres::PgListener};
use tokio::time::{Instant, timeout_at};

use super::{
    AuditSettings,
    chain::Index,
    report::{Difference, Place, differ},
};
use crate::{
    block::{Block, BlockRef},
    cursor::{self, unsigned},
};

/// What is in Postgres, as of one moment.
pub(super) struct Journal {
    /// The cursor's block.
    pub(super) block: Option<BlockRef>,
    /// The cursor's position.
    pub(super) position: u64,
    /// Those that are entries, in order.
    pub(super) entries: Vec<JournalEntry>,
    /// Rows that are none, and rows whose columns differ from their event, by position.
    rows: Vec<(u64, Difference)>,
    blocks: BTreeMap<u64, String>,
    transactions: BTreeMap<String, String>,
    quarantined: BTreeMap<String, String>,
}

/// The journal, once it has come to a block, and has left what it had in its place, or patience has ended.
pub(super) async fn await_block(settings: &AuditSettings, registry: Registry, block: BlockRef) -> Result<Journal> {
    let deadline = Instant::now() + settings.patience;
    let pool = crate::pool(&settings.postgres_url)?;
    let mut listener = PgListener::connect_with(&pool).await.wrap_err("Postgres does not answer")?;
    listener.listen("runproof_journal").await?;
    loop {
        let reached: bool = sqlx::query_scalar(REACHED)
            .bind(registry.address.as_slice())
            .bind(cursor::bigint(block.number))
            .bind(block.hash.as_slice())
            .fetch_one(&pool)
            .await?;
        if reached || timeout_at(deadline, listener.recv()).await.is_err() {
            return read(&pool, registry).await;
        }
    }
}

const REACHED: &str = "select exists (
        select from journal.source s
        where s.contract = $1 and s.block_number >= $2 and not exists (
            select from journal.block b where b.source_id = s.source_id and b.canonical and b.number = $2 and b.hash <> $3))";

async fn read(pool: &PgPool, registry: Registry) -> Result<Journal> {
    let mut snapshot = pool.begin_with("begin isolation level repeatable read read only").await?;
    let row = sqlx::query("select source_id, block_number, block_hash, position from journal.source where contract = $1 and chain_id = $2")
        .bind(registry.address.as_slice())
        .bind(cursor::bigint(registry.chain_id))
        .fetch_optional(&mut *snapshot)
        .await?
        .ok_or_eyre("this database holds no journal of this contract: check `url` of [postgres] and `registry` of [chain]")?;
    let source_id: i16 = row.try_get(0)?;
    let (number, hash): (Option<i64>, Option<Vec<u8>>) = (row.try_get(1)?, row.try_get(2)?);
    let block = number
        .zip(hash)
        .map(|(number, hash)| Ok::<_, sqlx::Error>(BlockRef { number: unsigned(number), hash: cursor::hash(&hash)? }));
    let mut journal = Journal {
        block: block.transpose()?,
        position: unsigned(row.try_get(3)?),
        entries: Vec::new(),
        rows: Vec::new(),
        blocks: pairs(&mut snapshot, BLOCKS, source_id)
            .await?
            .into_iter()
            .map(|(number, told): (i64, _)| (unsigned(number), told))
            .collect(),
        transactions: pairs(&mut snapshot, TRANSACTIONS, source_id).await?.into_iter().collect(),
        quarantined: pairs(&mut snapshot, QUARANTINED, source_id).await?.into_iter().collect(),
    };
    for (position, text) in pairs::<i64>(&mut snapshot, ENTRIES, source_id).await? {
        match serde_json::from_str(&text) {
            Ok(entry) => journal.entries.push(entry),
            Err(_) => journal.rows.push(of_row(position, "", Some("an entry".into()), Some(text))),
        }
    }
    for sql in [COLUMNS, FINALITY] {
        journal.rows.extend(columns(&mut snapshot, sql, source_id).await?);
    }
    Ok(journal)
}

fn of_row(position: i64, column: &str, expected: Option<String>, found: Option<String>) -> (u64, Difference) {
    let at = format!("position {position}{column}");
    (unsigned(position), Difference::new(Place::Postgres, at, expected, found))
}

/// An entry as every consumer gets it.
const ENTRIES: &str = "select position, json_build_object('position', position, 'event', event,
        'retraction', case when retracts is not null then json_build_object('position', retracts, 'reason', reason,
            'replaced_by', '0x' || encode(replaced_by, 'hex')) end,
        'origin', json_build_object('block_number', block_number, 'block_hash', '0x' || encode(block_hash, 'hex'),
            'block_timestamp_s', block_timestamp_s, 'transaction_hash', '0x' || encode(transaction_hash, 'hex'),
            'log_index', log_index, 'item_index', item_index))::text
    from journal.entry where source_id = $1 order by position";

const BLOCKS: &str =
    "select number, '0x' || encode(hash, 'hex') || ' after 0x' || encode(parent_hash, 'hex') || ' at ' || timestamp_s
    from journal.block where source_id = $1 and canonical";

const TRANSACTIONS: &str = "select '0x' || encode(t.hash, 'hex') || ' of block ' || b.number,
        'from 0x' || encode(sender, 'hex') || ' to ' || coalesce('0x' || encode(recipient, 'hex'), 'nobody')
            || ', gas ' || gas_used || ' at ' || effective_gas_price_wei || ' wei'
    from journal.transaction t join journal.block b on b.hash = t.block_hash where b.source_id = $1 and b.canonical";

const QUARANTINED: &str = "select 'log ' || log_index || ' of block 0x' || encode(q.block_hash, 'hex'), q.reason
    from journal.quarantine q join journal.block b on b.hash = q.block_hash where q.source_id = $1 and b.canonical and q.replayed_at is null";

/// Columns are there to be searched by; each must be what the event or the journal itself says.
const COLUMNS: &str = "select e.position, c.name, c.expected, c.found
    from journal.entry e
    left join journal.entry r on r.retracts = e.position
    cross join lateral (values
        ('kind', e.event ->> 'kind', e.kind),
        ('issuer', coalesce(e.event ->> 'issuer', e.event ->> 'subject'), '0x' || encode(e.issuer, 'hex')),
        ('instance_id', e.event ->> 'instance', encode(e.instance_id, 'hex')),
        ('model_id', e.event ->> 'model', encode(e.model_id, 'hex')),
        ('content_id', coalesce(e.event ->> 'state', e.event ->> 'fingerprint'), encode(e.content_id, 'hex')),
        ('sequence', e.event ->> 'sequence', e.sequence::text),
        ('predecessor', e.event ->> 'predecessor', e.predecessor::text),
        ('retracted_by', r.position::text, e.retracted_by::text)) as c (name, expected, found)
    where e.source_id = $1 and c.expected is distinct from c.found order by e.position";

/// What the views say of an entry by the source's levels must be what its promotions say to consumers.
const FINALITY: &str = "with told as (
        select coalesce(max(block_number) filter (where kind = 'block_safe'), 0) as safe,
               coalesce(max(block_number) filter (where kind = 'block_finalized'), 0) as finalized
        from journal.entry
        where source_id = $1 and kind in ('block_safe', 'block_finalized') and retracts is null and retracted_by is null)
    select position, 'finality', expected, finality
    from (select a.*, case when a.block_number <= t.finalized then 'finalized' when a.block_number <= t.safe then 'safe' else 'included' end as expected
          from journal.applied a cross join told t where a.source_id = $1 and a.retracted_by is null) as judged
    where expected <> finality order by position";

async fn pairs<K>(
    connection: &mut PgConnection,
    sql: &'static str,
    source_id: i16,
) -> Result<Vec<(K, String)>, sqlx::Error>
where
    (K, String): for<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow> + Send + Unpin,
{
    sqlx::query_as(sql).bind(source_id).fetch_all(connection).await
}

async fn columns(
    connection: &mut PgConnection,
    sql: &'static str,
    source_id: i16,
) -> Result<Vec<(u64, Difference)>, sqlx::Error> {
    let rows: Vec<(i64, String, Option<String>, Option<String>)> =
        sqlx::query_as(sql).bind(source_id).fetch_all(connection).await?;
    let differing = rows.into_iter();
    Ok(differing
        .map(|(position, column, expected, found)| of_row(position, &format!(", {column}"), expected, found))
        .collect())
}

impl Journal {
    /// All but the entries themselves; of those, rows at positions that are `named` already are passed over.
    pub(super) fn compare(&self, newest: u64, index: &Index, named: &BTreeSet<u64>) -> Vec<Difference> {
        let mut differences = self.cursor(newest, index);
        differences
            .extend(self.rows.iter().filter(|(position, _)| !named.contains(position)).map(|(_, row)| row.clone()));
        let kept = |block: &&Block| !block.transactions.is_empty() || self.blocks.contains_key(&block.number);
        let blocks = index.blocks.iter().filter(kept).map(|block| (block.number, told(block))).collect();
        differences.extend(differ(Place::Postgres, "block", &blocks, &self.blocks));
        differences.extend(differ(Place::Postgres, "transaction", &transactions(&index.blocks), &self.transactions));
        let quarantined = index.quarantined.iter();
        let quarantined =
            quarantined.map(|log| (format!("log {} of block {}", log.log_index, log.block_hash), log.reason.clone()));
        differences.extend(differ(Place::Postgres, "quarantined", &quarantined.collect(), &self.quarantined));
        differences
    }

    fn cursor(&self, newest: u64, index: &Index) -> Vec<Difference> {
        let told = |number: u64, hash: B256| format!("block {number} {hash}");
        let found = self.block.map(|block| told(block.number, block.hash));
        let number = self.block.map_or(newest, |block| block.number.max(newest));
        let there = index.blocks.iter().find(|block| block.number == number).or(index.blocks.last());
        let expected = there.map(|block| told(block.number, block.hash));
        let differs = expected != found;
        differs.then(|| Difference::new(Place::Postgres, "cursor", expected, found)).into_iter().collect()
    }
}

fn told(block: &Block) -> String {
    format!("{} after {} at {}", block.hash, block.parent_hash, block.timestamp_s)
}

fn transactions(blocks: &[Block]) -> BTreeMap<String, String> {
    let all = blocks.iter().flat_map(|block| block.transactions.iter().map(move |transaction| (block, transaction)));
    all.map(|(block, t)| {
        let recipient = t.recipient.map_or("nobody".to_owned(), hex::encode_prefixed);
        let told = format!(
            "from {} to {recipient}, gas {} at {} wei",
            hex::encode_prefixed(t.sender),
            t.gas_used,
            t.effective_gas_price_wei
        );
        (format!("{} of block {}", t.hash, block.number), told)
    })
    .collect()
}
