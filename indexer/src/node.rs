//! Reads of one node, each answer checked before it is used.

use std::{ops::RangeInclusive, time::Duration};

use alloy::{
    eips::{BlockId, BlockNumberOrTag},
    primitives::{Address, B256, BloomInput, Bytes, U64, keccak256},
    rpc::types::{Block as RpcBlock, Filter, Header, Log, TransactionRequest},
};
use runproof_contracts::{ContractKind, itrex};

use crate::{
    block::{Block, BlockRef, Head},
    body::Body,
    check::{self, Mismatch},
    error::IndexError,
    identity::ChainIdentity,
    receipt::{PlacedLog, Receipt},
    room::Room,
    rpc::Rpc,
};

/// Blocks whose receipts one request asks for: a megabyte or two where blocks are full, which a core's cache holds until it is read.
const RECEIPTS_AT_ONCE: usize = 4;
/// Blocks whose transactions one request asks for, likewise.
const BODIES_AT_ONCE: usize = 32;

/// An answer of some hundred bytes that takes longer comes from a node that is as good as away.
const QUICKLY: Duration = Duration::from_secs(5);

/// What is asked for of a contract.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// Its address.
    pub(crate) contract: Address,
    /// Which contract it is.
    pub(crate) kind: ContractKind,
    /// In which blocks.
    pub(crate) range: RangeInclusive<u64>,
    /// Whether receipts must prove it.
    pub(crate) strict: bool,
    /// Bytes that blocks may take: a range that holds more ends early.
    pub(crate) most_bytes: usize,
}

/// One node.
#[derive(Clone)]
pub(crate) struct Node {
    rpc: Rpc,
}

impl Node {
    /// Asks nothing yet.
    pub(crate) fn new(rpc: Rpc) -> Self {
        Self { rpc }
    }

    /// EIP-155 chain id, and the hash of the chain's first block.
    pub(crate) async fn chain(&self) -> Result<ChainIdentity, IndexError> {
        let rpc = self.rpc.within(QUICKLY);
        let id = rpc.call::<_, U64>("eth_chainId", [(); 0]);
        let genesis = rpc.call::<_, Header>("eth_getBlockByNumber", (BlockNumberOrTag::Number(0), false));
        let (id, genesis) = futures::try_join!(id, genesis)?;
        let null = || IndexError::Rpc { method: "eth_chainId", reason: "the node answers null".into() };
        let (id, genesis) = (id.ok_or_else(null)?, genesis.ok_or(Mismatch::MissingBlock(0))?);
        check::header(Some(0), &genesis)?;
        Ok(ChainIdentity { chain_id: id.to(), genesis: genesis.hash })
    }

    /// Hash of the code at an address, that of nothing if there is none.
    pub(crate) async fn code_hash(&self, contract: Address) -> Result<B256, IndexError> {
        let rpc = self.rpc.within(QUICKLY);
        let code: Option<Bytes> = rpc.call("eth_getCode", (contract, BlockNumberOrTag::Latest)).await?;
        let null = || IndexError::Rpc { method: "eth_getCode", reason: "the node answers null".into() };
        Ok(keccak256(code.ok_or_else(null)?))
    }

    /// What a call of the contract returns as of a block.
    pub(crate) async fn call(&self, contract: Address, input: Bytes, block: B256) -> Result<Bytes, IndexError> {
        let request = TransactionRequest::default().to(contract).input(input.into());
        let returned: Option<Bytes> = self.rpc.call("eth_call", (request, BlockId::hash(block))).await?;
        returned.ok_or_else(|| IndexError::Rpc { method: "eth_call", reason: "the node answers null".into() })
    }

