//! A chain that makes blocks by itself, and stands still when it is told to.

use std::{sync::Arc, time::Duration};

use alloy::{
    eips::BlockNumberOrTag,
    providers::{DynProvider, Provider, ext::AnvilApi},
};
use eyre::{OptionExt, Result};
use rand::{Rng, rngs::StdRng};
use tokio::{
    sync::{Mutex, OwnedMutexGuard},
    task::JoinHandle,
};

/// Shortest and longest time between two blocks, milliseconds.
const BETWEEN_MS: std::ops::RangeInclusive<u64> = 20..=120;
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Makes blocks until it is dropped.
pub(crate) struct Miner {
    at_work: Arc<Mutex<()>>,
    mining: JoinHandle<()>,
}

/// Keeps a miner from making blocks while it is there.
pub(crate) type Pause = OwnedMutexGuard<()>;

impl Miner {
    /// A block now and then.
    pub(crate) fn start(provider: DynProvider, mut random: StdRng) -> Self {
        let at_work = Arc::new(Mutex::new(()));
        let shared = at_work.clone();
        let mining = tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_millis(random.random_range(BETWEEN_MS))).await;
                let _working = shared.lock().await;
                if let Err(error) = mine(&provider).await {
                    tracing::warn!(error = format!("{error:#}"), "no block was made");
                }
            }
        });
        Self { at_work, mining }
    }

    /// No block is made until what this returns is dropped.
    pub(crate) async fn pause(&self) -> Pause {
        self.at_work.clone().lock_owned().await
    }
}

impl Drop for Miner {
    fn drop(&mut self) {
        self.mining.abort();
    }
}

/// One block, whole: a reorganisation while anvil still makes a block loses the block's transactions for good.
pub(crate) async fn mine(provider: &DynProvider) -> Result<()> {
    provider.anvil_mine(Some(1), None).await?;
    let newest =
        provider.get_block_by_number(BlockNumberOrTag::Latest).await?.ok_or_eyre("there is no newest block")?;
    for hash in newest.transactions.hashes() {
        while provider.get_transaction_receipt(hash).await?.is_none() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
    Ok(())
}
