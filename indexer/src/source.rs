//! Reads of the chain, each answer checked before it is used.

use std::ops::RangeInclusive;

use alloy::{
    eips::{BlockId, BlockNumberOrTag},
    primitives::{Address, B256, BloomInput, Bytes, U64},
    rpc::types::{Block as RpcBlock, Filter, Header, Log},
};
use runproof_contracts::{ContractKind, itrex};
use url::Url;

use crate::{
    block::{Block, BlockRef, Head},
    body::Body,
    check::{self, Mismatch},
    error::IndexError,
    receipt::{PlacedLog, Receipt},
    rpc::Rpc,
};

/// Blocks whose receipts one request asks for: some megabytes where blocks are full.
const RECEIPTS_AT_ONCE: usize = 8;
/// Blocks whose transactions one request asks for, likewise.
const BODIES_AT_ONCE: usize = 32;

/// One node, and the contract that is read from it.
#[derive(Clone)]
pub struct Source {
    rpc: Rpc,
    contract: Address,
    kind: ContractKind,
    strict: bool,
}

impl Source {
    /// A source that is asked nothing yet.
    pub fn new(url: Url, contract: Address, kind: ContractKind, strict: bool) -> eyre::Result<Self> {
        Ok(Self { rpc: Rpc::new(url)?, contract, kind, strict })
    }

    /// Which contract is read.
    pub fn kind(&self) -> ContractKind {
        self.kind
    }

    /// EIP-155 chain id.
    pub async fn chain_id(&self) -> Result<u64, IndexError> {
        let id: Option<U64> = self.rpc.call("eth_chainId", [(); 0]).await?;
        let nothing = || IndexError::Rpc { method: "eth_chainId", reason: "the node answers null".into() };
        Ok(id.ok_or_else(nothing)?.to())
    }

    /// Whether there is code at the contract's address.
    pub async fn has_contract(&self) -> Result<bool, IndexError> {
        let code: Option<Bytes> = self.rpc.call("eth_getCode", (self.contract, BlockNumberOrTag::Latest)).await?;
        Ok(code.is_some_and(|code| !code.is_empty()))
    }

    /// The newest block, and how far the chain calls itself safe and final.
    pub async fn head(&self) -> Result<Head, IndexError> {
        let latest = self.rpc.call::<_, Header>("eth_getBlockByNumber", (BlockNumberOrTag::Latest, false));
        let (safe, finalized) = (self.tagged(BlockNumberOrTag::Safe), self.tagged(BlockNumberOrTag::Finalized));
        let (latest, safe, finalized) = futures::try_join!(latest, safe, finalized)?;
        let latest = latest.ok_or(Mismatch::MissingBlock(0))?;
        check::header(None, &latest)?;
        let latest = BlockRef { number: latest.inner.number, hash: latest.hash };
        Ok(Head { latest, safe, finalized })
    }

