//! Tasks that wait for a client, whether their tokens come by a queue or by an activity: heartbeats while they wait, and what one is told who asks too late.

use alloy_primitives::Address;
use runproof_protocol::InstanceId;
use serde_json::{Value, json};

use crate::{
    harness::{self, Role, World, eventually, free_port, localstack, stack},
    masked::mask,
};

pub const WAITING: &str = "Approve";

/// How a task's token is handed over. The first emulator serves no activities.
#[derive(Clone, Copy)]
pub enum By {
    Queue,
    Activity,
}

impl By {
    async fn world(self) -> World {
        match self {
            Self::Queue => World::new().await,
            Self::Activity => World::builder().localstack().build().await,
        }
    }

    /// A state that waits for a client, with these fields besides.
    pub async fn waiting_state(self, name: &str, fields: Value) -> Value {
        let mut context = json!({
            "executionArn.$": "$$.Execution.Id", "stateName.$": "$$.State.Name", "enteredTime.$": "$$.State.EnteredTime"});
        let (resource, parameters) = match self {
            Self::Queue => {
                let queue = aws_sdk_sqs::Client::new(stack().await.emulator().expect("started").sdk_config());
                let created = queue.create_queue().queue_name(name).send().await;
                let url = created.expect("SQS makes a queue").queue_url.expect("it has a URL");
                add(&mut context, json!({"taskToken.$": "$$.Task.Token"}));
                let parameters = json!({"QueueUrl": url, "MessageBody": context});
                ("arn:aws:states:::sqs:sendMessage.waitForTaskToken".to_owned(), parameters)
            }
            Self::Activity => (activity(name).await, context),
        };
        let mut state = json!({"Type": "Task", "Resource": resource, "Parameters": parameters, "Next": "Done"});
        add(&mut state, fields);
        state
    }

    /// A kind of event, such as `TimedOut`, as it is named in histories.
    fn event(self, kind: &str) -> String {
        let by = match self {
            Self::Queue => "Task",
            Self::Activity => "Activity",
        };
        format!("{by}{kind}")
    }
}

/// ARN of a new activity.
async fn activity(name: &str) -> String {
    let engine = aws_sdk_sfn::Client::new(&localstack().await.sdk_config());
    engine.create_activity().name(name).send().await.expect("the emulator makes an activity").activity_arn
}

/// A world with a run that waits for a client, who is its issuer, and the roles that serve it.
pub struct Waiting {
    pub world: World,
    _roles: [Role; 2],
    /// Where follower and site tell what they count.
    operations: [u16; 2],
    pub instance: InstanceId,
}

