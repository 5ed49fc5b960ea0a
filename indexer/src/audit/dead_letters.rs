//! Logs in quarantine: each row has its message in the topic of dead letters, once.

use std::collections::BTreeMap;

use alloy::primitives::Address;
use eyre::Result;
use serde_json::Value;
use sqlx::PgPool;

use super::{
    report::{Difference, Place},
    topic::Read,
};
use crate::cursor::unsigned;

const ALL: &str = "
    select q.quarantine_id, jsonb_build_object('quarantine_id', q.quarantine_id, 'reason', q.reason, 'log_index', q.log_index,
               'block_hash', '0x' || encode(q.block_hash, 'hex'), 'transaction_hash', '0x' || encode(q.transaction_hash, 'hex'))
    from journal.quarantine q join journal.source s using (source_id) where s.contract = $1";

/// By quarantine id, what a message must tell, as of now.
///
/// # Errors
/// Postgres'.
pub(super) async fn all(pool: &PgPool, contract: Address) -> Result<BTreeMap<u64, Value>> {
    let rows: Vec<(i64, Value)> = sqlx::query_as(ALL).bind(contract.as_slice()).fetch_all(pool).await?;
    Ok(rows.into_iter().map(|(id, row)| (unsigned(id), row)).collect())
}

/// What the topic lacks, has twice, or tells otherwise. It may hold more: a row that was replayed has a later id.
pub(super) fn compare(expected: &BTreeMap<u64, Value>, read: &[Read]) -> Vec<Difference> {
    let mut found = BTreeMap::<u64, Vec<&Read>>::new();
    let mut differences = Vec::new();
    let mut differs = |at: String, expected: Option<String>, found: Option<String>| {
        differences.push(Difference::new(Place::Topic, format!("dead letters, {at}"), expected, found));
    };
    for message in read {
        match message.mark {
            Some(mark) => found.entry(mark).or_default().push(message),
            None => differs(message.at(), None, Some(message.excerpt())),
        }
    }
    for (id, messages) in &found {
        for again in &messages[1..] {
            differs(format!("{id} once more, {}", again.at()), None, Some(again.excerpt()));
        }
    }
    for (id, row) in expected {
        let told = found.get(id).and_then(|messages| messages[0].value.as_deref());
        let told: Option<Value> = told.and_then(|told| serde_json::from_slice(told).ok());
        let says =
            |told: &Value| row.as_object().is_some_and(|row| row.iter().all(|(name, value)| told[name] == *value));
        if !told.as_ref().is_some_and(says) {
            differs(id.to_string(), Some(row.to_string()), told.map(|told| told.to_string()));
        }
    }
    differences
}
