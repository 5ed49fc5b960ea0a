//! Which states of a model wait for a client, and where their tokens come from.

use std::time::Duration;

use serde_json::Value;

use super::token::CONTEXT;

/// End of the resource of a state that sends its token to an SQS queue, in any AWS partition.
const QUEUE: &str = ":states:::sqs:sendMessage.waitForTaskToken";

/// What a heartbeat is taken for that the model computes at run time: shorter ones are missed.
const COMPUTED_HEARTBEAT: Duration = Duration::from_secs(15);

/// A state that waits for a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingState {
    /// Its name.
    pub name: String,
    /// Where its token comes from; `None` if the model computes that at run time.
    pub source: Option<TokenSource>,
    /// The longest silence after which AWS fails the task, if it does.
    pub heartbeat: Option<Duration>,
}

/// Where tokens of waiting tasks come from, in the account that is asked: a model may name it by a masked account, or by another endpoint.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum TokenSource {
    /// An SQS queue, by its name.
    Queue(String),
    /// An activity, by its name.
    Activity(String),
}

/// The states of a model (Amazon States Language) that wait for a client, those within Map and Parallel too: they send their token to a queue, or are
/// tasks of an activity whose input tells where they belong. Other tasks of activities are left to their workers.
pub fn waiting_states(model: &[u8]) -> Vec<WaitingState> {
    let mut found = Vec::new();
    if let Ok(machine) = serde_json::from_slice(model) {
        collect(&machine, &mut found);
    }
    found
}

/// Whether this state waits for somebody whose token goes elsewhere than to a queue: to a Lambda function, a topic, another service.
pub fn hands_token_elsewhere(model: &[u8], name: &str) -> bool {
    let Ok(machine) = serde_json::from_slice(model) else { return false };
    let mut elsewhere = false;
    visit(&machine, &mut |state_name, state| {
        let resource = state.get("Resource").and_then(Value::as_str).unwrap_or_default();
        elsewhere |= state_name == name && resource.ends_with(".waitForTaskToken") && !resource.ends_with(QUEUE);
    });
    elsewhere
}

fn collect(machine: &Value, found: &mut Vec<WaitingState>) {
    visit(machine, &mut |name, state| {
        if let Some(source) = source(state) {
            found.push(WaitingState { name: name.to_owned(), source, heartbeat: heartbeat(state) });
        }
    });
}

/// All states of a machine, those within Map and Parallel too.
fn visit(machine: &Value, each: &mut impl FnMut(&str, &Value)) {
    let states = machine.get("States").and_then(Value::as_object);
    for (name, state) in states.into_iter().flatten() {
        each(name, state);
        let branches = state.get("Branches").and_then(Value::as_array).into_iter().flatten();
        for inner in branches.chain(state.get("Iterator")).chain(state.get("ItemProcessor")) {
            visit(inner, each);
        }
    }
}

/// The inner `None` is a source that is not known before run time; the outer one, that the state does not wait for a client.
fn source(state: &Value) -> Option<Option<TokenSource>> {
    let resource = state.get("Resource")?.as_str()?;
    let mut given = ["Parameters", "Arguments"].into_iter().filter_map(|field| state.get(field));
    if resource.ends_with(QUEUE) {
        let url = given.find_map(|given| given.get("QueueUrl")?.as_str()).filter(|url| !url.starts_with("{%"));
        let name = url.and_then(|url| url.rsplit('/').next()).filter(|name| !name.is_empty());
        return Some(name.map(|name| TokenSource::Queue(name.to_owned())));
    }
    let ["arn", _, "states", _, _, "activity", name] = resource.split(':').collect::<Vec<_>>()[..] else { return None };
    let tells = |given: &Value, field: &&str| given.get(field).or_else(|| given.get(format!("{field}.$"))).is_some();
    let told = given.any(|given| CONTEXT.iter().all(|field| tells(given, field)));
    told.then(|| Some(TokenSource::Activity(name.to_owned())))
}

