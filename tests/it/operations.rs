//! What operators see: endpoints, journal and lag in `/status`, the same in `/metrics`, a bar on a terminal.

use std::{
    collections::BTreeSet,
    io::{BufReader, Read},
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use crate::{
    crash::start_slow_run,
    harness::{self, Role, World, eventually, free_port},
};

const DOCUMENTED: &str = include_str!("../../docs/operations.md");

#[test]
fn status_and_metrics_tell_endpoints_lags_and_reorganisations() {
    harness::run(async {
        let world = World::builder().own_chain().build().await;
        let [indexer, verifier, nowhere] = [(); 3].map(|()| free_port());
        add_endpoints(&world, nowhere).await;

        // Without a broker, what is indexed waits.
        let waiting = start(&world, "index", indexer, &[("RUNPROOF_KAFKA__BOOTSTRAP", format!("127.0.0.1:{nowhere}"))]);
        let journal = journal(indexer, "all is indexed", |journal| journal["indexer"]["blocks"] == 0).await;
        let position = journal["position"].as_u64().expect("a number");
        assert!(position > 0, "binding the certificate was registered: {journal}");
        assert_eq!((&journal["relay"]["position"], &journal["relay"]["entries"]), (&json!(0), &journal["position"]));
        assert!(journal["relay"]["blocks"].as_u64() > Some(0), "{journal}");
        assert!(waiting.stop());

        let _indexer = start(&world, "index", indexer, &[]);
        let counted = eventually("counters are told from the start", async || {
            let told = reqwest::get(format!("http://127.0.0.1:{indexer}/metrics")).await.ok()?.text().await.ok()?;
            told.contains(r#"runproof_endpoint_faults_total{endpoint="twin",fault="stranger"} 0"#).then_some(told)
        })
        .await;
        for counter in ["indexer_reorganisations_total", "indexer_entries_total"] {
            assert!(counted.contains(&format!(r#"runproof_{counter}{{source="main"}}"#)), "{counted}");
        }
        assert!(counted.contains(r#"runproof_endpoint_set_aside_total{endpoint="twin",fault="lags"} 0"#), "{counted}");
        let _verifier = start(&world, "verdicts", verifier, &[]);
        let through = |stage: &'static str| move |journal: &Value| journal[stage]["position"] == position;
        let relayed = self::journal(indexer, "all is relayed", through("relay")).await;
        assert_eq!(relayed["relay"], json!({"position": position, "entries": 0, "blocks": 0, "seconds": 0}));
        assert_eq!(relayed["verifier"], Value::Null, "another process verifies");
        let verified = self::journal(verifier, "all is verified", through("verifier")).await;
        assert_eq!(verified["verifier"]["blocks"], 0);

        let status = status(indexer).await.expect("it answers");
        let endpoints = status["endpoints"].as_array().expect("a list");
        let states: Vec<_> = endpoints.iter().map(|one| (one["state"].as_str(), one["role"].as_str())).collect();
        assert_eq!(states[..2], [(Some("serving"), Some("primary")), (Some("serving"), Some("standby"))], "{status:#}");
        assert_ne!(states[2].0, Some("serving"));
        assert_eq!(endpoints[2]["last_evidence"]["fault"], "fails");
        assert!(endpoints[0]["head_block"].as_u64() > Some(0) && endpoints[0]["cost_ms"].as_f64() > Some(0.0));

        world.chain().await.reorganise(1).await.expect("anvil reorganises");
        eventually("the reorganisation is counted", async || {
            metrics(indexer).await.contains(r#"runproof_indexer_reorganisations_total{source="main"} 1"#).then_some(())
        })
        .await;
        let told = [metrics(indexer).await, metrics(verifier).await].concat();
        let of_others = |name: &str| !of_executor(name);
        assert_eq!(self::told(&told, of_others), documented(of_others), "{told}");
        assert!(told.contains(r#"runproof_endpoint_state{endpoint="away",state="serving"} 0"#), "{told}");
    });
}

#[test]
fn an_executor_tells_each_metric_from_the_start_and_none_that_is_not_documented() {
    harness::run(async {
        let world = World::new().await;
        let port = free_port();
        let _executor = start(&world, "follow", port, &[]);
        let documented = documented(of_executor);
        eventually("it tells each at 0", async || {
            let told = reqwest::get(format!("http://127.0.0.1:{port}/metrics")).await.ok()?.text().await.ok()?;
            let nothing = [
                "states_captured_total 0",
                r#"transactions_total{status="included"} 0"#,
                r#"hints_total{by="queue"} 0"#,
            ];
            let said = |end: &&str| told.lines().any(|line| line == format!("runproof_executor_{end}"));
            (self::told(&told, of_executor) == documented && nothing.iter().all(said)).then_some(())
        })
        .await;
        start_slow_run(&world, 2).await;
        let told = eventually("two states are registered", async || {
            let told = metrics(port).await;
            told.contains("runproof_executor_states_captured_total 2\n").then_some(told)
        })
        .await;
        assert_eq!(self::told(&told, of_executor), documented, "{told}");
    });
}

#[test]
fn a_terminal_shows_a_bar_with_blocks_pace_and_time_left() {
    harness::run(async {
        let world = World::builder().own_chain().build().await;
        world.chain().await.mine(1_500).await.expect("anvil mines");
        let command = world.command(&["index"]);
        let arguments: Vec<_> = command.get_args().map(|argument| argument.to_string_lossy()).collect();
        let line = format!("stty cols 120; exec {} {}", command.get_program().to_string_lossy(), arguments.join(" "));
        let mut terminal = Command::new("script");
        terminal.args(["-qec", &line, "/dev/null"]).env("TERM", "xterm").stdin(Stdio::null()).stdout(Stdio::piped());
        let mut terminal = terminal.spawn().expect("script (bsdutils) runs");
        let output = BufReader::new(terminal.stdout.take().expect("piped"));
        let seen = tokio::task::spawn_blocking(|| until_bar(output)).await.expect("it reads");
        terminal.kill().expect("it runs");
        terminal.wait().expect("it ends");
        assert_eq!(seen, Ok(()), "no bar was shown");
    });
}

/// Reads what a terminal shows until a bar was on it; all of it, if there was none.
fn until_bar(mut output: impl Read) -> Result<(), String> {
    let (mut shown, mut part) = (String::new(), [0; 4096]);
    while let Ok(length @ 1..) = output.read(&mut part) {
        shown.push_str(&String::from_utf8_lossy(&part[..length]));
        if shown.contains("blocks, ") && shown.contains("events/s, ") && shown.contains(" left") {
            return Ok(());
        }
        if shown.contains("caught up") {
            break;
        }
    }
    Err(shown)
}

/// A second way to the same node, and an endpoint at which nobody listens.
async fn add_endpoints(world: &World, nowhere: u16) {
    let twin = world.chain().await.http_url().replace("127.0.0.1", "localhost");
    let more = format!(
        "[[chain.endpoint]]\nname = \"twin\"\nurl = \"{twin}\"\nrole = \"standby\"\ncalls_per_s = 50\n\
         [[chain.endpoint]]\nname = \"away\"\nurl = \"http://127.0.0.1:{nowhere}\"\n"
    );
    let text = std::fs::read_to_string(world.config()).expect("it was written");
    world.file("runproof.toml", text + &more);
}

fn start(world: &World, role: &str, port: u16, environment: &[(&str, String)]) -> Role {
    let mut command = world.command(&[role]);
    command.env("RUNPROOF_OPERATIONS__LISTEN", format!("127.0.0.1:{port}"));
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    Role::start(command, world.config().with_file_name(format!("{role}.log")))
}

/// The journal as `/status` tells it, once it is so.
async fn journal(port: u16, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    eventually(what, async || {
        let journal = status(port).await?["journals"].get_mut(0)?.take();
        is_so(&journal).then_some(journal)
    })
    .await
}

async fn status(port: u16) -> Option<Value> {
    reqwest::get(format!("http://127.0.0.1:{port}/status")).await.ok()?.json::<Value>().await.ok()?["sources"]
        .get_mut(0)
        .map(Value::take)
}

async fn metrics(port: u16) -> String {
    let answer = reqwest::get(format!("http://127.0.0.1:{port}/metrics")).await.expect("it answers");
    answer.text().await.expect("text")
}

fn of_executor(metric: &str) -> bool {
    metric.starts_with("runproof_executor_")
}

/// Names of metrics in the documentation.
fn documented(which: impl Fn(&str) -> bool) -> BTreeSet<&'static str> {
    let code = DOCUMENTED.split('`').skip(1).step_by(2).filter(|code| code.starts_with("runproof_"));
    code.map(|code| code.split('{').next().unwrap_or(code)).filter(|name| which(name)).collect()
}

/// Names of metrics that Prometheus is told.
fn told(metrics: &str, which: impl Fn(&str) -> bool) -> BTreeSet<&str> {
    let types = metrics.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    types.filter_map(|line| line.split(' ').next()).filter(|name| which(name)).collect()
}
