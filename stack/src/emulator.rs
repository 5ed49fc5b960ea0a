//! A private emulator of Step Functions, SQS and DynamoDB (moto), behind an endpoint that also runs Lambda functions.

use std::path::Path;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_dynamodb::types::{AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType};
use aws_sdk_sqs::config::{Credentials, SharedCredentialsProvider};
use nix::sys::signal::Signal;
use serde_json::json;
use tokio_util::sync::DropGuard;

use crate::demo::{self, APPROVALS_QUEUE, ORDERS_QUEUE, WAREHOUSE_TABLE};
use crate::lambda::{self, LambdaFunctions};
use crate::process::{Launch, Server};
use crate::{Part, Ports, StackError, Tools};

/// The region that the emulator plays.
pub const REGION: &str = "us-east-1";
/// The emulator takes any key; this one is no secret.
pub const ACCESS_KEY: &str = "emulator";

/// A running emulator. It keeps nothing on disk: after a restart its queues and tables are new, and state machines are to be deployed again.
#[derive(Debug)]
pub struct Emulator {
    server: Server,
    aws_port: u16,
    emulator_port: u16,
    sdk_config: SdkConfig,
    _lambda: DropGuard,
}

impl Emulator {
    pub(crate) async fn start(
        data_dir: &Path,
        ports: Ports,
        account_id: &str,
        functions: LambdaFunctions,
        tools: &Tools,
    ) -> Result<Self, StackError> {
        let (aws_port, emulator_port) = (ports.aws, ports.emulator);
        let launch = Launch {
            part: Part::Emulator,
            setpriv: tools.setpriv()?,
            program: tools.moto_server()?,
            args: ["-H".into(), "127.0.0.1".into(), "-p".into(), emulator_port.to_string().into()].into(),
            // Its interpreter sends the calls of tasks to MOTO_PORT: to our endpoint, which runs the Lambda functions.
            env: vec![("MOTO_PORT", aws_port.to_string()), ("MOTO_ACCOUNT_ID", account_id.to_owned())],
            account: None,
            run_dir: data_dir.to_owned(),
            stop_signal: Signal::SIGTERM,
        };
        let server = Server::new(launch);
        server.reclaim().await?;
        crate::ports::ensure_free(Part::Emulator, aws_port)?;
        crate::ports::ensure_free(Part::Emulator, emulator_port)?;
        let sdk_config = sdk_config(&format!("http://127.0.0.1:{aws_port}"), ACCESS_KEY);
        let functions = demo::functions(aws_sdk_sqs::Client::new(&sdk_config)).and(functions);
        let lambda = lambda::serve(aws_port, emulator_port, functions)?;
        let emulator = Self { server, aws_port, emulator_port, sdk_config, _lambda: lambda };
        emulator.restart().await?;
        Ok(emulator)
    }

    /// The endpoint for every AWS client.
    pub fn endpoint_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.aws_port)
    }

    /// Endpoint, region and keys, for the clients of the AWS SDK.
    pub fn sdk_config(&self) -> &SdkConfig {
        &self.sdk_config
    }

    /// Puts `count` new orders into the demo's queue, for its next run; `run` makes their ids different from those of other runs.
    pub async fn seed_orders(&self, run: &str, count: u32) -> Result<(), StackError> {
        let refused = || StackError::refused(Part::Emulator, "sending an order");
        let sqs = aws_sdk_sqs::Client::new(&self.sdk_config);
        let url = self.queue_url(ORDERS_QUEUE).await?;
        for number in 0..count {
            sqs.send_message().queue_url(&url).message_body(demo::order(run, number)).send().await.map_err(refused())?;
        }
        Ok(())
    }

    /// URL of a queue.
    pub async fn queue_url(&self, name: &str) -> Result<String, StackError> {
        let sqs = aws_sdk_sqs::Client::new(&self.sdk_config);
        let found = sqs.get_queue_url().queue_name(name).send().await;
        let found = found.map_err(StackError::refused(Part::Emulator, format!("finding queue {name}")))?;
        found
            .queue_url
            .ok_or_else(|| StackError::refused(Part::Emulator, format!("finding queue {name}"))("no URL in the answer"))
    }

    /// Ends the emulator as a crash would; its endpoint stays and answers 502.
    pub async fn kill(&self) {
        self.server.kill().await;
    }

    /// Starts the emulator again, with new queues and tables and no state machines.
    pub async fn restart(&self) -> Result<(), StackError> {
        self.server.stop().await;
        let http = reqwest::Client::builder()
            .no_proxy()
            .build()
            .map_err(StackError::refused(Part::Emulator, "making a client"))?;
        let configuration = format!("http://127.0.0.1:{}/moto-api/config", self.emulator_port);
        // Without these it fakes success of every execution, and wants containers for Lambda.
        let settings = json!({"stepfunctions": {"execute_state_machine": true}, "lambda": {"use_docker": false}});
        self.server
            .start(|| async {
                http.post(&configuration).json(&settings).send().await.is_ok_and(|answer| answer.status().is_success())
            })
            .await?;
        self.create_queues().await?;
        self.create_warehouse().await
    }

    /// Stops the emulator.
    pub async fn stop(&self) {
        self.server.stop().await;
    }

    /// Sends the emulator a signal, e.g. SIGSTOP.
    pub fn signal(&self, signal: Signal) {
        self.server.signal(signal);
    }

    async fn create_queues(&self) -> Result<(), StackError> {
        let sqs = aws_sdk_sqs::Client::new(&self.sdk_config);
        for name in [ORDERS_QUEUE, APPROVALS_QUEUE] {
            let created = sqs.create_queue().queue_name(name).send().await;
            created.map_err(StackError::refused(Part::Emulator, format!("creating queue {name}")))?;
        }
        Ok(())
    }

    async fn create_warehouse(&self) -> Result<(), StackError> {
        const KEY: &str = "order_id";
        let refused = || StackError::refused(Part::Emulator, "describing the key of the warehouse table");
        let attribute = AttributeDefinition::builder()
            .attribute_name(KEY)
            .attribute_type(ScalarAttributeType::S)
            .build()
            .map_err(refused())?;
        let key = KeySchemaElement::builder().attribute_name(KEY).key_type(KeyType::Hash).build().map_err(refused())?;
        let dynamodb = aws_sdk_dynamodb::Client::new(&self.sdk_config);
        let create = dynamodb.create_table().table_name(WAREHOUSE_TABLE).billing_mode(BillingMode::PayPerRequest);
        let created = create.attribute_definitions(attribute).key_schema(key).send().await;
        created.map(drop).map_err(StackError::refused(Part::Emulator, "creating the warehouse table"))
    }
}

/// Of an endpoint that checks no signatures.
pub(crate) fn sdk_config(endpoint_url: &str, access_key: &str) -> SdkConfig {
    let keys = Credentials::new(access_key, access_key, None, None, "embedded stack");
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .endpoint_url(endpoint_url)
        .region(Region::new(REGION))
        .credentials_provider(SharedCredentialsProvider::new(keys))
        .build()
}