impl Waiting {
    /// `fields` are added to the state that waits; `rest` are the other states.
    pub async fn start(by: By, fields: Value, rest: Value) -> Self {
        let world = by.world().await;
        // Whose tokens are asked for all the same.
        mask(&world);
        let waiting = by.waiting_state(&format!("{}-clients", world.name), fields).await;
        let mut states = json!({WAITING: waiting, "Done": {"Type": "Succeed"}});
        add(&mut states, rest);
        let model = json!({"StartAt": WAITING, "States": states}).to_string();
        let file = world.file("model.asl.json", model);
        let deploy =
            ["deploy", &file.to_string_lossy(), "--name", &world.name, "--participant", &world.issuer.to_string()];
        world.runproof(&deploy).await;
        let operations = [free_port(), free_port()];
        let start = |role: &str, port| {
            let mut command = world.command(&[role]);
            command.env("RUNPROOF_OPERATIONS__LISTEN", format!("127.0.0.1:{port}"));
            Role::start(command, world.config().with_file_name(format!("{role}.log")))
        };
        let roles = [start("follow", operations[0]), start("site", operations[1])];
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

    /// What the role with this port counts by this name.
    async fn counted(port: u16, name: &str) -> Option<u32> {
        let metrics = reqwest::get(format!("http://127.0.0.1:{port}/metrics")).await.ok()?.text().await.ok()?;
        let line = metrics.lines().find(|line| line.rsplit_once(' ').is_some_and(|(counted, _)| counted == name))?;
        line.rsplit(' ').next()?.parse().ok()
    }

    /// Heartbeats that AWS took.
    async fn heartbeats(&self) -> Option<u32> {
        Self::counted(self.operations[0], "runproof_executor_task_heartbeats_total").await
    }

    /// Calls of this action that took a token of its quota, by whichever role.
    async fn calls(&self, action: &str) -> u32 {
        let name = format!("runproof_executor_aws_calls_total{{action=\"{action}\"}}");
        let mut calls = 0;
        for port in self.operations {
            calls += Self::counted(port, &name).await.unwrap_or(0);
        }
        calls
    }

    /// Asks the site to complete the state; whether that is accepted, and what is told.
    async fn request(&self, payload: &str) -> (bool, String) {
        self.request_of(self.instance, payload).await
    }

    /// The same of a state of another run.
    pub async fn request_of(&self, instance: InstanceId, payload: &str) -> (bool, String) {
        let instance = instance.to_string();
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
        let document: Value = serde_json::from_slice(&answer).expect("JSON");
        document["requests"].as_array().expect("a list").clone()
    }
}

fn add(object: &mut Value, fields: Value) {
    let fields = fields.as_object().expect("an object").clone();
    object.as_object_mut().expect("an object").extend(fields);
}

async fn waits_for_longer_than_a_heartbeat(by: By) {
    let waiting = Waiting::start(by, json!({"HeartbeatSeconds": 2, "TimeoutSeconds": 60}), json!({})).await;
    // Three in the two seconds that are allowed.
    let ten = async || waiting.heartbeats().await.filter(|sent| *sent >= 10);
    eventually("heartbeats are taken for six seconds", ten).await;
    assert_eq!(waiting.events(&by.event("TimedOut")).await, 0);
    let (accepted, told) = waiting.request(r#"{"approved": true}"#).await;
    assert!(accepted, "{told}");
    waiting.has("ExecutionSucceeded").await;
    assert_eq!(waiting.calls("SendTaskSuccess").await, 1);
    assert!(waiting.calls("SendTaskHeartbeat").await >= 10);
    if let By::Activity = by {
        assert!(waiting.calls("GetActivityTask").await >= 1);
    }
}

#[test]
fn a_task_that_wants_heartbeats_waits_for_its_client_for_longer_than_one() {
    harness::run(waits_for_longer_than_a_heartbeat(By::Queue));
}

#[test]
fn so_does_a_task_of_an_activity() {
    harness::run(waits_for_longer_than_a_heartbeat(By::Activity));
}

async fn is_told_why(by: By) {
    let on_time_out = json!([{"ErrorEquals": ["States.Timeout"], "Next": "Later"}]);
    let settings = json!({"TimeoutSeconds": 1, "Catch": on_time_out});
    let later = json!({"Later": {"Type": "Wait", "Seconds": 8, "Next": "Done"}});
    let waiting = Waiting::start(by, settings, later).await;
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
}

#[test]
fn who_asks_too_late_is_told_why_and_so_is_everybody() {
    harness::run(is_told_why(By::Queue));
}

#[test]
fn who_asks_too_late_for_the_task_of_an_activity_is_told_why() {
    harness::run(is_told_why(By::Activity));
}

#[test]
fn a_task_of_an_activity_that_tells_not_where_it_belongs_fails_and_says_so() {
    harness::run(async {
        let fields = json!({
            "Parameters": {"executionArn.$": "$$.Execution.Id", "stateName": WAITING, "enteredTime": "some time ago"},
            "Catch": [{"ErrorEquals": ["Runproof.NoContext"], "Next": "Done"}],
        });
        let waiting = Waiting::start(By::Activity, fields, json!({})).await;
        waiting.has("ActivityFailed").await;
        waiting.has("ExecutionSucceeded").await;
    });
}
