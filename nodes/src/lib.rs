//! Several Ethereum nodes as one, for those who send transactions and ask for little.
//!
//! Reads go to one node for as long as it answers, then to the next: what is read one after the other is to come from one view of the chain. (alloy's
//! own fallback takes the fastest of several each time.) A signed transaction goes to all. A node of another chain than most
//! is passed over. What the indexer reads is read in another way, by scores and quorum.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use alloy::{
    primitives::{Bytes, U64, keccak256},
    providers::{DynProvider, Provider, ProviderBuilder},
    rpc::{
        client::RpcClient,
        json_rpc::{RequestPacket, Response, ResponsePacket, ResponsePayload, SerializedRequest},
    },
    transports::{
        TransportError, TransportErrorKind, TransportFut, TransportResult,
        http::{Http, reqwest::Client},
        utils::guess_local_url,
    },
};
use eyre::ensure;
use futures::{StreamExt, future::join_all, stream::FuturesUnordered};
use tokio::sync::OnceCell;
use tower_service::Service;
use url::Url;

/// How geth and others, Nethermind, Besu and anvil say that they have a transaction already, in lower case.
const TAKEN_BEFORE: [&str; 4] = ["already known", "alreadyknown", "known transaction", "already imported"];
/// Longest wait for one answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// A node that takes longer to be reached is as good as away.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// The nodes of one chain, a transport of alloy's. Clones share what is known of them.
#[derive(Clone)]
pub struct Nodes(Arc<Known>);

struct Known {
    nodes: Vec<Node>,
    /// Place of the one that is asked.
    asked: AtomicUsize,
    /// EIP-155 chain id, as most say it.
    chain_id: OnceCell<U64>,
}

struct Node {
    url: Url,
    http: Http<Client>,
    chain_id: OnceCell<U64>,
}

impl Nodes {
    /// None is asked yet. The first is preferred.
    ///
    /// # Errors
    /// No node, or no TLS.
    pub fn new(urls: impl IntoIterator<Item = Url>) -> eyre::Result<Self> {
        let client = Client::builder().connect_timeout(CONNECT_WITHIN).timeout(ANSWER_WITHIN).build()?;
        let node =
            |url: Url| Node { http: Http::with_client(client.clone(), url.clone()), url, chain_id: OnceCell::new() };
        let nodes: Vec<Node> = urls.into_iter().map(node).collect();
        ensure!(!nodes.is_empty(), "there is no Ethereum node: set `rpc_url` of [chain]");
        Ok(Self(Arc::new(Known { nodes, asked: AtomicUsize::new(0), chain_id: OnceCell::new() })))
    }

    /// A client that asks them.
    pub fn client(&self) -> RpcClient {
        RpcClient::new(self.clone(), self.are_local())
    }

    /// A provider without fillers, wallet and retries.
    pub fn provider(&self) -> DynProvider {
        ProviderBuilder::default().connect_client(self.client()).erased()
    }

    /// Whether they are on this machine, so that they may be asked often.
    pub fn are_local(&self) -> bool {
        self.0.nodes.iter().all(|node| guess_local_url(node.url.as_str()))
    }

    /// Place of the node that is asked now. Two answers are of one node if this was the same before the one and after the other.
    pub fn asked(&self) -> usize {
        self.0.asked.load(Ordering::SeqCst)
    }

    /// The node that is asked now, without path and user, which may be a key.
    pub fn name(&self) -> String {
        self.0.nodes[self.asked()].name()
    }

    /// A text in which the nodes' URLs may stand, without their paths and users.
    pub fn redacted(&self, text: &str) -> String {
        self.0.nodes.iter().fold(text.to_owned(), |text, node| text.replace(node.url.as_str(), &node.name()))
    }

    async fn read(self, request: RequestPacket) -> TransportResult<ResponsePacket> {
        let first = self.asked();
        let mut place = first;
        loop {
            let failure = match self.ask(place, request.clone()).await {
                Ok(answer) => {
                    self.0.asked.store(place, Ordering::SeqCst);
                    return Ok(answer);
                }
                Err(failure) => failure,
            };
            let next = (place + 1) % self.0.nodes.len();
            if next == first {
                return Err(failure);
            }
            let (node, instead) = (self.0.nodes[place].name(), self.0.nodes[next].name());
            tracing::warn!(node, instead, error = self.redacted(&failure.to_string()), "the node does not answer");
            place = next;
        }
    }

    /// One that takes the transaction is enough; the others get it all the same, and none is waited for.
    async fn broadcast(self, request: RequestPacket) -> TransportResult<ResponsePacket> {
        let each = (0..self.0.nodes.len()).map(|place| {
            let (nodes, request) = (self.clone(), request.clone());
            tokio::spawn(async move { nodes.ask(place, request).await })
        });
        let mut sent: FuturesUnordered<_> = each.collect();
        let mut refusal = Err(TransportErrorKind::backend_gone());
        while let Some(outcome) = sent.next().await {
            match outcome.map_err(TransportErrorKind::custom).flatten() {
                Ok(answer) if answer.is_success() => return Ok(answer),
                Ok(answer) => match taken_before(&request, &answer) {
                    Some(taken) => return Ok(taken),
                    None => refusal = Ok(answer),
                },
                Err(failure) => refusal = refusal.or(Err(failure)),
            }
        }
        refusal
    }

