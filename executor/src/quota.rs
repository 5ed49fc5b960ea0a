//! Step Functions' quotas: each action of its API has a token bucket, for all callers of an account and region together.
//!
//! A call first takes a token here, so that many executions can be followed without AWS having to refuse. Others use the same quotas: where AWS does
//! refuse, the bucket is empty after all, and is refilled at half the rate; each answer brings the rate back by a tenth.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

/// The part of its quota to which an action's rate sinks at most.
const LEAST: f64 = 0.1;

/// A token bucket.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quota {
    /// Calls that may come at once: what the full bucket holds.
    pub burst: f64,
    /// Calls a second: what flows in.
    pub per_s: f64,
}

/// Quotas by the name of the action, where they differ from AWS's default.
pub type QuotaSettings = BTreeMap<String, Quota>;

/// Action, burst, calls a second: AWS's defaults for its regions at large, <https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html>.
/// North Virginia, Oregon and Ireland allow more.
const DEFAULTS: [(&str, f64, f64); 13] = [
    ("CreateStateMachine", 100.0, 1.0),
    ("DescribeExecution", 250.0, 10.0),
    ("DescribeMapRun", 200.0, 1.0),
    ("DescribeStateMachine", 200.0, 20.0),
    ("DescribeStateMachineForExecution", 200.0, 1.0),
    ("GetActivityTask", 1500.0, 300.0),
    ("GetExecutionHistory", 400.0, 20.0),
    ("ListExecutions", 100.0, 2.0),
    ("ListStateMachines", 100.0, 5.0),
    ("SendTaskFailure", 1500.0, 300.0),
    ("SendTaskHeartbeat", 1500.0, 300.0),
    ("SendTaskSuccess", 1500.0, 300.0),
    ("StartExecution", 800.0, 150.0),
];

/// A setting that cannot be meant.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum InvalidQuota {
    /// No action of this name is called.
    #[error("aws.quotas names `{0}`, which is not called: give one of {names}", names = names())]
    UnknownAction(String),
    /// A bucket that never fills.
    #[error("aws.quotas.{0}: burst must be at least 1, and per_s more than 0")]
    Empty(String),
}

fn names() -> String {
    actions().join(", ")
}

/// The actions that have a bucket.
pub(crate) fn actions() -> [&'static str; DEFAULTS.len()] {
    DEFAULTS.map(|(name, ..)| name)
}

