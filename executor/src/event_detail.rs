//! What the SDK tells of an event besides what states are captured from.

use std::collections::BTreeMap;

use aws_sdk_sfn::types::{HistoryEvent as SdkEvent, TaskSubmittedEventDetails};
use runproof_protocol::detail::Detail;

/// Copies fields of those details that the event has to those of the same name.
macro_rules! copy {
    ($event:ident to $told:ident: $($details:ident { $($field:ident),+ })+) => {
        $(if let Some(details) = $event.$details() {
            $($told.$field = details.$field.clone().into();)+
        })+
    };
}

/// The same for what is among the data.
macro_rules! copy_data {
    ($event:ident to $told:ident: $($details:ident { $($field:ident),+ })+) => {
        $(if let Some(details) = $event.$details() {
            $($told.data.$field.clone_from(&details.$field);)+
        })+
    };
}

/// The event's details, as far as they are kept.
pub(crate) fn detail(event: &SdkEvent) -> Detail {
    let mut told = Detail::default();
    copy!(event to told:
        activity_scheduled_event_details { resource, timeout_in_seconds, heartbeat_in_seconds }
        activity_started_event_details { worker_name }
        lambda_function_scheduled_event_details { resource, timeout_in_seconds }
        task_scheduled_event_details { resource, resource_type, timeout_in_seconds, heartbeat_in_seconds }
        task_started_event_details { resource, resource_type }
        task_start_failed_event_details { resource, resource_type }
        task_submitted_event_details { resource, resource_type }
        task_submit_failed_event_details { resource, resource_type }
        task_succeeded_event_details { resource, resource_type }
        task_failed_event_details { resource, resource_type }
        task_timed_out_event_details { resource, resource_type }
        map_state_started_event_details { length }
        map_iteration_started_event_details { name, index }
        map_iteration_succeeded_event_details { name, index }
        map_iteration_failed_event_details { name, index }
        map_iteration_aborted_event_details { name, index }
        map_run_started_event_details { map_run_arn }
        map_run_redriven_event_details { map_run_arn, redrive_count }
        execution_redriven_event_details { redrive_count }
        evaluation_failed_event_details { state, location }
    );
    copy_data!(event to told:
        activity_succeeded_event_details { output }
        lambda_function_succeeded_event_details { output }
        task_succeeded_event_details { output }
        state_exited_event_details { output }
        execution_succeeded_event_details { output }
    );
    copy_failures(event, &mut told);
    if let Some(submitted) = event.task_submitted_event_details().filter(|details| !hands_a_token_out(details)) {
        told.data.output.clone_from(&submitted.output);
    }
    let variables = event.state_exited_event_details().and_then(|details| details.assigned_variables.as_ref());
    let by_name: Option<BTreeMap<_, _>> = variables.map(|variables| variables.iter().collect());
    told.data.assigned_variables = by_name.and_then(|variables| serde_json::to_string(&variables).ok());
    told
}

/// Each kind of failure has its error and cause.
fn copy_failures(event: &SdkEvent, told: &mut Detail) {
    copy_data!(event to told:
        activity_failed_event_details { error, cause }
        activity_schedule_failed_event_details { error, cause }
        activity_timed_out_event_details { error, cause }
        lambda_function_failed_event_details { error, cause }
        lambda_function_schedule_failed_event_details { error, cause }
        lambda_function_start_failed_event_details { error, cause }
        lambda_function_timed_out_event_details { error, cause }
        task_failed_event_details { error, cause }
        task_start_failed_event_details { error, cause }
        task_submit_failed_event_details { error, cause }
        task_timed_out_event_details { error, cause }
        map_run_failed_event_details { error, cause }
        evaluation_failed_event_details { error, cause }
        execution_failed_event_details { error, cause }
        execution_aborted_event_details { error, cause }
        execution_timed_out_event_details { error, cause }
    );
}

/// Who is given a task's token may answer with it, and the task waits yet.
fn hands_a_token_out(submitted: &TaskSubmittedEventDetails) -> bool {
    submitted.resource.ends_with(".waitForTaskToken")
}

#[cfg(test)]
mod tests {
    use aws_sdk_sfn::{
        primitives::DateTime,
        types::{
            HistoryEventType, StateExitedEventDetails, TaskFailedEventDetails, TaskScheduledEventDetails,
            builders::HistoryEventBuilder,
        },
    };
    use runproof_protocol::detail::Data;

    use super::*;

    fn event(r#type: HistoryEventType) -> HistoryEventBuilder {
        SdkEvent::builder().id(5).r#type(r#type).timestamp(DateTime::from_secs(0))
    }

    fn told(event: HistoryEventBuilder) -> Detail {
        detail(&event.build().expect("complete"))
    }

    #[test]
    fn a_failed_attempt_tells_its_error_and_what_it_called() {
        let failed = TaskFailedEventDetails::builder().resource_type("lambda").resource("invoke");
        let failed = failed.error("Throttled").cause("Rate exceeded").build().expect("complete");
        let expected = Detail {
            resource: Some("invoke".into()),
            resource_type: Some("lambda".into()),
            data: Data { error: Some("Throttled".into()), cause: Some("Rate exceeded".into()), ..Data::default() },
            ..Detail::default()
        };
        assert_eq!(told(event(HistoryEventType::TaskFailed).task_failed_event_details(failed)), expected);
    }

    #[test]
    fn an_exit_tells_output_and_variables_in_an_order_that_does_not_change() {
        let exited = StateExitedEventDetails::builder().name("Read").output("[1]");
        let exited = ["c", "a", "b"].into_iter().fold(exited, |exited, name| exited.assigned_variables(name, "1"));
        let exited = exited.build().expect("named");
        let Data { output, assigned_variables, .. } =
            told(event(HistoryEventType::TaskStateExited).state_exited_event_details(exited)).data;
        assert_eq!(output.as_deref(), Some("[1]"));
        assert_eq!(assigned_variables.as_deref(), Some(r#"{"a":"1","b":"1","c":"1"}"#));
    }

    #[test]
    fn a_tasks_token_is_not_kept() {
        let scheduled = TaskScheduledEventDetails::builder().resource_type("sqs").region("r").timeout_in_seconds(9);
        let scheduled = scheduled.resource("sendMessage.waitForTaskToken").parameters(r#"{"taskToken": "secret"}"#);
        let scheduled = scheduled.build().expect("complete");
        let scheduled = told(event(HistoryEventType::TaskScheduled).task_scheduled_event_details(scheduled));
        assert_eq!(scheduled.timeout_in_seconds, Some(9));
        let submitted = |resource: &str| {
            let details = TaskSubmittedEventDetails::builder().resource_type("lambda").resource(resource);
            let details = details.output(r#"{"Payload": "secret"}"#).build().expect("complete");
            told(event(HistoryEventType::TaskSubmitted).task_submitted_event_details(details))
        };
        for kept in [&scheduled, &submitted("invoke.waitForTaskToken")] {
            assert!(!serde_json::to_string(kept).expect("JSON").contains("secret"), "{kept:?}");
        }
        assert!(submitted("startExecution.sync").data.output.is_some());
    }
}
