//! What is sent to Kafka: `CloudEvents` 1.0 in binary mode (Kafka protocol binding), so that a value is what it tells and nothing else.

use alloy::primitives::{Address, B256};
use rdkafka::message::{Header, Headers, OwnedHeaders};
use runproof_protocol::{InstanceId, event::JournalEntry, head::Registry};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::topic::Topic;

/// Name of the header that carries the block's hash.
pub const BLOCK_HASH: &str = "ce_blockhash";

/// Above the length of almost all values of [`Events`], bytes: thousands that grew as they are written would be moved as often.
const TYPICAL_BYTES: usize = 1_024;

/// A message before it is sent.
#[derive(Debug, Clone)]
pub struct Message {
    /// Where to.
    pub topic: Topic,
    /// What must keep its order shares a key; in compacted topics it is what the message is about.
    pub key: String,
    /// What it tells beside its value.
    pub headers: OwnedHeaders,
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
    pub(crate) subject: Option<&'a str>,
    pub(crate) block: Option<(u64, B256)>,
    /// Unix seconds.
    pub(crate) time_s: Option<u64>,
}

impl Message {
    /// A message with its headers.
    pub(crate) fn new(topic: Topic, key: String, attributes: Attributes<'_>, value: Option<Vec<u8>>) -> Self {
        let headers = own(alike(&attributes, value.is_some()), topic, &prefix(attributes.registry, topic), &attributes);
        Self { topic, key, headers, value }
    }
}

/// Headers that messages of a kind and a block share.
fn alike(attributes: &Attributes<'_>, has_value: bool) -> OwnedHeaders {
    let Attributes { registry: Registry { chain_id, address }, kind, block, time_s, .. } = attributes;
    let (number, hash) = block.map(|(number, hash)| (number.to_string(), format!("{hash:#x}"))).unzip();
    let headers = [
        ("ce_specversion", Some("1.0".to_owned())),
        ("ce_source", Some(format!("/chains/{chain_id}/contracts/{address:#x}"))),
        ("ce_type", Some(format!("runproof.{kind}"))),
        ("content-type", has_value.then(|| "application/json".to_owned())),
        ("ce_blocknumber", number),
        (BLOCK_HASH, hash),
        ("ce_time", time_s.and_then(rfc3339)),
    ];
    let told = headers.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?)));
    told.fold(OwnedHeaders::new_with_capacity(headers.len() + 3), with)
}

/// And those that are a message's own.
fn own(alike: OwnedHeaders, topic: Topic, prefix: &str, attributes: &Attributes<'_>) -> OwnedHeaders {
    let mark = attributes.mark.to_string();
    let headers = with(with(alike, ("ce_id", &format!("{prefix}{mark}"))), (topic.mark(), &mark));
    attributes.subject.into_iter().fold(headers, |headers, subject| with(headers, ("ce_subject", subject)))
}

fn with(headers: OwnedHeaders, (key, value): (&str, &str)) -> OwnedHeaders {
    headers.insert(Header { key, value: Some(value) })
}

/// Headers as text, in their order.
pub fn told(headers: &impl Headers) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    headers.iter().map(|header| (header.key.to_owned(), text(header.value.unwrap_or_default()))).collect()
}

/// What the ids of a topic's messages begin with.
fn prefix(Registry { chain_id, address }: &Registry, topic: Topic) -> String {
    format!("{chain_id}/{address:#x}/{}", collection(topic))
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

/// The messages of a journal's entries, one after the other. What those of a block share is made once.
#[derive(Debug)]
pub struct Events {
    registry: Registry,
    prefix: String,
    /// Of the last entry's kind and block.
    alike: Option<((&'static str, B256), OwnedHeaders)>,
}

impl Events {
    /// Of the journal of a registry.
    pub fn new(registry: Registry) -> Self {
        Self { registry, prefix: prefix(&registry, Topic::Events), alike: None }
    }

    /// An entry's message; its key is the instance's id, where there is none the issuer's address, and where all are concerned the contract's.
    ///
    /// # Errors
    /// None that an entry of a journal causes.
    pub fn message(&mut self, entry: &JournalEntry) -> Result<Message, serde_json::Error> {
        let JournalEntry { position, event, origin, .. } = entry;
        let kind = if entry.retraction.is_some() { "retracted" } else { event.kind() };
        let instance = event.instance().map(|instance| instance.to_string());
        let attributes = Attributes {
            registry: &self.registry,
            kind,
            mark: *position,
            subject: instance.as_deref(),
            block: Some((origin.block_number, origin.block_hash)),
            time_s: Some(origin.block_timestamp_s),
        };
        let of = (kind, origin.block_hash);
        let alike = match &self.alike {
            Some((known, headers)) if *known == of => headers,
            _ => &self.alike.insert((of, alike(&attributes, true))).1,
        };
        let headers = own(alike.clone(), Topic::Events, &self.prefix, &attributes);
        let mut value = Vec::with_capacity(TYPICAL_BYTES);
        serde_json::to_writer(&mut value, entry)?;
        let key = instance.unwrap_or_else(|| format!("{:#x}", event.issuer().unwrap_or(self.registry.address)));
        Ok(Message { topic: Topic::Events, key, headers, value: Some(value) })
    }
}

/// `None` beyond the year 9999, which the format cannot say; `CloudEvents` does not ask for a time.
pub(crate) fn rfc3339(timestamp_s: u64) -> Option<String> {
    let time = OffsetDateTime::from_unix_timestamp(i64::try_from(timestamp_s).ok()?).ok()?;
    time.format(&Rfc3339).ok()
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
