//! Between the executor and the emulator of Step Functions: does what AWS does and the emulator does not.
//!
//! Always: histories in pages with tokens, newest first if asked, and redrives. As often as it is told: calls refused for the quota, page tokens
//! refused, pages given twice, events that come later than those after them, replies lost after the call took effect, and answers as of some time ago. What is said of AWS here is from its API
//! reference, <https://docs.aws.amazon.com/step-functions/latest/apireference/>.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{
        HeaderMap, StatusCode,
        header::{CONTENT_TYPE, HOST},
    },
    response::{IntoResponse, Response},
};
use eyre::Result;
use rand::{Rng, rngs::StdRng};
use runproof_stack::aws_json::{AWS_JSON, accepted, refused};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

use crate::{aws_late::LateEvents, aws_redrive::Redrives};

/// How it answers. The default is AWS on a good day.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manners {
    /// Events a page at most; AWS gives up to 1,000.
    pub(crate) page: usize,
    /// Part of all calls that is refused for the quota.
    pub(crate) throttled: f64,
    /// Part of page tokens that is refused: they are good for 24 hours.
    pub(crate) expired: f64,
    /// Part of pages that is given twice.
    pub(crate) doubled: f64,
    /// Every how many events one is missing from histories at first, though later ones are there; 0 for never.
    pub(crate) hole_every: u64,
    /// Part of StartExecution that takes effect and is not answered.
    pub(crate) lost: f64,
    /// How old answers of DescribeExecution and ListExecutions are, which AWS calls eventually consistent.
    pub(crate) stale: Duration,
}

impl Default for Manners {
    fn default() -> Self {
        let (throttled, expired, doubled, lost) = Default::default();
        Self { page: 1_000, throttled, expired, doubled, hole_every: 0, lost, stale: Duration::ZERO }
    }
}

/// How often it did what.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) calls: AtomicU64,
    pub(crate) throttled: AtomicU64,
    pub(crate) expired: AtomicU64,
    pub(crate) doubled: AtomicU64,
    pub(crate) holes: AtomicU64,
    pub(crate) lost: AtomicU64,
    pub(crate) stale: AtomicU64,
}

/// A listening proxy; it ends when dropped.
pub(crate) struct AwsProxy {
    port: u16,
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
}

/// What was answered when.
type Told = Vec<(Instant, Value)>;

struct Shared {
    emulator: Emulator,
    random: Mutex<StdRng>,
    manners: Mutex<Manners>,
    counts: Counts,
    redrives: Redrives,
    told: Mutex<HashMap<String, Told>>,
    /// Histories as they were when their first page was asked for: the emulator takes its time with them.
    begun: Mutex<HashMap<String, Arc<Vec<Value>>>>,
    late: LateEvents,
}

/// The real thing behind.
pub(crate) struct Emulator {
    client: reqwest::Client,
    url: String,
}

/// Step Functions' answer, or its error as it is sent.
pub(crate) type Answer = std::result::Result<Value, Response>;

/// Which service, region and key: the emulator reads that from the signature, and does not check it.
const SIGNED: &str =
    "AWS4-HMAC-SHA256 Credential=emulator/20260101/us-east-1/states/aws4_request, SignedHeaders=host, Signature=0";

impl Emulator {
    /// Calls an action.
    pub(crate) async fn ask(&self, action: &str, request: &Value) -> Answer {
        let call = self.client.post(&self.url).header("x-amz-target", format!("AWSStepFunctions.{action}"));
        let call = call.header(CONTENT_TYPE, AWS_JSON).header("authorization", SIGNED).body(request.to_string());
        let bad_gateway = |_| StatusCode::BAD_GATEWAY.into_response();
        let answer = call.send().await.map_err(bad_gateway)?;
        let status = answer.status();
        let body = answer.bytes().await.map_err(bad_gateway)?;
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(|_| StatusCode::BAD_GATEWAY.into_response());
        }
        Err((status, [(CONTENT_TYPE, AWS_JSON)], body).into_response())
    }

    /// What is of another service goes through as it is.
    async fn pass_on(&self, mut headers: HeaderMap, body: Bytes) -> Response {
        headers.remove(HOST);
        let answer = match self.client.post(&self.url).headers(headers).body(body).send().await {
            Ok(answer) => answer,
            Err(_) => return StatusCode::BAD_GATEWAY.into_response(),
        };
        let kind = answer.headers().get(CONTENT_TYPE).cloned();
        let status = answer.status();
        let mut response = (status, answer.bytes().await.unwrap_or_default()).into_response();
        response.headers_mut().extend(kind.map(|kind| (CONTENT_TYPE, kind)));
        response
    }
}

impl AwsProxy {
    /// A proxy of the emulator at this URL.
    pub(crate) async fn start(url: String, random: StdRng) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let client = reqwest::Client::builder().no_proxy().build()?;
        let shared = Arc::new(Shared {
            emulator: Emulator { client, url },
            random: Mutex::new(random),
            manners: Mutex::default(),
            counts: Counts::default(),
            redrives: Redrives::default(),
            told: Mutex::default(),
            begun: Mutex::default(),
            late: LateEvents::default(),
        });
        let router = Router::new().fallback(answer).with_state(shared.clone());
        let serving = tokio::spawn(async move { drop(axum::serve(listener, router).await) });
        Ok(Self { port, shared, serving })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// How it answers from now on.
    pub(crate) fn behave(&self, manners: Manners) {
        *lock(&self.shared.manners) = manners;
    }

