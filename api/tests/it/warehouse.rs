//! The star and its analyses, run by psql as an analyst would, in the role that may only read.

use sqlx::Row;
use tokio::process::Command;

use crate::{
    journal::{address_text, text, timestamp_s},
    served::{Served, served},
};

/// Rows of an analysis, columns separated by `|`.
async fn analyse(served: &Served, file: &str, variables: &[(&str, &str)]) -> Vec<String> {
    let mut command = Command::new("psql");
    command.args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-d", &served.postgres_url]);
    for (name, value) in variables {
        command.args(["-v", &format!("{name}={value}")]);
    }
    let path = format!("{}/../warehouse/{file}", env!("CARGO_MANIFEST_DIR"));
    let output = command.args(["-f", &path]).env("PGOPTIONS", "-c role=runproof_reader").output().await;
    let output = output.expect("psql runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text").lines().map(str::to_owned).collect()
}

async fn two_issuers_of_one_content() -> Served {
    let served = served().await;
    for issuer in ["alice", "mallory"] {
        served.journal.model(issuer, "etl").await;
        served.journal.instance(issuer, "run", "etl").await;
        for sequence in 0..3 {
            served.journal.state(issuer, "run", sequence).await;
        }
    }
    served.journal.judge("alice", "run", "etl", &[(0, "Read")], "passed").await;
    served.journal.retract(10).await;
    served
}

#[tokio::test]
async fn analyses_tell_issuers_apart_and_leave_out_what_was_taken_back() {
    let served = two_issuers_of_one_content().await;
    let (model, instance) = (text("etl"), text("run"));
    let states = analyse(&served, "states.sql", &[("model", &model), ("instance", &instance)]).await;
    assert_eq!(states.len(), 5);
    let row = |issuer: &str, sequence: i64, position: i64| {
        let (state, transaction) = (text(&format!("run/{sequence}")), text(&format!("transaction{position}")));
        format!("Register State|{state}|{}|{position}|{}|0x{transaction}", timestamp_s(position), address_text(issuer))
    };
    assert!(
        states.contains(&row("alice", 0, 3))
            && states.contains(&row("mallory", 1, 9))
            && !states.contains(&row("mallory", 2, 10))
    );
    assert_eq!(analyse(&served, "star.sql", &[("model", &model)]).await.len(), 5);

    let runs = analyse(&served, "runs.sql", &[]).await;
    assert_eq!(runs.len(), 2);
    assert!(runs[0].starts_with(&format!("{model}|{instance}|{}|3|", address_text("alice"))), "{runs:?}");
    let clients = analyse(&served, "clients-and-engines.sql", &[]).await;
    assert!(
        clients.iter().any(|row| row.starts_with(&format!("{}||AWS Step Functions|1|3|", address_text("alice")))),
        "{clients:?}"
    );
    assert!(
        clients.iter().any(|row| row.starts_with(&format!("{}||not known|1|2|", address_text("mallory")))),
        "{clients:?}"
    );
}

#[tokio::test]
async fn transitions_link_states_and_the_reader_cannot_write() {
    let served = two_issuers_of_one_content().await;
    let mut connection = served.journal.0.acquire().await.expect("a connection");
    sqlx::query("set role runproof_reader").execute(&mut *connection).await.expect("the role");
    let rows = sqlx::query("select pre_state_hash, post_state_hash from warehouse.f_transition where issuer_address = $1 order by post_sequence")
        .bind(address_text("alice"))
        .fetch_all(&mut *connection)
        .await
        .expect("rows");
    let links: Vec<(String, String)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(links, [(text("run/0"), text("run/1")), (text("run/1"), text("run/2"))]);
    let written = sqlx::query("delete from journal.record").execute(&mut *connection).await;
    assert!(written.expect_err("refused").to_string().contains("permission denied"));
}
