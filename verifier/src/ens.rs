//! ENS as of a block: from an address to its name, and from the name back.

use alloy::primitives::{Address, B256, keccak256};
use runproof_contracts::ens::{EnsRegistry, EnsResolver};
use runproof_protocol::rules::issuer::EnsRecords;

use crate::{
    VerifyError,
    chain::{Chain, Pinned},
    site,
};

/// The node of a name (EIP-137).
fn namehash(name: &str) -> B256 {
    name.rsplit('.')
        .filter(|label| !label.is_empty())
        .fold(B256::ZERO, |node, label| keccak256([node, keccak256(label)].concat()))
}

/// What ENS tells of an address.
pub(crate) async fn records(
    chain: &Chain,
    at: &Pinned,
    ens_registry: Address,
    account: Address,
) -> Result<EnsRecords, VerifyError> {
    let reverse = namehash(&format!("{}.addr.reverse", alloy::hex::encode(account)));
    let Some(resolver) = resolver_of(chain, at, ens_registry, reverse).await? else {
        return Ok(EnsRecords::default());
    };
    let name = chain.view(at, resolver, EnsResolver::nameCall { node: reverse }).await?;
    let Some(name) = name.filter(|name| !name.is_empty()) else {
        return Ok(EnsRecords::default());
    };
    let node = namehash(&name);
    let Some(resolver) = resolver_of(chain, at, ens_registry, node).await? else {
        return Ok(EnsRecords { name: Some(name), ..EnsRecords::default() });
    };
    let address = chain.view(at, resolver, EnsResolver::addrCall { node }).await?;
    let url = chain.view(at, resolver, EnsResolver::textCall { node, key: "url".into() }).await?;
    Ok(EnsRecords {
        name: Some(name),
        address: address.filter(|address| !address.is_zero()),
        url: url.filter(|url| !url.is_empty()).map(|url| site::normalised(&url)),
    })
}

async fn resolver_of(
    chain: &Chain,
    at: &Pinned,
    ens_registry: Address,
    node: B256,
) -> Result<Option<Address>, VerifyError> {
    let found = chain.view(at, ens_registry, EnsRegistry::resolverCall { node }).await?;
    Ok(found.filter(|address| !address.is_zero()))
}

#[cfg(test)]
mod tests {
    use alloy::primitives::b256;

    use super::*;

    #[test]
    fn namehash_is_that_of_eip_137() {
        assert_eq!(namehash(""), B256::ZERO);
        assert_eq!(namehash("eth"), b256!("93cdeb708b7545dc668eb9280176169d1c33cfd8ed6f04690a0bcc88a93fc4ae"));
        assert_eq!(namehash("foo.eth"), b256!("de9b09fd7c5f901e23a3f19fecc54828e9c848539801e86591bd9801b019f84f"));
    }
}