    /// The newest block, and how far the chain calls itself safe and final.
    pub(crate) async fn head(&self) -> Result<Head, IndexError> {
        let rpc = self.rpc.within(QUICKLY);
        let latest = rpc.call::<_, Header>("eth_getBlockByNumber", (BlockNumberOrTag::Latest, false));
        let (safe, finalized) = (self.tagged(BlockNumberOrTag::Safe), self.tagged(BlockNumberOrTag::Finalized));
        let (latest, safe, finalized) = futures::try_join!(latest, safe, finalized)?;
        let latest = latest.ok_or(Mismatch::MissingBlock(0))?;
        check::header(None, &latest)?;
        let latest = BlockRef { number: latest.inner.number, hash: latest.hash };
        Ok(Head { latest, safe, finalized })
    }

    /// A tagged block. A chain that names none (yet) answers null or an error of its own.
    async fn tagged(&self, tag: BlockNumberOrTag) -> Result<Option<BlockRef>, IndexError> {
        let header = match self.rpc.within(QUICKLY).call::<_, Header>("eth_getBlockByNumber", (tag, false)).await {
            Err(IndexError::Refused { .. }) => None,
            answer => answer?,
        };
        header.iter().try_for_each(|header| check::header(None, header))?;
        Ok(header.map(|header| BlockRef { number: header.inner.number, hash: header.hash }))
    }

    /// Headers by number, in the order asked for, `None` where the node has none.
    pub(crate) async fn headers(&self, numbers: &[u64]) -> Result<Vec<Option<Header>>, IndexError> {
        let calls: Vec<_> = numbers.iter().map(|number| (BlockNumberOrTag::Number(*number), false)).collect();
        let headers: Vec<Option<Header>> = self.rpc.calls("eth_getBlockByNumber", &calls).await?;
        for (number, header) in numbers.iter().zip(&headers) {
            header.iter().try_for_each(|header| check::header(Some(*number), header))?;
        }
        Ok(headers)
    }

    /// The blocks of a range that the node must have, with the contract's logs: all of them, or the first, of which there is room for. Whether the
    /// first of all follows the cursor is for the caller to see.
    pub(crate) async fn blocks(&self, asked: Asked) -> Result<Vec<Block>, IndexError> {
        let Asked { contract, kind, range, strict, most_bytes } = asked;
        let mut room = Room::new(most_bytes);
        let numbers: Vec<u64> = range.clone().collect();
        // Of the paper's contract logs tell neither who registered nor all that was: it is always read by receipts and transactions.
        if !strict && kind == ContractKind::Registry {
            let (headers, logs) = futures::try_join!(self.linked(&numbers), self.logs(contract, range))?;
            let mut blocks = check::logs(&headers, logs, contract)?;
            blocks.truncate(room.take_in_all(&blocks));
            self.add_transactions(contract, &mut blocks).await?;
            return Ok(blocks);
        }
        let headers = self.linked(&numbers).await?;
        let admitting: Vec<usize> = (0..headers.len()).filter(|place| admits(&headers[*place], contract)).collect();
        // Receipts prove the logs, so these are not asked for, but where the filters say that there are none: on a chain that leaves its
        // filters empty, the node then contradicts them.
        let logs = if admitting.is_empty() { self.logs(contract, range).await? } else { vec![] };
        let mut blocks = check::logs(&headers, logs, contract)?;
        match kind {
            ContractKind::Registry => self.add_proven(contract, &headers, &admitting, &mut blocks, &mut room).await?,
            ContractKind::Itrex => self.add_signed(contract, &headers, &mut blocks, &mut room).await?,
        }
        Ok(blocks)
    }

    /// Headers that follow each other.
    async fn linked(&self, numbers: &[u64]) -> Result<Vec<Header>, IndexError> {
        let headers = numbers.iter().zip(self.headers(numbers).await?);
        let headers = headers.map(|(number, header)| header.ok_or(Mismatch::MissingBlock(*number)));
        let headers = headers.collect::<Result<Vec<Header>, Mismatch>>()?;
        check::links(&headers)?;
        Ok(headers)
    }

