//! Roles that start before Postgres does.

use std::path::PathBuf;

use crate::harness::{self, Role, World, eventually, free_port, own_postgres};

#[test]
fn a_role_that_starts_while_postgres_is_down_waits_for_it() {
    harness::run(async {
        let world = World::new().await;
        let folder = tempfile::tempdir().expect("a folder");
        let stack = own_postgres(folder.path()).await;
        let postgres = stack.postgres().expect("started");
        postgres.stop().await;

        let roles =
            ["index", "serve", "verdicts", "site", "follow"].map(|name| Waiting::start(&world, name, &postgres.url()));
        for role in &roles {
            role.waits().await;
        }
        let [index, serve, verdicts, site, follow] = roles;
        for role in [verdicts, site, follow] {
            assert!(role.role.stop(), "Ctrl-C ends what waits");
        }
        postgres.restart().await.expect("it starts again");
        eventually("the journal is begun", async || {
            let answer = world.graphql_if_served("{ watermark { position } }").await?;
            answer["data"]["watermark"]["position"].as_u64().filter(|position| *position > 0)
        })
        .await;
        assert_eq!(serve.ready().await, Some(200));
        assert!(index.role.stop() && serve.role.stop());
    });
}

#[test]
fn what_waiting_cannot_mend_is_told_at_once() {
    harness::run(async {
        let world = World::new().await;
        let wrong = harness::stack().await.postgres().expect("started").url_of("there_is_none_of_this_name");
        let mut command = world.command(&["index"]);
        let output = command.env("RUNPROOF_POSTGRES__URL", wrong).output().expect("the binary runs");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && told.contains("there_is_none_of_this_name"), "{told}");
    });
}

struct Waiting {
    role: Role,
    operations: u16,
}

impl Waiting {
    fn start(world: &World, name: &str, postgres_url: &str) -> Self {
        let operations = free_port();
        let mut command = world.command(&[name]);
        command.env("RUNPROOF_POSTGRES__URL", postgres_url);
        command.env("RUNPROOF_OPERATIONS__LISTEN", format!("127.0.0.1:{operations}"));
        let log: PathBuf = world.config().with_file_name(format!("{name}.log"));
        Self { role: Role::start(command, log), operations }
    }

    /// It says what it waits for, lives and is not ready.
    async fn waits(&self) {
        eventually("it says what it waits for", async || {
            let log = self.role.log();
            let waiting = log.lines().find(|line| line.contains("trying again"))?;
            waiting.contains(r#""part":"postgres""#).then_some(())
        })
        .await;
        assert_eq!((self.status("healthz").await, self.ready().await), (Some(200), Some(503)));
    }

    async fn ready(&self) -> Option<u16> {
        self.status("readyz").await
    }

    async fn status(&self, path: &str) -> Option<u16> {
        let answer = reqwest::get(format!("http://127.0.0.1:{}/{path}", self.operations)).await.ok()?;
        Some(answer.status().as_u16())
    }
}
