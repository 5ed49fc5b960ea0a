//! Certificates, view `journal.certificate`.

use sea_orm::{FromJsonQueryResult, entity::prelude::*};
use serde::{Deserialize, Serialize};

/// A bound certificate.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(schema_name = "journal", table_name = "certificate")]
pub struct Model {
    /// Place in the journal.
    #[sea_orm(primary_key, auto_increment = false)]
    pub position: i64,
    /// Position of the retraction, if it was taken back.
    pub retracted_by: Option<i64>,
    /// Whose it is: address, 20 bytes.
    pub subject: Vec<u8>,
    /// SHA-256 of the certificate's DER bytes.
    pub fingerprint: Vec<u8>,
    /// Where the subject's documents are served; the paper's contract knows neither this nor a validity.
    pub uri: Option<String>,
    /// Start of validity, Unix seconds.
    pub not_before_s: Option<i64>,
    /// End of validity, Unix seconds.
    pub not_after_s: Option<i64>,
    /// The subject's signature, 0x and hex.
    pub signature: String,
    /// Its revocations, and those of all of the subject's certificates, in the order of their positions.
    pub revocations: Revocations,
    /// Block of the registration.
    pub block_number: i64,
    /// Its hash, 32 bytes.
    pub block_hash: Vec<u8>,
    /// Its time, Unix seconds.
    pub block_timestamp_s: i64,
    /// Transaction of the registration, 32 bytes.
    pub transaction_hash: Vec<u8>,
}

/// In one column, as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, FromJsonQueryResult)]
pub struct Revocations(pub Vec<Revocation>);

/// The end of trust in a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    /// Place in the journal.
    pub position: i64,
    /// Position of the retraction, if it was taken back.
    pub retracted_by: Option<i64>,
    /// Block of the revocation.
    pub block_number: i64,
    /// First block in which the certificate is not to be trusted.
    pub from_block: i64,
    /// Who said so: address, 0x and hex.
    pub by: String,
}

/// It stands alone.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
