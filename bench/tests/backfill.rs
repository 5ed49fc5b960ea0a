//! A back-fill that is stopped in its midst goes on where it stood, and ends as one that was not: the same rows, all indexes, on a real Postgres.

use std::sync::Arc;

use eyre::{OptionExt, Result};
use runproof_bench::{
    chain::{REGISTRY, Recipe, Shape},
    replay::{self, Replay},
};
use runproof_indexer::{Settings, endpoints::Endpoints};
use runproof_stack::{Part, Ports, Postgres, Stack, StackOptions};
use sqlx::{Connection, PgConnection, postgres::PgListener};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

const RECIPE: Recipe = Recipe { shape: Shape::Single, events: 12_000, blocks: 4_000, live_blocks: 0 };
const INDEXES: &str = "select string_agg(made, e'\\n' order by made) from (
    select indexdef as made from pg_indexes where schemaname = 'journal'
    union all select conname || pg_get_constraintdef(oid) from pg_constraint where connamespace = 'journal'::regnamespace) as all_made";
const DEFERRED: &str = "select count(*) from journal.deferred";
/// All that is in the journal, in its order, but when it was written, and between which of them blocks became final.
const ROWS: &str = "select md5(string_agg((to_jsonb(e) - 'recorded_at' - 'position')::text, ',' order by position)) || count(*) ||
    (select md5(string_agg(t::text, ',' order by t.hash)) || count(*) from journal.transaction t) || (select count(*) from journal.block)
    from journal.entry e where issuer is not null";

#[tokio::test(flavor = "multi_thread")]
async fn a_backfill_that_is_stopped_ends_as_one_that_is_not() -> Result<()> {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let folder = tempfile::tempdir()?;
    let node = Arc::new(Replay::open(&RECIPE.build(folder.path())?, RECIPE.blocks)?);
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let rpc_url = format!("http://{}", listener.local_addr()?);
    let node = tokio::spawn(replay::serve(node, listener));
    let parts = [Part::Postgres].into();
    let stack =
        Stack::start(StackOptions { ports: Ports::free()?, parts, ..StackOptions::new(folder.path().join("stack")) })
            .await?;

    let stopped = database(stack.postgres()?, "stopped").await?;
    let before: String = ask(&stopped, INDEXES).await?;
    index(&rpc_url, &stopped, |position| position > 0).await?;
    let deferred: i64 = ask(&stopped, DEFERRED).await?;
    assert!(deferred > 0, "it was stopped too late to show anything");
    index(&rpc_url, &stopped, |position| position >= RECIPE.events).await?;
    let whole = database(stack.postgres()?, "whole").await?;
    index(&rpc_url, &whole, |position| position >= RECIPE.events).await?;

    let rows: String = ask(&stopped, ROWS).await?;
    assert_eq!(rows, ask::<String>(&whole, ROWS).await?);
    for database in [&stopped, &whole] {
        // The end is told before the indexes are built: the next writer has nothing else to do.
        let token = CancellationToken::new();
        let indexer = tokio::spawn(runproof_indexer::run(settings(&rpc_url, database)?, token.clone()));
        while ask::<i64>(database, DEFERRED).await? > 0 {}
        token.cancel();
        indexer.await??;
        assert_eq!(before, ask::<String>(database, INDEXES).await?);
    }
    node.abort();
    stack.stop().await;
    Ok(())
}

async fn database(postgres: &Postgres, name: &str) -> Result<String> {
    let url = postgres.create_database(name).await?;
    let database = sea_orm::Database::connect(&url).await?;
    runproof_migrations::migrate(&database).await?;
    database.close().await?;
    Ok(url)
}

fn settings(rpc_url: &str, postgres_url: &str) -> Result<Settings> {
    Ok(Settings::new(Endpoints::one(rpc_url.parse()?)?, REGISTRY.address, postgres_url.parse()?))
}

/// Runs the indexer until a commit reaches a position.
async fn index(rpc_url: &str, postgres_url: &str, reached: impl Fn(u64) -> bool) -> Result<()> {
    let mut commits = PgListener::connect(postgres_url).await?;
    commits.listen("runproof_journal").await?;
    let token = CancellationToken::new();
    let indexer = tokio::spawn(runproof_indexer::run(settings(rpc_url, postgres_url)?, token.clone()));
    while !reached(commits.recv().await?.payload().parse()?) {}
    token.cancel();
    indexer.await?
}

async fn ask<T>(postgres_url: &str, question: &'static str) -> Result<T>
where
    T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres> + Send + Unpin,
{
    let mut connection = PgConnection::connect(postgres_url).await?;
    let answer: Option<T> = sqlx::query_scalar(question).fetch_one(&mut connection).await?;
    connection.close().await?;
    answer.ok_or_eyre("nothing was answered")
}
