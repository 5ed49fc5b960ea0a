//! How a test asks as users do: GraphQL over TLS, a subscription over graphql-transport-ws, the topic by a consumer that is not ours.

use std::sync::Arc;

use futures::{SinkExt, StreamExt};
use reqwest::Certificate;
use rustls::{RootCertStore, pki_types::ServerName};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use serde_json::{Value, json};
use tokio::{net::TcpStream, process::Command};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_tungstenite::{WebSocketStream, tungstenite::Message};

use super::{World, eventually, stack};

/// One message of a topic as kcat shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KafkaMessage {
    /// Its key.
    pub key: String,
    /// Its headers, `name=value`, separated by commas.
    pub headers: String,
    /// Its value.
    pub value: String,
}

/// A live subscription.
pub struct Subscription {
    socket: WebSocketStream<TlsStream<TcpStream>>,
}

impl World {
    /// A client that trusts this world's certificate and no other.
    pub fn http(&self) -> reqwest::Client {
        let pem = std::fs::read(self.identity().join("cert.pem")).expect("the identity has a certificate");
        let certificate = Certificate::from_pem(&pem).expect("PEM");
        reqwest::Client::builder().tls_certs_only([certificate]).no_proxy().build().expect("a client")
    }

    /// The data that a GraphQL query answers with; it must not answer with errors.
    pub async fn graphql(&self, query: &str) -> Value {
        self.graphql_at("/graphql", query).await
    }

    /// The same of a further source.
    pub async fn graphql_of(&self, source: &str, query: &str) -> Value {
        self.graphql_at(&format!("/sources/{source}/graphql"), query).await
    }

    /// The answer, once the API is there.
    pub async fn graphql_if_served(&self, query: &str) -> Option<Value> {
        let url = format!("{}/graphql", self.api_url);
        let sent = self.http().post(url).json(&json!({ "query": query })).send().await.ok()?;
        sent.json().await.ok()
    }

    async fn graphql_at(&self, path: &str, query: &str) -> Value {
        let url = format!("{}{path}", self.api_url);
        let sent = self.http().post(url).json(&json!({ "query": query })).send().await.expect("the API answers");
        let mut answer: Value = sent.json().await.expect("JSON");
        assert_eq!(answer["errors"], Value::Null, "{query}");
        answer["data"].take()
    }

    /// The first `count` messages of the world's topic once they are there, by kcat with `read_committed`. More may follow at any time: what the
    /// chain calls final moves on without anybody's doing.
    pub async fn kcat(&self, count: usize) -> Vec<KafkaMessage> {
        self.kcat_of(&self.topic, count).await
    }

    /// The same of another topic.
    pub async fn kcat_of(&self, topic: &str, count: usize) -> Vec<KafkaMessage> {
        // kcat gives up where the topic is not made yet.
        eventually("the topic has as many messages", async || {
            let mut messages = self.kcat_once(topic).await;
            let enough = messages.len() >= count;
            messages.truncate(count);
            enough.then_some(messages)
        })
        .await
    }

    async fn kcat_once(&self, topic: &str) -> Vec<KafkaMessage> {
        let bootstrap = stack().await.kafka().expect("started").bootstrap();
        let arguments = ["-C", "-q", "-b", &bootstrap, "-t", topic, "-o", "beginning", "-e"];
        let mut command = Command::new("kcat");
        command.args(arguments).args(["-X", "isolation.level=read_committed", "-f", "%k\t%h\t%s\n"]);
        let output = tokio::time::timeout(std::time::Duration::from_secs(90), command.kill_on_drop(true).output());
        let output = output.await.expect("the topic has an end").expect("kcat runs; `make setup` installs it");
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        let message = |line: &str| {
            let mut parts = line.splitn(3, '\t').map(str::to_owned);
            let mut next = || parts.next().expect("three parts");
            KafkaMessage { key: next(), headers: next(), value: next() }
        };
        text.lines().map(message).collect()
    }

    /// Subscribes.
    pub async fn subscribe(&self, query: &str) -> Subscription {
        let certificate = CertificateDer::from_pem_file(self.identity().join("cert.pem")).expect("PEM");
        let mut roots = RootCertStore::empty();
        roots.add(certificate).expect("a certificate");
        let config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let authority = self.api_url.trim_start_matches("https://");
        let tcp = TcpStream::connect(authority.replace("localhost", "127.0.0.1")).await.expect("the API listens");
        let name = ServerName::try_from("localhost").expect("a name");
        let tls = TlsConnector::from(Arc::new(config)).connect(name, tcp).await.expect("TLS");
        let request = http::Request::builder()
            .uri(format!("wss://{authority}/graphql/ws"))
            .header("host", authority)
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
            .header("sec-websocket-protocol", "graphql-transport-ws")
            .body(())
            .expect("a request");
        let (socket, _) = tokio_tungstenite::client_async(request, tls).await.expect("an upgrade");
        let mut subscription = Subscription { socket };
        subscription.send(json!({"type": "connection_init"})).await;
        assert_eq!(subscription.receive().await["type"], "connection_ack");
        subscription.send(json!({"id": "1", "type": "subscribe", "payload": {"query": query}})).await;
        subscription
    }
}

impl Subscription {
    /// Data of the next frame.
    pub async fn next(&mut self) -> Value {
        let mut frame = self.receive().await;
        assert_eq!(frame["type"], "next", "{frame}");
        frame["payload"]["data"].take()
    }

    async fn send(&mut self, message: Value) {
        self.socket.send(Message::text(message.to_string())).await.expect("the socket is open");
    }

    async fn receive(&mut self) -> Value {
        loop {
            let message = tokio::time::timeout(std::time::Duration::from_secs(90), self.socket.next());
            let message = message.await.expect("a frame in time").expect("the socket is open").expect("a frame");
            let Message::Text(text) = message else { continue };
            let frame: Value = serde_json::from_str(&text).expect("JSON");
            match frame["type"].as_str() {
                Some("ping") => self.send(json!({"type": "pong"})).await,
                _ => return frame,
            }
        }
    }
}
