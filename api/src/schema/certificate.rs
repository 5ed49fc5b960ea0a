//! Certificates that subjects bound to their addresses.

use async_graphql::{ComplexObject, Context, Result, SimpleObject};
use runproof_migrations::entity::certificate;

use super::{
    place::{self, Block, Finality, block_of},
    scalars::{Address, ContentId, Hash, Long, Position},
};

/// A certificate bound in the contract by its subject's signature.
#[derive(Debug, SimpleObject)]
#[graphql(complex)]
pub(crate) struct Certificate {
    /// Whose it is.
    subject: Address,
    /// SHA-256 of the certificate's DER bytes.
    fingerprint: ContentId,
    /// Where the subject's documents are served; null with the paper's contract, as is the validity.
    uri: Option<String>,
    /// Start of validity, Unix seconds.
    not_before_s: Option<Long>,
    /// End of validity, Unix seconds.
    not_after_s: Option<Long>,
    /// The subject's signature, 0x and hex; of the paper's contract its three parts as they were given, which that does not check.
    signature: String,
    /// Its revocations, and those of all of the subject's certificates. Of several the earliest block counts.
    revocations: Vec<Revocation>,
    /// Place in the journal.
    position: Position,
    /// Block of the binding.
    block: Block,
    /// Transaction of the binding.
    transaction_hash: Hash,
    #[graphql(skip)]
    as_of: i64,
}

#[ComplexObject]
impl Certificate {
    /// How firmly the chain holds that block, as of the answer's position.
    async fn finality(&self, context: &Context<'_>) -> Result<Finality> {
        place::finality(context, self.as_of, &self.block).await
    }
}

/// The end of trust in a certificate.
#[derive(Debug, SimpleObject)]
pub(crate) struct Revocation {
    /// Place in the journal.
    position: Position,
    /// Block of the revocation.
    block_number: Long,
    /// First block in which the certificate is not to be trusted: an earlier one, if it was compromised since.
    from_block: Long,
    /// Address of who said so: the subject or its guardian.
    by: String,
}

impl From<certificate::Revocation> for Revocation {
    fn from(row: certificate::Revocation) -> Self {
        Self {
            position: Position(row.position),
            block_number: Long(row.block_number),
            from_block: Long(row.from_block),
            by: row.by,
        }
    }
}

impl Certificate {
    pub(super) fn new(row: certificate::Model, as_of: i64) -> Self {
        let stands = |one: &certificate::Revocation| {
            one.position <= as_of && one.retracted_by.is_none_or(|retraction| retraction > as_of)
        };
        let revocations = row.revocations.0.into_iter().filter(stands).map(Revocation::from).collect();
        Self {
            block: block_of!(row),
            subject: Address(row.subject),
            fingerprint: ContentId(row.fingerprint),
            uri: row.uri,
            not_before_s: row.not_before_s.map(Long),
            not_after_s: row.not_after_s.map(Long),
            signature: row.signature,
            revocations,
            position: Position(row.position),
            transaction_hash: Hash(row.transaction_hash),
            as_of,
        }
    }
}
