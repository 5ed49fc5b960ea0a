//! A private model: nothing that is published tells what its states were given, until it is disclosed, and then anybody can check it.

use std::collections::HashSet;

use runproof_protocol::{
    InstanceId,
    commitment::Disclosure,
    verdict::{InputSeen, Verdict},
};
use serde_json::{Value, json};

use crate::{
    crash::{ended, everything_agrees, slow_model},
    harness::{self, Role, World, eventually},
    step_functions::refused,
};

const STATES: usize = 4;
/// Of which state the input is disclosed.
const PLACE: usize = 1;
const SECRET: &str = "patient 4711";

#[test]
fn inputs_stay_private_until_they_are_disclosed_one_by_one() {
    harness::run(async {
        let world = World::new().await;
        let roles = ["site", "index", "verdicts", "serve"].map(|role| world.start(&[role]));
        start(&world).await;
        let executor = killed_in_the_middle(&world).await;
        let instance = ended(&world).await;
        everything_agrees(&world, instance).await;
        assert_eq!(inputs(&passed(&world, instance).await), [InputSeen::Committed; STATES]);
        nothing_tells_the_secret(&world, instance, roles.iter().chain([&executor])).await;
        what_would_publish_it_is_refused(&world, instance).await;

        let (id, place) = (instance.to_string(), PLACE.to_string());
        let printed = world.runproof(&["disclose", &id, &place, "--print"]).await;
        assert_eq!(served(&world, instance, PLACE).await, None, "printed is not published");
        world.runproof(&["disclose", &id, &place]).await;
        world.runproof(&["disclose", &id, &place]).await;
        let told = served(&world, instance, PLACE).await.expect("it is served");
        assert_eq!(serde_json::from_str::<Disclosure>(&printed).ok(), Some(told.clone()));
        assert_eq!(serde_json::from_str::<Value>(&told.input).ok(), Some(json!({ "who": SECRET })));
        assert_eq!(served(&world, instance, PLACE + 1).await, None, "the others stay private");

        let mut expected = [InputSeen::Committed; STATES];
        expected[PLACE] = InputSeen::Disclosed;
        assert_eq!(inputs(&passed(&world, instance).await), expected);
        eventually("GraphQL tells which are disclosed", async || {
            let query = format!(r#"{{ states(filter: {{instance: "{instance}"}}, first: 9) {{ nodes {{ sequence verdict {{ input }} }} }} }}"#);
            let states = world.graphql(&query).await["states"]["nodes"].take();
            let told = |state: &Value| {
                let expected = if state["sequence"] == json!(PLACE) { "DISCLOSED" } else { "COMMITTED" };
                state["verdict"]["input"] == expected
            };
            states.as_array().expect("a list").iter().all(told).then_some(())
        })
        .await;
    });
}

async fn start(world: &World) {
    let model = world.file("model.asl.json", slow_model(STATES));
    let input = world.file("input.json", json!({ "who": SECRET }).to_string());
    world.runproof(&["deploy", &model.to_string_lossy(), "--name", &world.name, "--privacy", "committed"]).await;
    world.runproof(&["run", &world.name, "--input", &input.to_string_lossy()]).await;
}

/// What was committed to before a crash is committed to by the same salts after it.
async fn killed_in_the_middle(world: &World) -> Role {
    let executor = world.start(&["follow"]);
    eventually("some states are indexed", async || {
        let count: i64 =
            sqlx::query_scalar("select count(*) from journal.state").fetch_one(&world.pool).await.expect("a row");
        (count > 1).then_some(())
    })
    .await;
    executor.kill();
    world.start(&["follow"])
}

async fn passed(world: &World, instance: InstanceId) -> Verdict {
    let (verdict, passed) = world.verify(instance, &[]).await;
    assert!(passed, "{verdict:#?}");
    verdict
}

fn inputs(verdict: &Verdict) -> Vec<InputSeen> {
    verdict.states.iter().filter_map(|state| state.input).collect()
}

/// Neither the site, nor GraphQL, nor a topic, nor a log.
async fn nothing_tells_the_secret(world: &World, instance: InstanceId, roles: impl Iterator<Item = &Role>) {
    let verdict = passed(world, instance).await;
    let of_run =
        ["instance", "trace", "roots/0", "proof/0", "disclosures/0"].map(|name| format!("{instance}/{name}.json"));
    let by_id = verdict
        .states
        .iter()
        .map(|state| state.state.to_string())
        .chain([instance.to_string(), verdict.model.to_string()]);
    let mut told = Vec::new();
    for path in of_run
        .into_iter()
        .chain(by_id.map(|id| format!("{id}.json")))
        .chain(["".into(), ".well-known/runproof.json".into()])
    {
        let answer = world.http().get(format!("{}/{path}", world.site_url)).send().await.expect("an answer");
        assert_eq!(answer.status() == 200, !path.contains("disclosures"), "{path}");
        told.push((path, answer.text().await.expect("text")));
    }
    let trace = told.iter().find(|(path, _)| path.ends_with("trace.json")).expect("the trace").1.clone();
    let trace: Vec<Value> = serde_json::from_str(&trace).expect("JSON");
    let committed: HashSet<&str> = trace.iter().filter_map(|entry| entry["task_input"].as_str()).collect();
    assert_eq!(committed.len(), STATES, "equal inputs cannot be told: {committed:?}");

    let query = format!(
        r#"{{ states(filter: {{instance: "{instance}"}}, first: 9) {{ nodes {{ stateName verdict {{ findings {{ expected found detail }} }} }} }} }}"#
    );
    told.push(("GraphQL".into(), world.graphql(&query).await.to_string()));
    let messages = world.kcat(STATES + 3).await;
    told.extend(messages.into_iter().map(|message| ("topic".into(), message.value)));
    told.extend(roles.map(|role| ("log".into(), role.log())));
    for (place, text) in told {
        assert!(!text.contains(SECRET), "{place}: {text}");
    }
}

async fn what_would_publish_it_is_refused(world: &World, instance: InstanceId) {
    let file = |name: &str| world.config().with_file_name(name).to_string_lossy().into_owned();
    let model = file("model.asl.json");
    let told = refused(world, &["deploy", &model, "--name", &world.name]).await;
    assert!(told.contains("was deployed with inputs `committed`"), "{told}");
    let [document, trace] = ["instance", "trace"].map(|name| format!("{}/{instance}/{name}.json", world.site_url));
    for (name, url) in [("instance.json", document), ("trace.json", trace)] {
        world.file(name, world.http().get(url).send().await.expect("an answer").bytes().await.expect("bytes"));
    }
    let import = ["import", "--model", &model, "--instance", &file("instance.json"), "--trace", &file("trace.json")];
    let told = refused(world, &import).await;
    assert!(told.contains("deployed with committed inputs"), "{told}");
    let told = refused(world, &["disclose", &instance.to_string(), "99"]).await;
    assert!(told.contains("has no state 99"), "{told}");
}

async fn served(world: &World, instance: InstanceId, sequence: usize) -> Option<Disclosure> {
    let url = format!("{}/{instance}/disclosures/{sequence}.json", world.site_url);
    let answer = world.http().get(url).send().await.expect("an answer");
    if answer.status() == 404 {
        return None;
    }
    Some(answer.json().await.expect("a disclosure"))
}
