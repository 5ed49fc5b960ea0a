//! A node whose blocks are made when they are asked for: the stack's development chain, or a geth.

use alloy::{
    eips::BlockNumberOrTag,
    primitives::{Address, B256},
    providers::{DynProvider, Provider},
};
use eyre::{OptionExt, Result};
use runproof_stack::{Chain, Geth};

/// What a line needs of it.
pub(crate) trait Node: Sync {
    /// JSON-RPC over HTTP.
    fn http_url(&self) -> String;

    /// JSON-RPC that signs for [`Self::accounts`].
    fn provider(&self) -> &DynProvider;

    /// Who can pay.
    fn accounts(&self) -> impl Future<Output = Result<Vec<Address>>> + Send;

    /// Makes blocks, the first of what waits.
    fn mine(&self, blocks: u64) -> impl Future<Output = Result<()>> + Send;
}

impl Node for Chain {
    fn http_url(&self) -> String {
        self.http_url()
    }

    fn provider(&self) -> &DynProvider {
        self.provider()
    }

    async fn accounts(&self) -> Result<Vec<Address>> {
        Ok(self.provider().get_accounts().await?)
    }

    async fn mine(&self, blocks: u64) -> Result<()> {
        Ok(self.mine(blocks).await?)
    }
}

impl Node for Geth {
    fn http_url(&self) -> String {
        self.http_url()
    }

    fn provider(&self) -> &DynProvider {
        self.provider()
    }

    async fn accounts(&self) -> Result<Vec<Address>> {
        Ok(self.accounts().to_vec())
    }

    async fn mine(&self, blocks: u64) -> Result<()> {
        for _ in 0..blocks {
            self.mine().await?;
        }
        Ok(())
    }
}

/// Number and hash of a node's newest block.
pub(crate) async fn head(node: &impl Node) -> Result<(u64, B256)> {
    block(node, BlockNumberOrTag::Latest).await
}

/// Number and hash of a block.
pub(crate) async fn block(node: &impl Node, number: BlockNumberOrTag) -> Result<(u64, B256)> {
    let block = node.provider().get_block_by_number(number).await?;
    let header = block.ok_or_eyre("the node does not have the block")?.header;
    Ok((header.inner.number, header.hash))
}
