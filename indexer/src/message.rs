//! A journal entry as a Kafka message: `CloudEvents` 1.0 in binary mode (Kafka protocol binding), so that the value is the entry alone.

use runproof_protocol::{event::JournalEntry, head::Registry};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// Name of the header that carries the position.
pub const POSITION: &str = "ce_position";
/// Name of the header that carries the block's hash.
pub const BLOCK_HASH: &str = "ce_blockhash";

/// A message before it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The instance's id, or where there is none the issuer's address: what must keep its order shares a partition.
    pub key: String,
    /// In this order.
    pub headers: Vec<(&'static str, String)>,
    /// The entry as JSON (`schema/journal-entry.schema.json`).
    pub value: Vec<u8>,
}

/// An entry's message.
///
/// # Errors
/// None that an entry of a journal causes.
pub fn message(registry: &Registry, entry: &JournalEntry) -> Result<Message, serde_json::Error> {
    let JournalEntry { position, event, origin, .. } = entry;
    let Registry { chain_id, address } = registry;
    let instance = event.instance().map(|instance| instance.to_string());
    let kind = if entry.retraction.is_some() { "retracted" } else { event.kind() };
    let mut headers = vec![
        ("ce_specversion", "1.0".to_owned()),
        ("ce_id", format!("{chain_id}/{address:#x}/{position}")),
        ("ce_source", format!("/chains/{chain_id}/contracts/{address:#x}")),
        ("ce_type", format!("runproof.{kind}")),
        ("content-type", "application/json".to_owned()),
        (POSITION, position.to_string()),
        ("ce_blocknumber", origin.block_number.to_string()),
        (BLOCK_HASH, format!("{:#x}", origin.block_hash)),
    ];
    headers.extend(rfc3339(origin.block_timestamp_s).map(|time| ("ce_time", time)));
    headers.extend(instance.clone().map(|instance| ("ce_subject", instance)));
    let key = instance.unwrap_or_else(|| format!("{:#x}", event.issuer()));
    Ok(Message { key, headers, value: serde_json::to_vec(entry)? })
}

/// `None` beyond the year 9999, which the format cannot say; `CloudEvents` does not ask for a time.
fn rfc3339(timestamp_s: u64) -> Option<String> {
    let time = OffsetDateTime::from_unix_timestamp(i64::try_from(timestamp_s).ok()?).ok()?;
    time.format(&Rfc3339).ok()
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
