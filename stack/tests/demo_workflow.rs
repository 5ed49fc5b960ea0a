//! The demo's model runs: tasks, a retry, the warehouse, and the approval that a client gives.

use std::time::Duration;

use aws_sdk_sfn::types::{ExecutionStatus, HistoryEvent, HistoryEventType};
use eyre::{OptionExt, ensure};
use runproof_stack::{Emulator, Part, Ports, Stack, StackOptions, demo};
use serde_json::Value;

const ORDERS: u32 = 3;

#[tokio::test]
async fn the_demo_waits_for_its_approval_and_completes() -> eyre::Result<()> {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let folder = tempfile::tempdir()?;
    let parts = [Part::Emulator].into();
    let stack = Stack::start(StackOptions { ports: Ports::free()?, parts, ..StackOptions::new(folder.path()) }).await?;
    let emulator = stack.emulator()?;
    emulator.seed_orders("test", ORDERS).await?;
    let steps = aws_sdk_sfn::Client::new(emulator.sdk_config());
    let execution = start(&steps).await?;

    let request = approval_request(emulator).await?;
    assert_eq!(request["executionArn"], Value::from(execution.as_str()));
    assert_eq!(request["stateName"], "Approve report");
    let token = request["taskToken"].as_str().ok_or_eyre("no task token")?;
    steps.send_task_success().task_token(token).output(r#"{"approved":true}"#).send().await?;

    assert_eq!(end(&steps, &execution).await?, ExecutionStatus::Succeeded);
    let history = steps.get_execution_history().execution_arn(&execution).send().await?.events;
    check_history(&history)?;
    let warehouse = aws_sdk_dynamodb::Client::new(emulator.sdk_config());
    let rows = warehouse.scan().table_name(demo::WAREHOUSE_TABLE).send().await?;
    assert_eq!(rows.count as u32, ORDERS);
    stack.stop().await;
    Ok(())
}

#[tokio::test]
async fn without_orders_the_demo_ends_at_once() -> eyre::Result<()> {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let folder = tempfile::tempdir()?;
    let parts = [Part::Emulator].into();
    let stack = Stack::start(StackOptions { ports: Ports::free()?, parts, ..StackOptions::new(folder.path()) }).await?;
    let steps = aws_sdk_sfn::Client::new(stack.emulator()?.sdk_config());
    let execution = start(&steps).await?;
    assert_eq!(end(&steps, &execution).await?, ExecutionStatus::Succeeded);
    let history = steps.get_execution_history().execution_arn(&execution).send().await?.events;
    assert_eq!(entered(&history), ["Read orders", "Any orders?", "Nothing to load"]);
    stack.stop().await;
    Ok(())
}

async fn start(steps: &aws_sdk_sfn::Client) -> eyre::Result<String> {
    let role = "arn:aws:iam::123456789012:role/demo";
    let machine = steps.create_state_machine().name("demo").role_arn(role).definition(demo::MODEL).send().await?;
    let started =
        steps.start_execution().name("run").state_machine_arn(machine.state_machine_arn).input("{}").send().await?;
    Ok(started.execution_arn)
}

/// What the model tells those who may approve.
async fn approval_request(emulator: &Emulator) -> eyre::Result<Value> {
    let queue = emulator.queue_url(demo::APPROVALS_QUEUE).await?;
    let sqs = aws_sdk_sqs::Client::new(emulator.sdk_config());
    let received = sqs.receive_message().queue_url(queue).wait_time_seconds(20).send().await?;
    let message = received.messages().first().ok_or_eyre("no approval was asked for within 20 s")?;
    Ok(serde_json::from_str(message.body().ok_or_eyre("an empty message")?)?)
}

async fn end(steps: &aws_sdk_sfn::Client, execution: &str) -> eyre::Result<ExecutionStatus> {
    let ended = async {
        loop {
            let status = steps.describe_execution().execution_arn(execution).send().await?.status;
            if status != ExecutionStatus::Running {
                return eyre::Ok(status);
            }
            tokio::time::sleep(Duration::from_millis(50)).await; // Step Functions has no event for its clients
        }
    };
    tokio::time::timeout(Duration::from_secs(30), ended).await?
}

fn entered(history: &[HistoryEvent]) -> Vec<&str> {
    history.iter().filter_map(|event| event.state_entered_event_details()).map(|details| details.name()).collect()
}

fn check_history(history: &[HistoryEvent]) -> eyre::Result<()> {
    let states = entered(history);
    ensure!(states.starts_with(&["Read orders", "Any orders?", "Load orders"]), "{states:?}");
    ensure!(states.ends_with(&["Approve report", "Approved?", "Publish report", "Report published"]), "{states:?}");
    for of_each_order in ["Transform order", "Write to warehouse", "Dequeue order"] {
        let times = states.iter().filter(|state| **state == of_each_order).count();
        ensure!(times == ORDERS as usize, "{of_each_order} was entered {times} times");
    }
    for (event, id) in history.iter().zip(1..) {
        ensure!(event.id == id, "event {} in the place of {id}", event.id);
        ensure!(event.previous_event_id < id, "event {id} follows {}", event.previous_event_id);
        ensure!(
            id == 1 || event.previous_event_id > 0 || event.r#type == HistoryEventType::PassStateEntered || id == 2,
            "event {id} follows none"
        );
    }
    let failed = history.iter().filter_map(|event| event.task_failed_event_details());
    let errors: Vec<_> = failed.filter_map(|details| details.error()).collect();
    ensure!(errors == ["Lambda.TooManyRequestsException"], "{errors:?}");
    Ok(())
}
