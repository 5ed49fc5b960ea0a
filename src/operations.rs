//! For those who operate it: `/healthz` (the process lives), `/readyz` (what it rests on answers) and `/metrics` (Prometheus).

use alloy::providers::{Provider, ProviderBuilder};
use axum::{Router, extract::State, http::StatusCode, routing::get};
use eyre::{Context, Result};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use sea_orm::DatabaseConnection;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::{config::Config, roles};

#[derive(Clone)]
struct Operated {
    metrics: PrometheusHandle,
    database: DatabaseConnection,
    rpc_url: Url,
}

/// Serves the three paths until the token is cancelled, if `operations.listen` is set.
pub async fn serve(config: &Config, database: DatabaseConnection, token: CancellationToken) -> Result<()> {
    let Some(operations) = &config.operations else { return Ok(()) };
    let metrics = PrometheusBuilder::new().install_recorder().wrap_err("metrics are recorded already")?;
    let router = Router::new()
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(|State(operated): State<Operated>| async move { operated.metrics.render() }))
        .with_state(Operated { metrics, database, rpc_url: config.chain.rpc_url.clone() });
    let listener = roles::listen(&operations.listen, "operations.listen")?;
    listener.set_nonblocking(true)?;
    axum::serve(TcpListener::from_std(listener)?, router)
        .with_graceful_shutdown(token.cancelled_owned())
        .await
        .wrap_err("health and metrics cannot be served")
}

async fn ready(State(operated): State<Operated>) -> (StatusCode, String) {
    let chain = ProviderBuilder::new().connect_http(operated.rpc_url);
    let (database, block) = tokio::join!(operated.database.ping(), chain.get_block_number());
    let status = if database.is_ok() && block.is_ok() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let word = |up: bool| if up { "answers" } else { "does not answer" };
    (status, format!("postgres {}\nchain {}\n", word(database.is_ok()), word(block.is_ok())))
}
