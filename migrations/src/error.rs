//! Why a schema is not brought up to date.

use sea_orm::DbErr;

/// Why [`crate::migrate`] left the database as it was.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// A later release has migrated the database.
    #[error(
        "the database's schema is newer than this program ({unknown} is unknown to it): use the release that migrated the database, or a later one. \
         Nothing was changed"
    )]
    Newer {
        /// Names of the migrations that this release does not have.
        unknown: String,
    },
    /// What Postgres answered.
    #[error(transparent)]
    Database(#[from] DbErr),
}
