//! What is to be published: triggers mark it in Postgres, in the transaction that changes a document, and the mark stands until the document does.

use eyre::eyre;
use sqlx::{PgConnection, PgPool};

use super::changed::Changed;

/// Something of which documents are to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Subject {
    pub(super) kind: Kind,
    pub(super) id: Vec<u8>,
    /// Number of the change: a later one has a larger number.
    pub(super) change: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Model,
    /// An instance with its states.
    Instance,
    /// Requests for an instance's transitions.
    Requests,
}

impl Kind {
    fn parse(text: &str) -> eyre::Result<Self> {
        match text {
            "model" => Ok(Self::Model),
            "instance" => Ok(Self::Instance),
            "requests" => Ok(Self::Requests),
            _ => Err(eyre!("`{text}` is nothing that is published")),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Instance => "instance",
            Self::Requests => "requests",
        }
    }
}

type Row = (String, Vec<u8>, i64);

fn subjects(rows: Vec<Row>) -> eyre::Result<Vec<Subject>> {
    rows.into_iter().map(|(kind, id, change)| Ok(Subject { kind: Kind::parse(&kind)?, id, change })).collect()
}

/// From now on changes are marked. Where another place was published to before, everything is.
pub(super) async fn begin(database: &PgPool, url: &str) -> sqlx::Result<()> {
    let mut sql = database.begin().await?;
    let known: Option<String> =
        sqlx::query_scalar("select url from executor.publication").fetch_optional(&mut *sql).await?;
    if known.as_deref() == Some(url) {
        return Ok(());
    }
    // Who is writing just now marks nothing yet.
    let lock = "lock table executor.model, executor.instance, executor.registration, executor.transaction,
                executor.disclosure, executor.transition_request in share row exclusive mode";
    sqlx::query(lock).execute(&mut *sql).await?;
    let place = "insert into executor.publication (url) values ($1) on conflict (one) do update set url = excluded.url";
    sqlx::query(place).bind(url).execute(&mut *sql).await?;
    for everything in [
        "update executor.registration set is_published = false where is_published",
        "update executor.disclosure set is_published = false where is_published",
        "select executor.mark_unpublished('model', array(select model_id from executor.model))",
        "select executor.mark_unpublished('instance', array(select instance_id from executor.instance))",
    ] {
        sqlx::query(everything).execute(&mut *sql).await?;
    }
    sql.commit().await
}

/// Number of the newest change; `None` if nothing is to be published.
pub(super) async fn newest_change(database: &PgPool) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar("select max(change) from executor.unpublished").fetch_one(database).await
}

/// The first so many that were marked by changes after `after` and up to `last`.
pub(super) async fn between(database: &PgPool, after: i64, last: i64, most: i64) -> eyre::Result<Vec<Subject>> {
    let sql =
        "select kind, id, change from executor.unpublished where change > $1 and change <= $2 order by change limit $3";
    subjects(sqlx::query_as(sql).bind(after).bind(last).bind(most).fetch_all(database).await?)
}

/// Of what a transaction registers, with the models of it, what is to be published.
pub(super) async fn of_transaction(database: &PgPool, transaction: i64) -> eyre::Result<Vec<Subject>> {
    let sql = "with registered as (
           select r.instance_id, coalesce(r.model_id, i.model_id) as model_id
           from executor.registration r left join executor.instance i using (instance_id) where r.transaction_id = $1
         )
         select kind, id, change from executor.unpublished
         where (kind = 'instance' and id in (select instance_id from registered where instance_id is not null))
            or (kind = 'model' and id in (select model_id from registered where model_id is not null))";
    subjects(sqlx::query_as(sql).bind(transaction).fetch_all(database).await?)
}

/// Keeps all others from publishing until the SQL transaction ends: a document of a while ago would replace the one of now.
pub(super) async fn lock(sql: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query("select pg_advisory_xact_lock(hashtextextended('runproof publication', 0))").execute(sql).await?;
    Ok(())
}

impl Subject {
    /// Notes what of it need not be published again, then takes the mark away, unless it was set again since. Each statement stands for itself: whoever changes
    /// several subjects at once marks them in an order of its own.
    pub(super) async fn unmark(&self, database: &PgPool, changed: &Changed) -> sqlx::Result<()> {
        if self.kind == Kind::Instance {
            sqlx::query(
                "update executor.registration set is_published = true where instance_id = $1 and transaction_id = any($2)",
            )
            .bind(&self.id)
            .bind(&changed.transactions)
            .execute(database)
            .await?;
            sqlx::query(
                "update executor.disclosure set is_published = true where instance_id = $1 and sequence = any($2)",
            )
            .bind(&self.id)
            .bind(&changed.disclosed)
            .execute(database)
            .await?;
        }
        sqlx::query("delete from executor.unpublished where kind = $1 and id = $2 and change = $3")
            .bind(self.kind.name())
            .bind(&self.id)
            .bind(self.change)
            .execute(database)
            .await?;
        Ok(())
    }
}
