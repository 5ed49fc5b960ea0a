//! Transactions that survive crashes and reorganisations: stored, signed, before they are sent. What became of them is looked up later
//! ([`crate::reconcile`]).

use alloy::{
    primitives::{Address, B256},
    providers::Provider,
    rpc::types::TransactionReceipt,
};
use eyre::WrapErr;
use runproof_contracts::{RegistryEvent, decode};
use runproof_protocol::InstanceId;
use sqlx::{PgConnection, PgExecutor};

use crate::{
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
    fn column<'r, T>(rows: &[Row<'r>], value: impl Fn(&Row<'r>) -> T) -> Vec<T> {
        rows.iter().map(value).collect()
    }
    let rows: Vec<Row<'_>> = registrations.iter().map(Row::of).collect();
    sqlx::query(
        "insert into executor.registration (transaction_id, kind, model_id, instance_id, first, count, account)
         select $1, r.* from unnest($2::text[], $3::bytea[], $4::bytea[], $5::bigint[], $6::bigint[], $7::bytea[]) as r",
    )
    .bind(transaction_id)
    .bind(column(&rows, |row| row.kind))
    .bind(column(&rows, |row| row.model))
    .bind(column(&rows, |row| row.instance))
    .bind(column(&rows, |row| row.range.map(|(first, _)| first as i64)))
    .bind(column(&rows, |row| row.range.map(|(_, count)| count as i64)))
    .bind(column(&rows, |row| row.account))
    .execute(sql)
    .await?;
    Ok(())
}

/// A registration as it is stored.
#[derive(Default)]
struct Row<'r> {
    kind: &'static str,
    model: Option<&'r [u8]>,
    instance: Option<&'r [u8]>,
    /// First and count.
    range: Option<(u64, u64)>,
    account: Option<&'r [u8]>,
}

impl<'r> Row<'r> {
    fn of(registration: &'r Registration) -> Self {
        let of_instance = |kind, instance: &'r InstanceId, range| Self {
            kind,
            instance: Some(instance.as_slice()),
            range: Some(range),
            ..Self::default()
        };
        match registration {
            Registration::Model(model) => Self { kind: "model", model: Some(model.as_slice()), ..Self::default() },
            Registration::Participant(account) => {
                Self { kind: "participant", account: Some(account.as_slice()), ..Self::default() }
            }
            Registration::Instance(model, instance) => Self {
                kind: "instance",
                model: Some(model.as_slice()),
                instance: Some(instance.as_slice()),
                ..Self::default()
            },
            Registration::States { instance, first, states } => {
                of_instance("states", instance, (*first, states.len() as u64))
            }
            // Which of both it was, the chain tells: what is published of them is the same.
            Registration::Root { instance, first, digest } => of_instance("states", instance, (*first, digest.count)),
            Registration::Termination { instance, count, .. } => of_instance("termination", instance, (0, *count)),
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
