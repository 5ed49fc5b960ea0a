//! What the API is told from outside.

use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

/// Settings of [`crate::serve`].
#[derive(Clone)]
pub struct Settings {
    /// Postgres, for example `postgres://runproof@localhost/runproof`. The user must be a member of `runproof_reader`; nothing else is used of its rights.
    pub postgres_url: String,
    /// Journals of further sources, by name, each in a database of its own: served under `/sources/<name>`.
    pub sources: BTreeMap<String, String>,
    /// PEM file with the server's certificate chain.
    pub certificate: PathBuf,
    /// PEM file with its private key.
    pub private_key: PathBuf,
    /// Origins besides its own whose pages may use the API, for example `https://app.example`. Compared exactly.
    pub allowed_origins: Vec<String>,
    /// Folder of npm packages (`node_modules`) with graphiql 3, react 18, react-dom 18 and graphql-ws 5, from which `/graphiql` is served; `None` switches it off.
    pub graphiql: Option<PathBuf>,
    /// Whether clients may ask for the schema by introspection; `/schema.graphql` is served in any case.
    pub introspection: bool,
    /// Limits.
    pub limits: Limits,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("certificate", &self.certificate)
            .field("allowed_origins", &self.allowed_origins)
            .field("graphiql", &self.graphiql)
            .field("introspection", &self.introspection)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// What one client may ask for. The defaults suit a public service on a small machine.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at a time, websockets included; more are refused.
    pub connections: usize,
    /// Connections to Postgres.
    pub database_connections: u32,
    /// Bytes of a request's body or of a websocket message.
    pub message_bytes: usize,
    /// From request to answer, also the longest wait for a position.
    pub deadline: Duration,
    /// TLS handshake, request headers, and a websocket's `connection_init`, each.
    pub handshake: Duration,
    /// Silence after which a websocket is pinged, and after as much again closed.
    pub keep_alive: Duration,
    /// Subscriptions on one websocket.
    pub subscriptions: usize,
    /// Fields nested in each other.
    pub depth: usize,
    /// Fields in all, each counted as often as its list may be long.
    pub complexity: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            database_connections: 16,
            message_bytes: 64 * 1024,
            deadline: Duration::from_secs(10),
            handshake: Duration::from_secs(5),
            keep_alive: Duration::from_secs(20),
            subscriptions: 20,
            depth: 16,
            complexity: 200_000,
        }
    }
}
