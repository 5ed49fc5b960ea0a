//! Trying again after a failure: later each time, told once for each new reason.

use std::time::Duration;

use tracing::{info, warn};

const FIRST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(10);

/// How it went lately.
#[derive(Debug)]
pub struct Backoff {
    part: &'static str,
    delay: Duration,
    reason: Option<String>,
}

impl Backoff {
    /// For a part of the system, as it is named in logs.
    pub fn new(part: &'static str) -> Self {
        Self { part, delay: FIRST, reason: None }
    }

    /// It works (again).
    pub fn succeeded(&mut self) {
        if self.reason.take().is_some() {
            info!(part = self.part, "works again");
        }
        self.delay = FIRST;
    }

    /// It failed: waits.
    pub async fn failed(&mut self, error: &(dyn std::fmt::Display + Sync)) {
        let reason = error.to_string();
        if self.reason.as_ref() != Some(&reason) {
            warn!(part = self.part, reason, "failed; trying again until it works");
            self.reason = Some(reason);
        }
        tokio::time::sleep(self.delay).await;
        self.delay = (self.delay * 2).min(LONGEST);
    }
}
