//! A run of which the chain tells the Merkle root alone: as good as one that it tells, as long as the site serves the leaves.

mod front;

use front::{Front, Lie};
use runproof_protocol::{
    InstanceId,
    documents::{InclusionProof, Leaves},
    verdict::{Check, Status, Verdict},
};
use serde_json::{Value, json};

use crate::{
    crash::{ended, everything_agrees},
    harness::{self, Role, World, eventually},
    paper_run::{INSTANCE, documents},
    schemas::each_message_is_there_once_and_as_described,
};

const STATES: usize = 13;

#[test]
fn a_run_under_a_root_passes_and_a_leaf_that_is_withheld_or_altered_is_seen() {
    harness::run(async {
        let world = World::new().await;
        let front = Front::before_the_site_of(&world).await;
        let _roles = ["index", "verdicts", "serve"].map(|role| world.start(&[role]));
        let instance = import(&world).await;
        assert_eq!(ended(&world).await, instance);
        let (verdict, passed) = world.verify(instance, &[]).await;
        assert!(passed, "{verdict:#?}");
        assert_eq!(verdict.states.len(), STATES);
        let told: Vec<String> = sqlx::query_scalar("select kind from journal.record where kind like 'state%'")
            .fetch_all(&world.pool)
            .await
            .expect("rows");
        assert_eq!(told, ["states_root_registered"]);
        everything_agrees(&world, instance).await;
        let types = each_message_is_there_once_and_as_described(&world.messages().await);
        assert!(types.contains("runproof.states_root_registered"), "{types:?}");
        each_state_has_a_proof(&world, &verdict).await;
        known_states(&world, STATES, "PASSED").await;
        the_warehouse_has(&world, STATES).await;
        leaves_are_served_in_parts(&world).await;

        for (lie, status) in [(Lie::Withhold(7), Status::Unavailable), (Lie::Alter(7), Status::Failed)] {
            front.tell(lie);
            let (verdict, passed) = world.verify(instance, &[]).await;
            let flaws: Vec<_> = verdict.findings.iter().filter(|one| one.status != Status::Passed).collect();
            assert!(!passed && verdict.states.is_empty() && flaws.len() == 1, "{verdict:#?}");
            assert_eq!((flaws[0].check, flaws[0].status, verdict.status()), (Check::Content, status, status));
            known_states(&world, 0, status.name().to_uppercase().as_str()).await;
            the_warehouse_has(&world, 0).await;
        }
        front.tell(Lie::None);
        known_states(&world, STATES, "PASSED").await;
    });
}

#[test]
fn a_root_is_adopted_after_a_loss_and_registered_again_after_a_reorganisation() {
    harness::run(async {
        let world = World::builder().own_chain().build().await;
        let _roles = ["site", "index", "serve"].map(|role| world.start(&[role]));
        let instance = import(&world).await;
        let nonce = world.nonce().await;
        sqlx::query("delete from executor.transaction").execute(&world.pool).await.expect("the test owns the database");
        import(&world).await;
        assert_eq!(world.nonce().await, nonce, "what the contract holds is not registered again");
        let (verdict, passed) = world.verify(instance, &[]).await;
        assert!(passed, "{verdict:#?}");

        let roots = "select count(*), count(retracted_by) from journal.states_root";
        let indexed = async |expected: (i64, i64)| {
            eventually("the roots are indexed", async || {
                let found: (i64, i64) = sqlx::query_as(roots).fetch_one(&world.pool).await.expect("a row");
                (found == expected).then_some(())
            })
            .await;
        };
        indexed((1, 0)).await;
        world.chain().await.reorganise(1).await.expect("anvil reorganises");
        let _follow = Role::start(by_roots(&world, &["follow"]), world.file("follow.log", ""));
        indexed((2, 1)).await;
        let (verdict, passed) = world.verify(instance, &[]).await;
        assert!(passed, "{verdict:#?}");
        assert_eq!(verdict.states.len(), STATES);
        everything_agrees(&world, instance).await;
    });
}

