//! An identity is made and bound, its site serves, and clients trigger a run's waiting state: on real Postgres, chain with ENS, and engine.

use std::{net::TcpListener, sync::Arc, time::Duration};

use alloy::{
    primitives::{Address, U256},
    signers::local::PrivateKeySigner,
};
use eyre::{OptionExt, ensure};
use reqwest::{Client, StatusCode, header};
use runproof_executor::{
    AwsCredentials, AwsSettings, Executor, Key, Scope, Sender, Settings,
    identity::{self, BindSettings, CertificateSource, certificate, show},
    request::{
        Requests,
        client::{Ask, by_https, on_chain},
        inbox::Decision,
        pinned,
    },
    settings as defaults,
    site::{self, Documents, SiteSettings},
};
use runproof_nodes::Nodes;
use runproof_protocol::{InstanceId, StateId, head::Registry, model::StateSelection};
use runproof_stack::{Part, Ports, Stack, StackOptions, demo};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

const PASSWORD: &str = "correct horse";
const DAY: Duration = Duration::from_secs(86_400);

/// All that the test started.
struct World {
    stack: Stack,
    folder: tempfile::TempDir,
    executor: Executor,
    bind: BindSettings,
    site_url: String,
    http: Client,
    token: CancellationToken,
    tasks: tokio::task::JoinSet<eyre::Result<()>>,
}

fn localhost() -> CertificateSource {
    CertificateSource::Generated { names: vec!["localhost".into(), "127.0.0.1".into()], validity: DAY }
}

impl World {
    async fn start() -> eyre::Result<Self> {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let folder = tempfile::tempdir()?;
        let parts = [Part::Postgres, Part::Chain, Part::Emulator].into();
        let data = folder.path().join("stack");
        let stack = Stack::start(StackOptions { ports: Ports::free()?, parts, ..StackOptions::new(data) }).await?;
        let home = folder.path().join("identity");
        let identity = identity::new(&home, PASSWORD, &localhost())?;
        let address = identity.signer.address();
        stack.chain()?.fund(address, U256::from(10).pow(U256::from(18))).await?;
        stack.chain()?.register_name("client", address).await?;

        let listener = TcpListener::bind("127.0.0.1:0")?;
        let site_url = format!("https://localhost:{}", listener.local_addr()?.port());
        let executor = Executor::connect(settings(&stack, identity.signer, &site_url)?).await?;
        runproof_migrations::migrate(&sea_orm::SqlxPostgresConnector::from_sqlx_postgres_pool(executor.pool().clone()))
            .await?;
        let endpoints = stack.endpoints();
        let registry = executor.settings().registry;
        let ens = endpoints.ens_registry.ok_or_eyre("no ENS")?;
        let bind = BindSettings {
            nodes: executor.settings().nodes.clone(),
            registry,
            ens: Some((ens, "client.runproof.eth".into())),
            public_url: site_url.clone(),
        };

        let requests = Arc::new(Requests::connect(executor.settings(), executor.step_functions().clone()).await?);
        let site = SiteSettings {
            documents: Documents {
                database: executor.pool().clone(),
                issuer: address,
                registry: Registry { chain_id: endpoints.chain_id, address: registry },
                public_url: site_url.clone(),
                stored: false,
            },
            certificate: home.join(certificate::CERTIFICATE),
            key: home.join(certificate::KEY),
            requests: Some(requests.clone()),
            max_connections: 16,
        };
        let token = CancellationToken::new();
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(site::serve(site, listener, token.clone()));
        let (follower, stop) = (executor.clone(), token.clone());
        tasks.spawn(async move { follower.follow(Scope::All, stop).await });
        let stop = token.clone();
        tasks.spawn(async move { requests.run(stop).await });
        let tls = pinned::client_config([identity.certificate.fingerprint].into())?;
        let http = Client::builder().tls_backend_preconfigured(tls).build()?;
        Ok(Self { stack, folder, executor, bind, site_url, http, token, tasks })
    }

