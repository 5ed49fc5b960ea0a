//! Reads of a contract's chain, from whichever endpoints are best, believed only where a quorum says the same.

use std::{ops::RangeInclusive, sync::Arc};

use alloy::{
    primitives::{Address, B256, Bytes, Keccak256, keccak256},
    rpc::types::Header,
    sol_types::SolCall,
};
use runproof_contracts::ContractKind;

use crate::{
    block::{Block, BlockRef, Head},
    check::Mismatch,
    endpoint::Endpoint,
    endpoints::Endpoints,
    error::IndexError,
    identity::Identity,
    node::Asked,
    room::RANGE_BYTES,
};

/// A contract, and the endpoints from which it is read.
#[derive(Clone)]
pub struct Source {
    endpoints: Arc<Endpoints>,
    contract: Address,
    kind: ContractKind,
    strict: bool,
    range_bytes: usize,
}

impl Source {
    /// A source that is asked nothing yet. [`Self::identify`] comes first.
    pub fn new(endpoints: Arc<Endpoints>, contract: Address, kind: ContractKind, strict: bool) -> Self {
        Self { endpoints, contract, kind, strict, range_bytes: RANGE_BYTES }
    }

    /// The same, where the blocks of a range may take so much memory.
    pub fn holding(self, range_bytes: usize) -> Self {
        Self { range_bytes, ..self }
    }

    /// Which contract is read.
    pub fn kind(&self) -> ContractKind {
        self.kind
    }

    /// Which chain and contract it is, and so who can be asked. `known` is what the journal says of it.
    pub async fn identify(&self, chain_id: Option<u64>, known: Option<Identity>) -> Result<Identity, IndexError> {
        self.endpoints.identify(self.contract, chain_id, known).await
    }

    /// The newest block that a quorum has, and how far all of them call the chain safe and final.
    pub async fn head(&self) -> Result<Head, IndexError> {
        let ask = |endpoint: Arc<_>| async move { Endpoint::head(&endpoint).await };
        let heads = self.endpoints.agreed(ask, |_: &Head| B256::ZERO).await?;
        let mut head = *heads.iter().min_by_key(|head| head.latest.number).ok_or(Mismatch::MissingBlock(0))?;
        if heads.iter().any(|other| other.latest != head.latest) {
            let hash = self.hashes(&[head.latest.number]).await?;
            head.latest.hash = hash.first().copied().flatten().ok_or(Mismatch::MissingBlock(head.latest.number))?;
        }
        head.safe = lowest(heads.iter().map(|head| head.safe));
        head.finalized = lowest(heads.iter().map(|head| head.finalized));
        Ok(head)
    }

    /// Hashes of blocks by number, in the order asked for, `None` where there is none.
    pub async fn hashes(&self, numbers: &[u64]) -> Result<Vec<Option<B256>>, IndexError> {
        let numbers: Arc<[u64]> = numbers.into();
        let ask = |endpoint: Arc<Endpoint>| {
            let numbers = numbers.clone();
            async move {
                let headers = endpoint.node().headers(&numbers).await?;
                Ok(headers.iter().map(|header: &Option<Header>| header.as_ref().map(|header| header.hash)).collect())
            }
        };
        let digest = |hashes: &Vec<Option<B256>>| {
            let mut keccak = Keccak256::new();
            hashes.iter().for_each(|hash| keccak.update(hash.unwrap_or_default()));
            keccak.finalize()
        };
        one(self.endpoints.agreed(ask, digest).await?)
    }

    /// What a call of the contract returns as of a block.
    pub(crate) async fn call<C: SolCall>(&self, call: C, block: B256) -> Result<C::Return, IndexError> {
        let input = Bytes::from(call.abi_encode());
        let ask = |endpoint: Arc<Endpoint>| {
            let input = input.clone();
            async move {
                let returned = endpoint.node().call(self.contract, input, block).await?;
                C::abi_decode_returns(&returned)
                    .map(|_| returned)
                    .map_err(|error| IndexError::Rpc { method: "eth_call", reason: error.to_string() })
            }
        };
        let returned = one(self.endpoints.agreed(ask, |returned: &Bytes| keccak256(returned)).await?)?;
        C::abi_decode_returns(&returned)
            .map_err(|error| IndexError::Rpc { method: "eth_call", reason: error.to_string() })
    }

    /// The blocks of a range that the chain must have, with the contract's logs: all of them, or as many of the first as are to be held at once, of one
    /// that is not empty at least one. Whether the first follows the cursor is for the caller to see.
    pub async fn blocks(&self, range: RangeInclusive<u64>) -> Result<Vec<Block>, IndexError> {
        let Self { contract, kind, strict, range_bytes: most_bytes, .. } = *self;
        let asked = Asked { contract, kind, range, strict, most_bytes };
        let ask = |endpoint: Arc<Endpoint>| {
            let asked = asked.clone();
            async move { endpoint.node().blocks(asked).await }
        };
        one(self.endpoints.agreed(ask, digest).await?)
    }
}

/// The lowest of tagged blocks, if all endpoints name one. Whether the journal has that block is for the caller to see.
fn lowest(tags: impl Iterator<Item = Option<BlockRef>>) -> Option<BlockRef> {
    tags.collect::<Option<Vec<_>>>()?.into_iter().min_by_key(|tag| tag.number)
}

fn one<T>(agreed: Vec<T>) -> Result<T, IndexError> {
    agreed.into_iter().next().ok_or(IndexError::NoQuorum { wanted: 1, what: "what was asked" })
}

/// keccak256 over headers, logs and transactions.
fn digest(blocks: &Vec<Block>) -> B256 {
    let mut keccak = Keccak256::new();
    for block in blocks {
        keccak.update(block.hash);
        for log in &block.logs {
            keccak.update(log.log_index.unwrap_or(u64::MAX).to_be_bytes());
            keccak.update(log.transaction_hash.unwrap_or_default());
            keccak.update((log.topics().len() as u64).to_be_bytes());
            log.topics().iter().for_each(|topic| keccak.update(topic));
            keccak.update((log.inner.data.data.len() as u64).to_be_bytes());
            keccak.update(&log.inner.data.data);
        }
        for call in &block.calls {
            keccak.update(format!("{call:?}"));
        }
        for transaction in &block.transactions {
            keccak.update(transaction.hash);
            keccak.update(transaction.sender);
            keccak.update(transaction.recipient.unwrap_or_default());
            keccak.update(transaction.gas_used.to_be_bytes());
            keccak.update(transaction.effective_gas_price_wei.to_be_bytes());
        }
    }
    keccak.finalize()
}