fn by_roots(world: &World, arguments: &[&str]) -> std::process::Command {
    let mut command = world.command(arguments);
    command.env("RUNPROOF_EXECUTOR__ROOT_FROM", STATES.to_string());
    command
}

/// Imports the paper's run.
async fn import(world: &World) -> InstanceId {
    let documents = documents();
    let mut command = by_roots(world, &[&["import"][..], &documents.each_ref().map(String::as_str)].concat());
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("it runs").expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    INSTANCE.parse().expect("an id")
}

/// Piece by piece or from within, the leaves are the same bytes.
async fn leaves_are_served_in_parts(world: &World) {
    let url = format!("{}/{INSTANCE}/roots/0.json", world.site_url);
    let get = async |part: &str| {
        let answer = world.http().get(&url).header("range", part).send().await.expect("an answer");
        (answer.status().as_u16(), answer.bytes().await.expect("bytes"))
    };
    let (_, whole) = get("bytes=0-").await;
    let leaves: Leaves = serde_json::from_slice(&whole).expect("leaves");
    assert_eq!((leaves.states.len(), leaves.predecessors.len()), (STATES, 0));
    let end = whole.len();
    for (first, last) in [(5, 11), (500, end - 1), (end - 3, end - 1)] {
        assert_eq!(get(&format!("bytes={first}-{last}")).await, (206, whole.slice(first..=last)));
    }
}

async fn each_state_has_a_proof(world: &World, verdict: &Verdict) {
    let (root, count): (Vec<u8>, i64) =
        sqlx::query_as("select root, count from journal.states_root").fetch_one(&world.pool).await.expect("a row");
    for state in &verdict.states {
        let url = format!("{}/{INSTANCE}/proof/{}.json", world.site_url, state.sequence);
        let proof = world.http().get(url).send().await.expect("an answer").json::<InclusionProof>();
        let proof = proof.await.expect("a proof");
        assert!(proof.holds() && proof.root.as_slice() == root, "{proof:?}");
        assert_eq!((proof.state, proof.sequence, proof.count as i64), (state.state, state.sequence, count));
    }
    for absent in ["roots/1", "roots/13", "roots/00", "proof/13", "proof/-1"] {
        let url = format!("{}/{INSTANCE}/{absent}.json", world.site_url);
        assert_eq!(world.http().get(url).send().await.expect("an answer").status(), 404, "{absent}");
    }
}

/// Awaits that GraphQL knows so many of the root's states, and the run's verdict.
async fn known_states(world: &World, known: usize, status: &str) {
    let query = format!(
        r#"{{ instances(first: 1, filter: {{issuer: "{:#x}"}}) {{ nodes {{ stateCount verdict {{ status }}
            roots(first: 1) {{ nodes {{ first count states(first: 20) {{ sequence stateId stateName predecessor verdict {{ status }} }} }} }} }} }} }}"#,
        world.issuer
    );
    eventually("GraphQL tells the root's states", async || {
        let run = world.graphql(&query).await["instances"]["nodes"][0].take();
        let root = &run["roots"]["nodes"][0];
        assert_eq!((&run["stateCount"], &root["first"], &root["count"]), (&json!(13), &json!(0), &json!(13)));
        let states = root["states"].as_array().expect("a list");
        let told = run["verdict"]["status"] == status && states.len() == known;
        let graded =
            states.iter().all(|state: &Value| state["verdict"]["status"] == status && state["stateName"].is_string());
        (told && graded).then_some(())
    })
    .await;
}

async fn the_warehouse_has(world: &World, states: usize) {
    let sql = "select (select count(*) from warehouse.f_state), (select count(*) from warehouse.d_state where state_name is not null),
                      (select count(*) from warehouse.f_transition)";
    let found: (i64, i64, i64) = sqlx::query_as(sql).fetch_one(&world.pool).await.expect("a row");
    let states = states as i64;
    assert_eq!(found, (states, states, (states - 1).max(0)));
}
