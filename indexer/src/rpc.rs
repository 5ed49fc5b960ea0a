//! JSON-RPC 2.0 over HTTP, from the answer's bytes to values in one pass.
//!
//! A back-fill reads gigabytes of receipts: a client that first cuts the result out of the text and then reads it costs twice as much.

#[cfg(fuzzing)]
pub mod fuzzed;

use std::{
    error::Error,
    num::NonZeroU32,
    sync::Arc,
    time::{Duration, SystemTime},
};

use alloy::rpc::json_rpc::ErrorPayload;
use futures::StreamExt;
use reqwest::{Response, StatusCode, header::RETRY_AFTER};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::time::Instant;
use url::Url;

use crate::{
    error::IndexError,
    rate_limit::{self, RateLimit},
};

/// Calls that one HTTP request carries: below the limits of the usual providers.
const CALLS_A_BATCH: usize = 100;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Of an answer that is no JSON-RPC, what is told of it.
const EXCERPT: usize = 200;
/// Bytes of an answer at most: more is asked for in parts, so that nobody fills this process's memory.
const LONGEST_ANSWER: usize = 64 << 20;
/// A pause that is waited for in the middle of a question, since what was answered so far would be lost.
const SHORT_PAUSE: Duration = Duration::from_secs(5);

/// One endpoint. Clones share its connections and its limit.
#[derive(Clone)]
pub(crate) struct Rpc {
    http: reqwest::Client,
    url: Url,
    limit: Arc<RateLimit>,
    /// Whether any pause is waited for, however long, since nobody else can be asked.
    alone: bool,
    timeout: Duration,
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
    error: Option<ErrorPayload>,
}

impl Rpc {
    /// Nothing is asked yet.
    pub(crate) fn new(url: Url, calls_per_s: Option<NonZeroU32>, alone: bool) -> eyre::Result<Self> {
        let http = reqwest::Client::builder().connect_timeout(CONNECT_TIMEOUT).build()?;
        let limit = Arc::new(RateLimit::new(calls_per_s));
        Ok(Self { http, url, limit, alone, timeout: REQUEST_TIMEOUT })
    }

    /// The same endpoint, with another time in which a request must be answered.
    pub(crate) fn within(&self, timeout: Duration) -> Self {
        Self { timeout, ..self.clone() }
    }

    /// Until when nobody asks it, because it said that it was too much.
    pub(crate) fn paused_until(&self) -> Option<Instant> {
        self.limit.paused_until()
    }

    /// One call; `None` where the node answers null.
    pub(crate) async fn call<P: Serialize, R: DeserializeOwned>(
        &self,
        method: &'static str,
        params: P,
    ) -> Result<Option<R>, IndexError> {
        loop {
            let body = self.post(method, 1, &request(method, 0, &params)).await?;
            let answer: Answer<R> = serde_json::from_str(&body).map_err(|error| unreadable(method, &body, &error))?;
            match answer.value(method) {
                Err(error) => self.bear(error)?,
                value => {
                    self.limit.granted();
                    return value;
                }
            }
        }
    }

    /// Many calls of one method, some a request; answers in the order of the calls.
    pub(crate) async fn calls<P: Serialize, R: DeserializeOwned>(
        &self,
        method: &'static str,
        params: &[P],
    ) -> Result<Vec<Option<R>>, IndexError> {
        let mut answers = Vec::with_capacity(params.len());
        for params in params.chunks(self.limit.batch(CALLS_A_BATCH)) {
            loop {
                match self.batch(method, params).await {
                    Err(error) => self.bear(error)?,
                    batch => break answers.extend(batch?),
                }
            }
            self.limit.granted();
        }
        Ok(answers)
    }

    /// Begins the pause that an endpoint asked for. Any other error is given back, and a pause that is too long to be waited for.
    fn bear(&self, error: IndexError) -> Result<(), IndexError> {
        let IndexError::RateLimited { retry_after, .. } = error else { return Err(error) };
        let wait = self.limit.refused(retry_after);
        if self.alone || wait <= SHORT_PAUSE { Ok(()) } else { Err(error) }
    }

