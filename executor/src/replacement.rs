//! Replaces a transaction that offers too little, or waits for too long: the same calls and nonce, a higher fee.

use alloy::{
    consensus::{Transaction, TxEnvelope},
    eips::eip2718::Decodable2718,
    primitives::U256,
};
use eyre::{Context, OptionExt};

use crate::{
    chain::{SignError, Signed},
    executor::Executor,
    reconcile::Stored,
    transaction,
};

/// Nodes take a replacement only if it offers at least a tenth more (go-ethereum's `pricebump`); an eighth leaves room for rounding.
pub(crate) fn bumped(fee_wei: u128) -> u128 {
    fee_wei + fee_wei / 8 + 1
}

/// Most that a stored transaction offers, wei a gas.
pub(crate) fn offer_wei(raw: &[u8]) -> eyre::Result<u128> {
    Ok(decode(raw)?.max_fee_per_gas())
}

/// Most that a stored transaction may cost, wei.
pub(crate) fn most_wei(raw: &[u8]) -> eyre::Result<U256> {
    let transaction = decode(raw)?;
    Ok(U256::from(transaction.gas_limit()) * U256::from(transaction.max_fee_per_gas()) + transaction.value())
}

impl Executor {
    /// Signs anew, stores, sends. If the old one is included after all, it is adopted from the chain like any other that is not known.
    pub(crate) async fn replace(&self, stored: &Stored) -> eyre::Result<()> {
        let old = decode(&stored.raw)?;
        let least = (bumped(old.max_fee_per_gas()), bumped(old.max_priority_fee_per_gas().unwrap_or_default()));
        let to = old.to().ok_or_eyre("a stored transaction creates a contract")?;
        let new = match self.chain.sign_with(to, old.input().clone(), old.nonce(), old.gas_limit(), least).await {
            Err(reason @ (SignError::TooDear { .. } | SignError::ReplacementTooDear { .. })) => {
                tracing::warn!(transaction = %stored.hash, %reason, "the transaction offers too little and is not replaced");
                return Ok(());
            }
            signed => signed?,
        };
        let mut sql = self.pool.begin().await?;
        self.lock_sender(&mut sql).await?;
        let given_up = sqlx::query(
            "update executor.transaction set status = 'abandoned' where transaction_id = $1 and status = 'signed'",
        )
        .bind(stored.id)
        .execute(&mut *sql)
        .await?;
        if given_up.rows_affected() == 0 {
            return Ok(());
        }
        let new_id = transaction::store(&mut sql, self.chain.issuer, &new, &[]).await?;
        sqlx::query(
            "insert into executor.registration (transaction_id, kind, model_id, instance_id, first, count, account, is_published)
             select $2, kind, model_id, instance_id, first, count, account, is_published from executor.registration where transaction_id = $1",
        )
        .bind(stored.id)
        .bind(new_id)
        .execute(&mut *sql)
        .await?;
        sql.commit().await?;
        tracing::warn!(transaction = %stored.hash, replaced_by = %new.hash, nonce = new.nonce, "the transaction offered too little; replaced");
        let Signed { hash, raw, .. } = new;
        self.broadcast(new_id, hash, &raw).await
    }
}

fn decode(raw: &[u8]) -> eyre::Result<TxEnvelope> {
    TxEnvelope::decode_2718(&mut &raw[..]).context("a stored transaction cannot be read")
}