    /// A tagged block. A chain that names none (yet) answers null or an error of its own.
    async fn tagged(&self, tag: BlockNumberOrTag) -> Result<Option<BlockRef>, IndexError> {
        match self.rpc.call::<_, Header>("eth_getBlockByNumber", (tag, false)).await {
            Ok(header) => Ok(header.map(|header| BlockRef { number: header.inner.number, hash: header.hash })),
            Err(IndexError::Refused { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Headers by number, in the order asked for, `None` where the node has none.
    pub async fn headers(&self, numbers: &[u64]) -> Result<Vec<Option<Header>>, IndexError> {
        let calls: Vec<_> = numbers.iter().map(|number| (BlockNumberOrTag::Number(*number), false)).collect();
        let headers: Vec<Option<Header>> = self.rpc.calls("eth_getBlockByNumber", &calls).await?;
        for (number, header) in numbers.iter().zip(&headers) {
            header.iter().try_for_each(|header| check::header(Some(*number), header))?;
        }
        Ok(headers)
    }

    /// The blocks of a range that the node must have, with the contract's logs. Whether the first follows the cursor is for the caller to see.
    pub async fn blocks(&self, range: RangeInclusive<u64>) -> Result<Vec<Block>, IndexError> {
        let numbers: Vec<u64> = range.clone().collect();
        // Of the paper's contract logs tell neither who registered nor all that was: it is always read by receipts and transactions.
        if !self.strict && self.kind == ContractKind::Registry {
            let (headers, logs) = futures::try_join!(self.linked(&numbers), self.logs(range))?;
            let mut blocks = check::logs(&headers, logs, self.contract)?;
            self.add_transactions(&mut blocks).await?;
            return Ok(blocks);
        }
        let headers = self.linked(&numbers).await?;
        let admitting: Vec<usize> = (0..headers.len()).filter(|place| self.is_admitted_by(&headers[*place])).collect();
        // Receipts prove the logs, so these are not asked for, but where the filters say that there are none: on a chain that leaves its
        // filters empty, the node then contradicts them.
        let logs = if admitting.is_empty() { self.logs(range).await? } else { vec![] };
        let mut blocks = check::logs(&headers, logs, self.contract)?;
        match self.kind {
            ContractKind::Registry => self.add_proven(&headers, &admitting, &mut blocks).await?,
            ContractKind::Itrex => self.add_signed(&headers, &mut blocks).await?,
        }
        Ok(blocks)
    }

    /// Whether the header's bloom filter lets the block hold a log of the contract.
    fn is_admitted_by(&self, header: &Header) -> bool {
        header.inner.logs_bloom.contains_input(BloomInput::Raw(self.contract.as_slice()))
    }

    /// Headers that follow each other.
    async fn linked(&self, numbers: &[u64]) -> Result<Vec<Header>, IndexError> {
        let headers = numbers.iter().zip(self.headers(numbers).await?);
        let headers = headers.map(|(number, header)| header.ok_or(Mismatch::MissingBlock(*number)));
        let headers = headers.collect::<Result<Vec<Header>, Mismatch>>()?;
        check::links(&headers)?;
        Ok(headers)
    }

    async fn logs(&self, range: RangeInclusive<u64>) -> Result<Vec<Log>, IndexError> {
        let filter = Filter::new().address(self.contract).from_block(*range.start()).to_block(*range.end());
        let logs: Option<Vec<PlacedLog>> = self.rpc.call("eth_getLogs", (filter,)).await?;
        Ok(logs.unwrap_or_default().into_iter().map(Log::from).collect())
    }

    /// Gives blocks what their receipts prove, some at a time: receipts are many times larger than what is kept of them.
    async fn add_proven(&self, headers: &[Header], places: &[usize], blocks: &mut [Block]) -> Result<(), IndexError> {
        for places in places.chunks(RECEIPTS_AT_ONCE) {
            let receipts = self.receipts(places.iter().map(|place| headers[*place].hash)).await?;
            for (place, receipts) in places.iter().zip(receipts) {
                let (header, block) = (&headers[*place], &mut blocks[*place]);
                let receipts = receipts.ok_or(Mismatch::MissingBlock(block.number))?;
                check::proven(header, receipts, self.contract, block)?;
            }
        }
        Ok(())
    }

    /// Gives blocks also the calls that no log tells of, and sees that the senders are those who signed.
    async fn add_signed(&self, headers: &[Header], blocks: &mut [Block]) -> Result<(), IndexError> {
        let all: Vec<usize> = (0..headers.len()).collect();
        for places in all.chunks(BODIES_AT_ONCE) {
            let bodies = self.bodies(places.iter().map(|place| &headers[*place])).await?;
            for (place, body) in places.iter().zip(&bodies) {
                let (header, block) = (&headers[*place], &mut blocks[*place]);
                check::body(header, body)?;
                let calls = body.calls(self.contract, itrex::registers_certificate);
                block.calls = calls.map_err(|_| Mismatch::Sender(block.number))?;
            }
            let concerned = |place: &usize| self.is_admitted_by(&headers[*place]) || !blocks[*place].calls.is_empty();
            let concerned: Vec<usize> = places.iter().copied().filter(concerned).collect();
            self.add_proven(headers, &concerned, blocks).await?;
            for (place, body) in places.iter().zip(&bodies) {
                check::senders(&blocks[*place], body)?;
            }
        }
        Ok(())
    }

    async fn bodies(&self, headers: impl Iterator<Item = &Header>) -> Result<Vec<Body>, IndexError> {
        let numbers: Vec<u64> = headers.map(|header| header.inner.number).collect();
        let calls: Vec<_> = numbers.iter().map(|number| (BlockNumberOrTag::Number(*number), true)).collect();
        let blocks: Vec<Option<RpcBlock>> = self.rpc.calls("eth_getBlockByNumber", &calls).await?;
        let bodies = numbers.iter().zip(blocks);
        let bodies = bodies.map(|(number, block)| block.map(Body::from).ok_or(Mismatch::MissingBlock(*number)));
        Ok(bodies.collect::<Result<_, Mismatch>>()?)
    }

    /// Gives blocks that have logs the transactions that emitted them.
    async fn add_transactions(&self, blocks: &mut [Block]) -> Result<(), IndexError> {
        let mut concerned: Vec<&mut Block> = blocks.iter_mut().filter(|block| !block.logs.is_empty()).collect();
        for concerned in concerned.chunks_mut(RECEIPTS_AT_ONCE) {
            let receipts = self.receipts(concerned.iter().map(|block| block.hash)).await?;
            for (block, receipts) in concerned.iter_mut().zip(receipts) {
                let receipts = receipts.ok_or(Mismatch::MissingBlock(block.number))?;
                check::agreeing(&receipts, self.contract, block)?;
            }
        }
        Ok(())
    }

    async fn receipts(&self, hashes: impl Iterator<Item = B256>) -> Result<Vec<Option<Vec<Receipt>>>, IndexError> {
        let calls: Vec<_> = hashes.map(|hash| (BlockId::hash(hash),)).collect();
        self.rpc.calls("eth_getBlockReceipts", &calls).await
    }
}

/// Hash of a header, if there is one.
pub fn hash(header: &Option<Header>) -> Option<B256> {
    header.as_ref().map(|header| header.hash)
}
