//! JSON-RPC 2.0 over HTTP, from the answer's bytes to values in one pass.
//!
//! A back-fill reads gigabytes of receipts: a client that first cuts the result out of the text and then reads it costs twice as much.

#[cfg(fuzzing)]
pub mod fuzzed;

use std::{error::Error, time::Duration};

use alloy::primitives::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use url::Url;

use crate::error::IndexError;

/// Calls that one HTTP request carries: below the limits of the usual providers.
const CALLS_A_BATCH: usize = 100;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Of an answer that is no JSON-RPC, what is told of it.
const EXCERPT: usize = 200;

/// One endpoint.
#[derive(Clone)]
pub(crate) struct Rpc {
    http: reqwest::Client,
    url: Url,
}

#[derive(Serialize)]
struct Request<'a, P> {
    jsonrpc: &'static str,
    id: usize,
    method: &'static str,
    params: &'a P,
}

#[derive(Deserialize)]
struct Answer<R> {
    id: Option<usize>,
    /// A node that has nothing answers null, which is here as if it were absent.
    result: Option<R>,
    error: Option<Refusal>,
}

#[derive(Deserialize)]
struct Refusal {
    code: i64,
    message: String,
}

impl Rpc {
    /// Nothing is asked yet.
    pub(crate) fn new(url: Url) -> eyre::Result<Self> {
        let http = reqwest::Client::builder().connect_timeout(CONNECT_TIMEOUT).timeout(REQUEST_TIMEOUT).build()?;
        Ok(Self { http, url })
    }

    /// One call; `None` where the node answers null.
    pub(crate) async fn call<P: Serialize, R: DeserializeOwned>(
        &self,
        method: &'static str,
        params: P,
    ) -> Result<Option<R>, IndexError> {
        let body = self.post(method, &request(method, 0, &params)).await?;
        let answer: Answer<R> = serde_json::from_slice(&body).map_err(|error| unreadable(method, &body, &error))?;
        answer.value(method)
    }

    /// Many calls of one method, some a request; answers in the order of the calls.
    pub(crate) async fn calls<P: Serialize, R: DeserializeOwned>(
        &self,
        method: &'static str,
        params: &[P],
    ) -> Result<Vec<Option<R>>, IndexError> {
        let mut answers = Vec::with_capacity(params.len());
        for params in params.chunks(CALLS_A_BATCH) {
            answers.extend(self.batch(method, params).await?);
        }
        Ok(answers)
    }

    async fn batch<P: Serialize, R: DeserializeOwned>(
        &self,
        method: &'static str,
        params: &[P],
    ) -> Result<Vec<Option<R>>, IndexError> {
        let requests: Vec<_> = params.iter().enumerate().map(|(id, params)| request(method, id, params)).collect();
        let body = self.post(method, &requests).await?;
        let mut answers: Vec<Answer<R>> = match serde_json::from_slice(&body) {
            Ok(answers) => answers,
            Err(error) => {
                let whole = serde_json::from_slice::<Answer<serde::de::IgnoredAny>>(&body);
                whole.map_err(|_| unreadable(method, &body, &error))?.value(method)?;
                return Err(unreadable(method, &body, &error));
            }
        };
        // A node answers a batch in any order.
        answers.sort_by_key(|answer| answer.id);
        if !answers.iter().map(|answer| answer.id).eq((0..params.len()).map(Some)) {
            let refusal = answers.into_iter().find_map(|answer| answer.error);
            let reason =
                refusal.map_or_else(|| "not all calls of a batch were answered".into(), |refusal| refusal.told());
            return Err(IndexError::Refused { method, reason });
        }
        answers.into_iter().map(|answer| answer.value(method)).collect()
    }

    async fn post<B: Serialize>(&self, method: &'static str, body: &B) -> Result<Bytes, IndexError> {
        let failed = |error: reqwest::Error| {
            // An answer that is too large to come in time is asked for in parts.
            let (timeout, reason) = (error.is_timeout() && !error.is_connect(), told(&error.without_url()));
            if timeout { IndexError::Refused { method, reason } } else { IndexError::Rpc { method, reason } }
        };
        let response = self.http.post(self.url.clone()).json(body).send().await.map_err(failed)?;
        let status = response.status();
        let body = response.bytes().await.map_err(failed)?;
        // Some say why in JSON-RPC, whatever the status.
        if status.is_success() || body.first().is_some_and(|byte| matches!(byte, b'{' | b'[')) {
            return Ok(body.into());
        }
        Err(IndexError::Rpc { method, reason: format!("HTTP {status}: {}", excerpt(&body)) })
    }
}

fn request<'a, P>(method: &'static str, id: usize, params: &'a P) -> Request<'a, P> {
    Request { jsonrpc: "2.0", id, method, params }
}

impl<R> Answer<R> {
    fn value(self, method: &'static str) -> Result<Option<R>, IndexError> {
        match self.error {
            Some(refusal) => Err(IndexError::Refused { method, reason: refusal.told() }),
            None => Ok(self.result),
        }
    }
}

impl Refusal {
    fn told(&self) -> String {
        format!("{} (code {})", self.message, self.code)
    }
}

fn unreadable(method: &'static str, body: &[u8], error: &serde_json::Error) -> IndexError {
    IndexError::Rpc { method, reason: format!("the answer cannot be read, {error}: {}", excerpt(body)) }
}

fn excerpt(body: &[u8]) -> String {
    String::from_utf8_lossy(&body[..body.len().min(EXCERPT)]).into_owned()
}

/// An error with its causes.
fn told(error: &reqwest::Error) -> String {
    let mut told = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        told = format!("{told}: {error}");
        cause = error.source();
    }
    told
}
