//! A node that answers from a chain built before, as fast as bytes can be sent. Its chain can grow, block by block.

mod server;

use std::{
    collections::HashMap,
    fs::{self, File},
    os::unix::fs::FileExt,
    path::Path,
};

use alloy::{primitives::B256, rpc::types::Header};
use eyre::{OptionExt, Result, bail, ensure};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};
pub use server::serve;
use tokio::sync::watch;

use crate::chain::{Answers, REGISTRY};

/// Blocks behind the newest that are called safe, and final.
const SAFE: usize = 32;
const FINALIZED: usize = 64;

/// The node.
pub struct Replay {
    answers: File,
    index: Vec<Answers>,
    by_hash: HashMap<B256, usize>,
    newest: watch::Sender<usize>,
}

#[derive(Deserialize)]
struct Request {
    id: Value,
    method: String,
    #[serde(default)]
    params: Vec<Value>,
}

impl Replay {
    /// A node of the chain in `folder`, whose newest block is `newest` for now.
    pub fn open(folder: &Path, newest: u64) -> Result<Self> {
        let index: Vec<Answers> = serde_json::from_slice(&fs::read(folder.join("index.json"))?)?;
        let newest = usize::try_from(newest)?;
        ensure!(newest < index.len(), "the chain has {} blocks", index.len());
        let by_hash = index.iter().enumerate().map(|(number, block)| (block.hash, number)).collect();
        Ok(Self { answers: File::open(folder.join("answers"))?, index, by_hash, newest: watch::channel(newest).0 })
    }

    /// Takes the next block of its chain, and tells who subscribed to new heads.
    pub fn grow(&self) {
        self.newest.send_modify(|newest| *newest = (*newest + 1).min(self.index.len() - 1));
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
            ("eth_subscribe", _) => out.extend_from_slice(b"\"0x01\""),
            ("eth_blockNumber", _) => out.extend_from_slice(format!("\"{:#x}\"", self.newest()).as_bytes()),
            ("eth_getBlockByNumber" | "eth_getBlockByHash", Some(id)) => {
                let whole = request.params.get(1) == Some(&Value::Bool(true));
                self.of_block(id, |block| if whole { block.whole } else { block.block }, out)?;
            }
            ("eth_getBlockReceipts", Some(id)) => self.of_block(id, |block| block.receipts, out)?,
            ("eth_getLogs", Some(filter)) => self.logs(filter, out)?,
            (method, _) => bail!("{method} is not replayed"),
        }
        out.push(b'}');
        Ok(())
    }

    fn newest(&self) -> usize {
        *self.newest.borrow()
    }

    fn of_block(&self, id: &Value, part: impl Fn(&Answers) -> (u64, usize), out: &mut Vec<u8>) -> Result<()> {
        match self.number(id)?.filter(|number| *number <= self.newest()) {
            Some(number) => self.read(part(&self.index[number]), out)?,
            None => out.extend_from_slice(b"null"),
        }
        Ok(())
    }

    fn logs(&self, filter: &Value, out: &mut Vec<u8>) -> Result<()> {
        let bound = |bound: &Value| self.number(bound)?.ok_or_eyre("a block of this chain");
        let (first, last) = match filter.get("blockHash") {
            Some(hash) => (bound(hash)?, bound(hash)?),
            None => (bound(&filter["fromBlock"])?, bound(&filter["toBlock"])?.min(self.newest())),
        };
        let mut logs = vec![b'['];
        for block in self.index.iter().take(last + 1).skip(first).filter(|block| block.logs.1 > 0) {
            logs.extend_from_slice(if logs.len() == 1 { b"" } else { b"," });
            self.read(block.logs, &mut logs)?;
        }
        logs.push(b']');
        match filter["topics"].get(0).filter(|wanted| !wanted.is_null()) {
            Some(wanted) => out.extend_from_slice(&with_first_topic(&logs, wanted)?),
            None => out.extend_from_slice(&logs),
        }
        Ok(())
    }

    /// The block that a tag, a number or a hash names.
    fn number(&self, id: &Value) -> Result<Option<usize>> {
        let newest = self.newest();
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

    fn header(&self, number: usize) -> Result<Header> {
        let mut block = Vec::new();
        self.read(self.index[number].block, &mut block)?;
        Ok(serde_json::from_slice(&block)?)
    }

    fn read(&self, (offset, length): (u64, usize), out: &mut Vec<u8>) -> Result<()> {
        let begin = out.len();
        out.resize(begin + length, 0);
        Ok(self.answers.read_exact_at(&mut out[begin..], offset)?)
    }
}

/// The logs whose first topic is the one that is wanted, or one of them.
fn with_first_topic(logs: &[u8], wanted: &Value) -> Result<Vec<u8>> {
    #[derive(Deserialize)]
    struct Topics {
        topics: Vec<String>,
    }
    let is_wanted = |topic: &str| match wanted {
        Value::Array(any) => any.iter().any(|one| one == topic),
        one => one == topic,
    };
    let mut kept: Vec<&RawValue> = Vec::new();
    for log in serde_json::from_slice::<Vec<&RawValue>>(logs)? {
        let Topics { topics } = serde_json::from_str(log.get())?;
        kept.extend(topics.first().filter(|topic| is_wanted(topic)).map(|_| log));
    }
    Ok(serde_json::to_vec(&kept)?)
}
