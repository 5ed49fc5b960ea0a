//! What happens on the chain: runs that are registered, grow, end, and are taken back.

use std::time::Duration;

use alloy::{
    eips::BlockId,
    network::TransactionBuilder,
    primitives::{Address, B256, Bytes},
    providers::{Provider, ext::AnvilApi},
    rpc::types::TransactionRequest,
    sol_types::SolCall,
};
use eyre::{Result, WrapErr, eyre};
use rand::{Rng, rngs::StdRng, seq::IndexedRandom};
use runproof_contracts::InstanceRegistry;
use runproof_stack::Chain;

use crate::node::Node;

/// Enough for any transaction here; estimating would look at a block that is not there yet.
const GAS: u64 = 20_000_000;
const MAX_FEE_WEI: u128 = 10_000_000_000;
const TIP_WEI: u128 = 1_000_000_000;
const RECEIPT_EVERY: Duration = Duration::from_millis(20);
/// Runs that may still grow.
const GROWING: usize = 12;

/// How a reorganisation is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    /// As many empty blocks instead, at once (`anvil_reorg`).
    Replace,
    /// Back to the fork (the node's head sinks), then one block more than before, with other registrations (`anvil_rollback`).
    RollBack,
}

/// A source of registrations.
#[derive(Clone)]
pub(crate) struct Load {
    registry: Address,
    issuers: Vec<Address>,
    runs: Vec<(Address, B256)>,
}

/// With gas, and a price that any block here takes.
pub(crate) fn paid(transaction: TransactionRequest) -> TransactionRequest {
    transaction.with_gas_limit(GAS).with_max_fee_per_gas(MAX_FEE_WEI).with_max_priority_fee_per_gas(TIP_WEI)
}

impl Load {
    /// By the node's accounts.
    pub(crate) async fn new(chain: &impl Node, registry: Address) -> Result<Self> {
        let issuers = chain.accounts().await?.into_iter().skip(1).take(4).collect();
        Ok(Self { registry, issuers, runs: Vec::new() })
    }

    /// So many blocks, each with up to one transaction of each issuer.
    pub(crate) async fn blocks(&mut self, chain: &impl Node, random: &mut StdRng, blocks: u64) -> Result<()> {
        for _ in 0..blocks {
            let mut sent = Vec::new();
            for issuer in self.issuers.clone() {
                if random.random_bool(0.6) {
                    sent.push(self.send(chain, random, issuer).await?);
                }
            }
            chain.mine(1).await?;
            // A reorganisation while anvil still makes a block loses the block's transactions for good.
            for hash in sent {
                self.included(chain, hash).await?;
            }
        }
        Ok(())
    }

    /// Replaces the newest blocks.
    pub(crate) async fn reorganise(
        &mut self,
        chain: &Chain,
        random: &mut StdRng,
        method: Method,
        depth: u64,
    ) -> Result<()> {
        match method {
            Method::Replace => chain.reorganise(depth).await?,
            Method::RollBack => {
                chain.provider().anvil_rollback(Some(depth)).await.wrap_err("rolling back")?;
                let busy = depth.min(random.random_range(1..=3));
                self.blocks(chain, random, busy).await?;
                chain.mine(depth + 1 - busy).await?;
            }
        }
        Ok(())
    }

    async fn included(&self, chain: &impl Node, hash: B256) -> Result<()> {
        for _ in 0..250 {
            if chain.provider().get_transaction_receipt(hash).await?.is_some() {
                return Ok(());
            }
            tokio::time::sleep(RECEIPT_EVERY).await;
        }
        Err(eyre!("transaction {hash} was not mined"))
    }

    /// Sends a new run, or goes on with one that the chain still has.
    async fn send(&mut self, chain: &impl Node, random: &mut StdRng, issuer: Address) -> Result<B256> {
        let ours: Vec<B256> = self.runs.iter().filter(|(by, _)| *by == issuer).map(|(_, instance)| *instance).collect();
        let old = ours.choose(random).copied().filter(|_| random.random_bool(0.7));
        let mut calls = match old {
            Some(instance) => self.grow(chain, random, issuer, instance).await?,
            None => Vec::new(),
        };
        if calls.is_empty() {
            calls = self.begin(random, issuer);
        }
        let input = InstanceRegistry::multicallCall { calls }.abi_encode();
        let transaction = TransactionRequest::default().with_from(issuer).with_to(self.registry).with_input(input);
        let pending = chain.provider().send_transaction(paid(transaction)).await.wrap_err("sending")?;
        Ok(*pending.tx_hash())
    }

    fn begin(&mut self, random: &mut StdRng, issuer: Address) -> Vec<Bytes> {
        let [model, instance] = [(); 2].map(|()| B256::from(random.random::<[u8; 32]>()));
        self.runs.push((issuer, instance));
        if self.runs.len() > GROWING {
            self.runs.remove(0);
        }
        vec![
            InstanceRegistry::registerModelCall { model }.abi_encode().into(),
            InstanceRegistry::registerInstanceCall { model, instance }.abi_encode().into(),
            states(random, issuer, instance, 0),
        ]
    }

    /// Nothing if the run has ended or is no longer on the chain.
    async fn grow(
        &self,
        chain: &impl Node,
        random: &mut StdRng,
        issuer: Address,
        instance: B256,
    ) -> Result<Vec<Bytes>> {
        let contract = InstanceRegistry::new(self.registry, chain.provider());
        let held =
            contract.instanceOf(issuer, instance).block(BlockId::latest()).call().await.wrap_err("asking for a run")?;
        if held.registeredAtBlock == 0 || held.outcome != 0 {
            return Ok(Vec::new());
        }
        if random.random_bool(0.15) {
            let end = InstanceRegistry::terminateInstanceCall { issuer, instance, count: held.count, outcome: 1 };
            return Ok(vec![end.abi_encode().into()]);
        }
        Ok(vec![states(random, issuer, instance, held.count)])
    }
}

/// A batch of 1 to 12 states, sometimes with another shape than a line.
fn states(random: &mut StdRng, issuer: Address, instance: B256, first: u64) -> Bytes {
    let count = random.random_range(1..=12);
    let states: Vec<B256> = (0..count).map(|_| random.random::<[u8; 32]>().into()).collect();
    // All from the same state: a fan, which differs from a line as soon as there are two.
    let fan = (first > 0 && count > 1 && random.random_bool(0.3)).then(|| (first - 1) as u32);
    let predecessors: Vec<u8> = fan.into_iter().flat_map(|from| from.to_be_bytes().repeat(count)).collect();
    InstanceRegistry::registerStatesCall { issuer, instance, first, states, predecessors: predecessors.into() }
        .abi_encode()
        .into()
}
