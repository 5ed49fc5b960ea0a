//! A certificate that was compromised since a block, revoked by the guardian of who bound it: each state is judged as of its own block, everywhere.

use runproof_protocol::InstanceId;
use serde_json::{Value, json};

use crate::{
    crash::{ended, everything_agrees, start_slow_run},
    harness::{self, World, eventually},
};

#[test]
fn states_registered_since_a_compromise_lose_what_earlier_ones_keep() {
    harness::run(async {
        let world = World::new().await;
        let (guardian_keys, guardian) = world.somebody("guardian").await;
        let (stranger_keys, _) = world.somebody("stranger").await;
        world.runproof(&["identity", "guardian", &guardian.to_string()]).await;
        let _roles = ["follow", "site", "index", "verdicts", "serve"].map(|role| world.start(&[role]));
        start_slow_run(&world, 3).await;
        let instance = ended(&world).await;
        let before =
            world.judged(instance, |found| found.iter().all(|(_, certificate)| certificate == &["PASSED"])).await;
        let since = before.last().expect("three states").0;
        assert!(before[0].0 < since, "registered one by one: {before:?}");

        let (subject, block) = (world.issuer.to_string(), since.to_string());
        let revoke = ["identity", "revoke", "--all", "--subject", &subject, "--since-block", &block];
        let refused = world.command_as(&stranger_keys, &revoke).output().expect("the binary runs");
        let told = String::from_utf8_lossy(&refused.stderr);
        assert!(!refused.status.success() && told.contains("NotAuthorised"), "{told}");
        let revoked = world.command_as(&guardian_keys, &revoke).output().expect("the binary runs");
        assert!(revoked.status.success(), "{}", String::from_utf8_lossy(&revoked.stderr));

        // As of its block, then as of now.
        let expected: Vec<_> = before
            .into_iter()
            .map(|(block, _)| {
                (block, vec![if block < since { "PASSED" } else { "FAILED" }.to_owned(), "FAILED".to_owned()])
            })
            .collect();
        world.judged(instance, |found| found == expected).await;
        the_revocation_is_told(&world, &format!("{guardian:#x}"), since).await;
        everything_agrees(&world, instance).await;
    });
}

impl World {
    /// The block of each state and what came of the checks of its certificate, once that is as it should be.
    async fn judged(
        &self,
        instance: InstanceId,
        right: impl Fn(&[(u64, Vec<String>)]) -> bool,
    ) -> Vec<(u64, Vec<String>)> {
        let query = format!(
            r#"{{ states(filter: {{instance: "{instance}"}}) {{ nodes {{ block {{ number }} verdict {{ findings {{ check status }} }} }} }} }}"#
        );
        let certificate = |state: &Value| {
            let findings = state["verdict"]["findings"].as_array().cloned().unwrap_or_default();
            let own = findings.iter().filter(|finding| finding["check"] == "CERTIFICATE_KNOWN");
            let statuses = own.map(|finding| finding["status"].as_str().expect("a status").to_owned()).collect();
            (state["block"]["number"].as_u64().expect("a number"), statuses)
        };
        eventually("the verdicts are those of the certificate", async || {
            let states = self.graphql(&query).await["states"]["nodes"].as_array().expect("a list").clone();
            let found: Vec<_> = states.iter().map(certificate).collect();
            (found.len() == 3 && right(&found)).then_some(found)
        })
        .await
    }
}

async fn the_revocation_is_told(world: &World, by: &str, since: u64) {
    let query = |arguments: &str| {
        format!("{{ certificates{arguments} {{ nodes {{ revocations {{ position fromBlock by }} }} }} }}")
    };
    let mut revocations = world.graphql(&query("")).await["certificates"]["nodes"][0]["revocations"].take();
    let position = revocations[0]["position"].take().as_i64().expect("a number");
    assert_eq!(revocations, json!([{ "position": null, "fromBlock": since, "by": by }]));
    let before = world.graphql(&query(&format!("(asOf: {})", position - 1))).await;
    assert_eq!(before["certificates"]["nodes"], json!([{ "revocations": [] }]), "it was not revoked then");

    let entries: i64 =
        sqlx::query_scalar("select max(position) from journal.entry").fetch_one(&world.pool).await.expect("entries");
    let messages = world.kcat(usize::try_from(entries).expect("a count")).await;
    let told = messages.iter().find(|message| message.headers.contains("ce_type=runproof.certificate_revoked"));
    let told: Value = serde_json::from_str(&told.expect("the topic has it").value).expect("JSON");
    let event = ["fingerprint", "by", "from_block"].map(|field| told["event"][field].clone());
    assert_eq!(event, [Value::Null, json!(by), json!(since)], "{told}");
}
