//! One listener a process tells all subscriptions how far journal and verdicts have come.
//!
//! A notification only says when to look. What counts is read from the tables, on each notification and at an interval, since notifications may be lost.

use std::time::Duration;

use runproof_migrations::entity::instance_verdict;
use sea_orm::{DatabaseConnection, DbErr, EntityTrait, QueryOrder, QuerySelect};
use sqlx::postgres::{PgListener, PgPool};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::watermark::{self, Watermark};

const CHANNELS: [&str; 2] = ["runproof_journal", "runproof_verdict"];
const LOOK_AT_LEAST_EVERY: Duration = Duration::from_secs(2);

/// The newest that is known; receivers wake when it changes.
#[derive(Debug, Clone)]
pub(crate) struct Feed {
    pub(crate) watermark: watch::Receiver<Option<Watermark>>,
    pub(crate) revision: watch::Receiver<i64>,
}

struct Source {
    database: DatabaseConnection,
    watermark: watch::Sender<Option<Watermark>>,
    revision: watch::Sender<i64>,
}

/// Starts the listener; it ends with `token`.
pub(crate) fn start(pool: PgPool, database: DatabaseConnection, token: CancellationToken) -> Feed {
    let (watermark, watermark_seen) = watch::channel(None);
    let (revision, revision_seen) = watch::channel(0);
    let source = Source { database, watermark, revision };
    tokio::spawn(async move {
        token.run_until_cancelled(source.run(pool)).await;
    });
    Feed { watermark: watermark_seen, revision: revision_seen }
}

impl Source {
    async fn run(self, pool: PgPool) {
        let mut listener = None;
        loop {
            if let Err(error) = self.look().await {
                tracing::warn!(%error, "journal cannot be read");
            }
            if listener.is_none() {
                listener = listen(&pool)
                    .await
                    .inspect_err(|error| tracing::warn!(%error, "cannot listen for notifications"))
                    .ok();
            }
            wait(&mut listener).await;
        }
    }

    async fn look(&self) -> Result<(), DbErr> {
        let watermark = watermark::read(&self.database).await?;
        let revision = instance_verdict::Entity::find()
            .select_only()
            .column(instance_verdict::Column::Revision)
            .order_by_desc(instance_verdict::Column::Revision)
            .into_tuple::<i64>()
            .one(&self.database)
            .await?
            .unwrap_or(0);
        replace(&self.watermark, watermark);
        replace(&self.revision, revision);
        Ok(())
    }
}

async fn listen(pool: &PgPool) -> sqlx::Result<PgListener> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen_all(CHANNELS).await?;
    Ok(listener)
}

/// Until there is reason to look: a notification, a lost connection, or the interval.
async fn wait(listener: &mut Option<PgListener>) {
    let Some(active) = listener else { return tokio::time::sleep(LOOK_AT_LEAST_EVERY).await };
    match tokio::time::timeout(LOOK_AT_LEAST_EVERY, active.recv()).await {
        Ok(Ok(_)) => while active.next_buffered().is_some() {},
        Ok(Err(error)) => {
            tracing::warn!(%error, "lost the connection that listens");
            *listener = None;
        }
        Err(_interval) => {}
    }
}

fn replace<T: PartialEq>(sender: &watch::Sender<T>, value: T) {
    sender.send_if_modified(|current| {
        let changed = *current != value;
        *current = value;
        changed
    });
}
