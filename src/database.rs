//! Postgres, brought to the newest schema: commands find it away, roles wait for it.

use std::time::Duration;

use eyre::{Report, Result, WrapErr};
use futures::future::try_join_all;
use runproof_indexer::backoff::Backoff;
use sea_orm::{ConnectOptions, Database, DatabaseConnection};
use sqlx::{Connection, PgConnection};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::config::Config;

/// A database that does not answer for so long is away.
const PATIENCE: Duration = Duration::from_secs(10);
const AWAY: &str = "Postgres does not answer: check `url` of [postgres], or start `runproof stack`";

/// Brings the database to the newest schema.
pub async fn migrate(config: &Config) -> Result<DatabaseConnection> {
    let database = Database::connect(options(config)).await.wrap_err(AWAY)?;
    runproof_migrations::migrate(&database).await.wrap_err("the schema could not be brought up to date")?;
    Ok(database)
}

/// The database, connected to when it is first asked.
pub async fn lazy(config: &Config) -> Result<DatabaseConnection> {
    Database::connect(options(config).connect_lazy(true).clone()).await.wrap_err("postgres.url")
}

/// Begins `work` once the databases of its sources are there, with the newest schema; not at all if the token is cancelled before.
///
/// # Errors
/// Those of the work, and what waiting cannot mend: a schema that is too new, a password that is wrong.
pub async fn when_ready(
    sources: &[Config],
    token: &CancellationToken,
    work: impl Future<Output = Result<()>>,
) -> Result<()> {
    match token.run_until_cancelled(try_join_all(sources.iter().map(ready))).await {
        Some(ready) => ready.map(drop)?,
        None => return Ok(()),
    }
    work.await
}

/// Whether there is a database that answers.
pub async fn answers(config: &Config) -> bool {
    connect(&config.postgres.url).await.is_ok()
}

async fn ready(config: &Config) -> Result<()> {
    let mut backoff = Backoff::new("postgres");
    while let Err(error) = connect(&config.postgres.url).await {
        if !is_away(&error) {
            return Err(Report::new(error).wrap_err(AWAY));
        }
        backoff.failed(&error).await;
    }
    backoff.succeeded();
    Ok(migrate(config).await?.close().await?)
}

async fn connect(url: &str) -> Result<(), sqlx::Error> {
    let connected = timeout(PATIENCE, PgConnection::connect(url)).await;
    connected.unwrap_or_else(|elapsed| Err(sqlx::Error::Io(elapsed.into())))?.close().await
}

/// Whether it may be there later: it cannot be reached, or is starting or stopping.
fn is_away(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) => true,
        sqlx::Error::Database(refusal) => refusal.is_transient_in_connect_phase(),
        _ => false,
    }
}

fn options(config: &Config) -> ConnectOptions {
    let mut options = ConnectOptions::new(&config.postgres.url);
    options.connect_timeout(PATIENCE).acquire_timeout(PATIENCE);
    options
}
