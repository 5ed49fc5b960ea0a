//! What vouches for a site is the issuer's binding, a site lets in no more than it can serve, and answers nothing but its documents.

use std::{net::TcpListener, sync::Arc, time::Duration};

use alloy::primitives::{Address, address};
use axum::{body::Body, http};
use hyper_util::rt::{TokioExecutor, TokioIo};
use reqwest::{Client, StatusCode};
use runproof_executor::{
    identity::{CertificateSource, certificate},
    request::pinned,
    site::{self, Documents, SiteSettings},
};
use runproof_protocol::{Fingerprint, head::Registry};
use rustls_pki_types::ServerName;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::sync::CancellationToken;

fn localhost() -> CertificateSource {
    CertificateSource::Generated { names: vec!["localhost".into()], validity: Duration::from_secs(86_400) }
}

const ISSUER: Address = address!("1111111111111111111111111111111111111111");
const REGISTRY: Registry = Registry { chain_id: 31337, address: address!("2222222222222222222222222222222222222222") };
const IDENTITY: &str = "/.well-known/runproof.json";

/// A site whose database is away: what it answers here, it answers without.
struct Site {
    url: String,
    port: u16,
    fingerprint: Fingerprint,
    token: CancellationToken,
    serving: JoinHandle<eyre::Result<()>>,
    _folder: TempDir,
}

impl Site {
    fn start(max_connections: usize) -> eyre::Result<Self> {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let folder = tempfile::tempdir()?;
        let own = certificate::ensure_certificate(folder.path(), &localhost())?;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let url = format!("https://localhost:{port}");
        let settings = SiteSettings {
            documents: Documents {
                database: sqlx::PgPool::connect_lazy("postgres://nobody@127.0.0.1:1/none")?,
                issuer: ISSUER,
                registry: REGISTRY,
                public_url: url.clone(),
                stored: false,
            },
            certificate: folder.path().join(certificate::CERTIFICATE),
            key: folder.path().join(certificate::KEY),
            requests: None,
            max_connections,
        };
        let token = CancellationToken::new();
        let serving = tokio::spawn(site::serve(settings, listener, token.clone()));
        Ok(Self { url, port, fingerprint: own.fingerprint, token, serving, _folder: folder })
    }

    fn client(&self, fingerprint: Fingerprint) -> eyre::Result<Client> {
        Ok(Client::builder().tls_backend_preconfigured(pinned::client_config([fingerprint].into())?).build()?)
    }

    /// A connection on which the test itself writes.
    async fn connect(&self, protocol: &[u8]) -> eyre::Result<TlsStream<TcpStream>> {
        let mut config = pinned::client_config([self.fingerprint].into())?;
        config.alpn_protocols = vec![protocol.to_vec()];
        let tcp = TcpStream::connect(("127.0.0.1", self.port)).await?;
        Ok(TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost")?, tcp).await?)
    }

    /// Status of a request for this target, sent as it is written, by HTTP/1.1; `more` are further header lines.
    async fn http1(&self, target: &str, more: &str) -> eyre::Result<u16> {
        let mut stream = self.connect(b"http/1.1").await?;
        let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{more}\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        let answer = String::from_utf8(answer)?;
        let status = answer.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).map(str::parse);
        Ok(status.ok_or_else(|| eyre::eyre!("no answer: {answer}"))??)
    }

    /// The same by HTTP/2.
    async fn http2(&self, target: &str) -> eyre::Result<u16> {
        let stream = TokioIo::new(self.connect(b"h2").await?);
        let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await?;
        let driven = tokio::spawn(connection);
        let target = http::Uri::builder().scheme("https").authority("localhost").path_and_query(target).build()?;
        let status = sender.send_request(http::Request::get(target).body(Body::empty())?).await?.status();
        drop(sender);
        driven.await??;
        Ok(status.as_u16())
    }

    async fn stop(self) -> eyre::Result<()> {
        self.token.cancel();
        self.serving.await?
    }
}

#[tokio::test]
async fn a_client_talks_to_bound_certificates_alone() -> eyre::Result<()> {
    let site = Site::start(1)?;
    let url = format!("{}{IDENTITY}", site.url);
    let bound = site.client(site.fingerprint)?;
    assert_eq!(bound.get(&url).send().await?.status(), StatusCode::OK);
    assert!(
        site.client(site.fingerprint)?.get(&url).send().await.is_err(),
        "the first client holds the only connection"
    );
    drop(bound);
    let other = site.client(Fingerprint::of(b"another"))?;
    let refused = other.get(&url).send().await.expect_err("not bound");
    assert!(refused.is_connect(), "{refused:?}");
    site.stop().await
}

#[tokio::test]
async fn targets_that_lead_elsewhere_lead_nowhere() -> eyre::Result<()> {
    let site = Site::start(16)?;
    assert_eq!(site.http1(IDENTITY, "").await?, 200, "what is written by hand is answered");
    assert_eq!(site.http2(IDENTITY).await?, 200);
    for target in [
        "/../x",
        "/../../etc/passwd",
        "/%2e%2e/x",
        "/%2e%2e%2fetc%2fpasswd",
        "/%252e%252e/x",
        "/..%5cx",
        "/\\x",
        "/..\\..\\x",
        "/%00",
        "/%00.json",
        "/%ff.json",
        "/.well-known/../.well-known/runproof.json",
        "/./.well-known/runproof.json",
        "//.well-known/runproof.json",
    ] {
        let (http1, http2) = (site.http1(target, "").await?, site.http2(target).await?);
        assert!(matches!(http1, 400 | 404), "HTTP/1.1, {target}: {http1}");
        assert!(matches!(http2, 400 | 404), "HTTP/2, {target}: {http2}");
    }
    // No target at all to HTTP: raw bytes that end the line.
    assert_eq!(site.http1("/\0", "").await?, 400);
    site.stop().await
}

#[tokio::test]
async fn ranges_that_overlap_are_refused() -> eyre::Result<()> {
    let site = Site::start(16)?;
    for (range, expected) in [
        ("bytes=0-9", 206),
        ("bytes=0-5,2-7", 416),
        ("bytes=0-,0-", 416),
        ("bytes=0-1,1-2", 416),
        ("bytes=9999-", 416),
        ("bytes=5-2", 416),
    ] {
        assert_eq!(site.http1(IDENTITY, &format!("Range: {range}\r\n")).await?, expected, "{range}");
    }
    site.stop().await
}

#[tokio::test]
async fn every_answer_has_the_security_headers_and_the_identity_its_fields() -> eyre::Result<()> {
    let site = Site::start(16)?;
    let client = site.client(site.fingerprint)?;
    for (path, status) in [(IDENTITY, StatusCode::OK), ("/nothing", StatusCode::NOT_FOUND)] {
        let answer = client.get(format!("{}{path}", site.url)).send().await?;
        assert_eq!(answer.status(), status);
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
            ("referrer-policy", "no-referrer"),
            ("strict-transport-security", "max-age=31536000"),
        ] {
            assert_eq!(
                answer.headers().get(name).map(|value| value.as_bytes()),
                Some(value.as_bytes()),
                "{path}: {name}"
            );
        }
    }
    let identity: Value = client.get(format!("{}{IDENTITY}", site.url)).send().await?.json().await?;
    let registry = json!({"chain_id": REGISTRY.chain_id, "address": REGISTRY.address});
    assert_eq!(identity, json!({"issuer": ISSUER, "registry": registry, "site": site.url}));
    site.stop().await
}
