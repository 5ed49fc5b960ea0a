//! TLS connections: how many, how long they may take to say what they want, and with which certificate.

use std::{
    future::{Ready, ready},
    io,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use axum::{Extension, middleware::AddExtension};
use axum_server::{
    Server,
    accept::Accept,
    tls_rustls::{RustlsAcceptor, RustlsConfig},
};
use eyre::WrapErr;
use hyper_util::rt::TokioTimer;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower_layer::Layer;

/// A TLS handshake, and after it the first request's headers, may take this long.
const PATIENCE: Duration = Duration::from_secs(10);
/// A silent HTTP/2 connection is asked for a sign of life this often.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// Requests at a time on one HTTP/2 connection.
const MAX_STREAMS: u32 = 64;
/// A renewed certificate is in use after this long at most: files tell nobody that they changed.
const RELOAD_INTERVAL: Duration = Duration::from_secs(5);

/// A server for HTTP/1.1 and HTTP/2 over TLS.
pub(super) fn server(
    listener: TcpListener,
    tls: RustlsConfig,
    max_connections: usize,
) -> io::Result<Server<SocketAddr, RustlsAcceptor<Limit>>> {
    let limit = Limit(Arc::new(Semaphore::new(max_connections)));
    let acceptor = RustlsAcceptor::new(tls).handshake_timeout(PATIENCE).acceptor(limit);
    let mut server = axum_server::from_tcp(listener)?.acceptor(acceptor).first_request_timeout(PATIENCE);
    let http = server.http_builder();
    http.http1().timer(TokioTimer::new()).header_read_timeout(PATIENCE);
    http.http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(PATIENCE);
    Ok(server)
}

/// Lets a number of connections in at a time; the service of each holds its permit until it is dropped.
#[derive(Debug, Clone)]
pub(super) struct Limit(Arc<Semaphore>);

impl<I, S> Accept<I, S> for Limit {
    type Stream = I;
    type Service = AddExtension<S, Arc<OwnedSemaphorePermit>>;
    type Future = Ready<io::Result<(Self::Stream, Self::Service)>>;

    fn accept(&self, stream: I, service: S) -> Self::Future {
        ready(match self.0.clone().try_acquire_owned() {
            Ok(permit) => Ok((stream, Extension(Arc::new(permit)).layer(service))),
            Err(_) => {
                metrics::counter!("runproof_site_connections_refused_total").increment(1);
                Err(io::Error::other("too many connections"))
            }
        })
    }
}

/// The PEM files of the site's certificate.
pub(super) struct PemFiles {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

impl PemFiles {
    pub(super) async fn load(&self) -> eyre::Result<RustlsConfig> {
        RustlsConfig::from_pem_file(&self.certificate, &self.key).await.wrap_err_with(|| {
            format!(
                "certificate {} and key {}: run `runproof identity new`",
                self.certificate.display(),
                self.key.display()
            )
        })
    }

    /// Takes a renewed certificate into use; a pair that does not fit together leaves the old one in use.
    pub(super) async fn reload_when_changed(&self, tls: &RustlsConfig) {
        let mut in_use = tokio::fs::read(&self.certificate).await.ok();
        let mut interval = tokio::time::interval(RELOAD_INTERVAL);
        loop {
            interval.tick().await;
            let found = tokio::fs::read(&self.certificate).await.ok();
            if found.is_none() || found == in_use {
                continue;
            }
            match tls.reload_from_pem_file(&self.certificate, &self.key).await {
                Ok(()) => {
                    tracing::info!(certificate = %self.certificate.display(), "renewed certificate in use");
                    in_use = found;
                }
                Err(error) => tracing::warn!(%error, "renewed certificate cannot be used, the old one stays in use"),
            }
        }
    }
}
