//! Transactions that survive crashes and reorganisations: stored, signed, before they are sent. What became of them is looked up later
//! ([`crate::reconcile`]).

use alloy::{
    primitives::{Address, B256},
    providers::Provider,
    rpc::types::TransactionReceipt,
};
use eyre::WrapErr;
use runproof_contracts::{RegistryEvent, decode};
use runproof_protocol::{InstanceId, ModelId};
use sqlx::{PgConnection, PgExecutor};

use crate::{
    captured::column,
    chain::{Block, Chain, Signed},
    executor::Executor,
    plan::Registration,
};

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
    .wrap_err("storing a signed transaction")?;
    store_registrations(sql, id, registrations).await?;
    Ok(id)
}

/// What a stored transaction registers, by one statement.
pub(crate) async fn store_registrations(
    sql: &mut PgConnection,
    transaction_id: i64,
    registrations: &[Registration],
) -> eyre::Result<()> {
    let rows: Vec<Row<'_>> = registrations.iter().map(row).collect();
    sqlx::query(
        "insert into executor.registration (transaction_id, kind, model_id, instance_id, first, count, account)
         select $1, r.* from unnest($2::text[], $3::bytea[], $4::bytea[], $5::bigint[], $6::bigint[], $7::bytea[]) as r",
    )
    .bind(transaction_id)
    .bind(column(&rows, |(kind, ..)| *kind))
    .bind(column(&rows, |(_, model, ..)| model.map(|id| id.as_slice())))
    .bind(column(&rows, |(_, _, instance, ..)| instance.map(|id| id.as_slice())))
    .bind(column(&rows, |(_, _, _, range, _)| range.map(|(first, _)| first as i64)))
    .bind(column(&rows, |(_, _, _, range, _)| range.map(|(_, count)| count as i64)))
    .bind(column(&rows, |(.., account)| account.map(|account| account.as_slice())))
    .execute(sql)
    .await?;
    Ok(())
}

/// Kind, model, instance, first and count of its states, account.
type Row<'r> = (&'static str, Option<&'r ModelId>, Option<&'r InstanceId>, Option<(u64, u64)>, Option<&'r Address>);

/// A registration as it is stored.
fn row(registration: &Registration) -> Row<'_> {
    match registration {
        Registration::Model(model) => ("model", Some(model), None, None, None),
        Registration::Participant(account) => ("participant", None, None, None, Some(account)),
        Registration::Instance(model, instance) => ("instance", Some(model), Some(instance), None, None),
        Registration::States { instance, first, states } => {
            ("states", None, Some(instance), Some((*first, states.len() as u64)), None)
        }
        // Which of both it was, the chain tells: what is published of them is the same.
        Registration::Root { instance, first, digest } => {
            ("states", None, Some(instance), Some((*first, digest.count)), None)
        }
        Registration::Termination { instance, count, .. } => {
            ("termination", None, Some(instance), Some((0, *count)), None)
        }
    }
}

impl Executor {
    /// Sends a stored transaction, once the documents of what it registers are published. A refusal is not an error here: what became of the transaction is
    /// looked up later.
    ///
    /// # Errors
    /// The documents could not be published: nothing was sent.
    pub(crate) async fn broadcast(&self, id: i64, hash: B256, raw: &[u8]) -> eyre::Result<()> {
        let published = self.publish_registered_by(id).await;
        published.wrap_err_with(|| format!("transaction {hash} is not sent: its documents are not published yet"))?;
        match self.chain.provider().send_raw_transaction(raw).await {
            Ok(_) => tracing::debug!(transaction = %hash, "transaction sent"),
            Err(error) => {
                tracing::warn!(transaction = %hash, %error, "the node did not take the transaction; looking for it")
            }
        }
        Ok(())
    }
}

/// The transactions of this block are to be looked for again. Their rows in the protocol stay; block and time are unknown until then.
pub(crate) async fn reopen(sql: impl PgExecutor<'_>, block_hash: &[u8]) -> eyre::Result<()> {
    sqlx::query(
        "update executor.transaction set status = 'signed', final = false, block_number = null, block_hash = null, block_timestamp_s = null, gas_used = null
         where block_hash = $1 and status = 'included'",
    )
    .bind(block_hash)
    .execute(sql)
    .await?;
    Ok(())
}

/// Takes back that an instance's transactions are included, so that each is looked for again, final or not.
pub(crate) async fn doubt(sql: &mut PgConnection, instance: InstanceId) -> eyre::Result<()> {
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

/// The block a receipt names, if the node has it.
pub(crate) async fn block_of(chain: &Chain, receipt: &TransactionReceipt) -> eyre::Result<Option<Block>> {
    let Some((number, hash)) = receipt.block_number.zip(receipt.block_hash) else { return Ok(None) };
    Ok(chain.block_time_s(hash).await?.map(|timestamp_s| Block { number, hash, timestamp_s }))
}

/// Instances' places among the issuer's, by one statement.
pub(crate) async fn set_ordinals(
    sql: &mut PgConnection,
    ordinals: impl Iterator<Item = (InstanceId, u64)>,
) -> Result<(), sqlx::Error> {
    let (instances, ordinals): (Vec<_>, Vec<_>) =
        ordinals.map(|(instance, ordinal)| (instance.0.to_vec(), ordinal as i64)).unzip();
    if instances.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "update executor.instance i set ordinal = o.ordinal from unnest($1::bytea[], $2::bigint[]) as o(instance_id, ordinal)
         where i.instance_id = o.instance_id",
    )
    .bind(instances)
    .bind(ordinals)
    .execute(sql)
    .await?;
    Ok(())
}

/// Writes block, gas, and the ordinal that the contract gave to an instance.
pub(crate) async fn mark_included(
    sql: &mut PgConnection,
    id: i64,
    block: Block,
    receipt: &TransactionReceipt,
) -> eyre::Result<()> {
    sqlx::query(
        "update executor.transaction set status = 'included', final = false, block_number = $2, block_hash = $3, block_timestamp_s = $4, gas_used = $5
         where transaction_id = $1",
    )
    .bind(id)
    .bind(block.number as i64)
    .bind(block.hash.as_slice())
    .bind(block.timestamp_s as i64)
    .bind(receipt.gas_used as i64)
    .execute(&mut *sql)
    .await?;
    let own = receipt.logs().iter().filter(|log| Some(log.address()) == receipt.to);
    let begun = own.filter_map(|log| match decode(&log.inner) {
        Ok(RegistryEvent::InstanceRegistered { instance, ordinal, .. }) => Some((instance, ordinal)),
        _ => None,
    });
    set_ordinals(sql, begun).await?;
    Ok(())
}
