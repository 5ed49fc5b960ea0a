//! `POST /graphql`: one query a request.

use std::sync::Arc;

use async_graphql::{Request, Response as Answer, ServerError};
use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};

use futures::StreamExt;

use crate::{origin, schema::failure::UNAVAILABLE, service::Service};

/// Header by which a request waits until the journal has come so far.
pub(crate) const WAIT: &str = "runproof-wait-for-position";

/// Answers a query.
pub(crate) async fn graphql(State(service): State<Arc<Service>>, uri: Uri, headers: HeaderMap, body: Body) -> Response {
    let response = match read(&service, &uri, &headers, body).await {
        Ok((request, position)) => answer(&service, request, position).await,
        Err(refused) => refused.into_response(),
    };
    metrics::counter!("runproof_api_requests_total", "status" => response.status().as_u16().to_string()).increment(1);
    response
}

/// A request that is not answered, as GraphQL answers look.
pub(crate) struct Refused(pub(crate) StatusCode, pub(crate) String);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        respond(self.0, &Answer::from_errors(vec![ServerError::new(self.1, None)]))
    }
}

async fn read(
    service: &Service,
    uri: &Uri,
    headers: &HeaderMap,
    body: Body,
) -> Result<(Request, Option<i64>), Refused> {
    if !origin::is_allowed(headers, uri, &service.settings.allowed_origins) {
        return Err(Refused(StatusCode::FORBIDDEN, "pages of this origin may not use this API".to_owned()));
    }
    if !is_json(headers) {
        return Err(Refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send content-type: application/json".to_owned()));
    }
    let limits = &service.settings.limits;
    let body = tokio::time::timeout(limits.deadline, collect(body, limits.message_bytes))
        .await
        .unwrap_or_else(|_| Err(Refused(StatusCode::REQUEST_TIMEOUT, "the request came too slowly".to_owned())))?;
    if body.trim_ascii_start().starts_with(b"[") {
        return Err(Refused(StatusCode::BAD_REQUEST, "batches are not served: send one query a request".to_owned()));
    }
    let request = serde_json::from_slice(&body)
        .map_err(|error| Refused(StatusCode::BAD_REQUEST, format!("not a GraphQL request: {error}")))?;
    Ok((request, position(headers)?))
}

/// A body that is too long is read to its end all the same, but not kept: most clients see no answer before they have sent all.
async fn collect(body: Body, limit: usize) -> Result<Vec<u8>, Refused> {
    let (mut chunks, mut kept, mut length) = (body.into_data_stream(), Vec::new(), 0_usize);
    while let Some(chunk) = chunks.next().await {
        let chunk =
            chunk.map_err(|error| Refused(StatusCode::BAD_REQUEST, format!("the request broke off: {error}")))?;
        length = length.saturating_add(chunk.len());
        if length <= limit {
            kept.extend_from_slice(&chunk);
        }
    }
    if length > limit {
        return Err(Refused(StatusCode::PAYLOAD_TOO_LARGE, format!("a request has at most {limit} bytes")));
    }
    Ok(kept)
}

/// A browser asks for leave (CORS preflight) before it sends this type to another origin, so that no page can make its reader ask unawares.
fn is_json(headers: &HeaderMap) -> bool {
    let essence = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next());
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}

fn position(headers: &HeaderMap) -> Result<Option<i64>, Refused> {
    let Some(value) = headers.get(WAIT) else { return Ok(None) };
    let position = value.to_str().ok().and_then(|digits| digits.parse().ok()).filter(|position| *position >= 0);
    position.map(Some).ok_or_else(|| {
        Refused(StatusCode::BAD_REQUEST, format!("{WAIT} is not a position: give a whole number from 0"))
    })
}

async fn answer(service: &Service, request: Request, position: Option<i64>) -> Response {
    if let Some(position) = position
        && let Err(error) = service.wait_for(position, service.settings.limits.deadline).await
    {
        return respond(StatusCode::SERVICE_UNAVAILABLE, &Answer::from_errors(vec![error]));
    }
    let answer = service.answer(request).await;
    respond(status(&answer), &answer)
}

/// All errors are the client's but those that say otherwise.
fn status(answer: &Answer) -> StatusCode {
    let code = |error: &ServerError| error.extensions.as_ref().and_then(|extensions| extensions.get("code")).cloned();
    if answer.is_ok() {
        StatusCode::OK
    } else if answer.errors.iter().any(|error| code(error) == Some(UNAVAILABLE.into())) {
        StatusCode::SERVICE_UNAVAILABLE
    } else {
        StatusCode::BAD_REQUEST
    }
}

fn respond(status: StatusCode, answer: &Answer) -> Response {
    (status, axum::Json(answer)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_json_is_read() {
        let with = |value: &str| HeaderMap::from_iter([(header::CONTENT_TYPE, value.parse().expect("header"))]);
        assert!(is_json(&with("application/json")) && is_json(&with("Application/JSON; charset=utf-8")));
        for other in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "application/jsonp",
            "",
        ] {
            assert!(!is_json(&with(other)), "{other}");
        }
        assert!(!is_json(&HeaderMap::new()));
    }
}