    async fn logs(&self, contract: Address, range: RangeInclusive<u64>) -> Result<Vec<Log>, IndexError> {
        let filter = Filter::new().address(contract).from_block(*range.start()).to_block(*range.end());
        let logs: Option<Vec<PlacedLog>> = self.rpc.call("eth_getLogs", (filter,)).await?;
        let null = || IndexError::Rpc { method: "eth_getLogs", reason: "the node answers null".into() };
        Ok(logs.ok_or_else(null)?.into_iter().map(Log::from).collect())
    }

    /// Gives blocks what their receipts prove, some at a time: receipts are many times larger than what is kept of them. Once there is no room for
    /// more, the blocks end before the next of these places.
    async fn add_proven(
        &self,
        contract: Address,
        headers: &[Header],
        places: &[usize],
        blocks: &mut Vec<Block>,
        room: &mut Room,
    ) -> Result<(), IndexError> {
        for (number, now) in places.chunks(RECEIPTS_AT_ONCE).enumerate() {
            let receipts = self.receipts(now.iter().map(|place| headers[*place].hash)).await?;
            for (place, receipts) in now.iter().zip(receipts) {
                let (header, block) = (&headers[*place], &mut blocks[*place]);
                let receipts = receipts.ok_or(Mismatch::MissingBlock(block.number))?;
                check::proven(header, receipts, contract, block)?;
                room.take_in(block);
            }
            if let Some(next) = places.get((number + 1) * RECEIPTS_AT_ONCE).filter(|_| room.is_full()) {
                blocks.truncate(*next);
                break;
            }
        }
        Ok(())
    }

    /// Gives blocks also the calls that no log tells of, and sees that the senders are those who signed.
    async fn add_signed(
        &self,
        contract: Address,
        headers: &[Header],
        blocks: &mut Vec<Block>,
        room: &mut Room,
    ) -> Result<(), IndexError> {
        let all: Vec<usize> = (0..headers.len()).collect();
        for places in all.chunks(BODIES_AT_ONCE) {
            let bodies = self.bodies(places.iter().map(|place| &headers[*place])).await?;
            for (place, body) in places.iter().zip(&bodies) {
                let (header, block) = (&headers[*place], &mut blocks[*place]);
                check::body(header, body)?;
                let calls = body.calls(contract, itrex::registers_certificate);
                block.calls = calls.map_err(|_| Mismatch::Sender(block.number))?;
            }
            let concerned = |place: &usize| admits(&headers[*place], contract) || !blocks[*place].calls.is_empty();
            let concerned: Vec<usize> = places.iter().copied().filter(concerned).collect();
            self.add_proven(contract, headers, &concerned, blocks, room).await?;
            let read = blocks.len().min(places[places.len() - 1] + 1);
            for (place, body) in places.iter().zip(&bodies).filter(|(place, _)| **place < read) {
                check::senders(&blocks[*place], body)?;
            }
            if room.is_full() {
                blocks.truncate(read);
                break;
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
    async fn add_transactions(&self, contract: Address, blocks: &mut [Block]) -> Result<(), IndexError> {
        let mut concerned: Vec<&mut Block> = blocks.iter_mut().filter(|block| !block.logs.is_empty()).collect();
        for concerned in concerned.chunks_mut(RECEIPTS_AT_ONCE) {
            let receipts = self.receipts(concerned.iter().map(|block| block.hash)).await?;
            for (block, receipts) in concerned.iter_mut().zip(receipts) {
                let receipts = receipts.ok_or(Mismatch::MissingBlock(block.number))?;
                check::agreeing(&receipts, contract, block)?;
            }
        }
        Ok(())
    }

    async fn receipts(&self, hashes: impl Iterator<Item = B256>) -> Result<Vec<Option<Vec<Receipt>>>, IndexError> {
        let calls: Vec<_> = hashes.map(|hash| (BlockId::hash(hash),)).collect();
        self.rpc.calls("eth_getBlockReceipts", &calls).await
    }
}

/// Whether the header's bloom filter lets the block hold a log of the contract.
fn admits(header: &Header, contract: Address) -> bool {
    header.inner.logs_bloom.contains_input(BloomInput::Raw(contract.as_slice()))
}
