//! The real ENS contracts on the development chain, with the registry at the address that it has on every public network.

use std::fs;

use alloy::network::TransactionBuilder;
use alloy::primitives::{Address, B256, Bytes, address, keccak256};
use alloy::providers::ext::AnvilApi;
use alloy::rpc::types::TransactionRequest;
use alloy::sol_types::{SolCall, SolValue};
use runproof_contracts::ens::EnsRegistry;
use serde::{Deserialize, Serialize};

use crate::{Chain, Part, StackError, Tools};

/// The ENS registry's address on public networks.
pub const CANONICAL_REGISTRY: Address = address!("0x00000000000C2E074eC69A0dFb2997BA6C7d2e1e");
/// The name under which the development chain gives names away.
pub const PARENT_NAME: &str = "runproof.eth";

/// Addresses of the ENS contracts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnsContracts {
    /// Who owns a name, and which resolver answers for it.
    pub registry: Address,
    /// The records of names.
    pub resolver: Address,
    /// The names of addresses.
    pub reverse_registrar: Address,
}

/// A compiled contract as ENS publishes it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Artifact {
    bytecode: Bytes,
    deployed_bytecode: Bytes,
}

/// Deploys registry, resolver and reverse registrar, and the nodes `eth`, `runproof.eth` and `addr.reverse`.
pub(crate) async fn deploy(chain: &Chain, tools: &Tools) -> Result<EnsContracts, StackError> {
    let deployer = chain.deployer().await?;
    place_registry(chain, deployer, &artifact(tools, "ens/build/contracts/ENSRegistry.json")?).await?;
    let resolver = artifact(tools, "resolver/build/contracts/PublicResolver.json")?;
    let reverse = artifact(tools, "ens/build/contracts/ReverseRegistrar.json")?;
    let receipts = chain.submit(deployer, vec![deployment(&resolver, CANONICAL_REGISTRY.abi_encode())]).await?;
    let resolver = created(&receipts)?;
    let receipts =
        chain.submit(deployer, vec![deployment(&reverse, (CANONICAL_REGISTRY, resolver).abi_encode_params())]).await?;
    let ens = EnsContracts { registry: CANONICAL_REGISTRY, resolver, reverse_registrar: created(&receipts)? };
    let nodes = [
        ("", "eth", deployer),
        ("eth", "runproof", deployer),
        ("", "reverse", deployer),
        ("reverse", "addr", ens.reverse_registrar),
    ];
    chain.submit(deployer, nodes.map(|(parent, label, owner)| give(&ens, parent, label, owner)).into()).await?;
    Ok(ens)
}

/// The transaction, to be sent by the deployer, that gives `label.runproof.eth` to `owner`.
pub(crate) fn give_name(ens: &EnsContracts, label: &str, owner: Address) -> TransactionRequest {
    give(ens, PARENT_NAME, label, owner)
}

/// Node of a name: EIP-137's namehash.
pub fn namehash(name: &str) -> B256 {
    let labels = name.rsplit('.').filter(|label| !label.is_empty());
    labels.fold(B256::ZERO, |node, label| keccak256([node, keccak256(label)].concat()))
}

fn give(ens: &EnsContracts, parent: &str, label: &str, owner: Address) -> TransactionRequest {
    let call = EnsRegistry::setSubnodeOwnerCall { node: namehash(parent), label: keccak256(label), owner };
    TransactionRequest::default().with_to(ens.registry).with_input(call.abi_encode())
}

/// The registry's constructor does one thing, which is done here in its place: the deployer owns the root node.
async fn place_registry(chain: &Chain, deployer: Address, artifact: &Artifact) -> Result<(), StackError> {
    let refused = || StackError::refused(Part::Chain, "placing the ENS registry");
    let root_owner = keccak256((B256::ZERO, B256::ZERO).abi_encode()); // records[0x0].owner, in the mapping of slot 0
    chain.provider().anvil_set_code(CANONICAL_REGISTRY, artifact.deployed_bytecode.clone()).await.map_err(refused())?;
    chain
        .provider()
        .anvil_set_storage_at(CANONICAL_REGISTRY, root_owner.into(), deployer.into_word())
        .await
        .map_err(refused())?;
    Ok(())
}

fn artifact(tools: &Tools, path: &str) -> Result<Artifact, StackError> {
    let file = tools.ens_artifact(path)?;
    let json = fs::read(&file).map_err(StackError::io(&file))?;
    serde_json::from_slice(&json).map_err(StackError::refused(Part::Chain, format!("reading {}", file.display())))
}

fn deployment(artifact: &Artifact, arguments: Vec<u8>) -> TransactionRequest {
    TransactionRequest::default().with_deploy_code([&artifact.bytecode[..], &arguments].concat())
}

fn created(receipts: &[alloy::rpc::types::TransactionReceipt]) -> Result<Address, StackError> {
    let address = receipts.first().and_then(|receipt| receipt.contract_address);
    address.ok_or_else(|| StackError::refused(Part::Chain, "deploying ENS")("no contract in the receipt"))
}

#[cfg(test)]
mod tests {
    use alloy::primitives::b256;

    use super::*;

    /// The vectors of EIP-137.
    #[test]
    fn namehash_of_eip_137() {
        assert_eq!(namehash(""), B256::ZERO);
        assert_eq!(namehash("eth"), b256!("0x93cdeb708b7545dc668eb9280176169d1c33cfd8ed6f04690a0bcc88a93fc4ae"));
        assert_eq!(namehash("foo.eth"), b256!("0xde9b09fd7c5f901e23a3f19fecc54828e9c848539801e86591bd9801b019f84f"));
    }
}
