//! What all lines share: one Postgres, one Kafka, a schema to clone. Each line has worlds of its own on it.

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use eyre::Result;
use runproof_stack::{Emulator, Mining, Part, Ports, Stack, StackOptions};
use tokio::sync::OnceCell;

const TEMPLATE: &str = "runproof_template";

/// Shared by the lines, which run one after another.
pub(crate) struct Ground {
    pub(crate) stack: Stack,
    pub(crate) binary: PathBuf,
    pub(crate) folder: PathBuf,
    worlds: AtomicU32,
    engine: OnceCell<Stack>,
}

impl Ground {
    /// Starts what is shared, in an empty folder.
    pub(crate) async fn start(folder: &Path, binary: &Path) -> Result<Self> {
        if folder.exists() {
            std::fs::remove_dir_all(folder)?;
        }
        let stack = start(&folder.join("stack"), [Part::Postgres, Part::Kafka].into()).await?;
        let url = stack.postgres()?.create_database(TEMPLATE).await?;
        let database = sea_orm::Database::connect(&url).await?;
        runproof_migrations::migrate(&database).await?;
        database.close().await?;
        let (binary, folder) = (binary.to_owned(), folder.to_owned());
        Ok(Self { stack, binary, folder, worlds: AtomicU32::new(0), engine: OnceCell::new() })
    }

    /// A name that no other world has.
    pub(crate) fn name(&self) -> String {
        format!("world{}", self.worlds.fetch_add(1, Ordering::Relaxed))
    }

    /// URL of a new database with the schema.
    pub(crate) async fn database(&self, name: &str) -> Result<String> {
        Ok(self.stack.postgres()?.create_database_from(name, TEMPLATE).await?)
    }

    /// Step Functions, started for the first line that needs it.
    pub(crate) async fn engine(&self) -> Result<&Emulator> {
        let start = || async { start(&self.folder.join("engine"), [Part::Emulator].into()).await };
        Ok(self.engine.get_or_try_init(start).await?.emulator()?)
    }

    /// Ends what is shared.
    pub(crate) async fn stop(self) {
        if let Some(engine) = self.engine.into_inner() {
            engine.stop().await;
        }
        self.stack.stop().await;
    }
}

/// A chain of its own, which makes a block when it is told.
pub(crate) async fn chain(folder: &Path) -> Result<Stack> {
    start(folder, [Part::Chain].into()).await
}

async fn start(folder: &Path, parts: std::collections::BTreeSet<Part>) -> Result<Stack> {
    let options = StackOptions { ports: Ports::free()?, mining: Mining::OnDemand, parts, ..StackOptions::new(folder) };
    Ok(Stack::start(options).await?)
}
