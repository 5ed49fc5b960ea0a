//! What is told as it happens. The tables are the source; the feed only says when to look.

use std::sync::Arc;

use async_graphql::{Context, Error, Result, Subscription};
use async_stream::try_stream;
use futures::{Stream, StreamExt};
use runproof_migrations::entity::{batch, entry, instance_verdict};
use sea_orm::{
    ColumnTrait, Condition, DatabaseConnection, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Select,
    sea_query::Query,
};
use tokio_stream::wrappers::WatchStream;

use super::{
    entry::JournalEntry,
    failure::unavailable,
    scalars::{Address, ContentId, Long, Position},
    verdict::InstanceVerdict,
};
use crate::{feed::Feed, watermark::Watermark};

/// Entries that are read at a time: some hundred bytes each, and held until the client has taken them.
const BATCH: u64 = 2_500;

/// What is told as it happens, over websocket (graphql-transport-ws).
pub(crate) struct Subscription;

#[Subscription]
impl Subscription {
    /// The journal: first all entries after a position, then each new one, without gap or repetition, retractions included.
    /// Narrowed ones have what the chain says of blocks too (`BLOCK_SAFE`, `BLOCK_FINALIZED`), since it concerns all.
    /// With `after` left out it begins with what comes next. After a broken connection go on with `after` set to the last position received.
    async fn events(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The last position that is known already; 0 for all.")] after: Option<Position>,
        #[graphql(desc = "Of this instance alone.")] instance: Option<ContentId>,
        #[graphql(desc = "Of this issuer alone.")] issuer: Option<Address>,
        #[graphql(desc = "Of this model and its instances alone.")] model: Option<ContentId>,
    ) -> Result<impl Stream<Item = Result<Box<JournalEntry>>> + use<>> {
        let database = context.data::<DatabaseConnection>()?.clone();
        let Feed { mut watermark, .. } = context.data::<Feed>()?.clone();
        let wanted = wanted(instance, issuer, model);
        // To compose the event of each state, and to read it, is most of the work.
        let with_event = context.look_ahead().field("event").exists();
        Ok(try_stream! {
            let mut after = after.map(|Position(after)| after);
            loop {
                let reached = watermark.borrow_and_update().clone().map(Arc::new);
                if let Some(reached) = reached {
                    let mut sent = after.unwrap_or(reached.position.0);
                    while sent < reached.position.0 {
                        let (rows, covered) = replay(&database, &wanted, with_event, sent, &reached).await?;
                        for row in rows {
                            // It passes through many hands before it is sent.
                            yield Box::new(JournalEntry::new(row, reached.clone()));
                        }
                        sent = covered;
                    }
                    after = Some(sent);
                }
                watermark.changed().await.map_err(|_| Error::new("the server is stopping"))?;
            }
        })
    }

    /// How far the journal has come, now and each time that it changes.
    async fn watermark(&self, context: &Context<'_>) -> Result<impl Stream<Item = Watermark> + use<>> {
        let Feed { watermark, .. } = context.data::<Feed>()?.clone();
        Ok(WatchStream::new(watermark).filter_map(async |watermark| watermark))
    }

    /// Verdicts: each one that is new or changed after a revision, then as they change. With `after` left out it begins with what comes next.
    async fn verdicts(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The last revision that is known already; 0 for all.")] after: Option<Long>,
        #[graphql(desc = "On this instance alone.")] instance: Option<ContentId>,
    ) -> Result<impl Stream<Item = Result<InstanceVerdict>> + use<>> {
        let database = context.data::<DatabaseConnection>()?.clone();
        let Feed { watermark, mut revision } = context.data::<Feed>()?.clone();
        Ok(try_stream! {
            let mut sent = after.map_or_else(|| *revision.borrow(), |Long(after)| after);
            loop {
                revision.mark_unchanged();
                for row in changed(&database, instance.as_ref(), sent).await? {
                    sent = row.revision;
                    let as_of = watermark.borrow().as_ref().map_or(0, |watermark| watermark.position.0);
                    yield InstanceVerdict::new(row, as_of)?;
                }
                revision.changed().await.map_err(|_| Error::new("the server is stopping"))?;
            }
        })
    }
}

