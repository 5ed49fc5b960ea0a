//! One call of the Step Functions API: within the quota, counted, and repeated where that helps.
//!
//! The SDK's own retries are off: they would take no token, and give up after three refusals.

use std::time::Duration;

use aws_sdk_sfn::{
    Client,
    config::{http::HttpResponse, retry::RetryConfig},
    error::{ProvideErrorMetadata, SdkError},
};

use crate::quota::{InvalidQuota, QuotaSettings, Quotas};

/// Refusals for the quota after which a call is given up, to be tried again with the next look.
const REFUSALS: u32 = 20;
/// Attempts that may get no answer, or an internal error.
const FAILURES: u32 = 3;
/// Before the first repetition after such a failure; doubled each time.
const BACK_OFF: Duration = Duration::from_millis(100);

/// The SDK's client and the quotas that all its callers share.
#[derive(Debug)]
pub(crate) struct Api {
    client: Client,
    quotas: Quotas,
}

impl Api {
    /// Calls nothing yet.
    pub(crate) fn new(config: &aws_config::SdkConfig, quotas: &QuotaSettings) -> Result<Self, InvalidQuota> {
        let config = aws_sdk_sfn::config::Builder::from(config).retry_config(RetryConfig::disabled());
        Ok(Self { client: Client::from_conf(config.build()), quotas: Quotas::new(quotas)? })
    }

    /// Time between two calls of each of so many callers, for all of them to use half of the account's quota.
    pub(crate) fn half_shared(&self, action: &'static str, callers: usize) -> Duration {
        self.quotas.half_shared(action, callers)
    }

    /// Calls an action that is harmless to repeat: `send` may be asked several times.
    pub(crate) async fn call<T, E, F>(
        &self,
        action: &'static str,
        send: impl Fn(&Client) -> F,
    ) -> Result<T, SdkError<E, HttpResponse>>
    where
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
        E: ProvideErrorMetadata,
    {
        self.attempt(action, FAILURES, send).await
    }

    /// Calls an action that must not be repeated where it may have been done: only refusals for the quota are.
    pub(crate) async fn once<T, E, F>(
        &self,
        action: &'static str,
        send: impl Fn(&Client) -> F,
    ) -> Result<T, SdkError<E, HttpResponse>>
    where
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
        E: ProvideErrorMetadata,
    {
        self.attempt(action, 1, send).await
    }

    async fn attempt<T, E, F>(
        &self,
        action: &'static str,
        most_failures: u32,
        send: impl Fn(&Client) -> F,
    ) -> Result<T, SdkError<E, HttpResponse>>
    where
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
        E: ProvideErrorMetadata,
    {
        let (mut refusals, mut failures) = (0, 0);
        loop {
            self.quotas.take(action).await;
            metrics::counter!("runproof_executor_aws_calls_total", "action" => action).increment(1);
            let answer = send(&self.client).await;
            match answer {
                Err(error) if is_refused_for_quota(&error) => {
                    metrics::counter!("runproof_executor_aws_throttled_total", "action" => action).increment(1);
                    self.quotas.refused(action);
                    refusals += 1;
                    if refusals > REFUSALS {
                        return Err(error);
                    }
                }
                Err(error) if is_transient(&error) => {
                    failures += 1;
                    if failures >= most_failures {
                        return Err(error);
                    }
                    tokio::time::sleep(BACK_OFF * 2_u32.pow(failures)).await;
                }
                answer => {
                    self.quotas.answered(action);
                    return answer;
                }
            }
        }
    }
}

/// <https://docs.aws.amazon.com/step-functions/latest/apireference/CommonErrors.html>
fn is_refused_for_quota<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    let code = error.as_service_error().and_then(ProvideErrorMetadata::code);
    matches!(code, Some("ThrottlingException" | "Throttling" | "TooManyRequestsException" | "RequestLimitExceeded"))
}

fn is_transient<E>(error: &SdkError<E, HttpResponse>) -> bool {
    match error {
        SdkError::TimeoutError(_) | SdkError::DispatchFailure(_) | SdkError::ResponseError(_) => true,
        SdkError::ServiceError(error) => error.raw().status().is_server_error(),
        _ => false,
    }
}
