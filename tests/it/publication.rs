//! Documents are stored in a folder or a bucket before what they tell of is registered, and a static host that knows nothing else serves what verifies.

use std::{
    collections::BTreeSet,
    net::TcpListener,
    path::{Path, PathBuf},
    sync::Arc,
};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use axum_server::tls_rustls::RustlsConfig;
use futures::TryStreamExt;
use object_store::{
    Attribute, ObjectStore, ObjectStoreExt, aws::AmazonS3Builder, local::LocalFileSystem, path::Path as Address,
};
use runproof_contracts::InstanceRegistry;
use runproof_protocol::{
    InstanceId, StateId,
    documents::{InstanceProtocol, MOST_STATE_DOCUMENTS},
    verdict::{InputSeen, Verdict},
};
use serde_json::{Map, Value, json};
use tokio::task::AbortHandle;

use crate::{
    crash::{ended, slow_model},
    harness::{self, Role, World, eventually, free_port, stack},
};

const STATES: usize = 6;
const SECRET: &str = "patient 4711";
const ACCOUNT: &str = "123456789012";

#[test]
fn a_private_run_is_verified_from_a_bucket_alone() {
    harness::run(async {
        let world = World::new().await;
        let objects = bucket(&world).await;
        configure(
            &world,
            &format!("s3://{}/runs", bucket_of(&world)),
            &format!("[aws]\nmasked_accounts = [\"{ACCOUNT}\"]"),
        );
        let host = host(&world, objects.clone()).await;
        let _indexer = world.start(&["index"]);
        start_run(&world, &["--privacy", "committed"]).await;
        captured(&world, 2).await.kill();
        let _executor = world.start(&["follow"]);
        let instance = ended(&world).await;
        assert_eq!(inputs(&passed(&world, instance).await), [InputSeen::Committed; STATES]);
        for (path, bytes) in all_published(&world, &objects).await {
            let text = String::from_utf8(bytes).expect("UTF-8");
            assert!(!text.contains(SECRET) && !text.contains(ACCOUNT), "{path}: {text}");
        }

        world.runproof(&["disclose", &instance.to_string(), "1"]).await;
        assert_eq!(inputs(&passed(&world, instance).await)[1], InputSeen::Disclosed);
        host.abort();
        what_is_published_is_what_the_site_serves(&world, instance, &objects).await;
    });
}

#[test]
fn nothing_is_registered_before_its_documents_stand_whenever_the_executor_dies() {
    harness::run(async {
        let world = World::new().await;
        let folder = world.config().with_file_name("published");
        configure(&world, &format!("file://{}", folder.display()), "[executor]\nroot_from = 2");
        let _indexer = world.start(&["index"]);
        start_run(&world, &[]).await;
        let before = world.nonce().await;

        let out_of_order = take_away(&folder);
        let executor = captured(&world, 2).await;
        eventually("what cannot be published is signed and held back", async || {
            executor.log().contains("is not sent").then_some(())
        })
        .await;
        executor.kill();
        assert_eq!(world.nonce().await, before, "nothing was registered");
        bring_back(&folder, &out_of_order);

        for more in [3, 5] {
            let executor = captured(&world, more).await;
            what_is_registered_stands(&world, &folder).await;
            executor.kill();
            what_is_registered_stands(&world, &folder).await;
        }
        let _executor = world.start(&["follow"]);
        let instance = ended(&world).await;
        what_is_registered_stands(&world, &folder).await;
        let objects: Arc<dyn ObjectStore> = Arc::new(LocalFileSystem::new_with_prefix(&folder).expect("a folder"));
        let host = host(&world, objects.clone()).await;
        passed(&world, instance).await;
        host.abort();
        what_is_published_is_what_the_site_serves(&world, instance, &objects).await;
    });
}

