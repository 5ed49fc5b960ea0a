//! What an endpoint may be asked, and when again after it said that it was too much. All who ask it share one limit.

use std::{
    num::NonZeroU32,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use alloy::{
    rpc::json_rpc::{ErrorPayload, RpcError},
    transports::layers::{RateLimitRetryPolicy, RetryPolicy},
};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use tokio::time::Instant;

/// Without a word on how long: first this, then twice as long each time.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// An endpoint's own word counts, up to this: a day's quota is used up at most for a day.
const LONGEST_TOLD: Duration = Duration::from_secs(24 * 3600);

/// One endpoint's.
pub(crate) struct RateLimit {
    agreed: Option<(NonZeroU32, DefaultDirectRateLimiter)>,
    pause: Mutex<Pause>,
}

#[derive(Default)]
struct Pause {
    until: Option<Instant>,
    refusals: u32,
}

impl RateLimit {
    /// At most so many calls a second, if that is known beforehand. Each call of a batch counts, as providers count them.
    pub(crate) fn new(calls_per_s: Option<NonZeroU32>) -> Self {
        let agreed = calls_per_s.map(|calls| (calls, RateLimiter::direct(Quota::per_second(calls))));
        Self { agreed, pause: Mutex::default() }
    }

    /// Calls that one request may carry.
    pub(crate) fn batch(&self, usual: usize) -> usize {
        self.agreed.as_ref().map_or(usual, |(calls, _)| usual.min(calls.get() as usize))
    }

    /// Waits until so many calls may be made.
    pub(crate) async fn ready(&self, calls: usize) {
        while let Some(until) = self.paused_until() {
            tokio::time::sleep_until(until).await;
        }
        let calls = u32::try_from(calls).ok().and_then(NonZeroU32::new);
        if let (Some((burst, limiter)), Some(calls)) = (&self.agreed, calls) {
            // Never more than the burst, so it is always granted at last.
            let _ = limiter.until_n_ready(calls.min(*burst)).await;
        }
    }

    /// End of the pause that is being kept.
    pub(crate) fn paused_until(&self) -> Option<Instant> {
        self.pause().until.filter(|until| *until > Instant::now())
    }

    /// It was too much: nobody asks for this long (the endpoint's own word, or longer each time). Returns how long.
    pub(crate) fn refused(&self, told: Option<Duration>) -> Duration {
        let mut pause = self.pause();
        let own = (FIRST_PAUSE * 2u32.saturating_pow(pause.refusals.min(10))).min(LONGEST_PAUSE);
        let wait = told.map_or(own, |told| told.min(LONGEST_TOLD));
        pause.refusals += 1;
        pause.until = pause.until.max(Some(Instant::now() + wait));
        wait
    }

    /// It answered.
    pub(crate) fn granted(&self) {
        self.pause().refusals = 0;
    }

    fn pause(&self) -> std::sync::MutexGuard<'_, Pause> {
        self.pause.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether an error says "too much, later", and if it says when. One that speaks of ranges or results says "too much at once" instead, and one
/// that misses a block says neither.
pub(crate) fn rate_limited(error: &ErrorPayload) -> Option<Option<Duration>> {
    let text = error.message.to_lowercase();
    let too_much_at_once = ["range", "results", "response size", "not found"].iter().any(|words| text.contains(words));
    let lower = ErrorPayload { message: text.into(), ..error.clone() };
    let limited = !too_much_at_once && lower.is_retry_err();
    limited.then(|| RateLimitRetryPolicy::default().backoff_hint(&RpcError::ErrorResp(lower)))
}

/// `Retry-After` (RFC 9110, 10.2.3): seconds, or a date.
pub(crate) fn retry_after(value: &str, now: std::time::SystemTime) -> Option<Duration> {
    let seconds = value.trim().parse().ok().map(Duration::from_secs);
    seconds.or_else(|| httpdate::parse_http_date(value.trim()).ok()?.duration_since(now).ok())
}

#[cfg(test)]
mod tests {
    use std::time::{SystemTime, UNIX_EPOCH};

    use super::*;

    fn error(text: &str) -> ErrorPayload {
        serde_json::from_str(text).expect("an error")
    }

    #[test]
    fn providers_words_for_later_are_known() {
        let said = [
            (r#"{"code": 429, "message": "exceeded its compute units per second capacity"}"#, None),
            (
                r#"{"code": -32005, "message": "daily request count exceeded", "data": {"rate": {"backoff_seconds": 30}}}"#,
                Some(30),
            ),
            (r#"{"code": -32007, "message": "25/second request limit reached - reduce calls per second"}"#, None),
            (r#"{"code": -32000, "message": "Too Many Requests"}"#, None),
        ];
        for (text, seconds) in said {
            assert_eq!(rate_limited(&error(text)), Some(seconds.map(Duration::from_secs)), "{text}");
        }
    }

    #[test]
    fn too_much_at_once_is_not_later() {
        for text in [
            r#"{"code": -32005, "message": "query returned more than 10000 results"}"#,
            r#"{"code": -32005, "message": "ranges over 1000 blocks are not supported on freetier"}"#,
            r#"{"code": -32000, "message": "header not found"}"#,
        ] {
            assert_eq!(rate_limited(&error(text)), None, "{text}");
        }
    }

    #[test]
    fn a_time_to_come_back_is_seconds_or_a_date() {
        let now = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        assert_eq!(retry_after("7", now), Some(Duration::from_secs(7)));
        assert_eq!(
            retry_after(&httpdate::fmt_http_date(now + Duration::from_secs(9)), now),
            Some(Duration::from_secs(9))
        );
        assert_eq!(retry_after("soon", SystemTime::now()), None);
    }

    #[test]
    fn an_endpoint_is_left_alone_for_as_long_as_it_says() {
        let limit = RateLimit::new(None);
        let an_hour = Duration::from_secs(3600);
        assert_eq!(limit.refused(Some(an_hour)), an_hour);
        let until = limit.paused_until().expect("a pause");
        assert!(until > Instant::now() + an_hour - Duration::from_secs(60));
        assert_eq!(limit.refused(Some(Duration::MAX)), LONGEST_TOLD);
        assert_eq!((0..20).map(|_| limit.refused(None)).last(), Some(LONGEST_PAUSE));
    }

    #[tokio::test]
    async fn a_pause_holds_everybody_and_grows_until_something_is_granted() {
        let limit = RateLimit::new(None);
        let told = Duration::from_millis(80);
        let begun = Instant::now();
        assert_eq!(limit.refused(Some(told)), told);
        tokio::join!(limit.ready(1), limit.ready(1));
        assert!(begun.elapsed() >= told);
        assert_eq!(limit.refused(None), FIRST_PAUSE * 2);
        assert_eq!(limit.refused(None), FIRST_PAUSE * 4);
        limit.granted();
        assert_eq!(limit.refused(None), FIRST_PAUSE);
    }
}
