//! The indexer, with and without its relay.

use std::{process::Stdio, time::Duration};

use eyre::{OptionExt, Result, bail};
use sqlx::{Connection, PgConnection};
use tokio::process::Child;

use super::{
    Bench, Figures, Meter, Subject,
    database::{disk_bytes, holds_all},
};
use crate::{chain::Recipe, process, topic};

/// How often the journal is looked at for its end: a hundredth of what a run takes at least.
const LOOK: Duration = Duration::from_millis(20);

impl Bench {
    /// Indexes into a fresh database; with a topic until that holds all. The first run's database stays.
    pub(super) async fn index(
        &self,
        name: &str,
        rpc_url: &str,
        node: &Child,
        recipe: Recipe,
        topic: Option<&str>,
    ) -> Result<Figures> {
        let (url, mut connection) = self.fresh(name).await?;
        let meter = Meter::start(self, node)?;
        let mut indexer = self.indexer(rpc_url, &url, None)?;
        let mut relay = topic.map(|topic| self.relay(&url, topic)).transpose()?;
        let position = wait_for_journal(&mut connection, recipe.blocks, &mut indexer).await?;
        if let Some(topic) = topic {
            topic::wait_for(&self.stack.kafka()?.bootstrap(), topic, position).await?;
        }
        let figures = meter.stop(if topic.is_some() { Subject::IndexAndRelay } else { Subject::Index })?;
        let pid = indexer.id().ok_or_eyre("the indexer has ended")?;
        let figures = Figures {
            indexer_cpu_s: Some(process::cpu_s(pid)?),
            relay_cpu_s: relay.as_ref().and_then(Child::id).map(process::cpu_s).transpose()?,
            peak_memory_bytes: Some(process::peak_memory_bytes(pid)?),
            disk_bytes: Some(disk_bytes(&mut connection, "journal").await?),
            ..figures
        };
        indexer.kill().await?;
        if let Some(relay) = &mut relay {
            relay.kill().await?;
        }
        holds_all(&mut connection, recipe).await?;
        match name {
            "warm_up" => connection.close().await?,
            _ => self.drop_database(name, connection).await?,
        }
        Ok(figures)
    }

    pub(super) fn indexer(&self, rpc_url: &str, postgres_url: &str, ws_url: Option<&str>) -> Result<Child> {
        let mut indexer = self.program("bench-subject");
        indexer.args(["index", rpc_url, postgres_url]).args(ws_url);
        Ok(indexer.stderr(Stdio::inherit()).spawn()?)
    }

    pub(super) fn relay(&self, postgres_url: &str, topic: &str) -> Result<Child> {
        let bootstrap = self.stack.kafka()?.bootstrap();
        let mut relay = self.program("bench-subject");
        Ok(relay.args(["relay", postgres_url, &bootstrap, topic]).stderr(Stdio::inherit()).spawn()?)
    }
}

/// Waits until the journal holds all blocks, with its indexes; returns its position.
async fn wait_for_journal(connection: &mut PgConnection, last_block: u64, indexer: &mut Child) -> Result<u64> {
    let there =
        "select position from journal.source where block_number = $1 and not exists (select from journal.deferred)";
    let mut look = tokio::time::interval(LOOK);
    loop {
        look.tick().await;
        let position: Option<i64> =
            sqlx::query_scalar(there).bind(i64::try_from(last_block)?).fetch_optional(&mut *connection).await?;
        if let Some(position) = position {
            return Ok(u64::try_from(position)?);
        }
        if let Some(status) = indexer.try_wait()? {
            bail!("the indexer ended: {status}");
        }
    }
}
