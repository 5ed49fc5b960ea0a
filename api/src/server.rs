//! The listener: TLS, HTTP/1.1 and HTTP/2, limits on connections, graceful stop.

use std::{io, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::State,
    http::{HeaderValue, Method, StatusCode, header},
    response::IntoResponse,
    routing::{get, post},
};
use axum_server::{
    Handle,
    accept::{Accept, NoDelayAcceptor},
    tls_rustls::{RustlsAcceptor, RustlsConfig},
};
use eyre::WrapErr;
use futures::{FutureExt, future::BoxFuture};
use hyper_util::rt::TokioTimer;
use sea_orm::SqlxPostgresConnector;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::sync::CancellationToken;
use tower_http::{add_extension::AddExtension, cors::CorsLayer};

use crate::{
    asset::{STRICT, asset},
    database, feed, graphiql, http, page, schema,
    service::Service,
    settings::{Limits, Settings},
    websocket,
};

/// Time that running requests get when the server stops.
const GRACE: Duration = Duration::from_secs(5);

/// Serves until `token` is cancelled. A hang-up signal makes it read its certificate anew.
///
/// # Errors
/// Settings that cannot be used. Postgres need not be there yet: until it is, answers say so.
pub async fn serve(settings: Settings, listener: TcpListener, token: CancellationToken) -> eyre::Result<()> {
    let tls = RustlsConfig::from_pem_file(&settings.certificate, &settings.private_key).await.wrap_err_with(|| {
        format!(
            "certificate {} with key {} cannot be used",
            settings.certificate.display(),
            settings.private_key.display()
        )
    })?;
    let acceptor = Bounded {
        tls: RustlsAcceptor::new(tls.clone()).handshake_timeout(settings.limits.handshake).acceptor(NoDelayAcceptor),
        free: Arc::new(Semaphore::new(settings.limits.connections)),
    };
    let handle = Handle::new();
    let mut server = axum_server::from_tcp(listener.into_std()?)?.handle(handle.clone()).acceptor(acceptor);
    bound(&mut server, &settings.limits);
    let server = server.first_request_timeout(settings.limits.handshake * 2);

    // Whatever runs beside the server ends with it, also if it fails.
    let token = token.child_token();
    let _ends_with_server = token.clone().drop_guard();
    tokio::spawn(stop(handle, token.clone()));
    tokio::spawn(renew(tls, settings.clone(), token.clone()));
    server.serve(router(settings, token)?.into_make_service()).await.wrap_err("serving failed")
}

fn bound<A: axum_server::Address, Acc>(server: &mut axum_server::Server<A, Acc>, limits: &Limits) {
    let http = server.http_builder();
    http.http1().timer(TokioTimer::new()).header_read_timeout(limits.handshake);
    http.http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(100)
        .max_header_list_size(16 * 1024)
        .keep_alive_interval(limits.keep_alive)
        .keep_alive_timeout(limits.keep_alive);
}

fn router(settings: Settings, token: CancellationToken) -> eyre::Result<Router> {
    let mut main = graphql(&settings)?
        .route("/schema.graphql", get(async || asset("text/plain; charset=utf-8", STRICT, schema::definition())))
        .route("/healthz", get(async || "alive\n"))
        .route("/readyz", get(ready))
        .merge(page::routes());
    if let Some(packages) = &settings.graphiql {
        main = main.merge(graphiql::routes(packages));
    }
    let mut router = main.with_state(service(settings.clone(), &token)?);
    for (name, postgres_url) in &settings.sources {
        let further = Settings { postgres_url: postgres_url.clone(), ..settings.clone() };
        let routes = graphql(&further)?.with_state(service(further, &token)?);
        router = router.nest(&format!("/sources/{name}"), routes);
    }
    Ok(router)
}

