//! A subscriber to the journal: graphql-transport-ws over TLS.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Instant};

use eyre::{OptionExt, Result, bail};
use futures::{SinkExt, StreamExt};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, client::IntoClientRequest},
};

use super::{Place, Seen};

/// An open subscription to what comes next.
pub struct Subscriber {
    socket: WebSocketStream<TlsStream<TcpStream>>,
}

#[derive(Deserialize)]
struct Frame {
    r#type: String,
    payload: Option<Payload>,
}

#[derive(Deserialize)]
struct Payload {
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    events: Event,
}

#[derive(Deserialize)]
struct Event {
    kind: Option<String>,
}

impl Subscriber {
    /// Subscribes to all events after `position`.
    pub async fn connect(address: SocketAddr, certificate: &Path, position: u64) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(certificate)?)?;
        let tls = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let tcp = TcpStream::connect(address).await?;
        tcp.set_nodelay(true)?;
        let tls = TlsConnector::from(Arc::new(tls)).connect(ServerName::try_from("localhost")?, tcp).await?;
        let mut request = format!("wss://localhost:{}/graphql/ws", address.port()).into_client_request()?;
        request.headers_mut().insert("sec-websocket-protocol", "graphql-transport-ws".parse()?);
        let (socket, _) = client_async(request, tls).await?;
        let mut subscriber = Self { socket };
        subscriber.send(json!({"type": "connection_init"})).await?;
        let query = format!("subscription {{ events(after: {position}) {{ position kind }} }}");
        subscriber.send(json!({"id": "1", "type": "subscribe", "payload": {"query": query}})).await?;
        Ok(subscriber)
    }

    /// Sees each event of the chain after the first `events`, until all are there.
    pub async fn watch(mut self, mut events: u64, all: u64) -> Result<Place> {
        let mut seen: Vec<Seen> = Vec::new();
        while events < all {
            let message = self.socket.next().await.ok_or_eyre("the subscription ended")??;
            let Message::Text(text) = message else { continue };
            let frame: Frame = serde_json::from_str(&text)?;
            match (frame.r#type.as_str(), frame.payload) {
                ("next", Some(Payload { data })) => {
                    events += u64::from(data.events.kind.is_some_and(|kind| kind.ends_with("_REGISTERED")));
                    seen.push((events, Instant::now()));
                }
                ("connection_ack", _) => {}
                ("ping", _) => self.send(json!({"type": "pong"})).await?,
                _ => bail!("the API says {text}"),
            }
        }
        Ok(Place { name: "in frames of a subscription", seen })
    }

    async fn send(&mut self, message: Value) -> Result<()> {
        Ok(self.socket.send(Message::text(message.to_string())).await?)
    }
}
