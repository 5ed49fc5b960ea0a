//! The head that Rust folds from the logs is the head that the chain holds.

use alloy::{
    primitives::{B256, U256, keccak256},
    providers::Provider,
    rpc::types::{BlockNumberOrTag, Filter},
};
use eyre::{ContextCompat, Result, ensure};
use runproof_contracts::{
    InstanceRegistry as abi, RegistryEvent, decode,
    storage::{instance_slots, read_instance},
};
use runproof_protocol::{
    InstanceId,
    head::{self, Batch, Outcome, Range, Registry},
};

use crate::anvil::Chain;

const MODEL: B256 = B256::repeat_byte(0x11);
const INSTANCE: InstanceId = InstanceId(B256::repeat_byte(0x22));

#[tokio::test]
async fn fold_of_the_logs_is_the_head_in_storage() -> Result<()> {
    let chain = Chain::start().await?;
    let issuer = chain.issuer.address();
    register_a_run(&chain).await?;

    let registry = Registry { chain_id: chain.provider.get_chain_id().await?, address: chain.address() };
    let logs = chain.provider.get_logs(&Filter::new().address(chain.address()).from_block(0)).await?;
    let mut head = B256::ZERO;
    let mut issuer_head = B256::ZERO;
    for log in &logs {
        let block_number = log.block_number.wrap_err("a mined log")?;
        let block = chain.provider.get_block_by_number(BlockNumberOrTag::Number(block_number)).await?;
        let block_timestamp_s = block.wrap_err("the log's block")?.header.timestamp;
        let told = match decode(&log.inner)? {
            RegistryEvent::ModelRegistered { .. } => continue,
            RegistryEvent::InstanceRegistered {
                instance, model, ordinal, head: told, issuer_head: told_chain, ..
            } => {
                let numbers = [ordinal, block_number, block_timestamp_s].map(|n| U256::from(n).into());
                issuer_head = keccak256(
                    [issuer_head, instance.0, model.0].into_iter().chain(numbers).collect::<Vec<_>>().concat(),
                );
                ensure!(issuer_head == told_chain, "issuer's chain");
                head = head::genesis(registry, issuer, instance, model, ordinal);
                told
            }
            RegistryEvent::StatesRegistered { first, states, predecessors, head: told, .. } => {
                head = head::extend(head, &Batch { first, states, predecessors, block_number, block_timestamp_s });
                told
            }
            RegistryEvent::StatesRootRegistered { first, count, root, predecessors_hash, head: told, .. } => {
                let range = Range { first, count, root, predecessors_hash, block_number, block_timestamp_s };
                head = head::extend_by(head, &range);
                told
            }
            RegistryEvent::InstanceTerminated { count, outcome, head: told, .. } => {
                head = head::seal(head, count, outcome, block_number, block_timestamp_s);
                told
            }
            other => eyre::bail!("unexpected {other:?}"),
        };
        ensure!(head == told, "fold and event differ in block {block_number}");
    }

    let slots = instance_slots(issuer, INSTANCE);
    let proof = chain.provider.get_proof(chain.address(), slots.to_vec()).await?;
    let values: Vec<B256> = proof.storage_proof.iter().map(|slot| slot.value.into()).collect();
    let stored = read_instance([values[0], values[1], values[2]])?.wrap_err("the instance is in storage")?;
    assert_eq!(stored.head, head);
    assert_eq!((stored.model.0, stored.count, stored.ordinal), (MODEL, 1121, 1));
    assert_eq!(stored.outcome, Some(Outcome::Failed));

    let told = chain.registry.instanceOf(issuer, INSTANCE.0).call().await?;
    assert_eq!(
        (told.head, told.count, told.registeredAtBlock),
        (stored.head, stored.count, stored.registered_at_block)
    );
    let of_issuer = chain.registry.issuerChain(issuer).call().await?;
    assert_eq!((of_issuer.head, of_issuer.count), (issuer_head, 2));
    Ok(())
}

/// Batches of sizes that give every shape of tree, with and without named predecessors.
async fn register_a_run(chain: &Chain) -> Result<()> {
    let issuer = chain.issuer.address();
    chain.send(abi::registerModelCall { model: MODEL }).await?;
    for instance in [B256::repeat_byte(0x33), INSTANCE.0] {
        chain.send(abi::registerInstanceCall { model: MODEL, instance }).await?;
    }
    let mut first = 0;
    for n in 1..16u64 {
        let states = (first..first + n).map(|k| keccak256(k.to_be_bytes())).collect();
        let predecessors: Vec<Option<u32>> = match n % 2 {
            0 => vec![],
            _ => (first..first + n).map(|k| u32::try_from(k / 2).ok().filter(|_| k % 3 != 0)).collect(),
        };
        let predecessors = head::encode_predecessors(&predecessors).into();
        chain.send(abi::registerStatesCall { issuer, instance: INSTANCE.0, first, states, predecessors }).await?;
        first += n;
    }
    let call = abi::registerStatesRootCall {
        issuer,
        instance: INSTANCE.0,
        first,
        count: 1_000,
        root: B256::repeat_byte(0x55),
        predecessorsHash: B256::repeat_byte(0x66),
    };
    chain.send(call).await?;
    first += 1_000;
    let state = vec![B256::repeat_byte(0x44)];
    chain
        .send(abi::registerStatesCall {
            issuer,
            instance: INSTANCE.0,
            first,
            states: state,
            predecessors: Default::default(),
        })
        .await?;
    chain
        .send(abi::terminateInstanceCall {
            issuer,
            instance: INSTANCE.0,
            count: first + 1,
            outcome: Outcome::Failed as u8,
        })
        .await?;
    Ok(())
}
