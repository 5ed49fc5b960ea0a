//! The worker on a real Postgres: what the journal tells of is verified, what it takes back is removed.

use alloy::primitives::{Address, B256};
use runproof_protocol::{InstanceId, verdict::Status};
use runproof_verifier::worker::{self, Settings};
use sea_orm::Database;
use sqlx::{PgPool, postgres::PgListener};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{
    issuer::{Issuer, STATES},
    judged, run, stack,
};

/// A journal as the indexer writes it, and a worker at work on it.
struct Journal {
    pool: PgPool,
    verdicts: PgListener,
    token: CancellationToken,
    worker: JoinHandle<eyre::Result<()>>,
    position: i64,
}

impl Journal {
    async fn start(issuer: &Issuer) -> Self {
        let postgres = stack().await.postgres().expect("started");
        let url = postgres.url();
        runproof_migrations::migrate(&Database::connect(&url).await.expect("Postgres")).await.expect("the schema");
        let pool = PgPool::connect(&url).await.expect("Postgres");
        let source = "insert into journal.source (chain_id, contract, start_block, genesis_hash, code_hash, kind) values (31337, $1, 0, sha256(''), sha256(''), 'registry')";
        sqlx::query(source).bind(issuer.contract().as_slice()).execute(&pool).await.expect("a source");
        let block = "insert into journal.block (hash, source_id, number, parent_hash, timestamp_s)
                     select $1, max(source_id), 1, $1, 1 from journal.source";
        sqlx::query(block).bind(B256::ZERO.as_slice()).execute(&pool).await.expect("a block");
        let mut verdicts = PgListener::connect_with(&pool).await.expect("Postgres");
        verdicts.listen("runproof_verdict").await.expect("Postgres");
        let token = CancellationToken::new();
        let rpc_url = stack().await.chain().expect("started").http_url();
        let worker = worker::run(Settings::new(issuer.settings(rpc_url), url), token.clone());
        Self { pool, verdicts, token, worker: tokio::spawn(worker), position: 0 }
    }

    /// Appends an entry, or a retraction of `retracts`, and hints at it.
    async fn append(&mut self, issuer: Address, instance: InstanceId, kind: &str, retracts: Option<i64>) {
        self.position += 1;
        let mut transaction = self.pool.begin().await.expect("Postgres");
        sqlx::query(
            "insert into journal.record (position, source_id, retracts, kind, issuer, instance_id, event, block_number, block_hash,
                                        block_timestamp_s, transaction_hash, log_index, item_index)
             select $1, max(source_id), $2, $3, $4, $5, '{}', 1, $6, 1, $6, $1, 0 from journal.source",
        )
        .bind(self.position)
        .bind(retracts)
        .bind(kind)
        .bind(issuer.as_slice())
        .bind(instance.as_slice())
        .bind(B256::ZERO.as_slice())
        .execute(&mut *transaction)
        .await
        .expect("an entry");
        let close = sqlx::query("update journal.record set retracted_by = $1 where position = $2");
        close.bind(self.position).bind(retracts).execute(&mut *transaction).await.expect("an entry taken back");
        sqlx::query("update journal.source set position = $1")
            .bind(self.position)
            .execute(&mut *transaction)
            .await
            .expect("a cursor");
        sqlx::query("select pg_notify('runproof_journal', '')").execute(&mut *transaction).await.expect("a hint");
        transaction.commit().await.expect("Postgres");
    }

    async fn next_verdict(&mut self) {
        let told = tokio::time::timeout(std::time::Duration::from_secs(30), self.verdicts.recv()).await;
        told.expect("a verdict within 30 s").expect("Postgres");
    }

    async fn instances(&self) -> Vec<(String, i64)> {
        let rows = sqlx::query_as("select status, journal_position from verdict.instance").fetch_all(&self.pool);
        rows.await.expect("Postgres")
    }

    async fn states(&self) -> Vec<(i64, Vec<u8>, String, Option<String>)> {
        let rows = "select sequence, state_id, status, state_name from verdict.state order by sequence";
        sqlx::query_as(rows).fetch_all(&self.pool).await.expect("Postgres")
    }
}

#[test]
fn worker_follows_the_journal() {
    run(async {
        let issuer = Issuer::honest().await;
        let mut journal = Journal::start(&issuer).await;
        let account = issuer.account.address();
        journal.append(account, issuer.instance, "instance_registered", None).await;
        journal.next_verdict().await;
        assert_eq!(journal.instances().await, [("passed".to_owned(), 1)]);
        let expected: Vec<_> = issuer
            .states
            .iter()
            .map(|state| {
                (state.sequence as i64, state.id.as_slice().to_vec(), "passed".to_owned(), Some(state.name.clone()))
            })
            .collect();
        assert_eq!(journal.states().await, expected);

        // More states than the chain has, as before a reorganisation.
        let more = "insert into verdict.state select issuer, instance_id, 99, state_id, status, state_name, entered_at_ms, findings
                    from verdict.state where sequence = 0";
        sqlx::query(more).execute(&journal.pool).await.expect("one more state");
        issuer.revoke_certificate().await;
        journal.append(account, InstanceId::default(), "certificate_revoked", None).await;
        journal.next_verdict().await;
        assert_eq!(journal.instances().await, [(judged::verdict(&issuer).await.status().name().to_owned(), 2)]);
        let states = journal.states().await;
        assert_eq!(states.len(), STATES);
        assert!(states.iter().all(|(_, _, status, _)| status == Status::Failed.name()));

        journal.append(account, issuer.instance, "instance_registered", Some(1)).await;
        journal.next_verdict().await;
        assert_eq!(journal.instances().await, []);
        assert_eq!(journal.states().await, []);

        journal.token.cancel();
        journal.worker.await.expect("no panic").expect("a graceful end");
    });
}
