//! A server with a database of its own.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use futures::{SinkExt, StreamExt};
use reqwest::StatusCode;
use runproof_api::{Limits, Settings, serve};
use runproof_stack::{Part, Ports, Stack, StackOptions};
use rustls_pki_types::{CertificateDer, ServerName};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Mutex,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{self, Message, client::IntoClientRequest},
};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::journal::Journal;

/// One Postgres for all tests that run at the time.
static CLUSTER: Mutex<std::sync::Weak<Cluster>> = Mutex::const_new(std::sync::Weak::new());
static DATABASES: AtomicU32 = AtomicU32::new(0);

struct Cluster {
    stack: Stack,
    _data: TempDir,
}

async fn cluster() -> Arc<Cluster> {
    let mut known = CLUSTER.lock().await;
    if let Some(cluster) = known.upgrade() {
        return cluster;
    }
    let data = tempfile::tempdir().expect("a folder");
    let options = StackOptions {
        ports: Ports::free().expect("ports"),
        parts: [Part::Postgres].into(),
        ..StackOptions::new(data.path())
    };
    let cluster = Arc::new(Cluster { stack: Stack::start(options).await.expect("Postgres starts"), _data: data });
    *known = Arc::downgrade(&cluster);
    cluster
}

/// A running API.
pub struct Served {
    pub journal: Journal,
    pub postgres_url: String,
    pub address: SocketAddr,
    pub client: reqwest::Client,
    certificate: CertificateDer<'static>,
    _stop: DropGuard,
    _files: TempDir,
    _cluster: Arc<Cluster>,
}

/// A websocket to it.
pub type Socket = WebSocketStream<TlsStream<TcpStream>>;

/// Starts the API with its usual limits.
pub async fn served() -> Served {
    served_with(Limits::default()).await
}

/// Starts the API.
pub async fn served_with(limits: Limits) -> Served {
    // Another test may have installed it before: it is the same one.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let cluster = cluster().await;
    let name = format!("api_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
    let postgres_url = cluster.stack.postgres().expect("started").create_database(&name).await.expect("a database");
    let pool = sqlx::PgPool::connect(&postgres_url).await.expect("a connection");
    let database = sea_orm::SqlxPostgresConnector::from_sqlx_postgres_pool(pool.clone());
    runproof_migrations::migrate(&database).await.expect("the schema");

    let files = tempfile::tempdir().expect("a folder");
    let (certificate, private_key) = (files.path().join("certificate.pem"), files.path().join("key.pem"));
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    std::fs::write(&certificate, made.cert.pem()).expect("written");
    std::fs::write(&private_key, made.signing_key.serialize_pem()).expect("written");

    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let token = CancellationToken::new();
    let allowed_origins = vec!["https://app.example".to_owned()];
    let settings = Settings {
        postgres_url: postgres_url.clone(),
        sources: Default::default(),
        certificate,
        private_key,
        allowed_origins,
        graphiql: None,
        introspection: true,
        limits,
    };
    tokio::spawn(serve(settings, listener, token.clone()));
    let client = reqwest::Client::builder()
        .tls_certs_only([reqwest::Certificate::from_der(made.cert.der()).expect("a certificate")])
        .resolve("localhost", address)
        .no_proxy()
        .build()
        .expect("a client");
    Served {
        journal: Journal::open(pool).await,
        postgres_url,
        address,
        client,
        certificate: made.cert.der().clone(),
        _stop: token.drop_guard(),
        _files: files,
        _cluster: cluster,
    }
}

impl Served {
    pub fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.address.port())
    }

    /// A request to be completed.
    pub fn post(&self) -> reqwest::RequestBuilder {
        self.client.post(self.url("/graphql"))
    }

    /// What a query answers, and with which status.
    pub async fn ask(&self, query: &str) -> (StatusCode, Value) {
        let response = self.post().json(&json!({ "query": query })).send().await.expect("an answer");
        (response.status(), response.json().await.expect("JSON"))
    }

    /// The data of an answer that has no errors.
    pub async fn data(&self, query: &str) -> Value {
        let (status, mut answer) = self.ask(query).await;
        assert_eq!((status, &answer["errors"]), (StatusCode::OK, &Value::Null), "{query}");
        answer["data"].take()
    }

    /// A websocket, from a page of `origin` if one is given.
    pub async fn connect(&self, origin: Option<&str>) -> Result<Socket, tungstenite::Error> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.certificate.clone()).expect("a certificate");
        let config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let tcp = TcpStream::connect(self.address).await?;
        let tls = TlsConnector::from(Arc::new(config))
            .connect(ServerName::try_from("localhost").expect("a name"), tcp)
            .await?;
        let mut request = self.url("/graphql/ws").replace("https", "wss").into_client_request()?;
        request.headers_mut().insert("sec-websocket-protocol", "graphql-transport-ws".parse().expect("header"));
        if let Some(origin) = origin {
            request.headers_mut().insert("origin", origin.parse().expect("header"));
        }
        Ok(client_async(request, tls).await?.0)
    }

    /// A websocket on which a subscription has begun.
    pub async fn subscribe(&self, query: &str) -> Socket {
        let mut socket = self.connect(None).await.expect("a websocket");
        say(&mut socket, json!({ "type": "connection_init" })).await;
        assert_eq!(hear(&mut socket).await, json!({ "type": "connection_ack" }));
        say(&mut socket, json!({ "type": "subscribe", "id": "1", "payload": { "query": query } })).await;
        socket
    }
}

/// Sends a message.
pub async fn say(socket: &mut Socket, message: Value) {
    socket.send(Message::text(message.to_string())).await.expect("sent");
}

/// The next message; an end is given as `{"close": code}`.
pub async fn hear(socket: &mut Socket) -> Value {
    let next = async {
        loop {
            match socket.next().await {
                Some(Ok(Message::Text(text))) => return serde_json::from_str(&text).expect("JSON"),
                Some(Ok(Message::Close(Some(frame)))) => return json!({ "close": u16::from(frame.code) }),
                Some(Ok(_)) => {}
                other => panic!("websocket broke off: {other:?}"),
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), next).await.expect("a message within 20 s")
}