    /// How often it did what so far.
    pub(crate) fn counts(&self) -> &Counts {
        &self.shared.counts
    }

    /// All that has happened in an execution, as it is.
    pub(crate) async fn history(&self, execution_arn: &str) -> Result<Vec<Value>> {
        let Shared { redrives, emulator, .. } = &*self.shared;
        redrives.history(emulator, execution_arn).await.map_err(|answer| eyre::eyre!("no history: {}", answer.status()))
    }
}

impl Drop for AwsProxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn answer(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default().to_owned();
    let (Some(action), Ok(request)) = (target.strip_prefix("AWSStepFunctions."), serde_json::from_slice(&body)) else {
        return shared.emulator.pass_on(headers, body).await;
    };
    shared.counts.calls.fetch_add(1, Ordering::Relaxed);
    let manners = *lock(&shared.manners);
    if shared.happens(manners.throttled, &shared.counts.throttled) {
        return refused("ThrottlingException", "Rate exceeded");
    }
    match shared.act(action, &request, manners).await {
        Ok(_) if action == "StartExecution" && shared.happens(manners.lost, &shared.counts.lost) => cut_off(),
        Ok(answer) => accepted(&answer),
        Err(refusal) => refusal,
    }
}

/// An event's id.
pub(crate) fn place(event: &Value) -> u64 {
    event["id"].as_u64().unwrap_or_default()
}

/// The connection ends in the middle of the answer.
fn cut_off() -> Response {
    let lost = futures::stream::once(async { Err::<Bytes, _>(std::io::Error::other("lost")) });
    ([(CONTENT_TYPE, AWS_JSON)], Body::from_stream(lost)).into_response()
}

impl Shared {
    fn happens(&self, part: f64, counted: &AtomicU64) -> bool {
        let happens = lock(&self.random).random_bool(part);
        counted.fetch_add(u64::from(happens), Ordering::Relaxed);
        happens
    }

    async fn act(&self, action: &str, request: &Value, manners: Manners) -> Answer {
        match action {
            "GetExecutionHistory" => self.page(request, manners).await,
            "DescribeExecution" | "ListExecutions" => {
                let fresh = self.redrives.patched(&self.emulator, self.emulator.ask(action, request).await?).await?;
                Ok(self.as_of(format!("{action} {request}"), fresh, manners.stale))
            }
            "RedriveExecution" => self.redrive(request).await,
            _ => self.emulator.ask(action, request).await,
        }
    }

    /// The newest answer that is so old; the oldest there is, if none is.
    fn as_of(&self, question: String, fresh: Value, stale: Duration) -> Value {
        let now = Instant::now();
        let mut told = lock(&self.told);
        let told = told.entry(question).or_default();
        told.push((now, fresh.clone()));
        let old = told.iter().rev().find(|(at, _)| now.duration_since(*at) >= stale).or(told.first());
        let answer = old.map_or(fresh.clone(), |(_, answer)| answer.clone());
        self.counts.stale.fetch_add(u64::from(answer != fresh), Ordering::Relaxed);
        answer
    }

    async fn redrive(&self, request: &Value) -> Answer {
        let arn = request["executionArn"].as_str().unwrap_or_default();
        let history = self.redrives.history(&self.emulator, arn).await?;
        let enters_again = lock(&self.random).random_bool(0.5);
        self.redrives.begin(&self.emulator, arn, &history, enters_again).await
    }

    /// GetExecutionHistory: `maxResults` events at most, oldest or newest first, and a token where there are more.
    async fn page(&self, request: &Value, manners: Manners) -> Answer {
        let token = request["nextToken"].as_str();
        if token.is_some() && self.happens(manners.expired, &self.counts.expired) {
            return Err(refused("InvalidToken", "the token has expired"));
        }
        let arn = request["executionArn"].as_str().unwrap_or_default();
        let begun = lock(&self.begun).get(arn).filter(|_| token.is_some()).cloned();
        let events = match begun {
            Some(events) => events,
            None => {
                let whole = self.redrives.history(&self.emulator, arn).await?;
                Arc::new(self.late.without(arn, whole, manners.hole_every, &self.counts.holes))
            }
        };
        lock(&self.begun).insert(arn.to_owned(), events.clone());
        let reverse = request["reverseOrder"] == json!(true);
        // A token names the event after which to go on, so that events which come meanwhile move nothing.
        let after = token.and_then(|token| token.parse::<u64>().ok());
        let follows = |event: &&Value| match after {
            None => true,
            Some(after) if reverse => place(event) < after,
            Some(after) => place(event) > after,
        };
        let most = request["maxResults"].as_u64().unwrap_or(100).min(manners.page as u64) as usize;
        let mut rest: Vec<&Value> = events.iter().filter(follows).collect();
        if reverse {
            rest.reverse();
        }
        let page = &rest[..rest.len().min(most)];
        let mut answer = json!({ "events": page });
        if rest.len() > page.len() {
            let again = token.filter(|_| self.happens(manners.doubled, &self.counts.doubled)).map(str::to_owned);
            let next = again.or_else(|| page.last().map(|event| place(event).to_string()));
            answer["nextToken"] = json!(next);
        }
        Ok(answer)
    }
}
