//! Certificates, view `journal.certificate`.

use sea_orm::entity::prelude::*;

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
    /// Its revocations, in the order of their positions: a list of objects with `position`, `block_number`, `from_block`, and `by`, an address.
    pub revocations: Json,
    /// Block of the registration.
    pub block_number: i64,
    /// Its hash, 32 bytes.
    pub block_hash: Vec<u8>,
    /// Its time, Unix seconds.
    pub block_timestamp_s: i64,
    /// Transaction of the registration, 32 bytes.
    pub transaction_hash: Vec<u8>,
}

/// It stands alone.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
