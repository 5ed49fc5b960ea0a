//! One writer at a time, by an advisory lock that Postgres frees when its session ends. It keeps a standby waiting; what keeps a stale writer out is
//! the epoch that every write compares (and for Kafka the transactional id).

use std::time::Duration;

use sqlx::{Connection, PgConnection};
use tracing::info;
use url::Url;

const RETRY: Duration = Duration::from_secs(1);

/// What is leased.
#[derive(Debug, Clone, Copy)]
#[repr(i32)]
pub(crate) enum Role {
    /// Writing the journal.
    Indexer = 0x7270_0001,
    /// Feeding Kafka from it.
    Relay = 0x7270_0002,
}

/// Held until dropped.
pub(crate) struct Lease {
    _session: PgConnection,
}

/// Waits until nobody else has the role for this source.
pub(crate) async fn hold(postgres_url: &Url, role: Role, source_id: i16) -> Result<Lease, sqlx::Error> {
    let mut session = PgConnection::connect(postgres_url.as_str()).await?;
    let mut told = false;
    // Asked again and again, since a statement that waits for the lock would keep Postgres from vacuuming.
    while !sqlx::query_scalar::<_, bool>("select pg_try_advisory_lock($1, $2)")
        .bind(role as i32)
        .bind(i32::from(source_id))
        .fetch_one(&mut session)
        .await?
    {
        if !told {
            info!(?role, "another process has this role; standing by");
            told = true;
        }
        tokio::time::sleep(RETRY).await;
    }
    Ok(Lease { _session: session })
}