/// A bucket for each action.
#[derive(Debug)]
pub(crate) struct Quotas(BTreeMap<&'static str, Mutex<Bucket>>);

impl Quotas {
    /// Full buckets.
    pub(crate) fn new(settings: &QuotaSettings) -> Result<Self, InvalidQuota> {
        for (name, quota) in settings {
            if !DEFAULTS.iter().any(|(known, ..)| known == name) {
                return Err(InvalidQuota::UnknownAction(name.clone()));
            }
            if !(quota.burst >= 1.0 && quota.per_s > 0.0) {
                return Err(InvalidQuota::Empty(name.clone()));
            }
        }
        let now = Instant::now();
        let bucket = |(name, burst, per_s)| {
            let quota = settings.get(name).copied().unwrap_or(Quota { burst, per_s });
            (name, Mutex::new(Bucket { quota, tokens: quota.burst, rate: quota.per_s, at: now }))
        };
        Ok(Self(DEFAULTS.map(bucket).into()))
    }

    /// Returns when the action may be called.
    pub(crate) async fn take(&self, action: &'static str) {
        let wait = self.with(action, |bucket| bucket.take(Instant::now()));
        if let Some(wait) = wait.filter(|wait| !wait.is_zero()) {
            metrics::histogram!("runproof_executor_aws_quota_wait_seconds", "action" => action).record(wait);
            tokio::time::sleep(wait).await;
        }
    }

    /// Time between two calls of each of so many callers, for all of them to use half of what the account gets just now.
    pub(crate) fn half_shared(&self, action: &'static str, callers: usize) -> Duration {
        let rate = self.with(action, |bucket| bucket.rate);
        rate.map_or(Duration::ZERO, |rate| Duration::from_secs_f64(callers as f64 * 2.0 / rate))
    }

    /// AWS refused the call for its quota.
    pub(crate) fn refused(&self, action: &'static str) {
        self.with(action, |bucket| bucket.refused(Instant::now()));
    }

    /// AWS took the call.
    pub(crate) fn answered(&self, action: &'static str) {
        self.with(action, |bucket| bucket.answered(Instant::now()));
    }

    fn with<T>(&self, action: &'static str, change: impl FnOnce(&mut Bucket) -> T) -> Option<T> {
        Some(change(&mut self.0.get(action)?.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

#[derive(Debug)]
struct Bucket {
    quota: Quota,
    /// Below zero: so many calls wait.
    tokens: f64,
    /// Tokens a second, just now.
    rate: f64,
    at: Instant,
}

impl Bucket {
    /// Takes a token; it is there after this time.
    fn take(&mut self, now: Instant) -> Duration {
        self.fill(now);
        self.tokens -= 1.0;
        Duration::from_secs_f64((-self.tokens / self.rate).max(0.0))
    }

    fn refused(&mut self, now: Instant) {
        self.fill(now);
        self.tokens = self.tokens.min(0.0);
        self.rate = (self.rate / 2.0).max(self.quota.per_s * LEAST);
    }

    fn answered(&mut self, now: Instant) {
        self.fill(now);
        self.rate = (self.rate + self.quota.per_s / 10.0).min(self.quota.per_s);
    }

    fn fill(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.at).as_secs_f64();
        self.tokens = (self.tokens + elapsed * self.rate).min(self.quota.burst);
        self.at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(now: Instant) -> Bucket {
        let quota = Quota { burst: 3.0, per_s: 2.0 };
        Bucket { quota, tokens: quota.burst, rate: quota.per_s, at: now }
    }

    #[test]
    fn calls_beyond_the_burst_wait_for_their_tokens_in_order() {
        let now = Instant::now();
        let mut bucket = bucket(now);
        let waits: Vec<f64> = (0..5).map(|_| bucket.take(now).as_secs_f64()).collect();
        assert_eq!(waits, [0.0, 0.0, 0.0, 0.5, 1.0]);
        assert_eq!(bucket.take(now + Duration::from_secs(60)), Duration::ZERO, "it fills again");
        assert_eq!(bucket.tokens, 2.0, "and not beyond its burst");
    }

    #[test]
    fn a_refusal_empties_the_bucket_and_halves_its_rate_until_answers_bring_it_back() {
        let now = Instant::now();
        let mut bucket = bucket(now);
        bucket.refused(now);
        assert_eq!(bucket.take(now).as_secs_f64(), 1.0, "one token, at half the rate");
        (0..20).for_each(|_| bucket.refused(now));
        assert_eq!(bucket.rate, 0.2, "but it never stops");
        (0..9).for_each(|_| bucket.answered(now));
        assert!((bucket.rate - 2.0).abs() < 1e-9);
        bucket.answered(now);
        assert_eq!(bucket.rate, 2.0);
    }

    #[test]
    fn callers_that_share_half_of_a_quota_wait_longer_where_aws_refuses() {
        let quotas = Quotas::new(&QuotaSettings::new()).expect("the defaults");
        assert_eq!(quotas.half_shared("GetExecutionHistory", 300), Duration::from_secs(30));
        quotas.refused("GetExecutionHistory");
        assert_eq!(quotas.half_shared("GetExecutionHistory", 300), Duration::from_secs(60));
    }

    #[test]
    fn settings_name_actions_that_are_called_and_buckets_that_fill() {
        let with = |name: &str, burst, per_s| Quotas::new(&[(name.to_owned(), Quota { burst, per_s })].into()).err();
        assert_eq!(with("GetExecutionHistory", 800.0, 40.0), None);
        assert_eq!(with("SendTaskSuccess", 3000.0, 500.0), None);
        assert_eq!(with("DeleteAll", 1.0, 1.0), Some(InvalidQuota::UnknownAction("DeleteAll".into())));
        assert_eq!(with("ListExecutions", 1.0, 0.0), Some(InvalidQuota::Empty("ListExecutions".into())));
    }
}
