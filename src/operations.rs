//! For those who operate it: `/healthz` (the process lives), `/readyz` (what it rests on answers), `/status` (endpoints, journal and lag of each
//! stage, as JSON) and `/metrics` (Prometheus).

use std::sync::Arc;

use alloy::providers::{Provider, ProviderBuilder};
use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use eyre::{Context, Result};
use futures::future::{select_ok, try_join_all};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use sea_orm::DatabaseConnection;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::{config::Config, observed::Observed, roles, status::Status};

#[derive(Clone)]
struct Operated {
    metrics: PrometheusHandle,
    sources: Arc<[Watched]>,
}

/// A source.
struct Watched {
    rpc_urls: Vec<Url>,
    database: DatabaseConnection,
    observed: Arc<Observed>,
}

/// Serves the paths until the token is cancelled, if `operations.listen` is set. Databases and what is observed are those of the `sources`.
pub async fn serve(
    config: &Config,
    sources: &[Config],
    databases: Vec<DatabaseConnection>,
    observed: &[Arc<Observed>],
    token: CancellationToken,
) -> Result<()> {
    let Some(operations) = &config.operations else { return Ok(()) };
    let metrics = PrometheusBuilder::new().install_recorder().wrap_err("metrics are recorded already")?;
    let watched = sources.iter().zip(databases).zip(observed).map(|((source, database), observed)| {
        let further = source.chain.endpoint.iter().map(|endpoint| endpoint.url.clone());
        let rpc_urls = std::iter::once(source.chain.rpc_url.clone()).chain(further).collect();
        Watched { rpc_urls, database, observed: observed.clone() }
    });
    let router = Router::new()
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .route("/status", get(status))
        .route("/metrics", get(measured))
        .with_state(Operated { metrics, sources: watched.collect() });
    let listener = roles::listen(&operations.listen, "operations.listen")?;
    listener.set_nonblocking(true)?;
    axum::serve(TcpListener::from_std(listener)?, router)
        .with_graceful_shutdown(token.cancelled_owned())
        .await
        .wrap_err("health, status and metrics cannot be served")
}

async fn ready(State(operated): State<Operated>) -> (StatusCode, String) {
    let (mut database, mut chain) = (true, true);
    for source in operated.sources.iter() {
        let endpoints = source.rpc_urls.iter().map(|url| {
            let provider = ProviderBuilder::new().connect_http(url.clone());
            Box::pin(async move { provider.get_block_number().await })
        });
        let (pinged, block) = tokio::join!(source.database.ping(), select_ok(endpoints));
        (database, chain) = (database && pinged.is_ok(), chain && block.is_ok());
    }
    let status = if database && chain { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let word = |up: bool| if up { "answers" } else { "does not answer" };
    (status, format!("postgres {}\nchain {}\n", word(database), word(chain)))
}

async fn status(State(operated): State<Operated>) -> Response {
    match operated.status().await {
        Ok(sources) => Json(json!({ "sources": sources })).into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error:#}\n")).into_response(),
    }
}

/// Without the database, what does not need it is told all the same.
async fn measured(State(operated): State<Operated>) -> String {
    match operated.status().await {
        Ok(sources) => sources.iter().for_each(Status::gauge),
        Err(error) => tracing::warn!(error = format!("{error:#}"), "the lag of the stages is not known"),
    }
    operated.metrics.render()
}

impl Operated {
    async fn status(&self) -> Result<Vec<Status>> {
        let each = self
            .sources
            .iter()
            .map(|source| Status::read(source.database.get_postgres_connection_pool(), &source.observed));
        try_join_all(each).await
    }
}