fn wanted(instance: Option<ContentId>, issuer: Option<Address>, model: Option<ContentId>) -> Condition {
    use entry::Column;
    let narrowed = Condition::all()
        .add_option(instance.map(|instance| Column::InstanceId.eq(instance.0)))
        .add_option(issuer.map(|issuer| Column::Issuer.eq(issuer.0)))
        .add_option(model.map(|model| Condition::any().add(Column::ModelId.eq(model.0.clone())).add(run_of(model))));
    match narrowed.is_empty() {
        true => narrowed,
        false => Condition::any().add(narrowed).add(Column::Issuer.is_null()),
    }
}

/// Entries of a run name their instance only; its registration names the model.
fn run_of(model: ContentId) -> sea_orm::sea_query::Expr {
    let runs = Query::select()
        .column(entry::Column::InstanceId)
        .from((sea_orm::sea_query::Alias::new("journal"), entry::Entity))
        .and_where(entry::Column::Kind.is_in(["instance_registered", "itrex_instance_registered"]))
        .and_where(entry::Column::ModelId.eq(model.0))
        .to_owned();
    entry::Column::InstanceId.in_subquery(runs)
}

/// The next entries after a position, and the position up to which that is all.
async fn replay(
    database: &DatabaseConnection,
    wanted: &Condition,
    with_event: bool,
    after: i64,
    reached: &Watermark,
) -> Result<(Vec<entry::Model>, i64)> {
    if wanted.is_empty() {
        // Positions have no gaps: the page's end is known, and Postgres needs not find it.
        let end = reached.position.0.min(after.saturating_add(BATCH as i64));
        let rows = if with_event {
            in_order(entry::Entity::find(), after, end).all(database).await
        } else {
            all_between(database, after, end).await
        };
        return Ok((rows.map_err(unavailable)?, end));
    }
    let find = if with_event { entry::Entity::find() } else { entry::Entity::find_without_event() };
    let rows = in_order(find, after, reached.position.0).filter(wanted.clone()).limit(BATCH).all(database).await;
    let rows = rows.map_err(unavailable)?;
    let full = rows.len() as u64 == BATCH;
    let covered = rows.last().filter(|_| full).map_or(reached.position.0, |row| row.position);
    Ok((rows, covered))
}

fn in_order(find: Select<entry::Entity>, after: i64, end: i64) -> Select<entry::Entity> {
    let position = entry::Column::Position;
    find.filter(position.gt(after)).filter(position.lte(end)).order_by_asc(position)
}

/// All entries between two positions, without their events. Batches come as they are stored, since to make rows of them is quicker here.
async fn all_between(database: &DatabaseConnection, after: i64, end: i64) -> Result<Vec<entry::Model>, DbErr> {
    // First, since they may become rows meanwhile, and rows never become batches.
    let batches = batch::Entity::find_between(after, end).all(database).await?;
    let mut rows = in_order(entry::Entity::find_recorded(), after, end).all(database).await?;
    if !batches.is_empty() {
        let within = |row: &entry::Model| after < row.position && row.position <= end;
        rows.extend(batches.iter().flat_map(batch::Model::entries).filter(within));
        rows.sort_by_key(|row| row.position);
        rows.dedup_by_key(|row| row.position);
    }
    Ok(rows)
}

async fn changed(
    database: &DatabaseConnection,
    instance: Option<&ContentId>,
    after: i64,
) -> Result<Vec<instance_verdict::Model>> {
    use instance_verdict::Column;
    instance_verdict::Entity::find()
        .filter(Column::Revision.gt(after))
        .filter(Condition::all().add_option(instance.map(|instance| Column::InstanceId.eq(instance.0.clone()))))
        .order_by_asc(Column::Revision)
        .all(database)
        .await
        .map_err(unavailable)
}
