//! Transactions that survive crashes and reorganisations: stored, signed, before they are sent, and looked after until they are final.
//!
//! Whether a transaction took effect is never guessed from the answer to sending it. It is looked up: its receipt, its nonce, its block.

use alloy::{
    primitives::{Address, B256},
    providers::Provider,
    rpc::types::TransactionReceipt,
};
use eyre::Context;
use runproof_contracts::{RegistryEvent, decode};
use sqlx::{PgConnection, PgExecutor, PgPool};

use crate::{
    chain::{Block, Chain, Signed},
    plan::Registration,
    replacement,
};

/// A stored transaction that is not known to be final.
#[derive(Debug, Clone)]
struct Stored {
    id: i64,
    hash: B256,
    nonce: u64,
    raw: Vec<u8>,
}

/// Serialises all who sign with this key, in any process, until the SQL transaction ends.
pub(crate) async fn lock_sender(sql: &mut PgConnection, chain: &Chain) -> eyre::Result<()> {
    sqlx::query("select pg_advisory_xact_lock(hashtextextended('runproof sender ' || $1, 0))")
        .bind(chain.issuer.to_string())
        .execute(sql)
        .await?;
    Ok(())
}

/// The nonce after all that was sent or is about to be. The sender must be locked.
pub(crate) async fn next_nonce(sql: &mut PgConnection, chain: &Chain) -> eyre::Result<u64> {
    let stored: Option<i64> =
        sqlx::query_scalar("select max(nonce) from executor.transaction where sender = $1 and status = 'signed'")
            .bind(chain.issuer.as_slice())
            .fetch_one(sql)
            .await?;
    let by_node = chain.next_nonce(true).await?;
    Ok(stored.map_or(by_node, |last| by_node.max(last as u64 + 1)))
}

/// Stores a signed transaction with all that it registers.
pub(crate) async fn store(
    sql: &mut PgConnection,
    sender: Address,
    signed: &Signed,
    registrations: &[Registration],
) -> eyre::Result<i64> {
    let id: i64 = sqlx::query_scalar(
        "insert into executor.transaction (sender, nonce, hash, raw) values ($1, $2, $3, $4) returning transaction_id",
    )
    .bind(sender.as_slice())
    .bind(signed.nonce as i64)
    .bind(signed.hash.as_slice())
    .bind(&signed.raw[..])
    .fetch_one(&mut *sql)
    .await
    .context("storing a signed transaction")?;
    for registration in registrations {
        store_registration(sql, id, registration).await?;
    }
    Ok(id)
}

