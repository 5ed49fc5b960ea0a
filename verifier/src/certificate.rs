//! Certificates in the contract: which sites an issuer named, and who bound what a server presented.

use alloy::{
    primitives::{Address, B256, Bytes},
    rpc::types::Filter,
    sol_types::{SolEvent, SolStruct},
};
use runproof_contracts::{
    InstanceRegistry::{CertificateBound, certificateOfCall},
    RegistryEvent, decode,
    typed_data::{Certificate, domain},
};
use runproof_protocol::{
    Fingerprint,
    certificate::{CertificateBinding, recover},
    rules::certificate::{BoundCertificate, PresentedCertificate},
};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::{
    VerifyError,
    chain::{Chain, Pinned},
};

/// Anybody may bind any certificate, at a cost: beside the issuer's own, so many are looked at.
const STRANGERS: usize = 8;

alloy::sol! {
    /// ERC-1271: whether a contract wallet accepts a signature.
    interface ContractWallet {
        /// Answers 0x1626ba7e if it does.
        function isValidSignature(bytes32 hash, bytes signature) external view returns (bytes4);
    }
}

const ACCEPTED: [u8; 4] = [0x16, 0x26, 0xba, 0x7e];

/// What a presented certificate says; an error if its bytes are no X.509 certificate.
pub(crate) fn presented(der: &[u8]) -> Result<PresentedCertificate, String> {
    let (_, certificate) =
        X509Certificate::from_der(der).map_err(|error| format!("not an X.509 certificate: {error}"))?;
    let validity = certificate.validity();
    Ok(PresentedCertificate {
        fingerprint: Fingerprint::of(der),
        not_before_s: validity.not_before.timestamp(),
        not_after_s: validity.not_after.timestamp(),
    })
}

impl Chain {
    /// The URI of the issuer's newest binding that is not revoked.
    pub(crate) async fn bound_uri(&self, at: &Pinned, issuer: Address) -> Result<Option<String>, VerifyError> {
        let bindings = self.bindings(at, Filter::new().topic1(issuer)).await?;
        for binding in bindings.into_iter().rev().filter(|binding| binding.subject == issuer) {
            if self.revoked_from_block(at, &binding).await?.is_none() {
                return Ok(Some(binding.uri));
            }
        }
        Ok(None)
    }

    /// Bindings of a presented certificate: the issuer's, then a few of others.
    pub(crate) async fn bound_certificates(
        &self,
        at: &Pinned,
        issuer: Address,
        fingerprint: Fingerprint,
    ) -> Result<Vec<BoundCertificate>, VerifyError> {
        let mut bindings = self.bindings(at, Filter::new().topic2(fingerprint.0)).await?;
        bindings.retain(|binding| binding.fingerprint == fingerprint);
        bindings.sort_by_key(|binding| binding.subject != issuer);
        let mut bound = Vec::new();
        for binding in bindings.into_iter().take(1 + STRANGERS) {
            let revoked_from_block = self.revoked_from_block(at, &binding).await?;
            let signer = self.signer(at, &binding).await?;
            bound.push(BoundCertificate { binding, revoked_from_block, signer });
        }
        Ok(bound)
    }

    async fn bindings(&self, at: &Pinned, filter: Filter) -> Result<Vec<CertificateBinding>, VerifyError> {
        let logs = self.logs(at, 0, filter.event_signature(CertificateBound::SIGNATURE_HASH)).await?;
        Ok(logs.iter().filter_map(|log| binding(decode(&log.inner).ok()?)).collect())
    }

    async fn revoked_from_block(&self, at: &Pinned, binding: &CertificateBinding) -> Result<Option<u64>, VerifyError> {
        let call = certificateOfCall { subject: binding.subject, fingerprint: binding.fingerprint.0 };
        let stored = self.view(at, self.registry.address, call).await?.ok_or_else(|| self.not_a_registry())?;
        Ok((stored.revokedFromBlock != 0).then_some(stored.revokedFromBlock))
    }

    /// Whose signature a binding bears. It is recovered here again, so that neither node nor contract is trusted with it.
    async fn signer(&self, at: &Pinned, binding: &CertificateBinding) -> Result<Option<Address>, VerifyError> {
        let digest = self.digest(binding);
        let recovered = recover(digest, &binding.signature).ok();
        if recovered == Some(binding.subject) {
            return Ok(recovered);
        }
        let signature: Bytes = binding.signature.clone();
        let call = ContractWallet::isValidSignatureCall { hash: digest, signature };
        let accepted = self.view(at, binding.subject, call).await?.is_some_and(|answer| answer.0 == ACCEPTED);
        Ok(if accepted { Some(binding.subject) } else { recovered })
    }

    fn digest(&self, binding: &CertificateBinding) -> B256 {
        let signed = Certificate {
            subject: binding.subject,
            fingerprint: binding.fingerprint.0,
            uri: binding.uri.clone(),
            notBefore: binding.not_before_s,
            notAfter: binding.not_after_s,
        };
        signed.eip712_signing_hash(&domain(self.registry.chain_id, self.registry.address))
    }
}

fn binding(event: RegistryEvent) -> Option<CertificateBinding> {
    let RegistryEvent::CertificateBound { subject, fingerprint, uri, not_before_s, not_after_s, signature } = event
    else {
        return None;
    };
    Some(CertificateBinding { subject, fingerprint, uri, not_before_s, not_after_s, signature })
}
