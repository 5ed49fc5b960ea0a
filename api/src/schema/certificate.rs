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
    /// Its revocation; null while it stands.
    revocation: Option<Revocation>,
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
}

impl Certificate {
    pub(super) fn new(row: certificate::Model, as_of: i64) -> Self {
        let revocation = row.revocation_position.filter(|position| *position <= as_of).zip(row.revoked_at_block);
        Self {
            block: block_of!(row),
            subject: Address(row.subject),
            fingerprint: ContentId(row.fingerprint),
            uri: row.uri,
            not_before_s: row.not_before_s.map(Long),
            not_after_s: row.not_after_s.map(Long),
            signature: row.signature,
            revocation: revocation.map(|(position, block_number)| Revocation {
                position: Position(position),
                block_number: Long(block_number),
            }),
            position: Position(row.position),
            transaction_hash: Hash(row.transaction_hash),
            as_of,
        }
    }
}
