//! Reads of the chain, each answer checked before it is used.

use std::{ops::RangeInclusive, time::Duration};

use alloy::{
    eips::{BlockId, BlockNumberOrTag},
    primitives::{Address, B256, BloomInput, Bytes, U64},
    rpc::json_rpc::{RpcRecv, RpcSend},
    rpc::{
        client::RpcClient,
        types::{Filter, Header, Log, TransactionReceipt},
    },
    transports::{RpcError, TransportError},
};
use url::Url;

use crate::{
    block::{Block, BlockRef, Head},
    check::{self, Mismatch},
    error::IndexError,
};

/// Calls that one HTTP request carries: below the limits of the usual providers.
const CALLS_A_BATCH: usize = 100;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// One node, and the contract that is read from it.
pub struct Source {
    client: RpcClient,
    url: Url,
    contract: Address,
    strict: bool,
}

impl Source {
    /// A source that is asked nothing yet.
    pub fn new(url: Url, contract: Address, strict: bool) -> eyre::Result<Self> {
        let http = reqwest::Client::builder().connect_timeout(CONNECT_TIMEOUT).timeout(REQUEST_TIMEOUT).build()?;
        let client = RpcClient::builder().http_with_client(http, url.clone());
        Ok(Self { client, url, contract, strict })
    }

    /// EIP-155 chain id.
    pub async fn chain_id(&self) -> Result<u64, IndexError> {
        let id: U64 = self.call("eth_chainId", ()).await?;
        Ok(id.to())
    }

    /// Whether there is code at the contract's address.
    pub async fn has_contract(&self) -> Result<bool, IndexError> {
        let code: Bytes = self.call("eth_getCode", (self.contract, BlockNumberOrTag::Latest)).await?;
        Ok(!code.is_empty())
    }

    /// The newest block, and how far the chain calls itself safe and final.
    pub async fn head(&self) -> Result<Head, IndexError> {
        let latest: Option<Header> = self.call("eth_getBlockByNumber", (BlockNumberOrTag::Latest, false)).await?;
        let latest = latest.ok_or(Mismatch::MissingBlock(0))?;
        check::header(None, &latest)?;
        let latest = BlockRef { number: latest.inner.number, hash: latest.hash };
        let safe = self.tagged(BlockNumberOrTag::Safe).await?.min(latest.number);
        let finalized = self.tagged(BlockNumberOrTag::Finalized).await?.min(latest.number);
        Ok(Head { latest, safe, finalized })
    }

    /// Number of a tagged block. A chain that names none (yet) answers null or an error of its own.
    async fn tagged(&self, tag: BlockNumberOrTag) -> Result<u64, IndexError> {
        let answer = self.client.request::<_, Option<Header>>("eth_getBlockByNumber", (tag, false)).await;
        match answer {
            Ok(header) => Ok(header.map_or(0, |header| header.inner.number)),
            Err(RpcError::ErrorResp(_)) => Ok(0),
            Err(error) => Err(self.failed("eth_getBlockByNumber", &error)),
        }
    }

    /// Headers by number, in the order asked for, `None` where the node has none.
    pub async fn headers(&self, numbers: &[u64]) -> Result<Vec<Option<Header>>, IndexError> {
        let calls = numbers.iter().map(|number| (BlockNumberOrTag::Number(*number), false));
        let headers: Vec<Option<Header>> = self.calls("eth_getBlockByNumber", calls.collect()).await?;
        for (number, header) in numbers.iter().zip(&headers) {
            header.iter().try_for_each(|header| check::header(Some(*number), header))?;
        }
        Ok(headers)
    }

    /// The blocks of a range that the node must have, with the contract's logs. Whether the first follows the cursor is for the caller to see.
    pub async fn blocks(&self, range: RangeInclusive<u64>) -> Result<Vec<Block>, IndexError> {
        let filter = Filter::new().address(self.contract).from_block(*range.start()).to_block(*range.end());
        let numbers: Vec<u64> = range.collect();
        let headers = self.headers(&numbers);
        let logs = self.call::<_, Vec<Log>>("eth_getLogs", (filter,));
        let (headers, logs) = futures::try_join!(headers, logs)?;
        let headers = numbers.iter().zip(headers).map(|(number, header)| header.ok_or(Mismatch::MissingBlock(*number)));
        let headers = headers.collect::<Result<Vec<Header>, Mismatch>>()?;
        check::links(&headers)?;
        let mut blocks = check::logs(&headers, logs, self.contract)?;
        self.add_transactions(&headers, &mut blocks).await?;
        Ok(blocks)
    }

    /// Reads the receipts of the blocks that have logs; strictly, of those that may have some too.
    async fn add_transactions(&self, headers: &[Header], blocks: &mut [Block]) -> Result<(), IndexError> {
        let admits =
            |header: &Header| header.inner.logs_bloom.contains_input(BloomInput::Raw(self.contract.as_slice()));
        let mut concerned: Vec<(&Header, &mut Block)> = headers
            .iter()
            .zip(blocks)
            .filter(|(header, block)| !block.logs.is_empty() || (self.strict && admits(header)))
            .collect();
        let calls = concerned.iter().map(|(header, _)| (BlockId::hash(header.hash),)).collect();
        let receipts: Vec<Option<Vec<TransactionReceipt>>> = self.calls("eth_getBlockReceipts", calls).await?;
        for ((header, block), receipts) in concerned.iter_mut().zip(receipts) {
            let receipts = receipts.ok_or(Mismatch::MissingBlock(block.number))?;
            check::receipts(header, &receipts, self.contract, self.strict, block)?;
        }
        Ok(())
    }

    async fn call<P: RpcSend, R: RpcRecv>(&self, method: &'static str, params: P) -> Result<R, IndexError> {
        self.client.request(method, params).await.map_err(|error| self.failed(method, &error))
    }

    /// Many calls of one method, some a request, answers in order.
    async fn calls<P: RpcSend, R: RpcRecv>(&self, method: &'static str, params: Vec<P>) -> Result<Vec<R>, IndexError> {
        let mut answers = Vec::with_capacity(params.len());
        for params in params.chunks(CALLS_A_BATCH) {
            let mut batch = self.client.new_batch();
            let waiters = params.iter().map(|params| batch.add_call::<_, R>(method, params));
            let waiters = waiters.collect::<Result<Vec<_>, _>>().map_err(|error| self.failed(method, &error))?;
            batch.send().await.map_err(|error| self.failed(method, &error))?;
            for waiter in waiters {
                answers.push(waiter.await.map_err(|error| self.failed(method, &error))?);
            }
        }
        Ok(answers)
    }

    /// The error without the node's URL, which often holds a key.
    fn failed(&self, method: &'static str, error: &TransportError) -> IndexError {
        IndexError::Rpc { method, reason: error.to_string().replace(self.url.as_str(), "the node") }
    }
}

/// Hash of a header, if there is one.
pub fn hash(header: &Option<Header>) -> Option<B256> {
    header.as_ref().map(|header| header.hash)
}