fn heartbeat(state: &Value) -> Option<Duration> {
    match state.get("HeartbeatSeconds") {
        Some(seconds) => Some(seconds.as_u64().map_or(COMPUTED_HEARTBEAT, Duration::from_secs)),
        None => state.get("HeartbeatSecondsPath").map(|_| COMPUTED_HEARTBEAT),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(model: &Value) -> Vec<(String, Option<TokenSource>)> {
        let found = waiting_states(model.to_string().as_bytes());
        found.into_iter().map(|state| (state.name, state.source)).collect()
    }

    #[test]
    fn waiting_states_are_found_at_any_depth() {
        let wait = |queue: &str| {
            json!({"Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
                "Parameters": {"QueueUrl": queue, "MessageBody": {}}})
        };
        let model = json!({"States": {
            "A": wait("http://h/1/a"),
            "B": {"Type": "Parallel", "Branches": [{"States": {"C": wait("c")}}]},
            "D": {"Type": "Map", "ItemProcessor": {"States": {"E": {"Type": "Map", "Iterator": {"States": {"F": wait("f")}}}}}},
            "G": {"Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage", "Parameters": {"QueueUrl": "g"}},
            "I": {"Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken", "Arguments": {"QueueUrl": "{% $q %}"}},
            "H": {"Type": "Task", "Resource": "arn:aws-cn:states:::sqs:sendMessage.waitForTaskToken", "Parameters": {"QueueUrl.$": "$.q"}},
        }});
        let expected = [("A", Some("a")), ("C", Some("c")), ("F", Some("f")), ("H", None), ("I", None)];
        let expected =
            expected.map(|(name, queue)| (name.to_owned(), queue.map(|queue| TokenSource::Queue(queue.to_owned()))));
        assert_eq!(found(&model), expected);
        assert!(waiting_states(b"not JSON").is_empty());
        assert!(waiting_states(b"{\"States\": 1}").is_empty());
    }

    #[test]
    fn tasks_of_an_activity_wait_for_a_client_only_if_they_tell_where_they_belong() {
        let arn = "arn:aws:states:us-east-1:123456789012:activity:approve";
        let task = |given: Value| json!({"Type": "Task", "Resource": arn, "Parameters": given});
        let told = json!({"executionArn.$": "$$.Execution.Id", "stateName": "A", "enteredTime.$": "$$.State.EnteredTime", "x": 1});
        let jsonata = json!({"executionArn": "{% $e %}", "stateName": "D", "enteredTime": "{% $t %}"});
        let model = json!({"States": {
            "A": task(told.clone()),
            "B": task(json!({"executionArn.$": "$$.Execution.Id"})),
            "C": {"Type": "Task", "Resource": arn},
            "D": {"Type": "Task", "Resource": arn, "Arguments": jsonata},
            "E": {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "Parameters": told},
        }});
        let approve = || Some(TokenSource::Activity("approve".into()));
        assert_eq!(found(&model), [("A".to_owned(), approve()), ("D".to_owned(), approve())]);
    }

    #[test]
    fn tokens_that_go_to_other_services_are_told_from_states_that_do_not_wait() {
        let task = |resource: &str| json!({"Type": "Task", "Resource": format!("arn:aws:states:::{resource}")});
        let model = json!({"States": {
            "A": task("lambda:invoke.waitForTaskToken"), "B": task("sqs:sendMessage.waitForTaskToken"), "C": task("lambda:invoke"),
            "D": {"Type": "Parallel", "Branches": [{"States": {"E": task("sns:publish.waitForTaskToken")}}]},
        }})
        .to_string();
        let elsewhere = ["A", "B", "C", "D", "E"].map(|name| hands_token_elsewhere(model.as_bytes(), name));
        assert_eq!(elsewhere, [true, false, false, false, true]);
    }

    #[test]
    fn heartbeats_are_read_and_short_where_the_model_computes_them() {
        let heartbeat = |field: &str, value: Value| {
            let mut state = json!({"Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken"});
            state[field] = value;
            let model = json!({"States": {"A": state}});
            waiting_states(model.to_string().as_bytes()).remove(0).heartbeat
        };
        assert_eq!(heartbeat("HeartbeatSeconds", 60.into()), Some(Duration::from_secs(60)));
        assert_eq!(heartbeat("HeartbeatSeconds", "{% $beat %}".into()), Some(COMPUTED_HEARTBEAT));
        assert_eq!(heartbeat("HeartbeatSecondsPath", "$.beat".into()), Some(COMPUTED_HEARTBEAT));
        assert_eq!(heartbeat("TimeoutSeconds", 60.into()), None);
    }
}