    async fn stop(mut self) -> eyre::Result<()> {
        self.token.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended??;
        }
        self.stack.stop().await;
        Ok(())
    }

    async fn get(&self, path: &str) -> eyre::Result<reqwest::Response> {
        Ok(self.http.get(format!("{}{path}", self.site_url)).send().await?)
    }

    /// Starts a run and waits until its approval is the last state registered.
    async fn waiting_run(&self, model: runproof_protocol::ModelId, name: &str) -> eyre::Result<Ask> {
        self.stack.emulator()?.seed_orders(name, 2).await?;
        let execution = self.executor.start(model, "{}", Some(name)).await?;
        let instance = within(async || {
            let found: Option<Vec<u8>> = sqlx::query_scalar(
                "select i.instance_id from executor.instance i join executor.state s using (instance_id)
                 join executor.registration r on r.instance_id = s.instance_id and r.kind = 'states'
                  and s.sequence >= r.first and s.sequence < r.first + r.count
                 join executor.transaction t using (transaction_id)
                 where i.execution_arn = $1 and s.name = 'Approve report' and t.status = 'included'",
            )
            .bind(execution.to_string())
            .fetch_optional(self.executor.pool())
            .await?;
            Ok(found)
        })
        .await?;
        let Settings { nodes, registry, registry_deployed_at_block, signer, .. } = self.executor.settings();
        Ok(Ask {
            nodes: nodes.clone(),
            registry: *registry,
            registry_deployed_at_block: *registry_deployed_at_block,
            issuer: signer.address(),
            instance: InstanceId::try_from(instance.as_slice())?,
            sequence: None,
            payload: r#"{"approved": true}"#.into(),
        })
    }

    /// What sends a client's or the issuer's own transactions.
    async fn sender(&self, key: &Key) -> eyre::Result<Sender> {
        Sender::storing(Settings { signer: key.clone(), ..self.executor.settings().clone() }).await
    }

    async fn outcome(&self, instance: InstanceId) -> eyre::Result<String> {
        within(async || {
            let ended: Option<String> =
                sqlx::query_scalar("select ended_as from executor.instance where instance_id = $1")
                    .bind(instance.as_slice())
                    .fetch_one(self.executor.pool())
                    .await?;
            Ok(ended)
        })
        .await
    }
}

fn settings(stack: &Stack, signer: Key, site_url: &str) -> eyre::Result<Settings> {
    let endpoints = stack.endpoints();
    Ok(Settings {
        nodes: Nodes::new([endpoints.rpc_http_url.ok_or_eyre("no chain")?.parse()?])?,
        registry: endpoints.registry.ok_or_eyre("no contract")?,
        registry_deployed_at_block: endpoints.registry_deployed_at_block.unwrap_or_default(),
        postgres_url: endpoints.postgres_url.ok_or_eyre("no Postgres")?,
        aws: AwsSettings {
            endpoint_url: endpoints.aws_endpoint_url,
            region: endpoints.aws_region,
            credentials: Some(AwsCredentials {
                access_key_id: endpoints.aws_access_key_id,
                secret_access_key: endpoints.aws_secret_access_key,
            }),
            role_arn: "arn:aws:iam::123456789012:role/demo".into(),
            quotas: Default::default(),
            mask: Default::default(),
        },
        signer,
        public_url: site_url.to_owned(),
        publication: None,
        poll_interval: Duration::from_millis(200),
        max_poll_interval: defaults::DEFAULT_MAX_POLL_INTERVAL,
        idle_interval: Duration::from_millis(500),
        redrive_interval: defaults::DEFAULT_REDRIVE_INTERVAL,
        hint_queue_url: None,
        max_batch: defaults::DEFAULT_MAX_BATCH,
        root_from: None,
        max_gas: defaults::DEFAULT_MAX_GAS,
        max_wait: defaults::DEFAULT_MAX_WAIT,
        replace_after_blocks: runproof_executor::settings::DEFAULT_REPLACE_AFTER_BLOCKS,
        min_balance_wei: defaults::DEFAULT_MIN_BALANCE_WEI,
        min_tip_wei: defaults::DEFAULT_MIN_TIP_WEI.into(),
        max_fee_wei: defaults::DEFAULT_MAX_FEE_WEI.into(),
    })
}

