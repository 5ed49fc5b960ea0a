//! The issuer's web site: models, instance protocols, traces and state documents over TLS (the paper, step 3.4), from the executor's rows in
//! Postgres, so that what is published and what is registered are one progress. It also takes signed requests for transitions.
//!
//! There is no file system behind it: an address is two ids at most, and what is not an id is not found.

mod answer;
mod connection;
mod documents;
mod growing;
mod leaves;
mod routes;

use std::{net::TcpListener, path::PathBuf, sync::Arc, time::Duration};

use alloy::primitives::Address;
use axum_server::Handle;
use eyre::WrapErr;
use runproof_protocol::head::Registry;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

pub(crate) use self::routes::documents;
use crate::request::Requests;

/// What documents are rendered from.
#[derive(Debug)]
pub struct Documents {
    /// The executor's database, migrated.
    pub database: PgPool,
    /// Whose documents they are.
    pub issuer: Address,
    /// Chain and contract of the issuer's registrations.
    pub registry: Registry,
    /// Base of the URLs in documents, without trailing slash.
    pub public_url: String,
    /// Whether they are stored for a static host too, which has those of a run's first states alone.
    pub stored: bool,
}

/// What a site serves, and how.
#[derive(Debug)]
pub struct SiteSettings {
    /// What it serves.
    pub documents: Documents,
    /// PEM file of the certificate, chain allowed. It is read again when it changes.
    pub certificate: PathBuf,
    /// PEM file of its private key.
    pub key: PathBuf,
    /// Takes `POST /requests`; `None` serves documents only.
    pub requests: Option<Arc<Requests>>,
    /// Connections beyond this number are closed at once.
    pub max_connections: usize,
}

/// Most connections at a time, if the settings do not say otherwise.
pub const DEFAULT_MAX_CONNECTIONS: usize = 1_024;

/// What is under way at a stop may take this long.
const GRACE: Duration = Duration::from_secs(10);

/// Serves until cancelled, then finishes what is under way.
///
/// # Errors
/// If certificate and key cannot be read or do not fit together, or the listener fails.
pub async fn serve(settings: SiteSettings, listener: TcpListener, token: CancellationToken) -> eyre::Result<()> {
    listener.set_nonblocking(true).wrap_err("the site's listener")?;
    let address = listener.local_addr()?;
    let pem = connection::PemFiles { certificate: settings.certificate.clone(), key: settings.key.clone() };
    let tls = pem.load().await?;
    let handle = Handle::new();
    let server = connection::server(listener, tls.clone(), settings.max_connections)?.handle(handle.clone());
    let stop = async {
        token.run_until_cancelled(pem.reload_when_changed(&tls)).await;
        handle.graceful_shutdown(Some(GRACE));
        std::future::pending().await
    };
    let Documents { public_url, issuer, .. } = &settings.documents;
    tracing::info!(%address, url = public_url, %issuer, "site is served");
    let serving = server.serve(routes::router(settings).into_make_service());
    tokio::select! {
        served = serving => served.wrap_err("the site could not be served"),
        () = stop => Ok(()),
    }
}
