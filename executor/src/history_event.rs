//! History events as the SDK reads them, turned into the protocol's.

use aws_sdk_sfn::{
    primitives::DateTime,
    types::{HistoryEvent as SdkEvent, HistoryEventType},
};
use runproof_protocol::history::HistoryEvent;
use serde_json::Value;

use crate::event_detail::detail;

/// An event of the SDK as the protocol knows it.
pub(crate) fn history_event(event: &SdkEvent) -> HistoryEvent {
    let entered = event.state_entered_event_details();
    let exited = event.state_exited_event_details().map(|details| &details.name);
    HistoryEvent {
        id: u64::try_from(event.id).unwrap_or_default(),
        previous_id: u64::try_from(event.previous_event_id).unwrap_or_default(),
        event_type: event.r#type.as_str().to_owned(),
        timestamp_ms: epoch_ms(&event.timestamp),
        state_name: entered.map(|details| &details.name).or(exited).cloned(),
        input: entered.and_then(|details| details.input.clone()),
        starts: starts(event),
        salt: None,
        detail: detail(event),
    }
}

/// The Map Run or execution that the event tells to have been started. A task that starts an execution tells its ARN in what AWS answered: where it
/// waits for more, as soon as that is submitted (<https://docs.aws.amazon.com/step-functions/latest/dg/connect-stepfunctions.html>).
fn starts(event: &SdkEvent) -> Option<String> {
    let (service, action, output) = match event.r#type {
        HistoryEventType::MapRunStarted => return event.map_run_started_event_details()?.map_run_arn.clone(),
        HistoryEventType::MapRunRedriven => return event.map_run_redriven_event_details()?.map_run_arn.clone(),
        HistoryEventType::TaskSubmitted => {
            let details = event.task_submitted_event_details()?;
            (&details.resource_type, &details.resource, &details.output)
        }
        HistoryEventType::TaskSucceeded => {
            let details = event.task_succeeded_event_details()?;
            (&details.resource_type, &details.resource, &details.output)
        }
        _ => return None,
    };
    let starts =
        ["states", "aws-sdk:sfn"].contains(&service.as_str()) && action.split('.').next() == Some("startExecution");
    let output: Value = serde_json::from_str(output.as_deref().filter(|_| starts)?).ok()?;
    Some(output["ExecutionArn"].as_str()?.to_owned())
}

/// Milliseconds since the Unix epoch, to the nearest: AWS sends seconds as a decimal fraction, whose nearest double may lie below it.
pub(crate) fn epoch_ms(time: &DateTime) -> i64 {
    let ms =
        (i128::from(time.secs()) * 1_000_000_000 + i128::from(time.subsec_nanos()) + 500_000).div_euclid(1_000_000);
    i64::try_from(ms).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use aws_sdk_sfn::types::{MapRunStartedEventDetails, StateEnteredEventDetails, TaskSubmittedEventDetails};
    use runproof_protocol::detail::Detail;

    use super::*;

    #[test]
    fn fractions_of_a_second_are_rounded_to_the_nearest_millisecond() {
        for ms in (1_678_443_189_000..1_678_443_190_000).chain([0, 1, 999]) {
            let seconds: f64 = format!("{}.{:03}", ms / 1_000, ms % 1_000).parse().expect("a number");
            assert_eq!(epoch_ms(&DateTime::from_secs_f64(seconds)), ms);
        }
    }

    #[test]
    fn entered_states_carry_name_and_input() {
        let details = StateEnteredEventDetails::builder().name("Read").input("{}").build().expect("named");
        let sdk = SdkEvent::builder()
            .id(2)
            .previous_event_id(0)
            .r#type(HistoryEventType::TaskStateEntered)
            .timestamp(DateTime::from_secs_f64(1_678_443_189.342))
            .state_entered_event_details(details)
            .build()
            .expect("complete");
        let expected = HistoryEvent {
            id: 2,
            previous_id: 0,
            event_type: "TaskStateEntered".into(),
            timestamp_ms: 1_678_443_189_342,
            state_name: Some("Read".into()),
            input: Some("{}".into()),
            starts: None,
            salt: None,
            detail: Detail::default(),
        };
        assert_eq!(history_event(&sdk), expected);
    }

    #[test]
    fn map_runs_and_executions_that_tasks_start_are_told() {
        let event = |r#type| SdkEvent::builder().id(5).r#type(r#type).timestamp(DateTime::from_secs(0));
        let map_run = MapRunStartedEventDetails::builder().map_run_arn("arn:aws:states:r:1:mapRun:m/Each:x").build();
        let started = event(HistoryEventType::MapRunStarted).map_run_started_event_details(map_run).build();
        let told = |event: Result<SdkEvent, _>| starts(&event.expect("complete"));
        assert_eq!(told(started).as_deref(), Some("arn:aws:states:r:1:mapRun:m/Each:x"));
        let submitted = |service: &str, action: &str| {
            let details = TaskSubmittedEventDetails::builder().resource_type(service).resource(action);
            let details =
                details.output(r#"{"ExecutionArn": "arn:aws:states:r:1:execution:m:x"}"#).build().expect("complete");
            told(event(HistoryEventType::TaskSubmitted).task_submitted_event_details(details).build())
        };
        for action in
            ["startExecution", "startExecution.sync", "startExecution.sync:2", "startExecution.waitForTaskToken"]
        {
            assert_eq!(submitted("states", action).as_deref(), Some("arn:aws:states:r:1:execution:m:x"), "{action}");
        }
        assert_eq!(submitted("lambda", "invoke"), None);
    }
}
