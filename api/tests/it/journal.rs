//! A journal written by hand: each registration in a block and a transaction of its own.

use sha2::{Digest, Sha256};
use sqlx::PgPool;

/// SHA-256 of a name, where the content does not matter.
pub fn id(name: &str) -> Vec<u8> {
    Sha256::digest(name).to_vec()
}

/// The same as text.
pub fn text(name: &str) -> String {
    id(name).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The address of a named account.
pub fn address(name: &str) -> Vec<u8> {
    id(name)[..20].to_vec()
}

/// The same as text.
pub fn address_text(name: &str) -> String {
    format!("0x{}", &text(name)[..40])
}

/// Block time of a position.
pub fn timestamp_s(position: i64) -> i64 {
    1_700_000_000 + position
}

/// Writes as the indexer does: entry, block, transaction, cursor and notification in one transaction.
pub struct Journal(pub PgPool);

/// What is registered.
#[derive(Default)]
pub struct Registration<'a> {
    pub kind: &'a str,
    pub issuer: &'a str,
    pub instance: Option<&'a str>,
    pub model: Option<&'a str>,
    pub content: Option<String>,
    pub sequence: Option<i64>,
    pub event: serde_json::Value,
}

impl Journal {
    pub async fn open(pool: PgPool) -> Self {
        let insert = "insert into journal.source (chain_id, contract, start_block, genesis_hash, code_hash, kind) values (31337, $1, 1, sha256(''), sha256(''), 'registry')";
        sqlx::query(insert).bind(address("contract")).execute(&pool).await.expect("a source");
        Self(pool)
    }

