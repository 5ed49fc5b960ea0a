//! Databases to measure on, and what Postgres itself can take.

use std::path::Path;

use eyre::{Result, bail};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::process::{Child, Command};

use super::{Bench, Figures, Meter, Subject, TEMPLATE};
use crate::chain::Recipe;

/// Tables that are loaded, in the order of their references.
const TABLES: [&str; 4] = ["source", "block", "transaction", "record"];
/// Events of the chain; the journal has entries on other matters too.
const REGISTRATIONS: &str =
    "select count(*) from journal.entry where kind in ('instance_registered', 'state_registered')";

impl Bench {
    /// A migrated database, with nothing of the former left to be written.
    pub(super) async fn fresh(&self, name: &str) -> Result<(String, PgConnection)> {
        let url = self.stack.postgres()?.create_database_from(name, TEMPLATE).await?;
        let mut connection = PgConnection::connect(&url).await?;
        sqlx::query("checkpoint").execute(&mut connection).await?;
        Ok((url, connection))
    }

    /// COPY of rows that [`Self::dump`] wrote.
    pub(super) async fn copy(&self, name: &str, rows: &Path, node: &Child, recipe: Recipe) -> Result<Figures> {
        let (url, mut connection) = self.fresh(name).await?;
        sqlx::query("select journal.defer_indexes()").execute(&mut connection).await?;
        let load =
            TABLES.map(|table| format!("\\copy journal.{table} from '{}' (format binary)", rows.join(table).display()));
        let meter = Meter::start(self, node)?;
        psql(&url, load.iter().map(String::as_str).chain(["select journal.restore_indexes()"])).await?;
        let figures = meter.stop(Subject::Copy)?;
        holds_all(&mut connection, recipe).await?;
        let figures = Figures { disk_bytes: Some(disk_bytes(&mut connection, "journal").await?), ..figures };
        self.drop_database(name, connection).await?;
        Ok(figures)
    }

    /// Writes a database's rows to files, and drops it.
    pub(super) async fn dump(&self, name: &str, rows: &Path) -> Result<()> {
        let url = self.stack.postgres()?.url_of(name);
        let dump =
            TABLES.map(|table| format!("\\copy journal.{table} to '{}' (format binary)", rows.join(table).display()));
        let spread = "select journal.spread(9223372036854775807)";
        psql(&url, [spread].into_iter().chain(dump.iter().map(String::as_str))).await?;
        self.drop_database(name, PgConnection::connect(&url).await?).await
    }

    pub(super) async fn drop_database(&self, name: &str, connection: PgConnection) -> Result<()> {
        connection.close().await?;
        let mut connection = PgConnection::connect(&self.stack.postgres()?.url()).await?;
        sqlx::query(AssertSqlSafe(format!("drop database {name} with (force)"))).execute(&mut connection).await?;
        Ok(())
    }
}

/// Refuses a journal that does not hold what the chain does.
pub(super) async fn holds_all(connection: &mut PgConnection, recipe: Recipe) -> Result<()> {
    let found: i64 = sqlx::query_scalar(REGISTRATIONS).fetch_one(connection).await?;
    if found != i64::try_from(recipe.events)? {
        bail!("{found} events are there, the chain has {}", recipe.events);
    }
    Ok(())
}

/// Bytes of a schema's tables and indexes.
pub(super) async fn disk_bytes(connection: &mut PgConnection, schema: &str) -> Result<u64> {
    let sum = "select sum(pg_total_relation_size(c.oid))::bigint from pg_class c
               where c.relnamespace = $1::regnamespace and relkind = 'r'";
    let bytes: i64 = sqlx::query_scalar(sum).bind(schema).fetch_one(connection).await?;
    Ok(u64::try_from(bytes)?)
}

/// Runs commands in one transaction.
async fn psql(url: &str, commands: impl Iterator<Item = &str>) -> Result<()> {
    let commands = commands.flat_map(|command| ["-c", command]);
    let mut psql = Command::new("psql");
    let output = psql.args(["-X", "-q", "-1", "-v", "ON_ERROR_STOP=1", url]).args(commands).output().await?;
    if !output.status.success() {
        bail!("psql: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}