/// Looks until there is something, for a minute at most.
async fn within<T>(look: impl AsyncFn() -> eyre::Result<Option<T>>) -> eyre::Result<T> {
    let found = async {
        loop {
            if let Some(found) = look().await? {
                return Ok(found);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), found).await?
}

async fn funded(stack: &Stack) -> eyre::Result<Key> {
    let signer = Key::from(PrivateKeySigner::random());
    stack.chain()?.fund(signer.address(), U256::from(10).pow(U256::from(18))).await?;
    Ok(signer)
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_trigger_what_waits_and_strangers_do_not() -> eyre::Result<()> {
    let world = World::start().await?;
    identity_is_bound_once_and_renewal_keeps_history(&world).await?;
    let (participant, stranger) = (funded(&world.stack).await?, funded(&world.stack).await?);
    let deployed = world
        .executor
        .deploy("etl", demo::MODEL.as_bytes(), StateSelection::All.into(), &[participant.address()])
        .await?;

    let ask = world.waiting_run(deployed.model_id, "signed").await?;
    signed_requests_are_decided_once(&world, &ask, &participant, &stranger).await?;
    assert_eq!(world.outcome(ask.instance).await?, "succeeded");
    requesters_are_recovered(&world, ask.instance, participant.address(), 3).await?;
    its_event_names_the_request(&world, &ask, participant.address(), "https").await?;
    documents_are_what_their_addresses_say(&world, ask.instance).await?;

    let ask = world.waiting_run(deployed.model_id, "on-chain").await?;
    let refused = on_chain(&ask, &world.sender(&stranger).await?).await.expect_err("a stranger").to_string();
    assert!(refused.contains("NotParticipant"), "{refused}");
    let ask = Ask { payload: r#"{"approved": false}"#.into(), ..ask };
    on_chain(&ask, &world.sender(&participant).await?).await?;
    assert_eq!(world.outcome(ask.instance).await?, "failed", "the client did not approve");
    its_event_names_the_request(&world, &ask, participant.address(), "chain").await?;
    let channel: String = sqlx::query_scalar(
        "select channel from executor.transition_request where instance_id = $1 and decision = 'accepted'",
    )
    .bind(ask.instance.as_slice())
    .fetch_one(world.executor.pool())
    .await?;
    assert_eq!(channel, "chain");

    let ask = world.waiting_run(deployed.model_id, "cut-off").await?;
    accept_as_before_a_crash(&world, &ask, participant.address()).await?;
    assert_eq!(world.outcome(ask.instance).await?, "succeeded");
    world.stop().await
}

async fn identity_is_bound_once_and_renewal_keeps_history(world: &World) -> eyre::Result<()> {
    let home = world.folder.path().join("identity");
    let again = identity::new(&home, PASSWORD, &localhost())?;
    assert!(!again.created);
    let sender = world.sender(&again.signer).await?;
    let mut told = 0;
    let steps = identity::bind(&world.bind, &sender, &again.certificate, |_| told += 1).await?;
    assert_eq!((steps.len(), told), (5, 5), "a resolver, three records and the certificate");
    assert!(steps.iter().all(|step| step.transaction.is_some()), "{steps:?}");
    let steps = identity::bind(&world.bind, &sender, &again.certificate, |_| {}).await?;
    assert!(steps.iter().all(|step| step.transaction.is_none()), "{steps:?}");

    let spare = tempfile::tempdir()?;
    certificate::ensure_certificate(spare.path(), &localhost())?;
    let renewed =
        identity::renew(spare.path(), &localhost(), &world.bind, async { Ok(sender.clone()) }, |_| {}).await?;
    let overview = show::show(&home, again.signer.address(), &world.bind, 0).await?;
    let bound: Vec<_> = overview.bindings.iter().map(|binding| binding.fingerprint).collect();
    assert_eq!(bound, [again.certificate.fingerprint, renewed.fingerprint]);
    let ens = overview.ens.clone().ok_or_eyre("no name")?;
    assert_eq!(ens.address, Some(again.signer.address()));
    assert_eq!(
        (ens.url.as_deref(), ens.reverse_name.as_deref()),
        (Some(&*world.site_url), Some("client.runproof.eth"))
    );
    println!("{overview}");

    let foreign = BindSettings {
        ens: world.bind.ens.clone().map(|(ens, _)| (ens, "other.runproof.eth".into())),
        ..world.bind.clone()
    };
    let refused = identity::bind(&foreign, &sender, &renewed, |_| {}).await.expect_err("not the owner");
    assert!(format!("{refused:#}").contains("belongs to nobody"), "{refused:#}");
    Ok(())
}

async fn signed_requests_are_decided_once(
    world: &World,
    ask: &Ask,
    participant: &Key,
    stranger: &Key,
) -> eyre::Result<()> {
    let minute = Duration::from_secs(60);
    let refused = by_https(ask, stranger, &world.site_url, minute).await?;
    assert_eq!(refused.decision, Decision::Refused);
    assert!(refused.reason.is_some_and(|reason| reason.contains("not a participant")));
    let elsewhere = by_https(&Ask { sequence: Some(0), ..ask.clone() }, participant, &world.site_url, minute).await?;
    assert!(elsewhere.reason.is_some_and(|reason| reason.contains("does not wait")));

    let registry = Registry { chain_id: world.stack.endpoints().chain_id, address: ask.registry };
    let sequence = sqlx::query_scalar::<_, i64>("select max(sequence) from executor.state where instance_id = $1")
        .bind(ask.instance.as_slice())
        .fetch_one(world.executor.pool())
        .await?;
    let sign = |deadline| {
        let (payload, sequence) = (ask.payload.clone(), sequence.unsigned_abs());
        runproof_executor::request::signed::SignedRequest::sign(
            participant,
            registry,
            ask.issuer,
            ask.instance,
            sequence,
            payload,
            deadline,
        )
    };
    let post = async |body: &runproof_executor::request::signed::SignedRequest| {
        world.http.post(format!("{}/requests", world.site_url)).json(body).send().await
    };
    assert_eq!(post(&sign(1).await?).await?.status(), StatusCode::BAD_REQUEST, "expired");
    let mut tampered = sign(4_000_000_000).await?;
    tampered.payload = "{}".into();
    assert_eq!(post(&tampered).await?.status(), StatusCode::FORBIDDEN, "somebody else's signature, if anybody's");
    let signed = sign(4_000_000_000).await?;
    within(async || Ok((post(&signed).await?.status() == StatusCode::OK).then_some(()))).await?;
    assert_eq!(post(&signed).await?.status(), StatusCode::OK, "the same request has the same answer");
    let late = sign(4_000_000_001).await?;
    assert_eq!(post(&late).await?.status(), StatusCode::FORBIDDEN, "the task is completed");
    let decided: Vec<(String, i64)> = sqlx::query_as(
        "select decision, count(*) from executor.transition_request where instance_id = $1 group by 1 order by 1",
    )
    .bind(ask.instance.as_slice())
    .fetch_all(world.executor.pool())
    .await?;
    // What the participant asked for in vain; of strangers nothing is kept.
    assert_eq!(decided, [("accepted".into(), 1), ("refused".into(), 2)]);
    Ok(())
}

/// By the published document alone, as anybody can. `signed` requests were published, all of `participant`.
async fn requesters_are_recovered(
    world: &World,
    instance: InstanceId,
    participant: Address,
    signed: usize,
) -> eyre::Result<()> {
    let told: Value = world.get(&format!("/{instance}/requests.json")).await?.json().await?;
    let registry: Registry = serde_json::from_value(told["registry"].clone())?;
    let domain = runproof_contracts::typed_data::domain(registry.chain_id, registry.address);
    let requests = told["requests"].as_array().ok_or_eyre("no requests")?;
    assert_eq!(requests.len(), signed, "{told:#}");
    for request in requests {
        let statement = runproof_contracts::typed_data::TransitionRequest {
            issuer: serde_json::from_value(told["issuer"].clone())?,
            instance: serde_json::from_value(told["instance"].clone())?,
            sequence: request["sequence"].as_u64().ok_or_eyre("no state")?,
            payloadHash: serde_json::from_value(request["payload_hash"].clone())?,
            deadline: request["deadline"].as_u64().ok_or_eyre("no deadline")?,
        };
        let signature: alloy::primitives::Bytes = serde_json::from_value(request["signature"].clone())?;
        let digest = alloy::sol_types::SolStruct::eip712_signing_hash(&statement, &domain);
        let requester = runproof_protocol::certificate::recover(digest, &signature)?;
        assert_eq!((requester, serde_json::from_value(request["requester"].clone())?), (participant, participant));
    }
    assert_eq!(requests.iter().filter(|request| request["decision"] == "accepted").count(), 1, "{told:#}");
    Ok(())
}

/// The event that completed the task names the request by which it was completed.
async fn its_event_names_the_request(
    world: &World,
    ask: &Ask,
    participant: Address,
    channel: &str,
) -> eyre::Result<()> {
    let events: Vec<Value> = world.get(&format!("/{}/events.json", ask.instance)).await?.json().await?;
    let completed: Vec<&Value> = events.iter().filter(|event| !event["request"].is_null()).collect();
    ensure!(completed.len() == 1, "{completed:#?}");
    let request = &completed[0]["request"];
    assert_eq!(completed[0]["type"], "TaskSucceeded");
    assert_eq!(serde_json::from_value::<Address>(request["requester"].clone())?, participant);
    assert_eq!((request["decision"].as_str(), request["channel"].as_str()), (Some("accepted"), Some(channel)));
    let payload = completed[0]["output"].as_str().ok_or_eyre("no output")?;
    let payload: Value = serde_json::from_str(payload)?;
    assert_eq!(payload, serde_json::from_str::<Value>(&ask.payload)?);
    let hash = alloy::primitives::keccak256(&ask.payload);
    assert_eq!(request["payload_hash"], serde_json::json!(hash));
    Ok(())
}

/// Leaves what a crash leaves that comes after a request was accepted and before the engine was told.
async fn accept_as_before_a_crash(world: &World, ask: &Ask, participant: Address) -> eyre::Result<()> {
    let token: String = within(async || {
        let waiting = sqlx::query_scalar(
            "select token from executor.waiting_task join executor.instance using (execution_arn) where instance_id = $1",
        );
        Ok(waiting.bind(ask.instance.as_slice()).fetch_optional(world.executor.pool()).await?)
    })
    .await?;
    sqlx::query(
        "insert into executor.transition_request (channel, requester, instance_id, sequence, payload_hash, payload, origin, decision, token, decided_at)
         values ('https', $1, $2, 0, $3, $4, 'cut off', 'accepted', $5, now() - interval '2 minutes')",
    )
    .bind(participant.as_slice())
    .bind(ask.instance.as_slice())
    .bind(alloy::primitives::keccak256(&ask.payload).as_slice())
    .bind(&ask.payload)
    .bind(token)
    .execute(world.executor.pool())
    .await?;
    Ok(())
}

async fn documents_are_what_their_addresses_say(world: &World, instance: InstanceId) -> eyre::Result<()> {
    let protocol: Value = world.get(&format!("/{instance}.json")).await?.json().await?;
    let rows = protocol["instance_protocol"].as_array().ok_or_eyre("no rows")?;
    ensure!(rows.len() > 8, "{} rows", rows.len());
    for row in rows {
        let id: StateId = row["state_hash"].as_str().ok_or_eyre("no hash")?.parse()?;
        let response = world.get(&format!("/{id}.json")).await?;
        assert_eq!(response.headers()[header::ETAG], format!("\"{id}\""));
        assert!(response.headers()[header::CACHE_CONTROL].to_str()?.contains("immutable"));
        assert_eq!(response.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert_eq!(response.version(), reqwest::Version::HTTP_2);
        assert_eq!(StateId::of(&response.bytes().await?), id);
    }
    let trace = world.get(&format!("/{instance}/trace.json")).await?;
    let etag = trace.headers()[header::ETAG].clone();
    assert_eq!(trace.headers()[header::CACHE_CONTROL], "no-cache");
    let length = trace.content_length();
    let bytes = trace.bytes().await?;
    assert_eq!(length, Some(bytes.len() as u64));
    assert_eq!(etag, format!("\"{}\"", StateId::of(&bytes)), "the whole trace is the last state's document");
    let url = format!("{}/{instance}/trace.json", world.site_url);
    let known = world.http.get(&url).header(header::IF_NONE_MATCH, &etag).send().await?;
    assert_eq!((known.status(), known.content_length()), (StatusCode::NOT_MODIFIED, Some(0)));
    // Parts that lie within a state, go over several, and end with the trace.
    for range in [0..1, 7..300, 100..bytes.len() - 1, bytes.len() - 1..bytes.len()] {
        let asked = format!("bytes={}-{}", range.start, range.end - 1);
        let part = world.http.get(&url).header(header::RANGE, &asked).header(header::IF_RANGE, &etag).send().await?;
        assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT, "{asked}");
        let place = format!("bytes {}-{}/{}", range.start, range.end - 1, bytes.len());
        assert_eq!(part.headers()[header::CONTENT_RANGE], place);
        assert_eq!(part.bytes().await?, bytes[range], "{asked}");
    }
    let beyond = world.http.get(&url).header(header::RANGE, format!("bytes={}-", bytes.len())).send().await?;
    assert_eq!(beyond.status(), StatusCode::RANGE_NOT_SATISFIABLE);
    let head = world.http.head(&url).send().await?;
    assert_eq!(
        (head.status(), head.headers()[header::CONTENT_LENGTH].to_str()?),
        (StatusCode::OK, &*bytes.len().to_string())
    );
    let document = world.get(&format!("/{instance}/instance.json")).await?.bytes().await?;
    assert_eq!(InstanceId::of(&document), instance);
    let model = runproof_protocol::ModelId::of(demo::MODEL.as_bytes());
    assert_eq!(world.get(&format!("/{model}.json")).await?.bytes().await?, demo::MODEL);
    let index: Value = world.get("/").await?.json().await?;
    assert_eq!(index["instances"].as_array().map(Vec::len), Some(1));

    for absent in
        ["/x", "/%00.json", "/%ff.json", "/a/b/c", &format!("/{}.json", "0".repeat(64)), &format!("/0x{model}.json")]
    {
        let status = world.get(absent).await?.status();
        assert!(matches!(status, StatusCode::NOT_FOUND | StatusCode::BAD_REQUEST), "{absent}: {status}");
    }
    let posted = world.http.post(format!("{}/{model}.json", world.site_url)).send().await?;
    assert_eq!(posted.status(), StatusCode::METHOD_NOT_ALLOWED);
    let large =
        world.http.post(format!("{}/requests", world.site_url)).header(header::CONTENT_TYPE, "application/json");
    assert_eq!(large.body(vec![b' '; 1 << 20]).send().await?.status(), StatusCode::PAYLOAD_TOO_LARGE);
    Ok(())
}
