//! What is sent to Kafka: `CloudEvents` 1.0 in binary mode (Kafka protocol binding), so that a value is what it tells and nothing else.

use std::borrow::Cow;

use alloy::primitives::{Address, B256};
use runproof_protocol::{InstanceId, event::JournalEntry, head::Registry};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::topic::Topic;

/// Name of the header that carries the block's hash.
pub const BLOCK_HASH: &str = "ce_blockhash";

/// Above the length of almost all values of [`event`], bytes: thousands that grew as they are written would be moved as often.
const TYPICAL_BYTES: usize = 1_024;

/// A message before it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Where to.
    pub topic: Topic,
    /// What must keep its order shares a key; in compacted topics it is what the message is about.
    pub key: String,
    /// In this order.
    pub headers: Vec<(&'static str, Cow<'static, str>)>,
    /// JSON as the topic's schema says (`schema/`); `None` is a tombstone.
    pub value: Option<Vec<u8>>,
}

/// What a message's headers tell.
#[derive(Debug, Clone)]
pub(crate) struct Attributes<'a> {
    pub(crate) registry: &'a Registry,
    /// What happened, without the project's name.
    pub(crate) kind: &'a str,
    /// Position, revision or quarantine id.
    pub(crate) mark: u64,
    /// What it is about.
    pub(crate) subject: Option<String>,
    pub(crate) block: Option<(u64, B256)>,
    /// Unix seconds.
    pub(crate) time_s: Option<u64>,
}

impl Message {
    /// A message with its headers.
    pub(crate) fn new(topic: Topic, key: String, attributes: Attributes<'_>, value: Option<Vec<u8>>) -> Self {
        let Attributes { registry: Registry { chain_id, address }, kind, mark, subject, block, time_s } = attributes;
        let (source, collection) = (format!("{chain_id}/{address:#x}"), collection(topic));
        let content_type = value.as_ref().map(|_| "application/json".into());
        let (number, hash) = block.map(|(number, hash)| (number.to_string(), format!("{hash:#x}"))).unzip();
        let headers = [
            ("ce_specversion", Some("1.0".into())),
            ("ce_id", Some(format!("{source}/{collection}{mark}").into())),
            ("ce_source", Some(format!("/chains/{chain_id}/contracts/{address:#x}").into())),
            ("ce_type", Some(format!("runproof.{kind}").into())),
            ("content-type", content_type),
            (topic.mark(), Some(mark.to_string().into())),
            ("ce_blocknumber", number.map(Cow::from)),
            (BLOCK_HASH, hash.map(Cow::from)),
            ("ce_time", time_s.and_then(rfc3339).map(Cow::from)),
            ("ce_subject", subject.map(Cow::from)),
        ];
        let headers = headers.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        Self { topic, key, headers, value }
    }
}

/// An id is unique within its source: what shares one has a namespace.
fn collection(topic: Topic) -> &'static str {
    match topic {
        Topic::Events => "",
        Topic::Instances => "instances/",
        Topic::Verdicts => "verdicts/",
        Topic::DeadLetters => "dead-letters/",
    }
}

/// Key of what is compacted by instance. An instance's id alone would let a stranger overwrite another issuer's.
pub(crate) fn instance_key(issuer: Address, instance: InstanceId) -> String {
    format!("{issuer:#x}/{instance}")
}

/// An entry's message; its key is the instance's id, where there is none the issuer's address, and where all are concerned the contract's.
///
/// # Errors
/// None that an entry of a journal causes.
pub fn event(registry: &Registry, entry: &JournalEntry) -> Result<Message, serde_json::Error> {
    let JournalEntry { position, event, origin, .. } = entry;
    let instance = event.instance().map(|instance| instance.to_string());
    let attributes = Attributes {
        registry,
        kind: if entry.retraction.is_some() { "retracted" } else { event.kind() },
        mark: *position,
        subject: instance.clone(),
        block: Some((origin.block_number, origin.block_hash)),
        time_s: Some(origin.block_timestamp_s),
    };
    let key = instance.unwrap_or_else(|| format!("{:#x}", event.issuer().unwrap_or(registry.address)));
    let mut value = Vec::with_capacity(TYPICAL_BYTES);
    serde_json::to_writer(&mut value, entry)?;
    Ok(Message::new(Topic::Events, key, attributes, Some(value)))
}

/// `None` beyond the year 9999, which the format cannot say; `CloudEvents` does not ask for a time.
pub(crate) fn rfc3339(timestamp_s: u64) -> Option<String> {
    let time = OffsetDateTime::from_unix_timestamp(i64::try_from(timestamp_s).ok()?).ok()?;
    time.format(&Rfc3339).ok()
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