#[test]
fn every_link_of_a_long_run_leads_to_a_document_that_stands() {
    const LONG: usize = MOST_STATE_DOCUMENTS + 3;
    harness::run(async {
        let world = World::new().await;
        let folder = world.config().with_file_name("published");
        configure(&world, &format!("file://{}", folder.display()), "[chain]");
        let state = |number: usize| json!({"Type": "Pass", "Next": format!("S{}", number + 1)});
        let states = (1..LONG).map(|number| (format!("S{number}"), state(number)));
        let states: Map<String, Value> = states.chain([(format!("S{LONG}"), json!({"Type": "Succeed"}))]).collect();
        let model = world.file("long.asl.json", json!({"StartAt": "S1", "States": states}).to_string());
        world.runproof(&["deploy", &model.to_string_lossy(), "--name", &world.name]).await;
        let elsewhere = plant_a_link(&world, &folder.join("index.json"));
        let told = world.runproof(&["run", &world.name]).await;
        let execution = told.split_whitespace().last().expect("an ARN");
        let told = world.runproof(&["follow", execution, "--once"]).await;
        assert_eq!(std::fs::read_to_string(elsewhere).expect("it is still there"), SECRET, "no link is followed");
        assert!(!folder.join("index.json").is_symlink(), "a document stands in the link's place");
        let instance: InstanceId = told.split_whitespace().last().expect("an id").parse().expect("an id");

        let protocol = std::fs::read(folder.join(format!("{instance}.json"))).expect("the protocol stands");
        let protocol: InstanceProtocol = serde_json::from_slice(&protocol).expect("a protocol");
        assert_eq!(protocol.instance_protocol.len(), LONG);
        let (first, later) = protocol.instance_protocol.split_at(MOST_STATE_DOCUMENTS);
        assert!(later.iter().all(|row| row.state_data.is_none()));
        let links = first.iter().map(|row| row.state_data.as_ref().expect("a link"));
        for link in links.chain([&protocol.model_data, &protocol.instance_data, &protocol.trace_data]) {
            let name = link.strip_prefix(&format!("{}/", world.site_url)).expect("of the site");
            assert!(folder.join(name).is_file(), "{name}");
        }
        let _site = world.start(&["site"]);
        let verdict = eventually("the run is verified", async || {
            let (verdict, passed) = world.verify(instance, &[]).await;
            passed.then_some(verdict)
        })
        .await;
        assert_eq!(verdict.states.len(), LONG);
    });
}

/// Publishes to `url` from now on; `section` is a section with what is put at its head.
fn configure(world: &World, url: &str, section: &str) {
    let configured = std::fs::read_to_string(world.config()).expect("it was written");
    let head = section.lines().next().expect("a head");
    let configured = configured.replacen(head, section, 1);
    world.file("runproof.toml", format!("{configured}[publication]\nurl = \"{url}\"\n"));
}

