//! A private Apache Kafka broker in KRaft mode: broker and controller in one process.

use std::fs;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;

use crate::postgres::run;
use crate::process::{Launch, Server};
use crate::{Part, StackError, Tools};

/// Any 22 characters of base64 do; the data folder keeps it.
const CLUSTER_ID: &str = "RunproofEmbeddedKafkaA";

/// A listener for clients that want TLS.
#[derive(Debug, Clone)]
pub struct KafkaTls {
    /// Its port.
    pub port: u16,
    /// PEM file: the private key (PKCS 8, not encrypted), then the certificate and those that lead to its authority. It must name `localhost`.
    pub keystore: PathBuf,
}

/// A running private Kafka broker; topics are created by those who need them, never by a typo.
#[derive(Debug)]
pub struct Kafka {
    server: Server,
    port: u16,
    tls_port: Option<u16>,
}

impl Kafka {
    pub(crate) async fn start(
        data_dir: &Path,
        port: u16,
        controller_port: u16,
        tls: Option<&KafkaTls>,
        tools: &Tools,
    ) -> Result<Self, StackError> {
        let folder = data_dir.join("kafka");
        fs::create_dir_all(&folder).map_err(StackError::io(&folder))?;
        let properties = folder.join("server.properties");
        let launch = Launch {
            part: Part::Kafka,
            setpriv: tools.setpriv()?,
            program: tools.java()?,
            args: java_args(&tools.kafka_class_path()?, "kafka.Kafka").chain([properties.clone().into()]).collect(),
            env: vec![],
            account: None,
            run_dir: data_dir.to_owned(),
            stop_signal: Signal::SIGTERM,
        };
        let kafka = Self { server: Server::new(launch), port, tls_port: tls.map(|tls| tls.port) };
        kafka.server.reclaim().await?;
        crate::ports::ensure_free(Part::Kafka, port)?;
        crate::ports::ensure_free(Part::Kafka, controller_port)?;
        tls.map_or(Ok(()), |tls| crate::ports::ensure_free(Part::Kafka, tls.port))?;
        fs::write(&properties, server_properties(&folder, port, controller_port, tls))
            .map_err(StackError::io(&properties))?;
        if !folder.join("data/meta.properties").exists() {
            format(properties, tools).await?;
        }
        kafka.restart().await?;
        Ok(kafka)
    }

    /// `host:port` for clients.
    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// `host:port` for clients that speak TLS, if there is a listener for them.
    pub fn tls_bootstrap(&self) -> Option<String> {
        self.tls_port.map(|port| format!("localhost:{port}"))
    }

    /// Ends the broker as a crash would.
    pub async fn kill(&self) {
        self.server.kill().await;
    }

    /// Starts the broker again after [`Self::kill`] or [`Self::stop`], on the same data and port.
    pub async fn restart(&self) -> Result<(), StackError> {
        self.server.stop().await;
        let log = self.server.log();
        // An open port is not enough: the line comes when the controller has let the broker serve.
        self.server
            .start(|| async { fs::read_to_string(&log).is_ok_and(|text| text.contains("Kafka Server started")) })
            .await
    }

    /// Stops the broker.
    pub async fn stop(&self) {
        self.server.stop().await;
    }

    /// Sends the broker a signal, e.g. SIGSTOP.
    pub fn signal(&self, signal: Signal) {
        self.server.signal(signal);
    }
}

async fn format(properties: PathBuf, tools: &Tools) -> Result<(), StackError> {
    let mut command = std::process::Command::new(tools.java()?);
    command.args(java_args(&tools.kafka_class_path()?, "kafka.tools.StorageTool"));
    command.args(["format", "-t", CLUSTER_ID, "-c"]).arg(properties);
    let ended = StackError::refused(Part::Kafka, "formatting its storage");
    tokio::task::spawn_blocking(move || run(&mut command)).await.map_err(ended)?
}

/// Quick to start and small, as one user on one machine wants it.
fn java_args(class_path: &str, class: &str) -> impl Iterator<Item = std::ffi::OsString> {
    ["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", class_path, class].map(Into::into).into_iter()
}

/// One broker, so one replica of everything. The short session makes a restart after a crash take seconds:
/// the controller refuses the broker until its former registration has run out.
fn server_properties(folder: &Path, port: u16, controller_port: u16, tls: Option<&KafkaTls>) -> String {
    let data = folder.join("data");
    let tls_listener = tls.map(|tls| format!(",SSL://localhost:{}", tls.port)).unwrap_or_default();
    let keystore = tls.map(|tls| format!("ssl.keystore.type=PEM\nssl.keystore.location={}\n", tls.keystore.display()));
    format!(
        "process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}{tls_listener}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}{tls_listener}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SSL:SSL
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs={data}
auto.create.topics.enable=false
num.partitions=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=500
{keystore}",
        data = data.display(),
        keystore = keystore.unwrap_or_default()
    )
}
