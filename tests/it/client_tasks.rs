//! Tasks that wait for a client: heartbeats while they wait, and what one is told who asks too late.

use alloy_primitives::Address;
use runproof_protocol::InstanceId;
use serde_json::{Value, json};

use crate::harness::{self, Role, World, eventually, free_port, stack};

const WAITING: &str = "Approve";

/// A world with a run that waits for a client, who is its issuer, and the roles that serve it.
struct Waiting {
    world: World,
    _roles: [Role; 2],
    operations: u16,
    instance: InstanceId,
}

impl Waiting {
    /// `settings` are added to the state that waits; `rest` are the other states.
    async fn start(settings: Value, rest: Value) -> Self {
        let world = World::new().await;
        let queue = aws_sdk_sqs::Client::new(stack().await.emulator().expect("started").sdk_config());
        let created = queue.create_queue().queue_name(format!("{}-clients", world.name)).send().await;
        let queue_url = created.expect("SQS makes a queue").queue_url.expect("it has a URL");
        let mut waiting = json!({
            "Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken", "Next": "Done",
            "Parameters": {"QueueUrl": queue_url, "MessageBody": {
                "taskToken.$": "$$.Task.Token", "executionArn.$": "$$.Execution.Id",
                "stateName.$": "$$.State.Name", "enteredTime.$": "$$.State.EnteredTime"}},
        });
        add(&mut waiting, settings);
        let mut states = json!({WAITING: waiting, "Done": {"Type": "Succeed"}});
        add(&mut states, rest);
        let model = json!({"StartAt": WAITING, "States": states}).to_string();
        let file = world.file("model.asl.json", model);
        let deploy =
            ["deploy", &file.to_string_lossy(), "--name", &world.name, "--participant", &world.issuer.to_string()];
        world.runproof(&deploy).await;
        let operations = free_port();
        let mut follow = world.command(&["follow"]);
        follow.env("RUNPROOF_OPERATIONS__LISTEN", format!("127.0.0.1:{operations}"));
        let follow = Role::start(follow, world.config().with_file_name("follow.log"));
        let roles = [follow, world.start(&["site"])];
        world.runproof(&["run", &world.name]).await;
        let instance = eventually("the run is sighted", async || {
            let sql = "select instance_id from executor.state";
            let row: Option<Vec<u8>> = sqlx::query_scalar(sql).fetch_optional(&world.pool).await.expect("the schema");
            row.map(|id| InstanceId::try_from(&id[..]).expect("32 bytes"))
        })
        .await;
        Self { world, _roles: roles, operations, instance }
    }

    /// Events of this type that are captured so far.
    async fn events(&self, event_type: &str) -> i64 {
        let sql = "select count(*) from executor.history_event where event->>'event_type' = $1";
        sqlx::query_scalar(sql).bind(event_type).fetch_one(&self.world.pool).await.expect("the schema is there")
    }

    async fn has(&self, event_type: &str) {
        eventually(event_type, async || (self.events(event_type).await > 0).then_some(())).await;
    }

    /// Heartbeats that AWS took.
    async fn heartbeats(&self) -> Option<u32> {
        let metrics =
            reqwest::get(format!("http://127.0.0.1:{}/metrics", self.operations)).await.ok()?.text().await.ok()?;
        let line = metrics.lines().find(|line| line.starts_with("runproof_executor_task_heartbeats_total "))?;
        line.rsplit(' ').next()?.parse().ok()
    }

    /// Asks the site to complete the state; whether that is accepted, and what is told.
    async fn request(&self, payload: &str) -> (bool, String) {
        let instance = self.instance.to_string();
        let arguments = ["request-transition", &instance, "--sequence", "0", "--payload", payload, "--https"];
        let mut command = self.world.command(&[&arguments[..], &[&self.world.site_url]].concat());
        let output = tokio::task::spawn_blocking(move || command.output()).await.expect("it runs").expect("it runs");
        let told = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&told).into_owned())
    }

    /// What the site tells everybody of the requests, the newest first.
    async fn published(&self) -> Vec<Value> {
        let url = format!("{}/{}/requests.json", self.world.site_url, self.instance);
        let answer = self.world.http().get(url).send().await.expect("the site answers").bytes().await.expect("a body");
        serde_json::from_slice(&answer).expect("a list")
    }
}

fn add(object: &mut Value, fields: Value) {
    let fields = fields.as_object().expect("an object").clone();
    object.as_object_mut().expect("an object").extend(fields);
}

#[test]
fn a_task_that_wants_heartbeats_waits_for_its_client_for_longer_than_one() {
    harness::run(async {
        let waiting = Waiting::start(json!({"HeartbeatSeconds": 1, "TimeoutSeconds": 60}), json!({})).await;
        // Three in a second.
        let ten = async || waiting.heartbeats().await.filter(|sent| *sent >= 10);
        eventually("heartbeats are taken for three seconds", ten).await;
        assert_eq!(waiting.events("TaskTimedOut").await, 0);
        assert!(waiting.request(r#"{"approved": true}"#).await.0);
        waiting.has("ExecutionSucceeded").await;
    });
}

#[test]
fn who_asks_too_late_is_told_why_and_so_is_everybody() {
    harness::run(async {
        let on_time_out = json!([{"ErrorEquals": ["States.Timeout"], "Next": "Later"}]);
        let settings = json!({"TimeoutSeconds": 1, "Catch": on_time_out});
        let later = json!({"Later": {"Type": "Wait", "Seconds": 8, "Next": "Done"}});
        let waiting = Waiting::start(settings, later).await;
        waiting.has("TaskStateExited").await;
        let (accepted, told) = waiting.request(r#"{"late": 1}"#).await;
        assert!(!accepted && told.contains("its task timed out"), "{told}");
        assert_eq!(waiting.events("ExecutionSucceeded").await, 0, "the run goes on");

        waiting.has("ExecutionSucceeded").await;
        let (accepted, told) = waiting.request(r#"{"late": 2}"#).await;
        assert!(!accepted && told.contains("the run has ended (succeeded)"), "{told}");

        let published = waiting.published().await;
        let reasons: Vec<_> = published.iter().map(|one| one["reason"].as_str().unwrap_or_default()).collect();
        assert_eq!(reasons, ["the run has ended (succeeded)", "the state was left when its task timed out"]);
        let hash = alloy_primitives::keccak256(r#"{"late": 2}"#);
        assert_eq!(published[0]["payload_hash"], json!(hash));
        let requester: Address = published[0]["requester"].as_str().expect("text").parse().expect("an address");
        assert_eq!((requester, &published[0]["decision"]), (waiting.world.issuer, &json!("refused")));
    });
}
