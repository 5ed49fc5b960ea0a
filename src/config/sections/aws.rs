//! AWS Step Functions, and who asks.

use runproof_executor::quota::QuotaSettings;
use serde::{Deserialize, Serialize};
use url::Url;

/// Step Functions and SQS. Credentials that are absent come from the environment, profile or instance role, as for every AWS tool.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Aws {
    /// Another endpoint than AWS: an emulator.
    pub endpoint_url: Option<Url>,
    /// Region.
    pub region: String,
    /// Role that new state machines run under.
    pub role_arn: String,
    /// Key for an emulator; absent: AWS's own chain of credentials.
    pub access_key_id: Option<String>,
    /// See `access_key_id`.
    pub secret_access_key: Option<String>,
    /// Quotas of Step Functions' API by the name of the action, where they differ from AWS's default.
    pub quotas: QuotaSettings,
    /// Account numbers that stand as 000000000000 in all that is published. Set before the first deployment: ids follow from it.
    pub masked_accounts: Vec<String>,
}

impl Default for Aws {
    fn default() -> Self {
        Self {
            endpoint_url: None,
            region: "us-east-1".into(),
            role_arn: "arn:aws:iam::123456789012:role/runproof".into(),
            access_key_id: None,
            secret_access_key: None,
            quotas: QuotaSettings::new(),
            masked_accounts: Vec::new(),
        }
    }
}

impl std::fmt::Debug for Aws {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Aws")
            .field("endpoint_url", &self.endpoint_url)
            .field("region", &self.region)
            .field("role_arn", &self.role_arn)
            .field("quotas", &self.quotas)
            .finish_non_exhaustive()
    }
}
