//! One leader a key. An advisory lock, which Postgres frees when its session ends, keeps a standby waiting; what keeps a leader out that has lost its
//! session, and does not know, is the epoch that is compared where a signed transaction is stored.

use std::time::Duration;

use eyre::Context;
use sqlx::{Connection, PgConnection};

use crate::executor::Executor;

const RETRY: Duration = Duration::from_secs(1);

/// Another executor leads with this key by now.
#[derive(Debug, thiserror::Error)]
#[error("another executor has taken over this key; nothing more is signed here")]
pub(crate) struct Deposed;

/// The right to follow with a key; held until dropped.
pub(crate) struct Lease {
    /// Larger than that of every leader before.
    pub(crate) epoch: i64,
    _session: PgConnection,
}

impl Lease {
    /// Waits until nobody else leads with this executor's key.
    pub(crate) async fn take(executor: &Executor) -> eyre::Result<Self> {
        let issuer = executor.chain.issuer;
        let mut session =
            PgConnection::connect(&executor.settings.postgres_url).await.context("Postgres does not answer")?;
        let mut told = false;
        // Asked again and again, since a statement that waits for the lock would keep Postgres from vacuuming.
        while !sqlx::query_scalar::<_, bool>(
            "select pg_try_advisory_lock(hashtextextended('runproof follower ' || $1, 0))",
        )
        .bind(issuer.to_string())
        .fetch_one(&mut session)
        .await?
        {
            if !told {
                tracing::info!(%issuer, "another executor follows with this key; standing by");
                told = true;
            }
            tokio::time::sleep(RETRY).await;
        }
        let epoch = sqlx::query_scalar(
            "insert into executor.leader as l (sender, epoch) values ($1, 1) on conflict (sender) do update set epoch = l.epoch + 1 returning epoch",
        )
        .bind(issuer.as_slice())
        .fetch_one(&mut session)
        .await?;
        tracing::debug!(%issuer, epoch, "leading");
        Ok(Self { epoch, _session: session })
    }
}

impl Executor {
    /// Serialises all who sign with this key, in any process, until the SQL transaction ends; a leader of an earlier epoch may not. Commands that
    /// register one thing sign beside the leader, each within one such transaction.
    pub(crate) async fn lock_sender(&self, sql: &mut PgConnection) -> eyre::Result<()> {
        sqlx::query("select pg_advisory_xact_lock(hashtextextended('runproof sender ' || $1, 0))")
            .bind(self.chain.issuer.to_string())
            .execute(&mut *sql)
            .await?;
        let Some(epoch) = self.epoch else { return Ok(()) };
        // The row is locked: a successor begins after what is stored under this epoch.
        let current: i64 = sqlx::query_scalar("select epoch from executor.leader where sender = $1 for share")
            .bind(self.chain.issuer.as_slice())
            .fetch_one(sql)
            .await?;
        if current == epoch { Ok(()) } else { Err(Deposed.into()) }
    }
}
