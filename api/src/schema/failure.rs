//! Errors that are not the client's.

use async_graphql::{Error, ErrorExtensions};

/// Extension `code` of errors that are not the client's.
pub(crate) const UNAVAILABLE: &str = "UNAVAILABLE";

/// The database did not answer: the cause is logged, the client is told to come back.
pub(super) fn unavailable(cause: impl std::fmt::Display) -> Error {
    tracing::error!(%cause, "query of the database failed");
    Error::new("the data cannot be read at the moment: try again")
        .extend_with(|_, extensions| extensions.set("code", UNAVAILABLE))
}