    /// Registers and returns the position.
    pub async fn register(&self, registration: Registration<'_>) -> i64 {
        let Registration { kind, issuer, instance, model, content, sequence, event } = registration;
        let mut transaction = self.0.begin().await.expect("begin");
        let position: i64 = sqlx::query_scalar(
            "update journal.source set position = position + 1, block_number = position + 1, block_hash = sha256(convert_to('block' || position + 1, 'UTF8'))
             returning position",
        )
        .fetch_one(&mut *transaction)
        .await
        .expect("cursor");
        let (block, hash) = (id(&format!("block{position}")), id(&format!("transaction{position}")));
        sqlx::query(
            "insert into journal.block (hash, source_id, number, parent_hash, timestamp_s) values ($1, 1, $2, $1, $3)",
        )
        .bind(&block)
        .bind(position)
        .bind(timestamp_s(position))
        .execute(&mut *transaction)
        .await
        .expect("block");
        sqlx::query("insert into journal.transaction values ($1, $2, $3, $4, 50000, 7)")
            .bind(&hash)
            .bind(&block)
            .bind(address(issuer))
            .bind(address("contract"))
            .execute(&mut *transaction)
            .await
            .expect("transaction");
        sqlx::query(
            "insert into journal.record (position, source_id, kind, issuer, instance_id, model_id, content_id, sequence, predecessor, event,
                                        block_number, block_hash, block_timestamp_s, transaction_hash, log_index, item_index)
             values ($1, 1, $2, $3, $4, $5, $6, $7, nullif($7 - 1, -1), $8, $1, $9, $10, $11, 0, 0)",
        )
        .bind(position)
        .bind(kind)
        .bind(address(issuer))
        .bind(instance.map(id))
        .bind(model.map(id))
        .bind(content.map(|content| id(&content)))
        .bind(sequence)
        .bind(event)
        .bind(&block)
        .bind(timestamp_s(position))
        .bind(&hash)
        .execute(&mut *transaction)
        .await
        .expect("entry");
        sqlx::query("select pg_notify('runproof_journal', $1::text)")
            .bind(position)
            .execute(&mut *transaction)
            .await
            .expect("notify");
        transaction.commit().await.expect("commit");
        position
    }

    pub async fn model(&self, issuer: &str, model: &str) -> i64 {
        self.register(Registration { kind: "model_registered", issuer, model: Some(model), ..Default::default() }).await
    }

    pub async fn instance(&self, issuer: &str, instance: &str, model: &str) -> i64 {
        let event = serde_json::json!({ "ordinal": 0 });
        let registration = Registration {
            kind: "instance_registered",
            issuer,
            instance: Some(instance),
            model: Some(model),
            event,
            ..Default::default()
        };
        self.register(registration).await
    }

    pub async fn state(&self, issuer: &str, instance: &str, sequence: i64) -> i64 {
        let registration = Registration {
            kind: "state_registered",
            issuer,
            instance: Some(instance),
            content: Some(format!("{instance}/{sequence}")),
            sequence: Some(sequence),
            event: serde_json::json!({ "batch": sequence }),
            ..Default::default()
        };
        self.register(registration).await
    }

    pub async fn terminated(&self, issuer: &str, instance: &str, count: i64) -> i64 {
        let event = serde_json::json!({ "count": count, "outcome": "succeeded" });
        self.register(Registration {
            kind: "instance_terminated",
            issuer,
            instance: Some(instance),
            event,
            ..Default::default()
        })
        .await
    }

    /// The chain calls an entry's block `safe` or `finalized`.
    pub async fn promote(&self, level: &str, block: i64) -> i64 {
        let mut transaction = self.0.begin().await.expect("begin");
        let position: i64 = sqlx::query_scalar(
            "with moved as (
                 update journal.source set position = position + 1,
                        safe_number = case $1 when 'safe' then $2 else safe_number end,
                        finalized_number = case $1 when 'finalized' then $2 else finalized_number end
                 returning position)
             insert into journal.record (position, source_id, kind, event, block_number, block_hash, block_timestamp_s)
             select position, 1, 'block_' || $1, jsonb_build_object('kind', 'block_' || $1), $2, $3, $4 from moved returning position",
        )
        .bind(level)
        .bind(block)
        .bind(id(&format!("block{block}")))
        .bind(timestamp_s(block))
        .fetch_one(&mut *transaction)
        .await
        .expect("promotion");
        sqlx::query("notify runproof_journal").execute(&mut *transaction).await.expect("notify");
        transaction.commit().await.expect("commit");
        position
    }

    /// Takes an entry back, as a reorganisation does.
    pub async fn retract(&self, taken_back: i64) -> i64 {
        let mut transaction = self.0.begin().await.expect("begin");
        let position: i64 = sqlx::query_scalar(
            "with retraction as (
                 insert into journal.record (position, source_id, retracts, reason, kind, issuer, instance_id, model_id, content_id, sequence, predecessor,
                                            event, block_number, block_hash, block_timestamp_s, transaction_hash, log_index, item_index)
                 select s.position + 1, e.source_id, e.position, 'reorganisation', e.kind, e.issuer, e.instance_id, e.model_id, e.content_id, e.sequence,
                        e.predecessor, e.event, e.block_number, e.block_hash, e.block_timestamp_s, e.transaction_hash, e.log_index, e.item_index
                 from journal.entry e, journal.source s where e.position = $1 returning position)
             update journal.record set retracted_by = retraction.position from retraction where record.position = $1 returning retracted_by",
        )
        .bind(taken_back)
        .fetch_one(&mut *transaction)
        .await
        .expect("retraction");
        sqlx::query("update journal.source set position = $1")
            .bind(position)
            .execute(&mut *transaction)
            .await
            .expect("cursor");
        sqlx::query("notify runproof_journal").execute(&mut *transaction).await.expect("notify");
        transaction.commit().await.expect("commit");
        position
    }

    /// Gives a run and its states a verdict, as the verifier does.
    pub async fn judge(&self, issuer: &str, instance: &str, model: &str, states: &[(i64, &str)], status: &str) {
        let finding = |check: &str| serde_json::json!([{ "check": check, "status": status, "expected": "<b>1</b>", "found": "2", "source": "https://localhost", "detail": null }]);
        sqlx::query(
            "insert into verdict.instance (issuer, instance_id, model_id, status, engine, as_of_block, as_of_block_hash, checked_at, trust, findings)
             values ($1, $2, $3, $4, 'aws-step-functions', 1, $2, now(), 'one_node', $5)
             on conflict (issuer, instance_id) do update set status = excluded.status, revision = nextval('verdict.revision')",
        )
        .bind(address(issuer))
        .bind(id(instance))
        .bind(id(model))
        .bind(status)
        .bind(finding("completeness"))
        .execute(&self.0)
        .await
        .expect("verdict on the run");
        for (sequence, name) in states {
            sqlx::query(
                "insert into verdict.state values ($1, $2, $3, $4, $5, $6, 1700000000123, $7)
                 on conflict (issuer, instance_id, sequence) do update set status = excluded.status",
            )
            .bind(address(issuer))
            .bind(id(instance))
            .bind(sequence)
            .bind(id(&format!("{instance}/{sequence}")))
            .bind(status)
            .bind(name)
            .bind(finding("content"))
            .execute(&self.0)
            .await
            .expect("verdict on a state");
        }
        sqlx::query("notify runproof_verdict").execute(&self.0).await.expect("notify");
    }
}
