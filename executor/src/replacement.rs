//! Replaces a transaction that offers less than a block costs now: the same calls and nonce, a higher fee.

use alloy::{
    consensus::{Transaction, TxEnvelope},
    eips::eip2718::Decodable2718,
    primitives::B256,
};
use eyre::Context;
use sqlx::PgPool;

use crate::{
    chain::{Chain, SignError, Signed},
    transaction,
};

/// Nodes take a replacement only if it offers at least a tenth more (go-ethereum's `pricebump`); an eighth leaves room for rounding.
fn bumped(fee_wei: u128) -> u128 {
    fee_wei + fee_wei / 8 + 1
}

/// Whether a stored transaction offers less a gas than the newest block's base fee, so that no block can take it.
pub(crate) async fn is_underpriced(chain: &Chain, raw: &[u8]) -> eyre::Result<bool> {
    Ok(decode(raw)?.max_fee_per_gas() < u128::from(chain.base_fee_wei().await?))
}

/// Signs anew, stores, sends. If the old one is included after all, it is adopted from the chain like any other that is not known.
pub(crate) async fn replace(pool: &PgPool, chain: &Chain, id: i64, hash: B256, raw: &[u8]) -> eyre::Result<()> {
    let old = decode(raw)?;
    let least = (bumped(old.max_fee_per_gas()), bumped(old.max_priority_fee_per_gas().unwrap_or_default()));
    let new = match chain.sign_with(old.input().clone(), old.nonce(), old.gas_limit(), least).await {
        Err(reason @ (SignError::TooDear { .. } | SignError::ReplacementTooDear { .. })) => {
            tracing::warn!(transaction = %hash, %reason, "the transaction offers too little and is not replaced");
            return Ok(());
        }
        signed => signed?,
    };
    let mut sql = pool.begin().await?;
    transaction::lock_sender(&mut sql, chain).await?;
    let given_up = sqlx::query(
        "update executor.transaction set status = 'abandoned' where transaction_id = $1 and status = 'signed'",
    )
    .bind(id)
    .execute(&mut *sql)
    .await?;
    if given_up.rows_affected() == 0 {
        return Ok(());
    }
    let new_id = transaction::store(&mut sql, chain.issuer, &new, &[]).await?;
    sqlx::query(
        "insert into executor.registration (transaction_id, kind, model_id, instance_id, first, count, account)
         select $2, kind, model_id, instance_id, first, count, account from executor.registration where transaction_id = $1",
    )
    .bind(id)
    .bind(new_id)
    .execute(&mut *sql)
    .await?;
    sql.commit().await?;
    tracing::warn!(transaction = %hash, replaced_by = %new.hash, nonce = new.nonce, "the transaction offered too little; replaced");
    let Signed { hash, raw, .. } = new;
    transaction::send(chain, hash, &raw).await;
    Ok(())
}

fn decode(raw: &[u8]) -> eyre::Result<TxEnvelope> {
    TxEnvelope::decode_2718(&mut &raw[..]).context("a stored transaction cannot be read")
}
