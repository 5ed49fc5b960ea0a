//! How a document is answered: with a strong ETag, in part where a part is asked for (RFC 9110), and for ever where its address is its content's hash.

use std::ops::{Range, RangeInclusive};

use axum::{
    Json,
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http_range_header::parse_range_header;
use serde_json::json;

/// For how long a document at an address may be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lifetime {
    /// The address is the content's hash.
    Immutable,
    /// It may change: ask each time, by its ETag.
    Changing,
}

/// A JSON document with the hash of its content, or the part that is asked for, or a 304 if the client has it. `body` gives the bytes of a range.
pub(super) fn document(
    asked: &HeaderMap,
    hash: &str,
    lifetime: Lifetime,
    length: u64,
    body: impl FnOnce(Range<u64>) -> Body,
) -> Response {
    let etag = format!("\"{hash}\"");
    let cache = match lifetime {
        Lifetime::Immutable => "public, max-age=31536000, immutable",
        Lifetime::Changing => "no-cache",
    };
    let mut response = if has(asked, &etag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        match part(asked, &etag, length) {
            Part::Whole => (bytes(0..length), body(0..length)).into_response(),
            Part::Of(range) => {
                let place = format!("bytes {}-{}/{length}", range.start, range.end - 1);
                let place = [(header::CONTENT_RANGE, place)];
                (StatusCode::PARTIAL_CONTENT, place, bytes(range.clone()), body(range)).into_response()
            }
            Part::None => {
                let length = [(header::CONTENT_RANGE, format!("bytes */{length}"))];
                return (StatusCode::RANGE_NOT_SATISFIABLE, length).into_response();
            }
        }
    };
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    if let Ok(etag) = etag.try_into() {
        response.headers_mut().insert(header::ETAG, etag);
    }
    response
}

fn bytes(range: Range<u64>) -> [(HeaderName, HeaderValue); 3] {
    [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (header::CONTENT_LENGTH, (range.end - range.start).into()),
        (header::ACCEPT_RANGES, HeaderValue::from_static("bytes")),
    ]
}

/// What of a piece of a document, which begins at byte `offset` of it, lies within a range.
pub(super) fn within(range: &Range<u64>, offset: u64, piece: &Bytes) -> Bytes {
    let place = |byte: u64| byte.saturating_sub(offset).min(piece.len() as u64) as usize;
    piece.slice(place(range.start)..place(range.end))
}

/// How much of a document is asked for.
#[derive(Debug, PartialEq, Eq)]
enum Part {
    Whole,
    Of(Range<u64>),
    /// What it does not have, or nothing that makes sense.
    None,
}

/// By `Range` and `If-Range` (RFC 9110, sections 13.1.5 and 14.2). Of several parts none is sent, but the whole, as a server may.
fn part(asked: &HeaderMap, etag: &str, length: u64) -> Part {
    let Some(range) = asked.get(header::RANGE) else { return Part::Whole };
    if asked.get(header::IF_RANGE).is_some_and(|condition| condition != etag) {
        return Part::Whole;
    }
    let ranges = range.to_str().ok().and_then(|range| parse_range_header(range).ok()?.validate(length).ok());
    match ranges.as_deref() {
        Some([one]) => Part::Of(*one.start()..one.end() + 1),
        Some([first, rest @ ..]) if !overlap(first, rest) => Part::Whole,
        _ => Part::None,
    }
}

/// Who asks for the same bytes twice wants nothing good (RFC 9110, section 14.2).
fn overlap(first: &RangeInclusive<u64>, rest: &[RangeInclusive<u64>]) -> bool {
    let again = rest.iter().any(|other| first.start() <= other.end() && other.start() <= first.end());
    again || matches!(rest, [second, rest @ ..] if overlap(second, rest))
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
        document(&asked, "ab", Lifetime::Changing, 2, |_| Body::from("{}")).status()
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

    #[test]
    fn a_part_is_given_if_it_is_there_and_the_document_is_still_the_same() {
        let asked = |range: &'static str, condition: Option<&'static str>| {
            let headers = [(header::RANGE, Some(range)), (header::IF_RANGE, condition)];
            let headers =
                headers.into_iter().filter_map(|(name, value)| Some((name, HeaderValue::from_static(value?))));
            part(&headers.collect(), "\"ab\"", 10)
        };
        assert_eq!(asked("bytes=2-4", None), Part::Of(2..5));
        assert_eq!(asked("bytes=2-4", Some("\"ab\"")), Part::Of(2..5));
        assert_eq!(asked("bytes=2-4", Some("\"other\"")), Part::Whole);
        assert_eq!(asked("bytes=-3", None), Part::Of(7..10));
        assert_eq!(asked("bytes=8-99", None), Part::Of(8..10));
        assert_eq!(asked("bytes=0-1, 4-5", None), Part::Whole);
        for senseless in ["bytes=10-", "bytes=4-2", "bytes=0-5, 2-7", "bytes=0-1, 4-7, 7-8", "lines=1-2", "bytes=x"] {
            assert_eq!(asked(senseless, None), Part::None, "{senseless}");
        }
    }
}
