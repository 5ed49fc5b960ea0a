//! A broker that speaks TLS: relay, audit and example consumer reach it by the settings that are passed through, and none of them trusts a stranger.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::{Arc, Mutex},
    time::Duration,
};

use rcgen::{BasicConstraints, Certificate, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rdkafka::{
    ClientConfig, ClientContext,
    admin::AdminClient,
    client::DefaultClientContext,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, ConsumerContext},
    error::KafkaError,
};
use runproof_stack::{KafkaTls, Part, Ports, Stack, StackOptions, Tools};

use super::{position_in, repository};
use crate::{
    audit::audit,
    harness::{self, World, eventually, free_port},
};

#[test]
fn settings_of_tls_reach_the_broker_and_a_stranger_is_not_trusted() {
    harness::run(async {
        let world = World::builder().own_chain().build().await;
        let (authority, keystore) = certified();
        let keystore = world.file("broker.pem", keystore);
        let trusted = world.file("ca.pem", authority);
        let stranger = world.file("stranger.pem", certified().0);
        let broker = broker(&world, keystore).await;
        let bootstrap = broker.kafka().expect("started").tls_bootstrap().expect("it has a listener");

        relay_over_tls(&world, &bootstrap, &stranger);
        let index = world.start(&["index"]);
        eventually("the relay does not come through, and says why", async || {
            let log = index.log();
            (log.contains("certificate verify failed") && log.contains("TLS and SASL in [kafka.client]")).then_some(())
        })
        .await;
        refuses(&bootstrap, &stranger).await;
        assert_eq!(topics(&broker), Vec::<String>::new(), "nothing was told to a stranger");
        assert!(index.stop());

        relay_over_tls(&world, &bootstrap, &trusted);
        let index = world.start(&["index"]);
        let report = audit(&world).await;
        assert_eq!(report.differences, [], "{report:#?}");
        assert!(report.messages.is_some_and(|messages| messages > 0), "binding the certificate was registered");
        assert_eq!(topics(&broker).len(), 4);

        let reads = world.consume_over_tls(&bootstrap, &trusted);
        let output = reads.expect("Python runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(position_in(&String::from_utf8_lossy(&output.stdout)) > 0);
        assert!(index.stop());
        broker.stop().await;
    });
}

/// An authority's certificate, and what a broker needs to be one of its own: key and certificates.
fn certified() -> (String, String) {
    let authority_key = KeyPair::generate().expect("a key");
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // A certificate with its issuer's name would pass for one that signed itself.
    authority.distinguished_name.push(DnType::CommonName, "authority");
    let certificate: Certificate = authority.self_signed(&authority_key).expect("a certificate");
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate().expect("a key");
    let broker = CertificateParams::new(vec!["localhost".into(), "127.0.0.1".into()]).expect("names");
    let broker = broker.signed_by(&key, &issuer).expect("a certificate");
    (certificate.pem(), [key.serialize_pem(), broker.pem(), certificate.pem()].concat())
}

async fn broker(world: &World, keystore: PathBuf) -> Stack {
    let options = StackOptions {
        ports: Ports::free().expect("free ports"),
        parts: [Part::Kafka].into(),
        kafka_tls: Some(KafkaTls { port: free_port(), keystore }),
        ..StackOptions::new(world.config().with_file_name("broker"))
    };
    Stack::start(options).await.expect("the broker starts")
}

/// The world's configuration, with the broker at its listener for TLS.
fn relay_over_tls(world: &World, bootstrap: &str, authority: &Path) {
    let configured = std::fs::read_to_string(world.config()).expect("it was written");
    let before = configured.split("[kafka]").next().expect("a beginning");
    let after = configured.split("[aws]").nth(1).expect("an end");
    let kafka = format!(
        "[kafka]\nbootstrap = \"{bootstrap}\"\ntopic = \"{}\"\n[kafka.client]\n\"security.protocol\" = \"ssl\"\n\"ssl.ca.location\" = \"{}\"\n",
        world.topic,
        authority.display()
    );
    world.file("runproof.toml", format!("{before}{kafka}[aws]{after}"));
}

/// As the broker's usual listener tells them.
fn topics(broker: &Stack) -> Vec<String> {
    let bootstrap = broker.kafka().expect("started").bootstrap();
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", bootstrap).create().expect("a client");
    let metadata = admin.inner().fetch_metadata(None, Duration::from_secs(10)).expect("it answers");
    let names = metadata.topics().iter().map(|topic| topic.name().to_owned());
    names.filter(|name| !name.starts_with("__")).collect()
}

/// A client with the same settings tells why: it does not trust the broker.
async fn refuses(bootstrap: &str, authority: &Path) {
    let heard = Heard::default();
    let consumer: BaseConsumer<Heard> = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "stranger")
        .set("security.protocol", "ssl")
        .set("ssl.ca.location", authority.display().to_string())
        .create_with_context(heard.clone())
        .expect("a client");
    eventually("it does not trust the broker", async || {
        assert!(!matches!(consumer.poll(Duration::ZERO), Some(Ok(_))), "nothing is to be read");
        let heard = heard.0.lock().expect("nobody panics with it");
        heard.contains("certificate verify failed").then_some(())
    })
    .await;
}

/// What librdkafka says.
#[derive(Default, Clone)]
struct Heard(Arc<Mutex<String>>);

impl ClientContext for Heard {
    fn log(&self, _: RDKafkaLogLevel, _: &str, message: &str) {
        self.0.lock().expect("nobody panics with it").push_str(message);
    }

    fn error(&self, _: KafkaError, reason: &str) {
        self.0.lock().expect("nobody panics with it").push_str(reason);
    }
}

impl ConsumerContext for Heard {}

impl World {
    fn consume_over_tls(&self, bootstrap: &str, authority: &Path) -> std::io::Result<Output> {
        let python = Tools::locate().consumer_python().expect("`make setup-tests` installs it");
        let mut command = Command::new(python);
        command.arg(repository("examples/consumer/consume.py")).args(["--bootstrap", bootstrap, "--once"]);
        command.args(["--topic", &self.topic, "--state"]).arg(self.config().with_file_name("tls.sqlite"));
        command.args(["-X", "security.protocol=ssl", "-X", &format!("ssl.ca.location={}", authority.display())]);
        command.output()
    }
}
