//! AWS Step Functions as this crate uses it: state machines, executions, histories.
//!
//! API reference: <https://docs.aws.amazon.com/step-functions/latest/apireference/>.

mod error;
mod execution;
mod history;
mod start;
mod state_machine;

use std::{collections::HashMap, sync::Arc, time::Duration};

pub use error::StepFunctionsError;
pub(crate) use error::failed;
pub use execution::{Execution, Lister};
pub use start::MAX_INPUT;
use tokio::sync::Mutex;

use crate::{aws_call::Api, quota::InvalidQuota, settings::AwsSettings};

/// A client of one account and region. Its clones share the quotas.
#[derive(Debug, Clone)]
pub struct StepFunctions {
    pub(crate) api: Arc<Api>,
    role_arn: String,
    /// Definitions of versions, by their ARNs.
    versions: Arc<Mutex<HashMap<String, String>>>,
}

impl StepFunctions {
    /// A client by these settings; calls nothing yet.
    ///
    /// # Errors
    /// A quota that cannot be meant.
    pub async fn connect(settings: &AwsSettings) -> Result<Self, InvalidQuota> {
        let api = Arc::new(Api::new(&settings.load().await, &settings.quotas)?);
        Ok(Self { api, role_arn: settings.role_arn.clone(), versions: Arc::default() })
    }

    /// Time between two looks at each of so many histories, for all of these looks to use half of the account's quota.
    pub(crate) fn history_interval(&self, histories: usize) -> Duration {
        self.api.half_shared("GetExecutionHistory", histories)
    }

    /// The same of the lists of so many state machines' executions.
    pub(crate) fn list_interval(&self, machines: usize) -> Duration {
        self.api.half_shared("ListExecutions", machines)
    }
}
