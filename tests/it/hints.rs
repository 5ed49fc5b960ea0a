//! Hints of EventBridge: they say when an execution is looked at, and nothing else.

use std::time::Duration;

use aws_sdk_sqs::{Client, types::QueueAttributeName};
use serde_json::{Value, json};

use crate::{
    crash::slow_model,
    harness::{self, Role, World, eventually, stack},
    step_functions::call,
};

/// A world whose executor looks at nothing by itself for an hour after its first look.
struct Hinted {
    world: World,
    machine: String,
    queue: Client,
    queue_url: String,
}

impl Hinted {
    async fn new() -> Self {
        let world = World::new().await;
        let file = world.file("model.asl.json", slow_model(2));
        let told = world.runproof(&["deploy", &file.to_string_lossy(), "--name", &world.name]).await;
        let machine = told.split_whitespace().find(|word| word.starts_with("arn:")).expect("an ARN").to_owned();
        let queue = Client::new(stack().await.emulator().expect("started").sdk_config());
        let created = queue.create_queue().queue_name(format!("{}-hints", world.name)).send().await;
        let queue_url = created.expect("SQS makes a queue").queue_url.expect("it has a URL");
        Self { world, machine, queue, queue_url }
    }

    fn follow(&self) -> Role {
        let mut command = self.world.command(&["follow"]);
        command.env("RUNPROOF_EXECUTOR__POLL_INTERVAL_MS", Duration::from_secs(3_600).as_millis().to_string());
        command.env("RUNPROOF_EXECUTOR__HINT_QUEUE_URL", &self.queue_url);
        Role::start(command, self.world.config().with_file_name("follow.log"))
    }

    /// An execution that ran past the binary, and has ended. Returns its ARN.
    async fn run(&self, name: &str) -> String {
        let started = call("StartExecution", json!({"stateMachineArn": self.machine, "name": name, "input": "{}"}));
        let arn = started.await["executionArn"].as_str().expect("an ARN").to_owned();
        eventually("the execution ends", async || {
            let execution = call("DescribeExecution", json!({"executionArn": arn})).await;
            (execution["status"] == "SUCCEEDED").then_some(())
        })
        .await;
        arn
    }

    async fn send(&self, body: &str) {
        let sent = self.queue.send_message().queue_url(&self.queue_url).message_body(body).send().await;
        sent.expect("SQS takes it");
    }

    /// Names of the executions that are captured to their end, in order.
    async fn captured(&self) -> Vec<String> {
        let sql =
            "select split_part(execution_arn, ':', 8) from executor.instance where ended_as is not null order by 1";
        sqlx::query_scalar(sql).fetch_all(&self.world.pool).await.expect("the schema is there")
    }

    async fn has_captured(&self, names: &[&str]) {
        eventually("it is captured", async || (self.captured().await == names).then_some(())).await;
    }

    /// Messages in the queue, received and not deleted ones too.
    async fn left(&self) -> u32 {
        let asked = self.queue.get_queue_attributes().queue_url(&self.queue_url);
        let told = asked.attribute_names(QueueAttributeName::All).send().await.expect("SQS tells");
        let told = told.attributes.expect("attributes");
        let count = |name: QueueAttributeName| told.get(&name).and_then(|count| count.parse().ok()).unwrap_or(0);
        count(QueueAttributeName::ApproximateNumberOfMessages)
            + count(QueueAttributeName::ApproximateNumberOfMessagesNotVisible)
    }
}

/// As AWS documents it; the emulator sends none.
fn event(execution_arn: &str) -> String {
    let detail = json!({"executionArn": execution_arn, "status": "RUNNING", "input": "{}", "output": null});
    let event: Value = json!({
        "version": "0", "id": "315c1398-40ff-a850-213b-158f73e60175", "source": "aws.states", "region": "us-east-1",
        "detail-type": "Step Functions Execution Status Change", "time": "2026-01-01T00:00:00Z",
        "resources": [execution_arn], "detail": detail,
    });
    event.to_string()
}

#[test]
fn a_hint_is_followed_at_once_and_forged_late_and_doubled_ones_change_nothing() {
    harness::run(async {
        let hinted = Hinted::new().await;
        hinted.run("a").await;
        let executor = hinted.follow();
        hinted.has_captured(&["a"]).await;

        let of_b = hinted.run("b").await;
        hinted.send("no hint").await;
        hinted.send(&event("arn:aws:states:us-east-1:123456789012:execution:of-others:x")).await;
        eventually("the hints are received", async || (hinted.left().await == 1).then_some(())).await;
        assert_eq!(hinted.captured().await, ["a"], "nobody looked");

        for _ in 0..3 {
            hinted.send(&event(&of_b)).await;
        }
        hinted.has_captured(&["a", "b"]).await;

        let of_c = hinted.run("c").await;
        hinted.send(&event(&of_b.replace(":b", ":forged"))).await;
        hinted.send(&event(&of_c)).await;
        hinted.has_captured(&["a", "b", "c"]).await;
        eventually("what is no hint is left in the queue", async || (hinted.left().await == 1).then_some(())).await;
        assert!(executor.stop());
    });
}

#[test]
fn an_execution_that_a_command_starts_is_looked_at_at_once() {
    harness::run(async {
        let hinted = Hinted::new().await;
        hinted.run("a").await;
        let executor = hinted.follow();
        hinted.has_captured(&["a"]).await;
        hinted.world.runproof(&["run", &hinted.world.name, "--name", "b"]).await;
        eventually("it is sighted", async || {
            let sql = "select 1 from executor.instance where execution_arn like '%:b'";
            sqlx::query_scalar::<_, i32>(sql).fetch_optional(&hinted.world.pool).await.expect("the schema is there")
        })
        .await;
        assert!(executor.stop());
    });
}