    async fn ask(&self, place: usize, request: RequestPacket) -> TransportResult<ResponsePacket> {
        let node = &self.0.nodes[place];
        if self.0.nodes.len() > 1 {
            let (expected, id) =
                (*self.0.chain_id.get_or_try_init(|| self.prevailing()).await?, node.chain_id().await?);
            if id != expected {
                let told = format!("{} is on chain {id}, not {expected}: correct its URL", node.name());
                return Err(TransportErrorKind::custom_str(&told));
            }
        }
        node.http.clone().call(request).await
    }

    /// The chain that more nodes are on than on any other.
    async fn prevailing(&self) -> TransportResult<U64> {
        let answers = join_all(self.0.nodes.iter().map(Node::chain_id)).await;
        let ids: Vec<U64> = answers.iter().filter_map(|answer| answer.as_ref().ok().copied()).collect();
        let votes = |id: U64| ids.iter().filter(|other| **other == id).count();
        let Some(most) = ids.iter().copied().max_by_key(|id| votes(*id)) else {
            return answers.into_iter().next().unwrap_or_else(|| Err(TransportErrorKind::backend_gone()));
        };
        match ids.iter().find(|other| **other != most && votes(**other) == votes(most)) {
            None => Ok(most),
            Some(other) => Err(TransportErrorKind::custom_str(&format!(
                "as many nodes are on chain {other} as on chain {most}: correct `rpc_url` and the endpoints of [chain]"
            ))),
        }
    }
}

impl Node {
    async fn chain_id(&self) -> TransportResult<U64> {
        let ask = || RpcClient::new(self.http.clone(), true).request_noparams("eth_chainId");
        self.chain_id.get_or_try_init(ask).await.copied()
    }

    fn name(&self) -> String {
        self.url.origin().ascii_serialization()
    }
}

impl fmt::Debug for Nodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.nodes.iter().map(Node::name)).finish()
    }
}

impl Service<RequestPacket> for Nodes {
    type Response = ResponsePacket;
    type Error = TransportError;
    type Future = TransportFut<'static>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: RequestPacket) -> Self::Future {
        let nodes = self.clone();
        match sends(&request) {
            Some(_) => Box::pin(nodes.broadcast(request)),
            None => Box::pin(nodes.read(request)),
        }
    }
}

/// The request that sends a signed transaction, if it does.
fn sends(request: &RequestPacket) -> Option<&SerializedRequest> {
    request.as_single().filter(|request| request.method() == "eth_sendRawTransaction")
}

/// The answer to sending what a node has already, which it may have got from another one: as if it had taken it. Nodes say it in a text only.
fn taken_before(request: &RequestPacket, answer: &ResponsePacket) -> Option<ResponsePacket> {
    let told = answer.first_error_message()?.to_lowercase();
    if !TAKEN_BEFORE.iter().any(|text| told.contains(text)) {
        return None;
    }
    let request = sends(request)?;
    let [raw]: [Bytes; 1] = serde_json::from_str(request.params()?.get()).ok()?;
    let hash = serde_json::value::to_raw_value(&keccak256(raw)).ok()?;
    Some(ResponsePacket::Single(Response { id: request.id().clone(), payload: ResponsePayload::Success(hash) }))
}

#[cfg(test)]
mod tests {
    use alloy::rpc::json_rpc::{Id, Request};

    use super::*;

    fn answer(text: &str) -> ResponsePacket {
        let error = format!(r#"{{"jsonrpc":"2.0","id":1,"error":{{"code":-32000,"message":"{text}"}}}}"#);
        serde_json::from_str(&error).expect("an answer")
    }

    fn sending(method: &'static str) -> RequestPacket {
        let request = Request::new(method, Id::Number(1), [Bytes::from_static(b"raw")]);
        RequestPacket::Single(request.serialize().expect("JSON"))
    }

    #[test]
    fn what_a_node_has_already_is_taken() {
        let expected = format!("{:#x}", keccak256(b"raw"));
        for text in ["already known", "AlreadyKnown", "Known transaction", "transaction already imported"] {
            let taken = taken_before(&sending("eth_sendRawTransaction"), &answer(text)).expect("it is taken");
            let ResponsePayload::Success(hash) = taken.first_payload().expect("an answer") else { panic!("{taken:?}") };
            assert_eq!(hash.get().trim_matches('"'), expected);
        }
        for refusal in ["nonce too low", "insufficient funds for gas * price + value"] {
            assert!(taken_before(&sending("eth_sendRawTransaction"), &answer(refusal)).is_none(), "{refusal}");
        }
        assert!(taken_before(&sending("eth_call"), &answer("already known")).is_none());
    }
}
