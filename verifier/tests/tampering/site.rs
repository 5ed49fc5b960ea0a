//! A TLS site that serves documents from memory, and can be made to lie or fail.

use std::{
    collections::HashMap,
    net::TcpListener,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, Uri},
    response::{IntoResponse, Response},
};
use axum_server::{Handle, tls_rustls::RustlsConfig};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use runproof_protocol::Fingerprint;

type Documents = Arc<Mutex<HashMap<String, Answer>>>;

#[derive(Clone)]
enum Answer {
    Document(Vec<u8>),
    Status(StatusCode),
    Never,
}

pub struct Site {
    pub url: String,
    /// Of the certificate that it presents first.
    pub fingerprint: Fingerprint,
    documents: Documents,
    tls: RustlsConfig,
    server: Handle<std::net::SocketAddr>,
}

struct Certificate {
    der: Vec<u8>,
    key: Vec<u8>,
}

fn certificate() -> Certificate {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate can be made");
    Certificate { der: cert.der().to_vec(), key: signing_key.serialize_der() }
}

impl Site {
    pub async fn start() -> Self {
        let Certificate { der, key } = certificate();
        let fingerprint = Fingerprint::of(&der);
        let tls = RustlsConfig::from_der(vec![der], key).await.expect("the certificate fits its key");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a socket");
        let port = listener.local_addr().expect("bound").port();
        let documents = Documents::default();
        let server = Handle::new();
        let app = Router::new().fallback(answer).with_state(documents.clone());
        let serving = axum_server::from_tcp_rustls(listener, tls.clone()).expect("a listener").handle(server.clone());
        tokio::spawn(serving.serve(app.into_make_service()));
        Self { url: format!("https://localhost:{port}"), fingerprint, documents, tls, server }
    }

    pub fn publish(&self, path: String, bytes: Vec<u8>) {
        self.set(path, Answer::Document(bytes));
    }

    pub fn alter(&self, path: &str, change: impl FnOnce(&mut Vec<u8>)) {
        match self.documents.lock().expect("unpoisoned").get_mut(path) {
            Some(Answer::Document(bytes)) => change(bytes),
            _ => panic!("{path} is not published"),
        }
    }

    pub fn answer_with(&self, path: &str, status: StatusCode) {
        self.set(path.to_owned(), Answer::Status(status));
    }

    pub fn never_answer(&self, path: &str) {
        self.set(path.to_owned(), Answer::Never);
    }

    fn set(&self, path: String, answer: Answer) {
        self.documents.lock().expect("unpoisoned").insert(path, answer);
    }

    /// Presents another certificate from now on.
    pub async fn change_certificate(&self) {
        let Certificate { der, key } = certificate();
        self.tls.reload_from_der(vec![der], key).await.expect("the certificate fits its key");
    }

    pub fn stop(&self) {
        self.server.shutdown();
    }
}

async fn answer(State(documents): State<Documents>, uri: Uri) -> Response {
    let found = documents.lock().expect("unpoisoned").get(uri.path().trim_start_matches('/')).cloned();
    match found {
        Some(Answer::Document(bytes)) => bytes.into_response(),
        Some(Answer::Status(status)) => status.into_response(),
        Some(Answer::Never) => std::future::pending().await,
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
