//! How a document is answered: with a strong ETag (RFC 9110), and for ever where its address is its content's hash.

use axum::{
    Json,
    body::Body,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

/// For how long a document at an address may be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lifetime {
    /// The address is the content's hash.
    Immutable,
    /// It may change: ask each time, by its ETag.
    Changing,
}

/// A JSON document with the hash of its content, or a 304 if the client has it.
pub(super) fn document(
    asked: &HeaderMap,
    hash: &str,
    lifetime: Lifetime,
    length: u64,
    body: impl FnOnce() -> Body,
) -> Response {
    let etag = format!("\"{hash}\"");
    let cache = match lifetime {
        Lifetime::Immutable => "public, max-age=31536000, immutable",
        Lifetime::Changing => "no-cache",
    };
    let mut response = if has(asked, &etag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let mut response = body().into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
        response
    };
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    if let Ok(etag) = etag.try_into() {
        response.headers_mut().insert(header::ETAG, etag);
    }
    response
}

/// Whether `If-None-Match` names this ETag (RFC 9110, section 13.1.2: weak comparison).
fn has(asked: &HeaderMap, etag: &str) -> bool {
    asked
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|candidate| candidate.trim())
        .any(|candidate| candidate == "*" || candidate.trim_start_matches("W/") == etag)
}

/// What a client is told that gets no document.
#[derive(Debug)]
pub(super) enum Failure {
    /// No such document.
    NotFound,
    /// The request makes no sense.
    BadRequest(String),
    /// The site cannot answer now.
    Unavailable(eyre::Report),
}

impl<E: Into<eyre::Report>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Unavailable(error.into())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let (status, error) = match self {
            Self::NotFound => (StatusCode::NOT_FOUND, "no such document".to_owned()),
            Self::BadRequest(reason) => (StatusCode::BAD_REQUEST, reason),
            Self::Unavailable(report) => {
                tracing::error!(error = format!("{report:#}"), "site could not answer");
                (StatusCode::SERVICE_UNAVAILABLE, "not available now: try again".to_owned())
            }
        };
        (status, [(header::CACHE_CONTROL, "no-store")], Json(json!({ "error": error }))).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(if_none_match: &'static str) -> StatusCode {
        let asked = HeaderMap::from_iter([(header::IF_NONE_MATCH, HeaderValue::from_static(if_none_match))]);
        document(&asked, "ab", Lifetime::Changing, 2, || Body::from("{}")).status()
    }

    #[test]
    fn a_client_that_has_the_document_is_told_so() {
        for known in ["\"ab\"", "W/\"ab\"", "*", "\"x\", \"ab\""] {
            assert_eq!(status(known), StatusCode::NOT_MODIFIED, "{known}");
        }
        for other in ["ab", "\"abc\"", "\"x\"", ""] {
            assert_eq!(status(other), StatusCode::OK, "{other}");
        }
    }
}