/// Queries and subscriptions of one journal.
fn graphql(settings: &Settings) -> eyre::Result<Router<Arc<Service>>> {
    let queries = Router::new().route("/graphql", post(http::graphql)).layer(cors(settings)?);
    Ok(queries.route("/graphql/ws", get(websocket::upgrade)))
}

fn service(settings: Settings, token: &CancellationToken) -> eyre::Result<Arc<Service>> {
    let pool = database::open(&settings)?;
    let database = SqlxPostgresConnector::from_sqlx_postgres_pool(pool.clone());
    let feed = feed::start(pool, database.clone(), token.clone());
    let schema = schema::build(&settings, database.clone(), feed.clone());
    Ok(Arc::new(Service { settings, schema, database, feed, stopping: token.clone() }))
}

fn cors(settings: &Settings) -> eyre::Result<CorsLayer> {
    let origins: Vec<HeaderValue> = settings
        .allowed_origins
        .iter()
        .map(|origin| {
            origin
                .parse()
                .wrap_err_with(|| format!("`{origin}` is not an origin: give for example https://app.example"))
        })
        .collect::<eyre::Result<_>>()?;
    let headers = [header::CONTENT_TYPE, header::HeaderName::from_static(http::WAIT)];
    Ok(CorsLayer::new().allow_origin(origins).allow_methods([Method::POST]).allow_headers(headers))
}

/// Ready once the database answers and the indexer has begun.
async fn ready(State(service): State<Arc<Service>>) -> impl IntoResponse {
    match service.watermark().await {
        Ok(Some(watermark)) => (StatusCode::OK, format!("ready at position {}\n", watermark.position.0)),
        Ok(None) => (StatusCode::SERVICE_UNAVAILABLE, "the indexer has not begun yet\n".to_owned()),
        Err(error) => {
            tracing::warn!(%error, "not ready");
            (StatusCode::SERVICE_UNAVAILABLE, "the database does not answer\n".to_owned())
        }
    }
}

async fn stop<A: axum_server::Address>(handle: Handle<A>, token: CancellationToken) {
    token.cancelled().await;
    handle.graceful_shutdown(Some(GRACE));
}

async fn renew(tls: RustlsConfig, settings: Settings, token: CancellationToken) {
    let hangup = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup());
    let Ok(mut hangup) = hangup else {
        return tracing::warn!("hang-up signals cannot be heard: a new certificate needs a restart");
    };
    while let Some(Some(())) = token.run_until_cancelled(hangup.recv()).await {
        match tls.reload_from_pem_file(&settings.certificate, &settings.private_key).await {
            Ok(()) => tracing::info!("certificate read anew"),
            Err(error) => tracing::error!(%error, "certificate cannot be read anew: the old one stays"),
        }
    }
}

/// A place among the connections that are served; it is free again when the last holder is gone. A websocket holds it beyond its HTTP connection.
pub(crate) type ConnectionPermit = Arc<OwnedSemaphorePermit>;

/// Takes no more connections than there are places. A subscription's last frame does not wait for the acknowledgement of the one before it.
#[derive(Clone)]
struct Bounded {
    tls: RustlsAcceptor<NoDelayAcceptor>,
    free: Arc<Semaphore>,
}

impl<S: Send + 'static> Accept<TcpStream, S> for Bounded {
    type Stream = <RustlsAcceptor<NoDelayAcceptor> as Accept<TcpStream, AddExtension<S, ConnectionPermit>>>::Stream;
    type Service = <RustlsAcceptor<NoDelayAcceptor> as Accept<TcpStream, AddExtension<S, ConnectionPermit>>>::Service;
    type Future = BoxFuture<'static, io::Result<(Self::Stream, Self::Service)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let Ok(permit) = Arc::clone(&self.free).try_acquire_owned() else {
            metrics::counter!("runproof_api_connections_refused_total").increment(1);
            return Box::pin(async { Err(io::Error::other("as many connections as there may be")) });
        };
        self.tls.accept(stream, AddExtension::new(service, Arc::new(permit))).boxed()
    }
}
