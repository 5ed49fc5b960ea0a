//! Adopts registrations that the contract holds and Postgres does not know: made before the database was lost, or by a transaction that was given up
//! and was included after all.

use std::collections::BTreeMap;

use alloy::{
    primitives::{Address, B256},
    providers::Provider,
    rpc::types::{Filter, TransactionReceipt},
};
use eyre::{OptionExt, ensure};
use runproof_contracts::{RegistryEvent, decode};
use runproof_protocol::{InstanceId, StateId};
use sqlx::PgConnection;

use crate::{
    chain::{Chain, Signed},
    plan::{Digest, Registration},
    states, transaction,
};

/// Blocks asked for at once: nodes limit the range of a query for logs.
const RANGE: u64 = 10_000;

/// Adopts the transactions whose logs name `id` (an instance, a model, or zero for all of the issuer's), from this block on.
pub(crate) async fn adopt(
    sql: &mut PgConnection,
    chain: &Chain,
    from_block: u64,
    id: B256,
    account: Option<B256>,
) -> eyre::Result<()> {
    let newest = chain.newest().await?.number;
    let mut transactions = BTreeMap::new();
    for from in (from_block..=newest).step_by(RANGE as usize) {
        let filter = Filter::new().address(chain.registry.address).topic1(chain.issuer.into_word()).topic2(id);
        let filter = account.into_iter().fold(filter, Filter::topic3);
        let logs = chain.provider().get_logs(&filter.from_block(from).to_block(newest.min(from + RANGE - 1))).await?;
        for log in logs {
            if let Some((hash, block)) = log.transaction_hash.zip(log.block_number) {
                transactions.insert((block, log.transaction_index, hash), hash);
            }
        }
    }
    for hash in transactions.into_values() {
        adopt_transaction(sql, chain, hash).await?;
    }
    Ok(())
}

async fn adopt_transaction(sql: &mut PgConnection, chain: &Chain, hash: B256) -> eyre::Result<()> {
    let provider = chain.provider();
    let receipt = provider.get_transaction_receipt(hash).await?.ok_or_eyre("a log's transaction has no receipt")?;
    let Some(block) = transaction::block_of(chain, &receipt).await? else { return Ok(()) };
    let sent = provider.get_transaction_by_hash(hash).await?.ok_or_eyre("a log's transaction is not there")?;
    let nonce = alloy::consensus::Transaction::nonce(&sent);
    let stored: Option<(i64, String, bool)> = sqlx::query_as(
        "select transaction_id, status, exists (select from executor.registration r where r.transaction_id = t.transaction_id)
         from executor.transaction t where hash = $1",
    )
    .bind(hash.as_slice())
    .fetch_optional(&mut *sql)
    .await?;
    let registrations = registrations(sql, chain.registry.address, chain.issuer, &receipt).await?;
    let known = stored.as_ref().is_some_and(|(_, status, registers)| status == "included" && *registers);
    if registrations.is_empty() || known {
        return Ok(());
    }
    // A delegate's or relayer's nonces are not ours.
    if receipt.from == chain.issuer {
        give_up_nonce(sql, chain, nonce, hash).await?;
    }
    let transaction_id = match stored {
        Some((id, _, true)) => id,
        // A command's own, which knew only what it called.
        Some((id, _, false)) => {
            transaction::store_registrations(sql, id, &registrations).await?;
            id
        }
        None => {
            let raw = alloy::eips::eip2718::Encodable2718::encoded_2718(sent.inner.inner()).into();
            transaction::store(sql, receipt.from, &Signed { hash, raw, nonce }, &registrations).await?
        }
    };
    tracing::info!(transaction = %hash, block_number = block.number, "adopted a registration that the contract holds");
    transaction::mark_included(sql, transaction_id, block, &receipt).await
}

/// Of the transactions with this nonce, the one on the chain is the one that counts.
async fn give_up_nonce(sql: &mut PgConnection, chain: &Chain, nonce: u64, keep: B256) -> eyre::Result<()> {
    sqlx::query("update executor.transaction set status = 'abandoned' where sender = $1 and nonce = $2 and hash <> $3")
        .bind(chain.issuer.as_slice())
        .bind(nonce as i64)
        .bind(keep.as_slice())
        .execute(sql)
        .await?;
    Ok(())
}

/// What a receipt's logs register for this issuer.
async fn registrations(
    sql: &mut PgConnection,
    registry: Address,
    issuer: Address,
    receipt: &TransactionReceipt,
) -> eyre::Result<Vec<Registration>> {
    let mut found = Vec::new();
    for log in receipt.logs().iter().filter(|log| log.address() == registry) {
        match decode(&log.inner) {
            Ok(RegistryEvent::ModelRegistered { issuer: by, model }) if by == issuer => {
                found.push(Registration::Model(model));
            }
            Ok(RegistryEvent::InstanceRegistered { issuer: by, instance, model, .. }) if by == issuer => {
                found.push(Registration::Instance(model, instance));
            }
            Ok(RegistryEvent::StatesRegistered { issuer: by, instance, first, states, .. }) if by == issuer => {
                require_equal(sql, instance, first, &states).await?;
                let states = states.into_iter().map(|state| (state, None)).collect();
                found.push(Registration::States { instance, first, states });
            }
            Ok(RegistryEvent::StatesRootRegistered {
                issuer: by,
                instance,
                first,
                count,
                root,
                predecessors_hash,
                ..
            }) if by == issuer => {
                let digest = Digest { count, root, predecessors_hash };
                require_same(sql, instance, first, digest).await?;
                found.push(Registration::Root { instance, first, digest });
            }
            Ok(RegistryEvent::InstanceTerminated { issuer: by, instance, count, outcome, .. }) if by == issuer => {
                found.push(Registration::Termination { instance, count, outcome });
            }
            Ok(RegistryEvent::ParticipantSet { issuer: by, instance: None, participant, allowed: true })
                if by == issuer =>
            {
                found.push(Registration::Participant(participant));
            }
            _ => {}
        }
    }
    Ok(found)
}

/// Adopted states must be those captured here, as far as they are captured yet.
async fn require_equal(
    sql: &mut PgConnection,
    instance: InstanceId,
    first: u64,
    states: &[StateId],
) -> eyre::Result<()> {
    let captured: Vec<Vec<u8>> = sqlx::query_scalar(
        "select state_id from executor.state where instance_id = $1 and sequence >= $2 order by sequence limit $3",
    )
    .bind(instance.as_slice())
    .bind(first as i64)
    .bind(states.len() as i64)
    .fetch_all(sql)
    .await?;
    let same = captured.iter().map(Vec::as_slice).zip(states).all(|(here, there)| here == there.as_slice());
    ensure!(same, other_states(instance, first));
    Ok(())
}

/// A root is that of the states captured here, if all of them are captured already.
async fn require_same(sql: &mut PgConnection, instance: InstanceId, first: u64, there: Digest) -> eyre::Result<()> {
    let here = states::digest(sql, instance, first, there.count).await?;
    ensure!(here.count < there.count || here == there, other_states(instance, first));
    Ok(())
}

fn other_states(instance: InstanceId, first: u64) -> String {
    format!(
        "the contract holds other states of instance {instance} from sequence {first} on than were captured here: \
         this key was used by another executor (give each its own), or the run is private and its salts were lost with the database (restore it)"
    )
}
