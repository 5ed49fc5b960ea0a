//! Tokens of waiting tasks, whichever way they come: where each belongs, and that it is stored.

use serde::Deserialize;
use time::OffsetDateTime;

use super::Requests;
use crate::hint;

/// The fields of [`Context`].
pub(super) const CONTEXT: [&str; 3] = ["executionArn", "stateName", "enteredTime"];

/// Where a task belongs. Its model tells it, from the context object: AWS does not say it of a token.
/// <https://docs.aws.amazon.com/step-functions/latest/dg/input-output-contextobject.html>
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Context {
    execution_arn: String,
    state_name: String,
    #[serde(with = "time::serde::rfc3339")]
    entered_time: OffsetDateTime,
}

impl Requests {
    /// Stores a token, once. A request that waited for it can be decided.
    pub(super) async fn store_token(&self, token: &str, context: &Context) -> eyre::Result<()> {
        sqlx::query(
            "insert into executor.waiting_task (token, execution_arn, state_name, entered_at_ms) values ($1, $2, $3, $4)
             on conflict (token) do nothing",
        )
        .bind(token)
        .bind(&context.execution_arn)
        .bind(&context.state_name)
        .bind(i64::try_from(context.entered_time.unix_timestamp_nanos() / 1_000_000)?)
        .execute(&self.database)
        .await?;
        tracing::info!(execution_arn = context.execution_arn, state = context.state_name, "a task waits for a client");
        self.arrived.notify_one();
        hint::tell(&self.database, &context.execution_arn).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contexts_are_read_with_the_time_of_either_engine() {
        for (time, expected) in [("2026-11-23T08:21:00.123Z", 123), ("2026-11-23T08:21:00.123456+00:00", 123)] {
            let body =
                format!(r#"{{"executionArn": "e", "stateName": "s", "enteredTime": "{time}", "order": {{"id": 1}}}}"#);
            let context: Context = serde_json::from_str(&body).expect("a context");
            assert_eq!((context.state_name.as_str(), context.entered_time.millisecond()), ("s", expected));
        }
        for body in ["", "{}", "[]", r#"{"executionArn": "e", "stateName": "s", "enteredTime": "x"}"#] {
            assert!(serde_json::from_str::<Context>(body).is_err(), "{body}");
        }
    }
}
