//! Certificates and the signatures that bind them to a blockchain address.

use alloy_primitives::{Address, B256, Signature, eip191_hash_message};
use serde::{Deserialize, Serialize};

use crate::Fingerprint;

/// A certificate as its subject bound it in the contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateBinding {
    /// Who signed.
    pub subject: Address,
    /// SHA-256 of the certificate's DER bytes.
    pub fingerprint: Fingerprint,
    /// Where the subject's documents are served.
    pub uri: String,
    /// Start of validity, Unix seconds.
    pub not_before_s: u64,
    /// End of validity, Unix seconds.
    pub not_after_s: u64,
    /// EIP-712 signature by the subject, 65 bytes, or a contract wallet's (ERC-1271).
    pub signature: alloy_primitives::Bytes,
}

/// A signature that cannot be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// Not 65 bytes with a recovery id.
    #[error("not a 65-byte secp256k1 signature with recovery id")]
    Malformed,
    /// No public key belongs to it.
    #[error("no public key recovers from the signature")]
    Unrecoverable,
}

/// Who signed this 32-byte digest.
///
/// # Errors
/// [`SignatureError`].
pub fn recover(digest: B256, signature: &[u8]) -> Result<Address, SignatureError> {
    Signature::from_raw(signature)
        .map_err(|_| SignatureError::Malformed)?
        .recover_address_from_prehash(&digest)
        .map_err(|_| SignatureError::Unrecoverable)
}

/// Who signed a fingerprint in the paper's form, called `legacy`: EIP-191 `personal_sign` over the 32 raw bytes, which names neither chain nor contract.
///
/// # Errors
/// [`SignatureError`].
pub fn recover_legacy(fingerprint: Fingerprint, signature: &[u8]) -> Result<Address, SignatureError> {
    recover(eip191_hash_message(fingerprint.as_slice()), signature)
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{address, hex};

    use super::*;

    #[test]
    fn the_papers_signature_recovers_to_its_client() {
        let fingerprint = "0x5350213c939a22175a665734f13eaf5bce4e42ecc26f2ac3d836450166558918";
        let signature = hex!(
            "319a8127e02a87f9795b8d813220789b214181a7c4d40baa8bad2d80492e3b63340a407a10c39902a9ca86afcd16227922c5395fd549c43383b7a913db3881e91b"
        );
        let signer = recover_legacy(fingerprint.parse().expect("hex"), &signature);
        assert_eq!(signer, Ok(address!("AcD398d9F25C40b1d292bfF2190A08D7D907c568")));
    }

    #[test]
    fn malformed_signatures_are_told_from_foreign_ones() {
        assert_eq!(recover(B256::ZERO, &[1; 64]), Err(SignatureError::Malformed));
        assert_eq!(recover(B256::ZERO, &[0; 65]), Err(SignatureError::Unrecoverable));
    }
}
