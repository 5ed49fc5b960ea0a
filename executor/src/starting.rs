//! Which executions may have been started by which: one that is listed may be the child of one whose history was not read far enough to tell it, and
//! an instance that names no parent cannot be made to name one later.

use serde_json::Value;

use crate::executor::Executor;

/// A model some state of which starts executions.
pub(crate) struct StartingModel {
    definition: Value,
    /// The state machine for which it is deployed.
    pub(crate) state_machine_arn: Option<String>,
    /// Executions of it that are followed.
    pub(crate) running: Vec<String>,
}

impl StartingModel {
    /// Whether executions of this state machine may be started by one of this model.
    pub(crate) fn may_start(&self, state_machine_arn: &str) -> bool {
        may_start(&self.definition, state_machine_arn)
    }
}

fn may_start(definition: &Value, state_machine_arn: &str) -> bool {
    match definition {
        Value::Object(fields) => {
            let resource = fields.get("Resource").and_then(Value::as_str);
            resource.is_some_and(|resource| resource.contains(":startExecution"))
                && is_target(definition, state_machine_arn)
                || fields.values().any(|value| may_start(value, state_machine_arn))
        }
        Value::Array(values) => values.iter().any(|value| may_start(value, state_machine_arn)),
        _ => false,
    }
}

/// Whether a task names this state machine, or a version or alias of it, or takes its name from its input. Accounts are not compared: they may be masked
/// in a definition.
fn is_target(task: &Value, state_machine_arn: &str) -> bool {
    let named = ["Parameters", "Arguments"].iter().find_map(|field| task[*field]["StateMachineArn"].as_str());
    named.filter(|named| named.starts_with("arn:")).is_none_or(|named| {
        let version = resource(state_machine_arn).and_then(|machine| resource(named)?.strip_prefix(machine));
        version.is_some_and(|version| version.is_empty() || version.starts_with(':'))
    })
}

/// What an ARN says after the account.
fn resource(arn: &str) -> Option<&str> {
    arn.splitn(6, ':').nth(5)
}

impl Executor {
    /// All of them.
    pub(crate) async fn starting_models(&self) -> eyre::Result<Vec<StartingModel>> {
        let rows: Vec<(Vec<u8>, Option<String>, Vec<String>)> = sqlx::query_as(
            "select m.document, m.state_machine_arn,
                    coalesce(array_agg(i.execution_arn) filter (where i.execution_arn is not null and i.ended_as is null), '{}')
             from executor.model m left join executor.instance i using (model_id)
             where position('startExecution'::bytea in m.document) > 0 group by m.model_id",
        )
        .fetch_all(&self.pool)
        .await?;
        let parsed = |(document, state_machine_arn, running): (Vec<u8>, _, _)| {
            Some(StartingModel { definition: serde_json::from_slice(&document).ok()?, state_machine_arn, running })
        };
        Ok(rows.into_iter().filter_map(parsed).collect())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const CHILD: &str = "arn:aws:states:us-east-1:1:stateMachine:child";

    fn starts(resource: &str, parameters: Value) -> bool {
        let task = json!({"Type": "Task", "Resource": resource, "Parameters": parameters, "End": true});
        let branch = json!({"StartAt": "Nest", "States": {"Nest": task}});
        let model =
            json!({"StartAt": "Both", "States": {"Both": {"Type": "Parallel", "Branches": [branch], "End": true}}});
        may_start(&model, CHILD)
    }

    #[test]
    fn a_task_starts_the_state_machine_that_it_names() {
        let start = "arn:aws:states:::states:startExecution.sync:2";
        assert!(starts(start, json!({"StateMachineArn": CHILD})));
        assert!(starts(start, json!({"StateMachineArn": format!("{CHILD}:7")})));
        let masked = "arn:aws:states:us-east-1:000000000000:stateMachine:child";
        assert!(starts(start, json!({"StateMachineArn": masked})));
        assert!(!starts(start, json!({"StateMachineArn": format!("{CHILD}ren")})));
        assert!(!starts("arn:aws:states:::lambda:invoke", json!({"StateMachineArn": CHILD})));
    }

    #[test]
    fn a_task_that_takes_the_name_from_its_input_may_start_any() {
        let start = "arn:aws:states:::aws-sdk:sfn:startExecution";
        assert!(starts(start, json!({"StateMachineArn.$": "$.machine"})));
        assert!(starts(start, json!({"StateMachineArn": "{% $machine %}"})));
    }
}
