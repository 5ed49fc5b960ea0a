//! Storage proofs: the account against the state root, its slots against the account's storage root (EIP-1186).

use alloy::{
    primitives::{Address, B256, keccak256},
    rlp,
    rpc::types::EIP1186AccountProofResponse,
};
use alloy_trie::{
    Nibbles, TrieAccount,
    proof::{ProofVerificationError, verify_proof},
};

/// The proved values of `slots`, in that order. An error says what does not hold.
pub(crate) fn prove_slots<const N: usize>(
    state_root: B256,
    address: Address,
    slots: [B256; N],
    response: &EIP1186AccountProofResponse,
) -> Result<[B256; N], String> {
    if response.address != address || response.storage_proof.len() != N {
        return Err("it is of something else".into());
    }
    let account = TrieAccount {
        nonce: response.nonce,
        balance: response.balance,
        storage_root: response.storage_hash,
        code_hash: response.code_hash,
    };
    let key = Nibbles::unpack(keccak256(address));
    verify_proof(state_root, key, Some(rlp::encode(account)), &response.account_proof)
        .map_err(|error| shortened("account", &error))?;
    let mut values = [B256::ZERO; N];
    for ((slot, stored), value) in slots.iter().zip(&response.storage_proof).zip(&mut values) {
        // A slot that is zero is absent from the trie: then its absence is proved.
        let expected = (!stored.value.is_zero()).then(|| rlp::encode(stored.value));
        verify_proof(response.storage_hash, Nibbles::unpack(keccak256(slot)), expected, &stored.proof)
            .map_err(|error| shortened(&format!("slot {slot}"), &error))?;
        *value = stored.value.into();
    }
    Ok(values)
}

/// The library's errors show whole trie nodes.
fn shortened(what: &str, error: &ProofVerificationError) -> String {
    format!("{what}: {}", error.to_string().chars().take(80).collect::<String>())
}
