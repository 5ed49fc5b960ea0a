//! A node that answers from a chain built before: JSON-RPC over HTTP, as fast as bytes can be sent.

use std::{
    collections::HashMap,
    fs::{self, File},
    os::unix::fs::FileExt,
    path::Path,
    sync::Arc,
};

use alloy::primitives::B256;
use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::post,
};
use eyre::{OptionExt, Result, bail};
use serde::Deserialize;
use serde_json::Value;
use tokio::net::TcpListener;

use crate::chain::{Answers, REGISTRY};

/// Blocks behind the newest that are called safe, and final.
const SAFE: usize = 32;
const FINALIZED: usize = 64;

/// The node.
pub struct Replay {
    answers: File,
    index: Vec<Answers>,
    by_hash: HashMap<B256, usize>,
}

#[derive(Deserialize)]
struct Request {
    id: Value,
    method: String,
    #[serde(default)]
    params: Vec<Value>,
}

impl Replay {
    /// A node of the chain in `folder`.
    pub fn open(folder: &Path) -> Result<Self> {
        let index: Vec<Answers> = serde_json::from_slice(&fs::read(folder.join("index.json"))?)?;
        let by_hash = index.iter().enumerate().map(|(number, block)| (block.hash, number)).collect();
        Ok(Self { answers: File::open(folder.join("answers"))?, index, by_hash })
    }

    /// Serves until the process ends.
    pub async fn serve(self, listener: TcpListener) -> Result<()> {
        let router = Router::new().route("/", post(handle)).with_state(Arc::new(self));
        Ok(axum::serve(listener, router).await?)
    }

    fn respond(&self, body: &[u8]) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        if body.first() != Some(&b'[') {
            self.answer(&serde_json::from_slice(body)?, &mut out)?;
            return Ok(out);
        }
        for (place, request) in serde_json::from_slice::<Vec<Request>>(body)?.iter().enumerate() {
            out.push(if place == 0 { b'[' } else { b',' });
            self.answer(request, &mut out)?;
        }
        out.push(b']');
        Ok(out)
    }

    fn answer(&self, request: &Request, out: &mut Vec<u8>) -> Result<()> {
        out.extend_from_slice(format!(r#"{{"jsonrpc":"2.0","id":{},"result":"#, request.id).as_bytes());
        let first = request.params.first();
        match (request.method.as_str(), first) {
            ("eth_chainId", _) => out.extend_from_slice(format!("\"{:#x}\"", REGISTRY.chain_id).as_bytes()),
            ("eth_getCode", _) => out.extend_from_slice(b"\"0x01\""),
            ("eth_blockNumber", _) => out.extend_from_slice(format!("\"{:#x}\"", self.index.len() - 1).as_bytes()),
            ("eth_getBlockByNumber", Some(id)) => self.of_block(id, |block| block.block, out)?,
            ("eth_getBlockReceipts", Some(id)) => self.of_block(id, |block| block.receipts, out)?,
            ("eth_getLogs", Some(filter)) => self.logs(filter, out)?,
            (method, _) => bail!("{method} is not replayed"),
        }
        out.push(b'}');
        Ok(())
    }

    fn of_block(&self, id: &Value, part: impl Fn(&Answers) -> (u64, usize), out: &mut Vec<u8>) -> Result<()> {
        match self.number(id)?.and_then(|number| self.index.get(number)) {
            Some(block) => self.read(part(block), out)?,
            None => out.extend_from_slice(b"null"),
        }
        Ok(())
    }

    fn logs(&self, filter: &Value, out: &mut Vec<u8>) -> Result<()> {
        let bound = |name: &str| self.number(&filter[name])?.ok_or_eyre("a range with two numbers");
        out.push(b'[');
        let blocks = self.index.iter().take(bound("toBlock")? + 1).skip(bound("fromBlock")?);
        for (place, block) in blocks.filter(|block| block.logs.1 > 0).enumerate() {
            out.extend_from_slice(if place == 0 { b"" } else { b"," });
            self.read(block.logs, out)?;
        }
        out.push(b']');
        Ok(())
    }

    /// The block that a tag, a number or a hash names.
    fn number(&self, id: &Value) -> Result<Option<usize>> {
        let newest = self.index.len() - 1;
        let text = id.as_str().or_else(|| id.get("blockHash")?.as_str()).ok_or_eyre("a block")?;
        Ok(match text {
            "latest" | "pending" => Some(newest),
            "safe" => Some(newest.saturating_sub(SAFE)),
            "finalized" => Some(newest.saturating_sub(FINALIZED)),
            "earliest" => Some(0),
            hash if hash.len() == 66 => self.by_hash.get(&hash.parse::<B256>()?).copied(),
            number => Some(usize::from_str_radix(number.trim_start_matches("0x"), 16)?),
        })
    }

    fn read(&self, (offset, length): (u64, usize), out: &mut Vec<u8>) -> Result<()> {
        let begin = out.len();
        out.resize(begin + length, 0);
        Ok(self.answers.read_exact_at(&mut out[begin..], offset)?)
    }
}

async fn handle(State(replay): State<Arc<Replay>>, body: Bytes) -> Response {
    match replay.respond(&body) {
        Ok(answer) => ([(CONTENT_TYPE, "application/json")], answer).into_response(),
        Err(error) => (StatusCode::BAD_REQUEST, format!("{error:#}")).into_response(),
    }
}
