//! What is served and published of runs.

use serde::{Deserialize, Serialize};
use url::Url;

/// The TLS site that publishes documents.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Site {
    /// Address and port to listen on.
    pub listen: String,
    /// How others reach it: `https://…`, without a slash at the end.
    pub public_url: String,
}

impl Default for Site {
    fn default() -> Self {
        Self { listen: "127.0.0.1:27443".into(), public_url: "https://localhost:27443".into() }
    }
}

/// Where documents are stored for a static host.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Publication {
    /// `file:///folder`, or `s3://bucket/prefix`.
    pub url: Url,
    /// Of S3-compatible storage; absent: where `[aws]` says.
    #[serde(default)]
    pub endpoint_url: Option<Url>,
    /// Key for it; absent: that of `[aws]`.
    #[serde(default)]
    pub access_key_id: Option<String>,
    /// See `access_key_id`.
    #[serde(default)]
    pub secret_access_key: Option<String>,
}

impl std::fmt::Debug for Publication {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Publication").field("url", &self.url.as_str()).finish_non_exhaustive()
    }
}
