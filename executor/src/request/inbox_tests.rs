//! Requests in a real Postgres, judged by two at once.

use runproof_stack::{Part, Ports, Stack, StackOptions};

use super::*;
use crate::request::published;

const TOKEN: &str = "token";

struct Inbox {
    database: PgPool,
    stack: Stack,
    _folder: tempfile::TempDir,
}

impl Inbox {
    /// With a task that waits.
    async fn start() -> eyre::Result<Self> {
        let folder = tempfile::tempdir()?;
        let parts = [Part::Postgres].into();
        let options = StackOptions { ports: Ports::free()?, parts, ..StackOptions::new(folder.path().join("stack")) };
        let stack = Stack::start(options).await?;
        let database = PgPool::connect(&stack.postgres()?.create_database("inbox").await?).await?;
        runproof_migrations::migrate(&sea_orm::SqlxPostgresConnector::from_sqlx_postgres_pool(database.clone()))
            .await?;
        sqlx::query(
            "insert into executor.waiting_task (token, execution_arn, state_name, entered_at_ms) values ($1, 'e', 's', 0)",
        )
        .bind(TOKEN)
        .execute(&database)
        .await?;
        Ok(Self { database, stack, _folder: folder })
    }

    async fn request(&self, origin: &str) -> eyre::Result<i64> {
        let arrival = Arrival {
            channel: Channel::Https { deadline_s: 4_000_000_000, signature: FixedBytes::ZERO },
            requester: Address::repeat_byte(1),
            instance: InstanceId::of(b"run"),
            sequence: 0,
            payload: b"{}",
            origin: origin.to_owned(),
        };
        store(&self.database, &arrival).await
    }

    async fn answer(&self, id: i64) -> eyre::Result<(Decision, Option<String>)> {
        let Answer { decision, reason, .. } = read(&self.database, id).await?.answer;
        Ok((decision, reason))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_judgement_changes_nothing() -> eyre::Result<()> {
    let inbox = Inbox::start().await?;
    let database = &inbox.database;
    let gone = || Refusal::Gone("TaskTimedOut".into());
    let reason = |refusal: Refusal| Some(refusal.to_string());

    let request = inbox.request("accepted").await?;
    assert!(accept(database, request, TOKEN).await?);
    // By who read it before it was accepted, and saw the task completed by that.
    refuse(database, request, &Refusal::Completed).await?;
    assert_eq!(inbox.answer(request).await?, (Decision::Accepted, None));
    assert!(!accept(database, request, TOKEN).await?, "nor is its task completed again");
    take_back(database, request, &gone()).await?;
    take_back(database, request, &Refusal::Completed).await?;
    assert_eq!(inbox.answer(request).await?, (Decision::Refused, reason(gone())));

    let request = inbox.request("refused").await?;
    take_back(database, request, &gone()).await?;
    assert_eq!(inbox.answer(request).await?, (Decision::Undecided, None));
    refuse(database, request, &Refusal::Expired).await?;
    refuse(database, request, &Refusal::Completed).await?;
    assert!(!accept(database, request, TOKEN).await?);
    assert_eq!(inbox.answer(request).await?, (Decision::Refused, reason(Refusal::Expired)));
    inbox.database.close().await;
    inbox.stack.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accepted_request_is_always_published_however_many_are_refused_after_it() -> eyre::Result<()> {
    let inbox = Inbox::start().await?;
    let request = inbox.request("accepted").await?;
    assert!(accept(&inbox.database, request, TOKEN).await?);
    sqlx::query(
        "insert into executor.transition_request (channel, requester, instance_id, sequence, payload_hash, payload, origin, decision)
         select channel, requester, instance_id, sequence, payload_hash, payload, 'late ' || n, 'refused'
         from executor.transition_request, generate_series(1, 1100) n",
    )
    .execute(&inbox.database)
    .await?;
    let told = serde_json::to_value(published::of_instance(&inbox.database, InstanceId::of(b"run")).await?)?;
    let decisions: Vec<&str> =
        told.as_array().into_iter().flatten().filter_map(|one| one["decision"].as_str()).collect();
    assert_eq!((decisions.len(), decisions.last()), (1_001, Some(&"accepted")));
    inbox.database.close().await;
    inbox.stack.stop().await;
    Ok(())
}