pub(crate) async fn store_registration(
    sql: &mut PgConnection,
    transaction_id: i64,
    registration: &Registration,
) -> eyre::Result<()> {
    let (kind, model, instance, range, account) = match registration {
        Registration::Model(model) => ("model", Some(model), None, None, None),
        Registration::Participant(account) => ("participant", None, None, None, Some(account)),
        Registration::Instance(model, instance) => ("instance", Some(model), Some(instance), None, None),
        Registration::States { instance, first, states } => {
            ("states", None, Some(instance), Some((*first, states.len() as u64)), None)
        }
        Registration::Termination { instance, count, .. } => {
            ("termination", None, Some(instance), Some((0, *count)), None)
        }
    };
    sqlx::query(
        "insert into executor.registration (transaction_id, kind, model_id, instance_id, first, count, account)
         values ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(transaction_id)
    .bind(kind)
    .bind(model.map(|id| id.as_slice()))
    .bind(instance.map(|id| id.as_slice()))
    .bind(range.map(|(first, _)| first as i64))
    .bind(range.map(|(_, count)| count as i64))
    .bind(account.map(|account| account.as_slice()))
    .execute(sql)
    .await?;
    Ok(())
}

/// Sends a stored transaction. A refusal is not an error here: what became of the transaction is looked up later.
pub(crate) async fn send(chain: &Chain, hash: B256, raw: &[u8]) {
    match chain.provider().send_raw_transaction(raw).await {
        Ok(_) => tracing::debug!(transaction = %hash, "transaction sent"),
        Err(error) => {
            tracing::warn!(transaction = %hash, %error, "the node did not take the transaction; looking for it")
        }
    }
}

/// Brings what is stored in line with the chain: transactions that were included, moved by a reorganisation, dropped, or replaced. `seen` is the
/// newest block when this was last done: what was included then is looked at again only if there is another. Returns how many transactions still
/// wait to be included.
///
/// # Errors
/// The node or the database does not answer.
pub async fn reconcile(pool: &PgPool, chain: &Chain, seen: &mut B256) -> eyre::Result<u64> {
    let (number, newest) = chain.newest().await?;
    if *seen != newest {
        recheck_included(pool, chain, chain.finalized(number).await?).await?;
        *seen = newest;
    }
    settle_signed(pool, chain).await
}

/// Compares the block of each included transaction above `final_block` with the chain as it is now.
async fn recheck_included(pool: &PgPool, chain: &Chain, final_block: u64) -> eyre::Result<()> {
    let blocks: Vec<(i64, Vec<u8>)> = sqlx::query_as(
        "select distinct block_number, block_hash from executor.transaction
         where sender = $1 and status = 'included' and block_number > $2 order by 1",
    )
    .bind(chain.issuer.as_slice())
    .bind(final_block as i64)
    .fetch_all(pool)
    .await?;
    for (number, hash) in blocks {
        if chain.block_hash(number as u64).await?.is_none_or(|now| now.as_slice() != hash) {
            tracing::warn!(block_number = number, "a block with registrations was reorganised away");
            reopen(pool, &hash).await?;
        }
    }
    Ok(())
}

/// The transactions of this block are to be looked for again. Their rows in the protocol stay; block and time are unknown until then.
async fn reopen(sql: impl PgExecutor<'_>, block_hash: &[u8]) -> eyre::Result<()> {
    sqlx::query(
        "update executor.transaction set status = 'signed', block_number = null, block_hash = null, block_timestamp_s = null, gas_used = null
         where block_hash = $1 and status = 'included'",
    )
    .bind(block_hash)
    .execute(sql)
    .await?;
    Ok(())
}

/// Takes back that an instance's transactions are included, so that each is looked for again, final or not.
pub(crate) async fn doubt(sql: &mut PgConnection, instance: runproof_protocol::InstanceId) -> eyre::Result<()> {
    let blocks: Vec<Vec<u8>> = sqlx::query_scalar(
        "select distinct t.block_hash from executor.transaction t join executor.registration r using (transaction_id)
         where r.instance_id = $1 and t.status = 'included'",
    )
    .bind(instance.as_slice())
    .fetch_all(&mut *sql)
    .await?;
    for block in blocks {
        reopen(&mut *sql, &block).await?;
    }
    Ok(())
}

/// Looks for each transaction that was signed and is not known to be included; in nonce order, so that a later one finds the earlier ones sent.
async fn settle_signed(pool: &PgPool, chain: &Chain) -> eyre::Result<u64> {
    let rows: Vec<(i64, Vec<u8>, i64, Vec<u8>)> = sqlx::query_as(
        "select transaction_id, hash, nonce, raw from executor.transaction where sender = $1 and status = 'signed' order by nonce",
    )
    .bind(chain.issuer.as_slice())
    .fetch_all(pool)
    .await?;
    if rows.is_empty() {
        return Ok(0);
    }
    let mut expected_nonce = chain.next_nonce(true).await?;
    let mut waiting = 0;
    for (id, hash, nonce, raw) in rows {
        let stored = Stored { id, hash: B256::try_from(&hash[..])?, nonce: nonce as u64, raw };
        if settle(pool, chain, &stored, expected_nonce).await? {
            waiting += 1;
            expected_nonce = expected_nonce.max(stored.nonce + 1);
        }
    }
    Ok(waiting)
}

/// Whether the transaction still waits to be included.
async fn settle(pool: &PgPool, chain: &Chain, stored: &Stored, expected_nonce: u64) -> eyre::Result<bool> {
    // The nonce is read before the receipt: a nonce that was used before the receipt was missing is used by another transaction.
    let asked = chain.nodes().asked();
    let used_nonces = chain.next_nonce(false).await?;
    if let Some(receipt) = chain.provider().get_transaction_receipt(stored.hash).await? {
        return include(pool, chain, stored, &receipt).await.map(|included| !included);
    }
    if chain.nodes().asked() != asked {
        // Of two nodes the one may know a nonce as used, and the other not yet by what.
        return Ok(true);
    }
    let lost = if stored.nonce < used_nonces {
        Some("its nonce was used by another transaction")
    } else if stored.nonce > expected_nonce {
        Some("a transaction before it vanished")
    } else {
        None
    };
    if let Some(reason) = lost {
        tracing::warn!(transaction = %stored.hash, nonce = stored.nonce, reason, "transaction abandoned; what it registered is open again");
        set_status(pool, stored.id, "abandoned").await?;
        return Ok(false);
    }
    if replacement::is_underpriced(chain, &stored.raw).await? {
        replacement::replace(pool, chain, stored.id, stored.hash, &stored.raw).await?;
    } else if chain.provider().get_transaction_by_hash(stored.hash).await?.is_none() {
        send(chain, stored.hash, &stored.raw).await;
    }
    Ok(true)
}

async fn set_status(pool: &PgPool, id: i64, status: &'static str) -> eyre::Result<()> {
    sqlx::query("update executor.transaction set status = $2 where transaction_id = $1")
        .bind(id)
        .bind(status)
        .execute(pool)
        .await?;
    metrics::counter!("runproof_executor_transactions_total", "status" => status).increment(1);
    Ok(())
}

/// Records what a receipt tells; `false` if its block is gone again already.
async fn include(pool: &PgPool, chain: &Chain, stored: &Stored, receipt: &TransactionReceipt) -> eyre::Result<bool> {
    let Some(block) = block_of(chain, receipt).await? else { return Ok(false) };
    if !receipt.status() {
        tracing::warn!(transaction = %stored.hash, block_number = block.number, "transaction reverted; what it registered is open again");
        set_status(pool, stored.id, "reverted").await?;
        return Ok(true);
    }
    let mut sql = pool.begin().await?;
    mark_included(&mut sql, stored.id, block, receipt).await?;
    sql.commit().await?;
    tracing::info!(transaction = %stored.hash, block_number = block.number, gas_used = receipt.gas_used, "registered");
    metrics::counter!("runproof_executor_transactions_total", "status" => "included").increment(1);
    metrics::counter!("runproof_executor_gas_used_total").increment(receipt.gas_used);
    Ok(true)
}

/// The block a receipt names, if the node has it.
pub(crate) async fn block_of(chain: &Chain, receipt: &TransactionReceipt) -> eyre::Result<Option<Block>> {
    let Some((number, hash)) = receipt.block_number.zip(receipt.block_hash) else { return Ok(None) };
    Ok(chain.block_time_s(hash).await?.map(|timestamp_s| Block { number, hash, timestamp_s }))
}

/// Writes block, gas, and the ordinal that the contract gave to an instance.
pub(crate) async fn mark_included(
    sql: &mut PgConnection,
    id: i64,
    block: Block,
    receipt: &TransactionReceipt,
) -> eyre::Result<()> {
    sqlx::query(
        "update executor.transaction set status = 'included', block_number = $2, block_hash = $3, block_timestamp_s = $4, gas_used = $5
         where transaction_id = $1",
    )
    .bind(id)
    .bind(block.number as i64)
    .bind(block.hash.as_slice())
    .bind(block.timestamp_s as i64)
    .bind(receipt.gas_used as i64)
    .execute(&mut *sql)
    .await?;
    for log in receipt.logs().iter().filter(|log| Some(log.address()) == receipt.to) {
        if let Ok(RegistryEvent::InstanceRegistered { instance, ordinal, .. }) = decode(&log.inner) {
            sqlx::query("update executor.instance set ordinal = $2 where instance_id = $1")
                .bind(instance.as_slice())
                .bind(ordinal as i64)
                .execute(&mut *sql)
                .await?;
        }
    }
    Ok(())
}
