//! The Postgres schema, one SQL file a schema, and the entities of what is read through SeaORM.
//!
//! | schema | written by | read by |
//! |---|---|---|
//! | `journal` | indexer | all |
//! | `verdict` | verifier | API, analysts |
//! | `executor` | executor | executor and its site |
//! | `warehouse` | nobody: views | analysts |

pub mod entity;
mod error;

use std::collections::BTreeSet;

pub use error::MigrateError;
use sea_orm::{DatabaseConnection, DbErr, Statement, TransactionTrait};
use sea_orm_migration::prelude::{ConnectionTrait, MigrationName, MigrationTrait, MigratorTrait, SchemaManager};

/// Brings a database to the newest schema. Harmless if it is there already.
///
/// # Errors
/// [`MigrateError::Newer`], with nothing changed, if a later release has been at it.
pub async fn migrate(database: &DatabaseConnection) -> Result<(), MigrateError> {
    let transaction = database.begin().await?;
    // Roles that start at the same time migrate one after another.
    transaction.execute_unprepared("select pg_advisory_xact_lock(7264017)").await?;
    let applied = Migrator::get_migration_models(&transaction).await?;
    let ours: BTreeSet<String> = Migrator::migrations().iter().map(|migration| migration.name().to_owned()).collect();
    let unknown: Vec<String> =
        applied.into_iter().map(|migration| migration.version).filter(|version| !ours.contains(version)).collect();
    if !unknown.is_empty() {
        return Err(MigrateError::Newer { unknown: unknown.join(", ") });
    }
    Migrator::up(&transaction, None).await?;
    Ok(transaction.commit().await?)
}

/// Takes what the journal's rows say besides their events from the events anew, without the chain and beside readers. Returns how many rows differed.
///
/// # Errors
/// What Postgres answered.
pub async fn rebuild(database: &DatabaseConnection) -> Result<u64, DbErr> {
    let sql = "select journal.rebuild() as rebuilt";
    let row = database.query_one_raw(Statement::from_string(database.get_database_backend(), sql)).await?;
    let rebuilt: i64 = row.map(|row| row.try_get("", "rebuilt")).transpose()?.unwrap_or_default();
    Ok(rebuilt.unsigned_abs())
}

/// All migrations, in order.
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        [
            ("m001_journal", include_str!("sql/journal.sql")),
            ("m002_verdict", include_str!("sql/verdict.sql")),
            ("m003_executor", include_str!("sql/executor.sql")),
            ("m004_warehouse", include_str!("sql/warehouse.sql")),
            ("m005_deferred_indexes", include_str!("sql/deferred_indexes.sql")),
            ("m006_rebuild", include_str!("sql/rebuild.sql")),
        ]
        .into_iter()
        .map(|(name, sql)| Box::new(SqlMigration { name, sql }) as Box<dyn MigrationTrait>)
        .collect()
    }
}

struct SqlMigration {
    name: &'static str,
    sql: &'static str,
}

impl MigrationName for SqlMigration {
    fn name(&self) -> &str {
        self.name
    }
}

#[async_trait::async_trait]
impl MigrationTrait for SqlMigration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.get_connection().execute_unprepared(self.sql).await.map(drop)
    }
}
