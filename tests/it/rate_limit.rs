//! A rate limit holds all who ask the endpoint: one 429 pauses two workers.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::post,
};
use runproof_contracts::ContractKind;
use runproof_indexer::{endpoints::Endpoints, source::Source};
use tokio::net::TcpListener;

use crate::harness::{self, World, eventually};

const PAUSE: Duration = Duration::from_secs(2);
/// What was sent before the refusal came may arrive after it.
const ON_ITS_WAY: Duration = Duration::from_millis(250);

#[test]
fn one_429_pauses_all_workers_for_as_long_as_it_says() {
    harness::run(async {
        let world = World::builder().own_chain().build().await;
        world.chain().await.mine(20).await.expect("blocks");
        let gate = Gate::open(world.chain().await.http_url()).await;
        let endpoints = Endpoints::one(gate.url.parse().expect("a URL")).expect("an endpoint");
        let source = Source::new(endpoints, world.registry.address, ContractKind::Registry, true);
        source.identify(None, None).await.expect("the contract is there");

        let workers = [(); 2].map(|()| {
            let source = source.clone();
            tokio::spawn(async move {
                loop {
                    source.blocks(1..=10).await.expect("a pause is waited for");
                }
            })
        });
        eventually("both are at work", async || (gate.seen().len() > 20).then_some(())).await;
        let refused = gate.refuse_once().await;
        let came_back =
            eventually("they come back", async || gate.seen().into_iter().find(|at| *at > refused + ON_ITS_WAY)).await;
        assert!(came_back >= refused + PAUSE, "asked again after {:?}", came_back - refused);
        let seen = gate.seen().len();
        eventually("they go on", async || (gate.seen().len() > seen + 20).then_some(())).await;
        for worker in workers {
            worker.abort();
        }
    });
}

/// A way to the node that says once that it was too much.
struct Gate {
    url: String,
    shared: Arc<Shared>,
}

struct Shared {
    node: String,
    client: reqwest::Client,
    record: Mutex<Record>,
}

#[derive(Default)]
struct Record {
    /// When it was asked.
    seen: Vec<Instant>,
    refusing: bool,
    refused: Option<Instant>,
}

impl Gate {
    async fn open(node: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let shared = Arc::new(Shared { node, client: reqwest::Client::new(), record: Mutex::default() });
        let router = Router::new().route("/", post(pass)).with_state(shared.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, shared }
    }

    fn seen(&self) -> Vec<Instant> {
        self.shared.record.lock().expect("no test panics with it").seen.clone()
    }

    /// The next request is refused; tells when that was.
    async fn refuse_once(&self) -> Instant {
        self.shared.record.lock().expect("no test panics with it").refusing = true;
        eventually("a request is refused", async || self.shared.record.lock().expect("no test panics with it").refused)
            .await
    }
}

async fn pass(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    {
        let mut record = shared.record.lock().expect("no test panics with it");
        record.seen.push(Instant::now());
        if std::mem::take(&mut record.refusing) {
            record.refused = Some(Instant::now());
            return (StatusCode::TOO_MANY_REQUESTS, [("retry-after", PAUSE.as_secs().to_string())]).into_response();
        }
    }
    let request = shared.client.post(&shared.node).header("content-type", "application/json").body(body);
    let answer = request.send().await.expect("the node answers").bytes().await.expect("all of it");
    ([("content-type", "application/json")], answer).into_response()
}
