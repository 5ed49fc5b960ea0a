//! Requests by HTTPS: signed (EIP-712 `TransitionRequest`), so that they prove who asks as a transaction does, without one.

use alloy::{
    primitives::{Address, B256, Bytes, FixedBytes, keccak256},
    sol_types::SolStruct,
};
use eyre::WrapErr;
use runproof_contracts::typed_data::{self, TransitionRequest};
use runproof_protocol::{
    InstanceId,
    certificate::{SignatureError, recover},
    head::Registry,
};
use serde::{Deserialize, Serialize};

use super::{
    Requests,
    inbox::{self, Answer, Arrival, Channel, Decision},
};
use crate::key::Key;

/// Body of `POST /requests`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedRequest {
    /// Whose run.
    pub issuer: Address,
    /// The run.
    pub instance: InstanceId,
    /// The waiting state.
    pub sequence: u64,
    /// What its task is to be completed with: JSON text.
    pub payload: String,
    /// When the request expires, Unix seconds.
    pub deadline: u64,
    /// EIP-712 signature of the other fields (the payload by its Keccak-256 hash), 65 bytes, in the domain of chain and contract.
    pub signature: Bytes,
}

/// A request that is not even answered: nobody is proved to have made it, or it can have no effect here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// No signer.
    #[error("signature: {0}")]
    Signature(#[from] SignatureError),
    /// Too late.
    #[error("the request expired {0} s ago: sign it again with a later deadline")]
    Expired(u64),
    /// Another issuer's.
    #[error("this is the site of {0}: ask the issuer of the instance")]
    OtherIssuer(Address),
}

impl SignedRequest {
    /// Signs a request in the domain of `registry`.
    ///
    /// # Errors
    /// If the key cannot sign.
    pub async fn sign(
        signer: &Key,
        registry: Registry,
        issuer: Address,
        instance: InstanceId,
        sequence: u64,
        payload: String,
        deadline: u64,
    ) -> Result<Self, alloy::signers::Error> {
        let mut request = Self { issuer, instance, sequence, payload, deadline, signature: Bytes::new() };
        request.signature = signer.sign_hash(&request.digest(registry)).await?.as_bytes().into();
        Ok(request)
    }

    /// What is signed.
    pub fn digest(&self, registry: Registry) -> B256 {
        let statement = TransitionRequest {
            issuer: self.issuer,
            instance: self.instance.0,
            sequence: self.sequence,
            payloadHash: keccak256(self.payload.as_bytes()),
            deadline: self.deadline,
        };
        statement.eip712_signing_hash(&typed_data::domain(registry.chain_id, registry.address))
    }

    /// Who signed, if the request is for `issuer` and not expired at `now_s` (Unix seconds).
    ///
    /// # Errors
    /// [`Invalid`].
    pub fn requester(&self, registry: Registry, issuer: Address, now_s: u64) -> Result<Address, Invalid> {
        if self.issuer != issuer {
            return Err(Invalid::OtherIssuer(issuer));
        }
        if self.deadline < now_s {
            return Err(Invalid::Expired(now_s - self.deadline));
        }
        Ok(recover(self.digest(registry), &self.signature)?)
    }
}

impl Requests {
    /// Records a signed request and decides it if that can be done now. The same request again gets the answer that it has. What comes from somebody who
    /// may not ask is refused and not recorded: keys cost nothing, and there is no end to them.
    ///
    /// # Errors
    /// The outer error: database, node or AWS fail. The inner one: [`Invalid`].
    pub async fn receive_signed(&self, request: &SignedRequest, now_s: u64) -> eyre::Result<Result<Answer, Invalid>> {
        let requester = match request.requester(self.registry, self.issuer, now_s) {
            Ok(requester) => requester,
            Err(invalid) => return Ok(Err(invalid)),
        };
        // Not the signature: a second valid one is easily derived from it.
        let origin = format!("{}/{requester}", request.digest(self.registry));
        let known = inbox::find(&self.database, &origin).await?;
        if known.is_none()
            && let Err(refusal) = self.admit(request.instance, requester).await?
        {
            inbox::count_refused();
            return Ok(Ok(Answer { decision: Decision::Refused, reason: Some(refusal.to_string()), requester }));
        }
        let signature = FixedBytes::try_from(&request.signature[..]).wrap_err("a signature that was recovered from")?;
        let arrival = Arrival {
            channel: Channel::Https { deadline_s: request.deadline, signature },
            requester,
            instance: request.instance,
            sequence: request.sequence,
            payload: request.payload.as_bytes(),
            origin,
        };
        let id = match known {
            Some(id) => id,
            None => inbox::store(&self.database, &arrival).await?,
        };
        Ok(Ok(self.decide(id).await?))
    }
}

#[cfg(test)]
mod tests {
    use alloy::signers::local::PrivateKeySigner;

    use super::*;

    const REGISTRY: Registry = Registry { chain_id: 1, address: Address::repeat_byte(7) };
    const ISSUER: Address = Address::repeat_byte(1);

    async fn signed(signer: &Key) -> SignedRequest {
        let instance = InstanceId::of(b"run");
        SignedRequest::sign(signer, REGISTRY, ISSUER, instance, 3, "{}".into(), 1_000).await.expect("signed")
    }

    fn random() -> Key {
        PrivateKeySigner::random().into()
    }

    #[tokio::test]
    async fn a_request_proves_its_sender() {
        let signer = random();
        assert_eq!(signed(&signer).await.requester(REGISTRY, ISSUER, 1_000), Ok(signer.address()));
    }

    #[tokio::test]
    async fn no_field_can_be_changed_after_signing() {
        let signer = random();
        let changes: [fn(&mut SignedRequest); 4] = [
            |request| request.instance = InstanceId::of(b"other"),
            |request| request.sequence += 1,
            |request| request.payload = "{ }".into(),
            |request| request.deadline += 1,
        ];
        for change in changes {
            let mut request = signed(&signer).await;
            change(&mut request);
            assert_ne!(request.requester(REGISTRY, ISSUER, 1_000), Ok(signer.address()));
        }
        for registry in [Registry { chain_id: 2, ..REGISTRY }, Registry { address: ISSUER, ..REGISTRY }] {
            assert_ne!(signed(&signer).await.requester(registry, ISSUER, 1_000), Ok(signer.address()));
        }
    }

    #[tokio::test]
    async fn late_foreign_and_unsigned_requests_are_invalid() {
        let mut request = signed(&random()).await;
        assert_eq!(request.requester(REGISTRY, ISSUER, 1_005), Err(Invalid::Expired(5)));
        let other = Address::repeat_byte(9);
        assert_eq!(request.requester(REGISTRY, other, 0), Err(Invalid::OtherIssuer(other)));
        request.signature = Bytes::from_static(&[1, 2, 3]);
        assert!(matches!(request.requester(REGISTRY, ISSUER, 0), Err(Invalid::Signature(_))));
    }
}