    async fn batch<P: Serialize, R: DeserializeOwned>(
        &self,
        method: &'static str,
        params: &[P],
    ) -> Result<Vec<Option<R>>, IndexError> {
        let requests: Vec<_> = params.iter().enumerate().map(|(id, params)| request(method, id, params)).collect();
        let body = self.post(method, params.len(), &requests).await?;
        let mut answers: Vec<Answer<R>> = match serde_json::from_str(&body) {
            Ok(answers) => answers,
            Err(error) => {
                let whole = serde_json::from_str::<Answer<serde::de::IgnoredAny>>(&body);
                whole.map_err(|_| unreadable(method, &body, &error))?.value(method)?;
                return Err(unreadable(method, &body, &error));
            }
        };
        // A node answers a batch in any order.
        answers.sort_by_key(|answer| answer.id);
        if !answers.iter().map(|answer| answer.id).eq((0..params.len()).map(Some)) {
            let refusal = answers.into_iter().find_map(|answer| answer.error);
            let incomplete = || IndexError::Refused { method, reason: "not all calls of a batch were answered".into() };
            return Err(refusal.map_or_else(incomplete, |refusal| refused(method, &refusal)));
        }
        answers.into_iter().map(|answer| answer.value(method)).collect()
    }

    async fn post<B: Serialize>(&self, method: &'static str, calls: usize, body: &B) -> Result<String, IndexError> {
        let failed = |error: reqwest::Error| {
            // An answer that is too large to come in time is asked for in parts.
            let large = error.is_timeout() && !error.is_connect() && self.timeout == REQUEST_TIMEOUT;
            let reason = told(&error.without_url());
            if large { IndexError::Refused { method, reason } } else { IndexError::Rpc { method, reason } }
        };
        loop {
            let pause = self.limit.paused_until().map(|until| until - Instant::now());
            if let Some(pause) = pause.filter(|pause| !self.alone && *pause > SHORT_PAUSE) {
                return Err(IndexError::RateLimited { method, retry_after: Some(pause) });
            }
            self.limit.ready(calls).await;
            let request = self.http.post(self.url.clone()).timeout(self.timeout).json(body);
            let response = request.send().await.map_err(failed)?;
            let status = response.status();
            let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
            let retry_after = retry_after.and_then(|value| rate_limit::retry_after(value, SystemTime::now()));
            let Some(body) = read(response).await.map_err(failed)? else {
                let reason = format!("the answer is longer than {LONGEST_ANSWER} bytes");
                return Err(IndexError::Refused { method, reason });
            };
            if status == StatusCode::TOO_MANY_REQUESTS || retry_after.is_some() && status.is_server_error() {
                self.bear(IndexError::RateLimited { method, retry_after })?;
                continue;
            }
            // Some say why in JSON-RPC, whatever the status. What is known to be text is read faster.
            if status.is_success() || body.first().is_some_and(|byte| matches!(byte, b'{' | b'[')) {
                return String::from_utf8(body).map_err(|error| IndexError::Rpc { method, reason: error.to_string() });
            }
            return Err(IndexError::Rpc { method, reason: format!("HTTP {status}: {}", excerpt(&body)) });
        }
    }
}

/// An answer's bytes; `None` if there are too many.
async fn read(response: Response) -> reqwest::Result<Option<Vec<u8>>> {
    let announced = response.content_length().and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
    let mut body = Vec::with_capacity(announced.min(LONGEST_ANSWER));
    let mut parts = response.bytes_stream();
    while let Some(part) = parts.next().await {
        body.extend_from_slice(&part?);
        if body.len() > LONGEST_ANSWER {
            return Ok(None);
        }
    }
    Ok(Some(body))
}

fn request<'a, P>(method: &'static str, id: usize, params: &'a P) -> Request<'a, P> {
    Request { jsonrpc: "2.0", id, method, params }
}

impl<R> Answer<R> {
    fn value(self, method: &'static str) -> Result<Option<R>, IndexError> {
        match self.error {
            Some(refusal) => Err(refused(method, &refusal)),
            None => Ok(self.result),
        }
    }
}

fn refused(method: &'static str, refusal: &ErrorPayload) -> IndexError {
    match rate_limit::rate_limited(refusal) {
        Some(retry_after) => IndexError::RateLimited { method, retry_after },
        None => IndexError::Refused { method, reason: format!("{} (code {})", refusal.message, refusal.code) },
    }
}

fn unreadable(method: &'static str, body: &str, error: &serde_json::Error) -> IndexError {
    IndexError::Rpc { method, reason: format!("the answer cannot be read, {error}: {}", excerpt(body.as_bytes())) }
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