async fn start_run(world: &World, arguments: &[&str]) {
    let model = world.file("model.asl.json", slow_model(STATES));
    let input = world.file("input.json", format!(r#"{{"who": "{SECRET}", "account": "{ACCOUNT}"}}"#));
    let model = model.to_string_lossy();
    world.runproof(&[&["deploy", &model, "--name", &world.name], arguments].concat()).await;
    world.runproof(&["run", &world.name, "--input", &input.to_string_lossy()]).await;
}

/// An executor, started, once so many states are captured.
async fn captured(world: &World, states: i64) -> Role {
    let executor = world.start(&["follow"]);
    eventually("some states are captured", async || {
        let count = sqlx::query_scalar::<_, i64>("select count(*) from executor.state").fetch_one(&world.pool).await;
        (count.expect("a number") >= states).then_some(())
    })
    .await;
    executor
}

/// Puts a file in the folder's place, in which nothing can be stored.
fn take_away(folder: &Path) -> PathBuf {
    let away = folder.with_extension("away");
    std::fs::rename(folder, &away).expect("the deployment published something");
    std::fs::write(folder, "").expect("a file");
    away
}

fn bring_back(folder: &Path, away: &Path) {
    std::fs::remove_file(folder).expect("the file");
    std::fs::rename(away, folder).expect("the folder");
}

/// Puts a symbolic link in a document's place; returns the file to which it leads, which holds a secret.
fn plant_a_link(world: &World, document: &Path) -> PathBuf {
    let elsewhere = world.file("elsewhere", SECRET);
    std::fs::remove_file(document).expect("the deployment published it");
    std::os::unix::fs::symlink(&elsewhere, document).expect("a link");
    elsewhere
}

/// Each state that the contract holds now has its row in the protocol, its document and its proof.
async fn what_is_registered_stands(world: &World, folder: &Path) {
    let registry = InstanceRegistry::new(world.registry.address, world.chain().await.provider());
    let instances: Vec<Vec<u8>> =
        sqlx::query_scalar("select instance_id from executor.instance").fetch_all(&world.pool).await.expect("rows");
    for id in instances {
        let instance = InstanceId::try_from(&id[..]).expect("32 bytes");
        let held = registry.instanceOf(world.issuer, instance.0).call().await.expect("the contract answers");
        if held.count == 0 {
            continue;
        }
        let read = |name: String| std::fs::read(folder.join(&name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let protocol: InstanceProtocol =
            serde_json::from_slice(&read(format!("{instance}.json"))).expect("never half of a protocol");
        assert!(protocol.instance_protocol.len() >= held.count as usize, "{protocol:?}");
        for row in protocol.instance_protocol {
            assert_eq!(StateId::of(&read(format!("{}.json", row.state_hash))), row.state_hash);
            read(format!("{instance}/proof/{}.json", row.sequence));
        }
    }
}

fn bucket_of(world: &World) -> String {
    format!("documents-of-{}", world.name)
}

async fn bucket(world: &World) -> Arc<dyn ObjectStore> {
    let endpoints = stack().await.endpoints();
    let endpoint = endpoints.aws_endpoint_url.expect("started");
    let made = reqwest::Client::new().put(format!("{endpoint}/{}", bucket_of(world))).send().await.expect("an answer");
    assert!(made.status().is_success(), "{made:?}");
    let objects = AmazonS3Builder::new()
        .with_bucket_name(bucket_of(world))
        .with_region(endpoints.aws_region)
        .with_endpoint(endpoint)
        .with_allow_http(true)
        .with_access_key_id(endpoints.aws_access_key_id)
        .with_secret_access_key(endpoints.aws_secret_access_key)
        .build();
    Arc::new(object_store::prefix::PrefixStore::new(objects.expect("a client"), "runs"))
}

/// A static host at the site's address, with the issuer's certificate: it serves objects by their names.
async fn host(world: &World, objects: Arc<dyn ObjectStore>) -> AbortHandle {
    let pem = |name| world.identity().join(name);
    let tls = RustlsConfig::from_pem_file(pem("cert.pem"), pem("key.pem")).await.expect("a certificate");
    let listener = TcpListener::bind(world.site_url.replace("https://localhost", "127.0.0.1")).expect("a port");
    listener.set_nonblocking(true).expect("a listener");
    let server = axum_server::from_tcp_rustls(listener, tls).expect("a server");
    let router = Router::new().fallback(object).with_state(objects);
    tokio::spawn(server.serve(router.into_make_service())).abort_handle()
}

async fn object(State(objects): State<Arc<dyn ObjectStore>>, uri: Uri) -> Response {
    match objects.get(&Address::parse(uri.path()).expect("an address")).await {
        Ok(found) => found.bytes().await.expect("bytes").into_response(),
        Err(object_store::Error::NotFound { .. }) => StatusCode::NOT_FOUND.into_response(),
        Err(error) => panic!("{error}"),
    }
}

async fn passed(world: &World, instance: InstanceId) -> Verdict {
    let (verdict, passed) = world.verify(instance, &[]).await;
    assert!(passed, "{verdict:#?}");
    verdict
}

fn inputs(verdict: &Verdict) -> Vec<InputSeen> {
    verdict.states.iter().filter_map(|state| state.input).collect()
}

/// All that is stored, once nothing is left to be.
async fn all_published(world: &World, objects: &Arc<dyn ObjectStore>) -> Vec<(String, Vec<u8>)> {
    eventually("all is published, and last the index", async || {
        let left = "select count(*) from executor.unpublished";
        let left: i64 = sqlx::query_scalar(left).fetch_one(&world.pool).await.expect("a number");
        let index = objects.get(&Address::from("index.json")).await.ok()?.bytes().await.ok()?;
        (left == 0 && String::from_utf8_lossy(&index).contains(r#""ended_as":"succeeded""#)).then_some(())
    })
    .await;
    let listed: Vec<_> = objects.list(None).try_collect().await.expect("a list");
    let mut all = Vec::new();
    for found in listed {
        let bytes = objects.get(&found.location).await.expect("it is there").bytes().await.expect("bytes");
        all.push((found.location.to_string(), bytes.to_vec()));
    }
    all
}

/// The same documents, byte by byte, with the same headers where headers are kept.
async fn what_is_published_is_what_the_site_serves(
    world: &World,
    instance: InstanceId,
    objects: &Arc<dyn ObjectStore>,
) {
    let listen = format!("127.0.0.1:{}", free_port());
    let mut site = world.command(&["site"]);
    site.env("RUNPROOF_SITE__LISTEN", &listen);
    let _site = Role::start(site, world.config().with_file_name("site.log"));
    let url = format!("https://{listen}");
    eventually("the site serves", async || world.http().get(&url).send().await.ok()).await;

    // The executor goes on until the end is final; then nothing changes any more.
    let mut names = BTreeSet::new();
    for (name, bytes) in all_published(world, objects).await {
        let path = name.strip_suffix("index.json").filter(|_| name == "index.json").unwrap_or(&name);
        let served = world.http().get(format!("{url}/{path}")).send().await.expect("an answer");
        assert_eq!(served.status(), StatusCode::OK, "{name}");
        let attributes = objects.get(&Address::from(&*name)).await.expect("it is there").attributes;
        for (attribute, header) in
            [(Attribute::ContentType, header::CONTENT_TYPE), (Attribute::CacheControl, header::CACHE_CONTROL)]
        {
            let kept = attributes.get(&attribute).map(|kept| kept.as_ref().to_owned());
            let told = served.headers()[&header].to_str().expect("text").to_owned();
            assert!(kept.as_ref() == Some(&told) || attributes.is_empty(), "{name}: {kept:?} beside {told}");
        }
        let expected = served.bytes().await.expect("bytes");
        assert_eq!(String::from_utf8_lossy(&bytes), String::from_utf8_lossy(&expected), "{name}");
        names.insert(name);
    }
    assert_eq!(names, expected_names(world, instance).await);
}

/// All addresses that the site has.
async fn expected_names(world: &World, instance: InstanceId) -> BTreeSet<String> {
    let ids = "select encode(model_id, 'hex') from executor.model
               union all select encode(instance_id, 'hex') from executor.instance union all select encode(state_id, 'hex') from executor.state";
    let of_run = "select 'proof/' || sequence from executor.state union all select 'disclosures/' || sequence from executor.disclosure
                  union all select 'roots/' || first from executor.registration where kind = 'states'
                  union all select unnest('{instance, trace, requests, events}'::text[])";
    let column = async |sql: &'static str| -> Vec<String> {
        sqlx::query_scalar(sql).fetch_all(&world.pool).await.expect("a column")
    };
    let by_id = column(ids).await.into_iter().map(|id| format!("{id}.json"));
    let of_run = column(of_run).await.into_iter().map(|name| format!("{instance}/{name}.json"));
    by_id.chain(of_run).chain(["index.json", ".well-known/runproof.json"].map(str::to_owned)).collect()
}
