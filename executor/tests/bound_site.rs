//! What vouches for a site is the issuer's binding, and a site lets in no more than it can serve.

use std::{net::TcpListener, time::Duration};

use alloy::primitives::Address;
use reqwest::{Client, StatusCode};
use runproof_executor::{
    identity::{CertificateSource, certificate},
    request::pinned,
    site::{self, Documents, SiteSettings},
};
use runproof_protocol::head::Registry;
use tokio_util::sync::CancellationToken;

fn localhost() -> CertificateSource {
    CertificateSource::Generated { names: vec!["localhost".into()], validity: Duration::from_secs(86_400) }
}

#[tokio::test]
async fn a_client_talks_to_bound_certificates_alone() -> eyre::Result<()> {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let folder = tempfile::tempdir()?;
    let own = certificate::ensure_certificate(folder.path(), &localhost())?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("https://localhost:{}/.well-known/runproof.json", listener.local_addr()?.port());
    let settings = SiteSettings {
        documents: Documents {
            database: sqlx::PgPool::connect_lazy("postgres://nobody@127.0.0.1:1/none")?,
            issuer: Address::ZERO,
            registry: Registry { chain_id: 1, address: Address::ZERO },
            public_url: url.clone(),
        },
        certificate: folder.path().join(certificate::CERTIFICATE),
        key: folder.path().join(certificate::KEY),
        requests: None,
        max_connections: 1,
    };
    let token = CancellationToken::new();
    let serving = tokio::spawn(site::serve(settings, listener, token.clone()));
    let client = |fingerprint| {
        eyre::Ok(Client::builder().tls_backend_preconfigured(pinned::client_config([fingerprint].into())?).build()?)
    };
    let bound = client(own.fingerprint)?;
    assert_eq!(bound.get(&url).send().await?.status(), StatusCode::OK);
    assert!(client(own.fingerprint)?.get(&url).send().await.is_err(), "the first client holds the only connection");
    drop(bound);
    let other = client(runproof_protocol::Fingerprint::of(b"another"))?;
    let refused = other.get(&url).send().await.expect_err("not bound");
    assert!(refused.is_connect(), "{refused:?}");
    token.cancel();
    serving.await?
}
