//! The key that signs: in this process, or in AWS KMS, which never gives it out.

use alloy::{
    consensus::SignableTransaction,
    network::{EthereumWallet, TxSigner},
    primitives::{Address, B256, Signature},
    signers::{Error, SignerSync, local::PrivateKeySigner},
};
use async_trait::async_trait;
use eyre::WrapErr;

use crate::{kms::KmsKey, settings::AwsSettings};

/// A secp256k1 key. Cheap to clone, and shown by its address alone.
#[derive(Debug, Clone)]
pub enum Key {
    /// In this process; wiped from its memory with each clone (`ZeroizeOnDrop` of `k256`).
    Local(PrivateKeySigner),
    /// In AWS KMS; each signature is a call.
    Kms(KmsKey),
}

impl Key {
    /// A key of AWS KMS, named by its id, ARN or alias.
    ///
    /// # Errors
    /// If there is no such key, or it may not be used.
    pub async fn kms(aws: &AwsSettings, name: &str) -> eyre::Result<Self> {
        let client = aws_sdk_kms::Client::new(&aws.load().await);
        let key = KmsKey::named(client, name).await.wrap_err_with(|| {
            format!("key `{name}` of KMS cannot sign: it must be an ECC_SECG_P256K1 key for SIGN_VERIFY, and kms:GetPublicKey and kms:Sign be allowed")
        })?;
        Ok(Self::Kms(key))
    }

    /// Its account.
    pub fn address(&self) -> Address {
        match self {
            Self::Local(key) => key.address(),
            Self::Kms(key) => key.address(),
        }
    }

    /// What signs transactions.
    pub fn wallet(&self) -> EthereumWallet {
        EthereumWallet::from(self.clone())
    }

    /// Signs 32 bytes as they are.
    ///
    /// # Errors
    /// KMS does not answer, or signed something else.
    pub async fn sign_hash(&self, hash: &B256) -> Result<Signature, Error> {
        match self {
            Self::Local(key) => key.sign_hash_sync(hash),
            Self::Kms(key) => key.sign_hash(hash).await,
        }
    }
}

impl From<PrivateKeySigner> for Key {
    fn from(key: PrivateKeySigner) -> Self {
        Self::Local(key)
    }
}

#[async_trait]
impl TxSigner<Signature> for Key {
    fn address(&self) -> Address {
        self.address()
    }

    async fn sign_transaction(&self, transaction: &mut dyn SignableTransaction<Signature>) -> Result<Signature, Error> {
        self.sign_hash(&transaction.signature_hash()).await
    }
}
