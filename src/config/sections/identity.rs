//! The key, and the certificate.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::config::Secret;

/// Who registers.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Identity {
    /// Folder of the keystore and the certificate.
    pub folder: PathBuf,
    /// Opens the keystore; better set by `RUNPROOF_IDENTITY__PASSWORD`.
    #[serde(skip_serializing)]
    pub password: Secret,
    /// Id, ARN or alias of a key in AWS KMS, instead of a keystore.
    pub kms_key: Option<String>,
    /// A private key, 32 bytes in hexadecimal, instead of a keystore: by `RUNPROOF_IDENTITY__PRIVATE_KEY` alone, for development only.
    #[serde(skip_serializing)]
    pub private_key: Option<Secret>,
    /// ENS name that leads to the site, such as `company.eth`.
    pub ens_name: Option<String>,
    /// Host names and addresses for a generated certificate.
    pub hosts: Vec<String>,
}

impl Default for Identity {
    fn default() -> Self {
        Self {
            folder: "identity".into(),
            password: Secret::default(),
            kms_key: None,
            private_key: None,
            ens_name: None,
            hosts: vec!["localhost".into(), "127.0.0.1".into()],
        }
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity")
            .field("folder", &self.folder)
            .field("kms_key", &self.kms_key)
            .field("ens_name", &self.ens_name)
            .field("hosts", &self.hosts)
            .finish_non_exhaustive()
    }
}
