//! The topic: made with the settings that a journal needs, if it is not there.

use std::time::Duration;

use eyre::{Context, bail};
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    types::RDKafkaErrorCode,
};
use tracing::info;

use crate::RelaySettings;

const TIMEOUT: Duration = Duration::from_secs(15);
/// What makes librdkafka ask the brokers for their default.
const BROKERS_DEFAULT: i32 = -1;

/// What all of the relay's Kafka clients share.
pub(crate) fn client(settings: &RelaySettings) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.extend(settings.options.clone());
    config.set("bootstrap.servers", &settings.bootstrap).set("client.id", "runproof-relay");
    config
}

/// Makes the topic if it is missing: nothing in it is ever deleted, since it is folded from its beginning.
pub(crate) async fn ensure(settings: &RelaySettings) -> eyre::Result<()> {
    let admin: AdminClient<DefaultClientContext> = client(settings).create()?;
    let replication = TopicReplication::Fixed(settings.replication.unwrap_or(BROKERS_DEFAULT));
    let topic = NewTopic::new(&settings.topic, settings.partitions, replication)
        .set("cleanup.policy", "delete")
        .set("retention.ms", "-1")
        .set("retention.bytes", "-1");
    let options = AdminOptions::new().request_timeout(Some(TIMEOUT)).operation_timeout(Some(TIMEOUT));
    let answers = admin.create_topics([&topic], &options).await.wrap_err("creating the topic")?;
    match answers.into_iter().next() {
        Some(Ok(name)) => info!(topic = name, partitions = settings.partitions, "topic created"),
        Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => {}
        Some(Err((name, code))) => bail!("creating topic {name}: {code}"),
        None => bail!("creating topic {}: no answer", settings.topic),
    }
    Ok(())
}
