//! A key in AWS KMS. (alloy's own signer pins an older AWS SDK than this crate uses.)

use std::fmt;

use alloy::{
    primitives::{Address, B256, Signature},
    signers::{
        Error,
        k256::ecdsa::{self, RecoveryId, VerifyingKey},
        utils::public_key_to_address,
    },
};
use aws_sdk_kms::{
    Client,
    primitives::Blob,
    types::{MessageType, SigningAlgorithmSpec},
};
use eyre::{OptionExt, WrapErr, eyre};
use x509_parser::{prelude::FromDer, x509::SubjectPublicKeyInfo};

use crate::aws_error;

/// One key; only its public half is here.
#[derive(Clone)]
pub struct KmsKey {
    client: Client,
    name: String,
    public: VerifyingKey,
}

impl KmsKey {
    /// The key with this id, ARN or alias.
    pub(crate) async fn named(client: Client, name: &str) -> eyre::Result<Self> {
        let answer = client.get_public_key().key_id(name).send().await;
        let answer = answer.map_err(|error| eyre!("GetPublicKey: {}", aws_error::sentence(&error)))?;
        let der = answer.public_key.ok_or_eyre("KMS tells no public key")?;
        // RFC 5280, SubjectPublicKeyInfo; the point as in SEC 1.
        let (_, info) = SubjectPublicKeyInfo::from_der(der.as_ref()).wrap_err("KMS tells a malformed public key")?;
        let public = VerifyingKey::from_sec1_bytes(&info.subject_public_key.data).wrap_err("not on secp256k1")?;
        Ok(Self { client, name: name.to_owned(), public })
    }

    pub(crate) fn address(&self) -> Address {
        public_key_to_address(&self.public)
    }

    pub(crate) async fn sign_hash(&self, hash: &B256) -> Result<Signature, Error> {
        let call = self.client.sign().key_id(&self.name).message(Blob::new(hash.as_slice()));
        let call = call.message_type(MessageType::Digest).signing_algorithm(SigningAlgorithmSpec::EcdsaSha256);
        let answer = call.send().await;
        let answer = answer.map_err(|error| Error::message(format!("KMS, Sign: {}", aws_error::sentence(&error))))?;
        let der = answer.signature.ok_or_else(|| Error::message("KMS tells no signature"))?;
        recoverable(der.as_ref(), hash, &self.public)
    }
}

impl fmt::Debug for KmsKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KmsKey").field("name", &self.name).field("address", &self.address()).finish()
    }
}

/// A signature in DER, as Ethereum takes it; held against key and hash, so that nothing is sent that another account would seem to have signed.
fn recoverable(der: &[u8], hash: &B256, public: &VerifyingKey) -> Result<Signature, Error> {
    let signature = ecdsa::Signature::from_der(der)?;
    // Of the two values of s Ethereum takes the lower alone (EIP-2).
    let signature = signature.normalize_s().unwrap_or(signature);
    let recovery = RecoveryId::trial_recovery_from_prehash(public, hash.as_slice(), &signature)
        .map_err(|_| Error::message("KMS signed with another key, or not this digest as it is"))?;
    Ok((signature, recovery).into())
}

#[cfg(test)]
mod tests {
    use alloy::{
        primitives::keccak256,
        signers::{
            k256::ecdsa::{Signature as Ecdsa, SigningKey, signature::hazmat::PrehashSigner},
            utils::secret_key_to_address,
        },
    };

    use super::*;

    #[test]
    fn a_signature_in_der_of_either_s_is_recovered_to_its_key() {
        let key = SigningKey::from_slice(&[7; 32]).expect("a key");
        for number in 0..16_u8 {
            let hash = keccak256([number]);
            let low: Ecdsa = key.sign_prehash(hash.as_slice()).expect("signed");
            let high = Ecdsa::from_scalars(low.r(), -*low.s()).expect("as valid");
            for signed in [low, high] {
                let der = signed.to_der();
                let signature = recoverable(der.as_bytes(), &hash, key.verifying_key()).expect("recovered");
                assert_eq!(signature.recover_address_from_prehash(&hash).ok(), Some(secret_key_to_address(&key)));
                assert!(signature.normalize_s().is_none(), "the lower s");
            }
        }
    }

    #[test]
    fn a_signature_of_another_key_or_of_another_hash_is_refused() {
        let (key, hash) = (SigningKey::from_slice(&[7; 32]).expect("a key"), B256::repeat_byte(1));
        let signed: Ecdsa = key.sign_prehash(hash.as_slice()).expect("signed");
        let der = signed.to_der();
        let stranger = SigningKey::from_slice(&[8; 32]).expect("a key");
        assert!(recoverable(der.as_bytes(), &hash, key.verifying_key()).is_ok());
        assert!(recoverable(der.as_bytes(), &hash, stranger.verifying_key()).is_err());
        assert!(recoverable(der.as_bytes(), &B256::repeat_byte(2), key.verifying_key()).is_err());
        assert!(recoverable(b"no DER", &hash, key.verifying_key()).is_err());
    }
}
