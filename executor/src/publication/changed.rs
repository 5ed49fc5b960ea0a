//! Which documents of an instance do not stand yet where is published.

use runproof_protocol::{InstanceId, StateId, documents::MOST_STATE_DOCUMENTS};
use sqlx::PgPool;

/// Documents, and what they were rendered for.
#[derive(Debug, Default)]
pub(super) struct Changed {
    /// Addresses on the site, without the first slash.
    pub(super) paths: Vec<String>,
    /// Those whose registrations they are of.
    pub(super) transactions: Vec<i64>,
    /// Sequence numbers of the states whose disclosures they are.
    pub(super) disclosed: Vec<i64>,
}

impl Changed {
    /// Of an instance, beside its protocol, which names them.
    pub(super) async fn of_instance(database: &PgPool, id: &[u8]) -> eyre::Result<Self> {
        let instance = InstanceId::try_from(id)?;
        let mut changed = Self::default();
        changed.add_registered(database, instance).await?;
        changed.add_disclosed(database, instance).await?;
        Ok(changed)
    }

    async fn add_registered(&mut self, database: &PgPool, instance: InstanceId) -> eyre::Result<()> {
        let registered: Vec<(i64, String, Option<i64>, Option<i64>)> = sqlx::query_as(
            "select transaction_id, r.kind, r.first, r.count from executor.registration r join executor.transaction t using (transaction_id)
             where r.instance_id = $1 and not r.is_published and t.status in ('signed', 'included') order by transaction_id",
        )
        .bind(instance.as_slice())
        .fetch_all(database)
        .await?;
        for (transaction, kind, first, count) in registered {
            self.transactions.push(transaction);
            match (kind.as_str(), first.zip(count)) {
                ("instance", _) => self.add(instance, &["instance.json", "requests.json", "events.json"]),
                ("states", Some((first, count))) => {
                    self.add(instance, &["trace.json", "events.json", &format!("roots/{first}.json")]);
                    self.add_states(database, instance, first, count).await?;
                }
                ("termination", _) => self.add(instance, &["events.json"]),
                _ => {}
            }
        }
        self.paths.sort_unstable();
        self.paths.dedup();
        Ok(())
    }

    /// Each state's own documents, as far as there are such: of a long run the trace and the leaves say the same, in a length that does not grow with its square.
    async fn add_states(
        &mut self,
        database: &PgPool,
        instance: InstanceId,
        first: i64,
        count: i64,
    ) -> eyre::Result<()> {
        let states: Vec<(i64, Vec<u8>)> = sqlx::query_as(
            "select sequence, state_id from executor.state where instance_id = $1 and sequence >= $2 and sequence < $3",
        )
        .bind(instance.as_slice())
        .bind(first)
        .bind((first + count).min(MOST_STATE_DOCUMENTS as i64))
        .fetch_all(database)
        .await?;
        for (sequence, state) in states {
            self.paths.push(format!("{}.json", StateId::try_from(&state[..])?));
            self.add(instance, &[&format!("proof/{sequence}.json")]);
        }
        Ok(())
    }

    async fn add_disclosed(&mut self, database: &PgPool, instance: InstanceId) -> eyre::Result<()> {
        let sql = "select sequence from executor.disclosure where instance_id = $1 and not is_published";
        self.disclosed = sqlx::query_scalar(sql).bind(instance.as_slice()).fetch_all(database).await?;
        let paths = self.disclosed.iter().map(|sequence| format!("{instance}/disclosures/{sequence}.json"));
        self.paths.extend(paths);
        Ok(())
    }

    fn add(&mut self, instance: InstanceId, names: &[&str]) {
        self.paths.extend(names.iter().map(|name| format!("{instance}/{name}")));
    }
}
