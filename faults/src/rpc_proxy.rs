//! Between a role and its node: passes JSON-RPC on to a node that can be exchanged, refuses calls, holds them, and meddles with the answers.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{State, WebSocketUpgrade},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::post,
};
use eyre::Result;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

use crate::{
    trap::Snare,
    websocket::{self, Manners},
};

/// What is done to one call's answer.
pub(crate) enum Meddled {
    /// Nothing.
    Not,
    /// The answer was changed, as a correct indexer can only notice by looking closely.
    Changed,
    /// The whole HTTP answer is another one.
    Instead(Response),
    /// The answer comes after a while.
    Later(Duration),
    /// There is no answer at all.
    Never,
}

/// Looks at a call and its answer, and may change the answer.
pub(crate) type Meddler = Box<dyn FnMut(&Value, &mut Value, &mut StdRng) -> Meddled + Send>;

/// Looks at a call before the node does, and may refuse it in the node's place.
type Screen = Box<dyn FnMut(&Value) -> Option<&'static str> + Send>;

/// A point in a transaction's life, as far as it passes here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Passing {
    /// Its gas is asked for: it is not signed yet.
    Estimate,
    /// It is about to reach the node.
    Sending,
    /// The node has it, and its sender does not know.
    Sent,
    /// The node tells that it is in a block.
    Receipt,
    /// The node tells which block is final.
    Finalized,
}

/// A listening proxy; it ends when dropped.
pub(crate) struct RpcProxy {
    port: u16,
    /// What is caught here gets no answer.
    pub(crate) snare: Arc<Snare<Passing>>,
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
}

struct Shared {
    client: reqwest::Client,
    node: Mutex<String>,
    meddler: Mutex<Option<(Meddler, StdRng)>>,
    manners: Mutex<Manners>,
    meddled: AtomicU64,
    screen: Mutex<Option<Screen>>,
    snare: Arc<Snare<Passing>>,
}

impl RpcProxy {
    /// A proxy of the node at this URL.
    pub(crate) async fn start(node: String) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let snare = Arc::new(Snare::new());
        let shared = Arc::new(Shared {
            screen: Mutex::new(None),
            snare: snare.clone(),
            client: reqwest::Client::builder().no_proxy().build()?,
            node: Mutex::new(node),
            meddler: Mutex::new(None),
            manners: Mutex::new(Manners::Silent),
            meddled: AtomicU64::new(0),
        });
        let router = Router::new().route("/", post(answer).get(upgrade)).with_state(shared.clone());
        let serving = tokio::spawn(async move { drop(axum::serve(listener, router).await) });
        Ok(Self { port, snare, shared, serving })
    }

    pub(crate) fn http_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn ws_url(&self) -> String {
        format!("ws://127.0.0.1:{}", self.port)
    }

    /// Another node answers from now on.
    pub(crate) fn lead_to(&self, node: String) {
        *lock(&self.shared.node) = node;
    }

    /// Answers are meddled with from now on.
    pub(crate) fn meddle(
        &self,
        random: StdRng,
        meddler: impl FnMut(&Value, &mut Value, &mut StdRng) -> Meddled + Send + 'static,
    ) {
        *lock(&self.shared.meddler) = Some((Box::new(meddler), random));
    }

    /// Calls are refused from now on, with the message that this returns.
    pub(crate) fn screen(&self, screen: impl FnMut(&Value) -> Option<&'static str> + Send + 'static) {
        *lock(&self.shared.screen) = Some(Box::new(screen));
    }

    /// Answers are passed on as they are from now on.
    pub(crate) fn be_honest(&self) {
        *lock(&self.shared.meddler) = None;
    }

    /// How websockets are treated from now on.
    pub(crate) fn behave(&self, manners: Manners) {
        *lock(&self.shared.manners) = manners;
    }

    /// Answers meddled with so far.
    pub(crate) fn meddled(&self) -> u64 {
        self.shared.meddled.load(Ordering::Relaxed)
    }
}

impl Drop for RpcProxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn upgrade(State(shared): State<Arc<Shared>>, upgrade: WebSocketUpgrade) -> Response {
    let manners = *lock(&shared.manners);
    upgrade.on_upgrade(move |socket| websocket::misbehave(socket, manners))
}

async fn answer(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    let Ok(calls) = serde_json::from_slice::<Value>(&body) else { return StatusCode::BAD_REQUEST.into_response() };
    if let Some(release) = before(&calls).and_then(|point| shared.snare.pass(point)) {
        let _ = release.await;
        return StatusCode::BAD_GATEWAY.into_response();
    }
    if let Some(message) = lock(&shared.screen).as_mut().and_then(|screen| screen(&calls)) {
        return Json(refusal(&calls, message)).into_response();
    }
    let node = lock(&shared.node).clone();
    let request = shared.client.post(node).header("content-type", "application/json").body(body);
    let answered = match request.send().await {
        Ok(answer) => answer.bytes().await,
        Err(error) => Err(error),
    };
    let answers = answered.ok().and_then(|answered| serde_json::from_slice::<Value>(&answered).ok());
    let Some(mut answers) = answers else { return StatusCode::BAD_GATEWAY.into_response() };
    if let Some(release) = after(&calls, &answers).and_then(|point| shared.snare.pass(point)) {
        let _ = release.await;
        return StatusCode::BAD_GATEWAY.into_response();
    }
    match shared.meddle(&calls, &mut answers) {
        Meddled::Not | Meddled::Changed => Json(answers).into_response(),
        Meddled::Instead(response) => response,
        Meddled::Later(delay) => {
            tokio::time::sleep(delay).await;
            Json(answers).into_response()
        }
        Meddled::Never => std::future::pending().await,
    }
}

/// What a node answers that does not take a call.
pub(crate) fn refusal(call: &Value, message: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": call["id"], "error": {"code": -32000, "message": message}})
}

fn before(call: &Value) -> Option<Passing> {
    match call["method"].as_str()? {
        "eth_estimateGas" => Some(Passing::Estimate),
        "eth_sendRawTransaction" => Some(Passing::Sending),
        _ => None,
    }
}

fn after(call: &Value, answer: &Value) -> Option<Passing> {
    match call["method"].as_str()? {
        "eth_sendRawTransaction" => Some(Passing::Sent),
        "eth_getTransactionReceipt" if answer["result"].is_object() => Some(Passing::Receipt),
        "eth_getBlockByNumber" if call["params"][0] == "finalized" => Some(Passing::Finalized),
        _ => None,
    }
}

impl Shared {
    /// Meddles with each answer of a batch, whose order need not be that of the calls.
    fn meddle(&self, calls: &Value, answers: &mut Value) -> Meddled {
        let mut meddler = lock(&self.meddler);
        let Some((meddler, random)) = &mut *meddler else { return Meddled::Not };
        let calls = calls.as_array().map_or_else(|| std::slice::from_ref(calls), Vec::as_slice);
        let answers = match answers {
            Value::Array(answers) => answers.as_mut_slice(),
            one => std::slice::from_mut(one),
        };
        for answer in answers {
            let Some(call) = calls.iter().find(|call| call["id"] == answer["id"]) else { continue };
            match meddler(call, answer, random) {
                Meddled::Not => {}
                Meddled::Changed => drop(self.meddled.fetch_add(1, Ordering::Relaxed)),
                whole => {
                    self.meddled.fetch_add(1, Ordering::Relaxed);
                    return whole;
                }
            }
        }
        Meddled::Not
    }
}
