//! Where everything is kept.

use serde::{Deserialize, Serialize};

/// Where everything is kept.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Postgres {
    /// `postgres://user:password@host:port/database`.
    pub url: String,
    /// Whether file or environment say so.
    #[serde(skip)]
    pub is_set: bool,
}

impl Default for Postgres {
    fn default() -> Self {
        Self { url: "postgres://postgres@127.0.0.1:5432/runproof".into(), is_set: false }
    }
}

impl std::fmt::Debug for Postgres {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Postgres { url: (hidden) }")
    }
}
