//! Verification, API, and what operators see.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// How states are verified.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Verifier {
    /// Whether sites on loopback and private addresses, and on other ports than 443, may be read. Only for a stack of one's own.
    pub allow_private_addresses: bool,
    /// A verdict is renewed after so many seconds even if nothing changed on the chain.
    pub recheck_interval_s: u64,
}

impl Default for Verifier {
    fn default() -> Self {
        Self { allow_private_addresses: false, recheck_interval_s: 300 }
    }
}

/// GraphQL and the monitor page.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Api {
    /// Address and port to listen on.
    pub listen: String,
    /// PEM files of the certificate and its key; absent: the identity's.
    pub certificate: Option<PathBuf>,
    /// See `certificate`.
    pub key: Option<PathBuf>,
    /// Other origins whose pages may ask, such as `https://dashboard.example`.
    pub allowed_origins: Vec<String>,
    /// Folder of the npm packages graphiql, react, react-dom and graphql-ws, for `/graphiql`; absent: not served.
    pub graphiql: Option<PathBuf>,
    /// Whether clients may ask for the schema.
    pub introspection: bool,
}

impl Default for Api {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:27444".into(),
            certificate: None,
            key: None,
            allowed_origins: Vec::new(),
            graphiql: None,
            introspection: true,
        }
    }
}

/// Health and metrics.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Operations {
    /// Address and port of `/healthz`, `/readyz`, `/status` and `/metrics`.
    pub listen: String,
}
