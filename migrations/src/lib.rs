//! The Postgres schema, one SQL file a schema, and the entities of what is read through SeaORM.
//!
//! | schema | written by | read by |
//! |---|---|---|
//! | `journal` | indexer | all |
//! | `verdict` | verifier | API, analysts |
//! | `executor` | executor | executor and its site |
//! | `warehouse` | nobody: views | analysts |

pub mod entity;

use sea_orm::{DatabaseConnection, DbErr, TransactionTrait};
use sea_orm_migration::prelude::{ConnectionTrait, MigrationName, MigrationTrait, MigratorTrait, SchemaManager};

/// Brings a database to the newest schema. Harmless if it is there already.
///
/// # Errors
/// What Postgres answered.
pub async fn migrate(database: &DatabaseConnection) -> Result<(), DbErr> {
    let transaction = database.begin().await?;
    // Roles that start at the same time migrate one after another.
    transaction.execute_unprepared("select pg_advisory_xact_lock(7264017)").await?;
    Migrator::up(&transaction, None).await?;
    transaction.commit().await
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
