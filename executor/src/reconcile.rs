//! Brings stored transactions in line with the chain: those that were included, moved by a reorganisation, dropped, outbid, or overtaken.
//!
//! Whether a transaction took effect is never guessed from the answer to sending it. It is looked up: its receipt, its nonce, its block.

use std::collections::HashMap;

use alloy::{primitives::B256, providers::Provider, rpc::types::TransactionReceipt};

use crate::{
    chain::Head,
    executor::Executor,
    fate::{Sighting, Step, Watch},
    replacement, transaction,
};

/// What is remembered from look to look; all of it can be lost.
#[derive(Debug, Default)]
pub(crate) struct Looks {
    newest: B256,
    low_funds: bool,
    watches: HashMap<i64, Watch>,
}

/// A stored transaction that is not known to be included.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) id: i64,
    pub(crate) hash: B256,
    nonce: u64,
    pub(crate) raw: Vec<u8>,
}

impl Executor {
    /// Looks at each transaction that is not final. What was included is looked at again only if there is another newest block than at the last
    /// look. Returns how many transactions still wait to be included.
    ///
    /// # Errors
    /// The node or the database does not answer, or [`crate::lease::Deposed`].
    pub(crate) async fn reconcile(&self, looks: &mut Looks) -> eyre::Result<u64> {
        let head = self.chain.newest().await?;
        if looks.newest != head.hash {
            self.recheck_included(self.chain.finalized(head.number).await?).await?;
            self.watch_funds(head, &mut looks.low_funds).await;
            looks.newest = head.hash;
        }
        self.settle_signed(head, looks).await
    }

    /// Compares the block of each included transaction with the chain as it is now, until it is final with its block.
    async fn recheck_included(&self, final_block: u64) -> eyre::Result<()> {
        let blocks: Vec<(i64, Vec<u8>)> = sqlx::query_as(
            "select distinct block_number, block_hash from executor.transaction
             where sender = $1 and status = 'included' and not final order by 1",
        )
        .bind(self.chain.issuer.as_slice())
        .fetch_all(&self.pool)
        .await?;
        for (number, hash) in blocks {
            if self.chain.block_hash(number as u64).await?.is_none_or(|now| now.as_slice() != hash) {
                tracing::warn!(block_number = number, "a block with registrations was reorganised away");
                transaction::reopen(&self.pool, &hash).await?;
            } else if number as u64 <= final_block {
                sqlx::query("update executor.transaction set final = true where block_hash = $1")
                    .bind(hash)
                    .execute(&self.pool)
                    .await?;
            }
        }
        Ok(())
    }

    /// Looks for each transaction that was signed and is not known to be included; in nonce order, so that a later one finds the earlier ones sent.
    async fn settle_signed(&self, head: Head, looks: &mut Looks) -> eyre::Result<u64> {
        let stored = self.signed().await?;
        looks.watches.retain(|id, _| stored.iter().any(|one| one.id == *id));
        if stored.is_empty() {
            return Ok(0);
        }
        let asked = self.chain.nodes().asked();
        let used_nonces = self.chain.next_nonce(false).await?;
        let mut next_nonce = self.chain.next_nonce(true).await?;
        let mut waiting = 0;
        for one in stored {
            let watch = looks.watches.entry(one.id).or_insert(Watch::new(head.number));
            if self.settle(&one, head, (used_nonces, next_nonce), asked, watch).await? {
                waiting += 1;
                next_nonce = next_nonce.max(one.nonce + 1);
            }
        }
        Ok(waiting)
    }

    async fn signed(&self) -> eyre::Result<Vec<Stored>> {
        let rows: Vec<(i64, Vec<u8>, i64, Vec<u8>)> = sqlx::query_as(
            "select transaction_id, hash, nonce, raw from executor.transaction where sender = $1 and status = 'signed' order by nonce",
        )
        .bind(self.chain.issuer.as_slice())
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|(id, hash, nonce, raw)| Ok(Stored { id, hash: B256::try_from(&hash[..])?, nonce: nonce as u64, raw }))
            .collect()
    }

    /// Whether the transaction still waits to be included.
    async fn settle(
        &self,
        stored: &Stored,
        head: Head,
        (used_nonces, next_nonce): (u64, u64),
        asked: usize,
        watch: &mut Watch,
    ) -> eyre::Result<bool> {
        let provider = self.chain.provider();
        let receipt = provider.get_transaction_receipt(stored.hash).await?;
        let known = receipt.is_some() || provider.get_transaction_by_hash(stored.hash).await?.is_some();
        if receipt.is_none() && self.chain.nodes().asked() != asked {
            // Of two nodes the one may know a nonce as used, and the other not yet by what.
            return Ok(true);
        }
        let underpriced = replacement::offer_wei(&stored.raw)? < u128::from(head.base_fee_wei);
        let seen =
            Sighting { block: head.number, used_nonces, next_nonce, receipt: receipt.is_some(), known, underpriced };
        match watch.step(stored.nonce, &seen, self.settings.replace_after_blocks) {
            Step::Include => {
                let Some(receipt) = receipt else { return Ok(true) };
                return self.include(stored, &receipt).await.map(|included| !included);
            }
            Step::Wait => {}
            // A block may have been made since the nonces were asked for, of which the node does not tell all yet.
            Step::Send if self.chain.next_nonce(false).await? > stored.nonce => {}
            Step::Send => self.broadcast(stored.id, stored.hash, &stored.raw).await?,
            // What could not be published was not sent: to offer more would not help.
            Step::Replace if !self.is_published(stored.id).await? => {
                self.broadcast(stored.id, stored.hash, &stored.raw).await?;
            }
            Step::Replace => self.replace(stored).await?,
            Step::Abandon(loss) => {
                tracing::warn!(transaction = %stored.hash, nonce = stored.nonce, reason = %loss, "transaction abandoned; what it registered is open again");
                self.set_status(stored.id, "abandoned").await?;
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Records what a receipt tells; `false` if its block is gone again already.
    async fn include(&self, stored: &Stored, receipt: &TransactionReceipt) -> eyre::Result<bool> {
        let Some(block) = transaction::block_of(&self.chain, receipt).await? else { return Ok(false) };
        if !receipt.status() {
            tracing::warn!(transaction = %stored.hash, block_number = block.number, "transaction reverted; what it registered is open again");
            self.set_status(stored.id, "reverted").await?;
            return Ok(true);
        }
        let mut sql = self.pool.begin().await?;
        transaction::mark_included(&mut sql, stored.id, block, receipt).await?;
        sql.commit().await?;
        tracing::info!(transaction = %stored.hash, block_number = block.number, gas_used = receipt.gas_used, "registered");
        metrics::counter!("runproof_executor_transactions_total", "status" => "included").increment(1);
        metrics::counter!("runproof_executor_gas_used_total").increment(receipt.gas_used);
        Ok(true)
    }

    async fn set_status(&self, id: i64, status: &'static str) -> eyre::Result<()> {
        sqlx::query("update executor.transaction set status = $2 where transaction_id = $1")
            .bind(id)
            .bind(status)
            .execute(&self.pool)
            .await?;
        metrics::counter!("runproof_executor_transactions_total", "status" => status).increment(1);
        Ok(())
    }
}
