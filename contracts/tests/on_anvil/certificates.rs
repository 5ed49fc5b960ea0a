//! What Rust signs is what the contract checks, and holds on no other chain or contract.

use alloy::{
    primitives::B256,
    providers::Provider,
    signers::{SignerSync, local::PrivateKeySigner},
    sol_types::{Eip712Domain, SolStruct},
};
use eyre::{ContextCompat, Result};
use runproof_contracts::{
    RegistryErrors, RegistryEvent, decode,
    revert::registry_error,
    typed_data::{Certificate, domain},
};

use crate::anvil::Chain;

fn content(subject: &PrivateKeySigner) -> Certificate {
    Certificate {
        subject: subject.address(),
        fingerprint: B256::repeat_byte(0x55),
        uri: "https://issuer.example".into(),
        notBefore: 1_700_000_000,
        notAfter: 1_800_000_000,
    }
}

#[tokio::test]
async fn certificate_signed_in_rust_is_bound_on_chain() -> Result<()> {
    let chain = Chain::start().await?;
    let subject = PrivateKeySigner::random();
    let content = content(&subject);
    let domain = domain(chain.provider.get_chain_id().await?, chain.address());
    assert_eq!(domain.separator(), chain.registry.domainSeparator().call().await?);

    let digest = content.eip712_signing_hash(&domain);
    let Certificate { fingerprint, uri, notBefore, notAfter, .. } = content.clone();
    let on_chain = chain
        .registry
        .certificateDigest(subject.address(), fingerprint, uri.clone(), notBefore, notAfter)
        .call()
        .await?;
    assert_eq!(digest, on_chain);

    let signature = subject.sign_hash_sync(&digest)?;
    let bind = chain.registry.bindCertificate(
        subject.address(),
        fingerprint,
        uri.clone(),
        notBefore,
        notAfter,
        signature.as_bytes().into(),
    );
    let receipt = bind.send().await?.get_receipt().await?;
    let event = decode(&receipt.logs().first().wrap_err("an event")?.inner)?;
    let expected = RegistryEvent::CertificateBound {
        subject: subject.address(),
        fingerprint: fingerprint.into(),
        uri,
        not_before_s: notBefore,
        not_after_s: notAfter,
        signature: signature.as_bytes().into(),
    };
    assert_eq!(event, expected);
    Ok(())
}

#[tokio::test]
async fn signature_for_another_chain_or_contract_is_refused() -> Result<()> {
    let chain = Chain::start().await?;
    let subject = PrivateKeySigner::random();
    let chain_id = chain.provider.get_chain_id().await?;
    for elsewhere in [domain(chain_id + 1, chain.address()), domain(chain_id, subject.address())] {
        let error = bind_signed_in(&chain, &subject, &elsewhere).await?;
        assert!(matches!(error, RegistryErrors::BadSignature(_)), "{error:?}");
    }
    Ok(())
}

/// The error with which the contract refuses a certificate that was signed in another domain.
async fn bind_signed_in(chain: &Chain, subject: &PrivateKeySigner, domain: &Eip712Domain) -> Result<RegistryErrors> {
    let content = content(subject);
    let signature = subject.sign_hash_sync(&content.eip712_signing_hash(domain))?;
    let Certificate { subject, fingerprint, uri, notBefore, notAfter } = content;
    let bind =
        chain.registry.bindCertificate(subject, fingerprint, uri, notBefore, notAfter, signature.as_bytes().into());
    let refused = bind.call().await.err().wrap_err("the contract took a foreign signature")?;
    refused.as_revert_data().and_then(|data| registry_error(&data)).wrap_err("not the registry's error")
}
