//! The topics: their names, the settings that what they hold needs, and whether those that are there have them.

use std::time::Duration;

use eyre::{Context, bail};
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, ConfigResource, NewTopic, ResourceSpecifier, TopicReplication},
    client::DefaultClientContext,
    types::RDKafkaErrorCode,
};
use tracing::{info, warn};

use super::RelayError;
use crate::RelaySettings;

const TIMEOUT: Duration = Duration::from_secs(15);
/// What makes librdkafka ask the brokers for their default.
const BROKERS_DEFAULT: i32 = -1;
/// Bytes of a message at most. A log is as long as a block's gas pays for, and its JSON more than twice as long.
pub(crate) const LONGEST_MESSAGE: &str = "16777216";
/// Kafka's name of that.
const MAX_BYTES: &str = "max.message.bytes";

/// Nothing is ever deleted, since it is folded from its beginning.
const KEPT: [(&str, &str); 3] = [("cleanup.policy", "delete"), ("retention.ms", "-1"), ("retention.bytes", "-1")];
/// Likewise, and long messages are taken.
const KEPT_IN_FULL: [(&str, &str); 4] = [KEPT[0], KEPT[1], KEPT[2], (MAX_BYTES, LONGEST_MESSAGE)];
/// The newest message of each key stays.
const COMPACTED: [(&str, &str); 1] = [("cleanup.policy", "compact")];

/// What the relay writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    /// All entries of the journal, kept for ever.
    Events,
    /// The newest state of each instance, compacted; a tombstone if its registration was taken back.
    Instances,
    /// The newest verdict on each instance, compacted; a tombstone if it was removed.
    Verdicts,
    /// Logs that could not be decoded, and which of them could later, kept for ever.
    DeadLetters,
}

impl Topic {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Events, Self::Instances, Self::Verdicts, Self::DeadLetters];

    /// Its name beside a topic of events: `x.events` has `x.instances`, `x.verdicts` and `x.dead-letters`.
    pub fn name(self, events: &str) -> String {
        let family = events.strip_suffix(".events").unwrap_or(events);
        match self {
            Self::Events => events.to_owned(),
            Self::Instances => format!("{family}.instances"),
            Self::Verdicts => format!("{family}.verdicts"),
            Self::DeadLetters => format!("{family}.dead-letters"),
        }
    }

    /// Header by which the relay goes on after the newest message, and consumers know what they have seen.
    pub fn mark(self) -> &'static str {
        match self {
            Self::Events | Self::Instances => "ce_position",
            Self::Verdicts => "ce_revision",
            Self::DeadLetters => "ce_quarantineid",
        }
    }

    /// Settings without which what it holds would be lost, refused or never tidied.
    fn needed(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Events => &KEPT,
            Self::DeadLetters => &KEPT_IN_FULL,
            Self::Instances | Self::Verdicts => &COMPACTED,
        }
    }
}

/// What all of the relay's Kafka clients share.
pub(crate) fn client(settings: &RelaySettings) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.extend(settings.options.clone());
    config.set("bootstrap.servers", &settings.bootstrap).set("client.id", "runproof-relay");
    config
}

/// Makes the topics that are missing, and checks those that are there.
///
/// # Errors
/// [`RelayError::WrongSetting`] for a topic whose settings would lose messages.
pub(crate) async fn ensure(settings: &RelaySettings) -> eyre::Result<()> {
    let admin: AdminClient<DefaultClientContext> = client(settings).create()?;
    let options = AdminOptions::new().request_timeout(Some(TIMEOUT)).operation_timeout(Some(TIMEOUT));
    let names = Topic::ALL.map(|topic| (topic, topic.name(&settings.topic)));
    let wanted = names.iter().map(|(topic, name)| new_topic(settings, *topic, name)).collect::<Vec<_>>();
    let answers = admin.create_topics(&wanted, &options).await;
    for answer in answers.wrap_err("creating the topics")? {
        match answer {
            Ok(topic) => info!(topic, partitions = settings.partitions, "topic created"),
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((name, code)) => bail!("creating topic {name}: {code}"),
        }
    }
    let resources = names.iter().map(|(_, name)| ResourceSpecifier::Topic(name)).collect::<Vec<_>>();
    let found = admin.describe_configs(&resources, &options).await.wrap_err("asking for the topics' settings")?;
    for ((topic, name), found) in names.iter().zip(found) {
        match found {
            Ok(found) if !found.entries.is_empty() => check(*topic, name, &found)?,
            // rdkafka gives an error as no entries. Not everybody may read settings who may write messages.
            _ => warn!(topic = name, needed = ?topic.needed(), "the topic's settings could not be read"),
        }
    }
    Ok(())
}

fn new_topic<'a>(settings: &RelaySettings, topic: Topic, name: &'a str) -> NewTopic<'a> {
    let replication = TopicReplication::Fixed(settings.replication.unwrap_or(BROKERS_DEFAULT));
    let new = NewTopic::new(name, settings.partitions, replication);
    topic.needed().iter().fold(new, |new, (setting, value)| new.set(setting, value))
}

fn check(topic: Topic, name: &str, found: &ConfigResource) -> Result<(), RelayError> {
    for &(setting, needed) in topic.needed() {
        let value = found.get(setting).and_then(|entry| entry.value.as_deref()).unwrap_or_default();
        if !suffices(setting, value, needed) {
            let (topic, found) = (name.to_owned(), value.to_owned());
            return Err(RelayError::WrongSetting { topic, setting, found, needed });
        }
    }
    Ok(())
}

/// A limit may also be higher.
fn suffices(setting: &str, value: &str, needed: &str) -> bool {
    let number = |text: &str| text.parse::<u64>().ok();
    value == needed || setting == MAX_BYTES && number(value) >= number(needed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_of_one_journal_share_the_first_part_of_their_names() {
        let names = |events| Topic::ALL.map(|topic| topic.name(events));
        assert_eq!(names("x.events"), ["x.events", "x.instances", "x.verdicts", "x.dead-letters"]);
        assert_eq!(names("journal"), ["journal", "journal.instances", "journal.verdicts", "journal.dead-letters"]);
    }

    #[test]
    fn a_limit_may_be_higher_and_nothing_else_may_differ() {
        let suffices =
            |setting, value| suffices(setting, value, if setting == MAX_BYTES { LONGEST_MESSAGE } else { "-1" });
        assert!(
            suffices(MAX_BYTES, LONGEST_MESSAGE) && suffices(MAX_BYTES, "100000000") && suffices("retention.ms", "-1")
        );
        assert!(!suffices(MAX_BYTES, "1048588") && !suffices(MAX_BYTES, "") && !suffices("retention.ms", "604800000"));
    }

    #[test]
    fn tls_and_sasl_settings_reach_a_client_that_knows_them() {
        let url = url::Url::parse("postgres://127.0.0.1").expect("a URL");
        let mut settings = RelaySettings::new(url, alloy::primitives::Address::ZERO, "127.0.0.1:1");
        let mut create = |options: &[(&str, &str)]| {
            settings.options.extend(options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
            client(&settings).create::<AdminClient<DefaultClientContext>>().map(drop)
        };
        for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
            let sasl = [("sasl.mechanism", mechanism), ("sasl.username", "relay"), ("sasl.password", "secret")];
            create(&[&sasl[..], &[("security.protocol", "sasl_ssl")]].concat()).expect("it is built in");
        }
        // That a file is looked for shows that the setting arrived.
        create(&[("security.protocol", "ssl"), ("ssl.ca.location", "/nowhere.pem")])
            .expect_err("there is no such file");
    }
}
