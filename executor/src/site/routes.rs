//! Addresses of the site.

use std::{str::FromStr, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::Body,
    extract::{DefaultBodyLimit, Path, State, rejection::JsonRejection},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use bytes::Bytes;
use runproof_protocol::{InstanceId, id::sha256};
use serde_json::json;
use tower_http::{set_header::SetResponseHeaderLayer, timeout::TimeoutLayer};

use super::{
    Documents, SiteSettings,
    answer::{Failure, Lifetime, document, within},
    documents::{self},
    growing::Prefix,
    leaves::Leaves,
};
use crate::{
    disclosure, protocol_document,
    request::{
        Requests,
        inbox::Decision,
        published::{self, PublishedRequests},
        rules::MAX_PAYLOAD,
        signed::SignedRequest,
    },
};

type Site = Arc<Documents>;

/// A request may take this long from its headers to the answer's headers.
const DEADLINE: Duration = Duration::from_secs(45);

/// A payload in JSON: each of its bytes may be escaped as `\uXXXX`.
const MAX_BODY: usize = 6 * MAX_PAYLOAD + 4096;

/// The site: documents, and where requests are sent to.
pub(super) fn router(settings: SiteSettings) -> Router {
    let fixed = |name: HeaderName, value: &'static str| {
        SetResponseHeaderLayer::overriding(name, HeaderValue::from_static(value))
    };
    let requests = Router::new().route("/requests", post(request)).with_state(settings.requests);
    documents(settings.documents)
        .merge(requests)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, DEADLINE))
        .layer(fixed(header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .layer(fixed(header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"))
        .layer(fixed(header::REFERRER_POLICY, "no-referrer"))
        .layer(fixed(header::STRICT_TRANSPORT_SECURITY, "max-age=31536000"))
}

/// Every document, at its address.
pub(crate) fn documents(documents: Documents) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/.well-known/runproof.json", get(identity))
        .route("/{file}", get(content_addressed))
        .route("/{instance}/instance.json", get(instance))
        .route("/{instance}/trace.json", get(trace))
        .route("/{instance}/events.json", get(events))
        .route("/{instance}/requests.json", get(requests))
        .route("/{instance}/roots/{file}", get(leaves))
        .route("/{instance}/proof/{file}", get(proof))
        .route("/{instance}/disclosures/{file}", get(disclosed))
        .fallback(async || Failure::NotFound)
        .with_state(Arc::new(documents))
}

/// One address a document: an id is read as it is written, 64 hex digits in lower case.
fn id<T: FromStr + ToString>(text: &str) -> Result<T, Failure> {
    text.parse().ok().filter(|id: &T| id.to_string() == text).ok_or(Failure::NotFound)
}

/// `/<model id>.json`, `/<instance id>.json` (the instance protocol), `/<state id>.json`. Ids are hashes: none is of two kinds.
async fn content_addressed(
    State(site): State<Site>,
    Path(file): Path<String>,
    asked: HeaderMap,
) -> Result<Response, Failure> {
    let name = file.strip_suffix(".json").ok_or(Failure::NotFound)?;
    let instance: InstanceId = id(name)?;
    let database = &site.database;
    if let Some(prefix) = Prefix::of_state(database, instance.as_slice()).await? {
        return Ok(growing_document(&site, prefix, Lifetime::Immutable, &asked));
    }
    if let Some(bytes) = documents::model(database, instance.as_slice()).await? {
        return Ok(bytes_document(&asked, name, Lifetime::Immutable, bytes));
    }
    let protocol = protocol_document::instance_protocol(&site, instance).await?;
    let bytes = serde_json::to_vec(&protocol.ok_or(Failure::NotFound)?)?;
    Ok(bytes_document(&asked, &hex::encode(sha256(&bytes)), Lifetime::Changing, bytes))
}

async fn instance(State(site): State<Site>, Path(name): Path<String>, asked: HeaderMap) -> Result<Response, Failure> {
    let instance: InstanceId = id(&name)?;
    let bytes = documents::instance(&site.database, instance.as_slice()).await?.ok_or(Failure::NotFound)?;
    Ok(bytes_document(&asked, &name, Lifetime::Immutable, bytes))
}

async fn trace(State(site): State<Site>, Path(name): Path<String>, asked: HeaderMap) -> Result<Response, Failure> {
    let prefix = Prefix::trace(&site.database, id(&name)?).await?.ok_or(Failure::NotFound)?;
    Ok(growing_document(&site, prefix, Lifetime::Changing, &asked))
}

/// `/<instance>/events.json`: the trace's companion document.
async fn events(State(site): State<Site>, Path(name): Path<String>, asked: HeaderMap) -> Result<Response, Failure> {
    let prefix = Prefix::events(&site.database, id(&name)?).await?.ok_or(Failure::NotFound)?;
    Ok(growing_document(&site, prefix, Lifetime::Changing, &asked))
}

/// `/<instance>/requests.json`: what became of the requests for its transitions.
async fn requests(State(site): State<Site>, Path(name): Path<String>, asked: HeaderMap) -> Result<Response, Failure> {
    let instance: InstanceId = id(&name)?;
    let requests = published::of_instance(&site.database, instance).await?;
    let Documents { registry, issuer, .. } = *site;
    let bytes = serde_json::to_vec(&PublishedRequests { registry, issuer, instance, requests })?;
    Ok(bytes_document(&asked, &hex::encode(sha256(&bytes)), Lifetime::Changing, bytes))
}

/// `/<instance>/roots/<first>.json`: what the transaction registered whose first state has this sequence number.
async fn leaves(
    State(site): State<Site>,
    Path((name, file)): Path<(String, String)>,
    asked: HeaderMap,
) -> Result<Response, Failure> {
    let first = sequence(&file)?;
    let leaves = Leaves::containing(&site.database, id(&name)?, first).await?;
    let leaves = leaves.filter(|leaves| leaves.first == first).ok_or(Failure::NotFound)?;
    let (hash, length, database) = (leaves.last.to_string(), leaves.len(), site.database.clone());
    Ok(document(&asked, &hash, Lifetime::Changing, length, |range| leaves.body(database, range)))
}

/// `/<instance>/proof/<sequence>.json`: the audit path of a state.
async fn proof(
    State(site): State<Site>,
    Path((name, file)): Path<(String, String)>,
    asked: HeaderMap,
) -> Result<Response, Failure> {
    let sequence = sequence(&file)?;
    let leaves = Leaves::containing(&site.database, id(&name)?, sequence).await?.ok_or(Failure::NotFound)?;
    let bytes = serde_json::to_vec(&leaves.proof(&site.database, sequence).await?)?;
    Ok(bytes_document(&asked, &hex::encode(sha256(&bytes)), Lifetime::Changing, bytes))
}

/// `/<instance>/disclosures/<sequence>.json`: salt and input of a private state, if they were disclosed.
async fn disclosed(
    State(site): State<Site>,
    Path((name, file)): Path<(String, String)>,
    asked: HeaderMap,
) -> Result<Response, Failure> {
    let sequence = sequence(&file)?.unsigned_abs();
    let told = disclosure::published(&site.database, id(&name)?, sequence).await?.ok_or(Failure::NotFound)?;
    let bytes = serde_json::to_vec(&told)?;
    Ok(bytes_document(&asked, &hex::encode(sha256(&bytes)), Lifetime::Changing, bytes))
}

/// `<sequence>.json`, the number written without leading zeros.
fn sequence(file: &str) -> Result<i64, Failure> {
    let text = file.strip_suffix(".json").ok_or(Failure::NotFound)?;
    text.parse().ok().filter(|number: &i64| *number >= 0 && number.to_string() == text).ok_or(Failure::NotFound)
}

fn bytes_document(asked: &HeaderMap, hash: &str, lifetime: Lifetime, bytes: Vec<u8>) -> Response {
    document(asked, hash, lifetime, bytes.len() as u64, |range| Body::from(within(&range, 0, &Bytes::from(bytes))))
}

fn growing_document(site: &Documents, prefix: Prefix, lifetime: Lifetime, asked: &HeaderMap) -> Response {
    let database = site.database.clone();
    document(asked, &prefix.tag, lifetime, prefix.len(), |range| prefix.clone().body(database, range))
}

async fn index(State(site): State<Site>, asked: HeaderMap) -> Result<Response, Failure> {
    let index = json!({
        "issuer": site.issuer,
        "registry": site.registry,
        "models": documents::models(&site.database, &site.public_url).await?,
        "instances": documents::instances(&site.database, &site.public_url).await?,
    });
    let bytes = serde_json::to_vec(&index)?;
    Ok(bytes_document(&asked, &hex::encode(sha256(&bytes)), Lifetime::Changing, bytes))
}

async fn identity(State(site): State<Site>, asked: HeaderMap) -> Result<Response, Failure> {
    let Documents { issuer, registry, public_url, .. } = &*site;
    let bytes = serde_json::to_vec(&json!({ "issuer": issuer, "registry": registry, "site": public_url }))?;
    Ok(bytes_document(&asked, &hex::encode(sha256(&bytes)), Lifetime::Changing, bytes))
}

/// `POST /requests`: 200 accepted, 202 undecided (ask again with the same body), 403 refused with its reason, 400 for what proves no sender.
async fn request(
    State(requests): State<Option<Arc<Requests>>>,
    body: Result<Json<SignedRequest>, JsonRejection>,
) -> Result<Response, Failure> {
    let requests = requests.ok_or(Failure::NotFound)?;
    let Json(signed) = match body {
        Ok(signed) => signed,
        Err(rejection) => {
            return Ok((rejection.status(), Json(json!({ "error": rejection.body_text() }))).into_response());
        }
    };
    let now_s = time::OffsetDateTime::now_utc().unix_timestamp();
    let answer = requests.receive_signed(&signed, now_s.unsigned_abs()).await?;
    let answer = answer.map_err(|invalid| Failure::BadRequest(invalid.to_string()))?;
    let status = match answer.decision {
        Decision::Accepted => StatusCode::OK,
        Decision::Undecided => StatusCode::ACCEPTED,
        Decision::Refused => StatusCode::FORBIDDEN,
    };
    Ok((status, [(header::CACHE_CONTROL, "no-store")], Json(answer)).into_response())
}
