//! Rows that many nodes of a list need are read together, one query a batch.

use std::{collections::HashMap, sync::Arc};

use async_graphql::dataloader::{DataLoader, Loader};
use runproof_migrations::entity::{instance, instance_verdict, model, state, state_verdict, states_root, termination};
use sea_orm::{
    ColumnTrait, DatabaseConnection, DbErr, EntityTrait, QueryFilter, QuerySelect,
    sea_query::{Expr, ExprTrait, IntoValueTuple},
};

use super::{
    place::{self, Levels},
    snapshot::Journaled,
};

type Failure = Arc<DbErr>;

/// A run in its issuer's namespace.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct RunKey {
    pub(super) issuer: Vec<u8>,
    pub(super) instance: Vec<u8>,
}

/// The run itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct InstanceAt(pub(super) i64, pub(super) RunKey);

/// The run's end.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct TerminationAt(pub(super) i64, pub(super) RunKey);

/// How many states the run has entered.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct CountAt(pub(super) i64, pub(super) RunKey);

/// The run's state with a sequence number.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct StateAt(pub(super) i64, pub(super) RunKey, pub(super) i64);

/// A model by issuer and id.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct ModelAt(pub(super) i64, pub(super) Vec<u8>, pub(super) Vec<u8>);

/// What was safe and final as of a position.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct LevelsAt(pub(super) i64);

/// The last verdict on a run.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct RunVerdict(pub(super) RunKey);

/// The last verdict on a run's state.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct StateVerdictOf(pub(super) RunKey, pub(super) i64);

/// Reads rows in batches.
pub(super) struct Rows(DatabaseConnection);

/// The loader of [`Rows`].
pub(super) type Batched = DataLoader<Rows>;

/// A loader for the schema.
pub(super) fn batched(database: DatabaseConnection) -> Batched {
    DataLoader::new(Rows(database), tokio::spawn)
}

fn run(issuer: &[u8], instance: &[u8]) -> RunKey {
    RunKey { issuer: issuer.to_vec(), instance: instance.to_vec() }
}

fn among<C: ColumnTrait, const N: usize>(columns: [C; N], keys: impl IntoIterator<Item = impl IntoValueTuple>) -> Expr {
    Expr::tuple(columns.map(|column| Expr::col(column.as_column_ref()))).in_tuples(keys)
}

/// Keys by the position that they ask for, nearly always one.
fn by_position<K, V>(keys: &[K], split: impl Fn(&K) -> (i64, V)) -> HashMap<i64, Vec<V>> {
    let mut grouped: HashMap<i64, Vec<V>> = HashMap::new();
    for (as_of, key) in keys.iter().map(split) {
        grouped.entry(as_of).or_default().push(key);
    }
    grouped
}

impl Loader<InstanceAt> for Rows {
    type Value = instance::Model;
    type Error = Failure;

    async fn load(&self, keys: &[InstanceAt]) -> Result<HashMap<InstanceAt, Self::Value>, Failure> {
        use instance::Column;
        let mut found = HashMap::new();
        for (as_of, keys) in
            by_position(keys, |InstanceAt(as_of, key)| (*as_of, (key.issuer.clone(), key.instance.clone())))
        {
            let rows = instance::Entity::held(as_of)
                .filter(among([Column::Issuer, Column::InstanceId], keys))
                .all(&self.0)
                .await?;
            found.extend(rows.into_iter().map(|row| (InstanceAt(as_of, run(&row.issuer, &row.instance_id)), row)));
        }
        Ok(found)
    }
}

impl Loader<TerminationAt> for Rows {
    type Value = termination::Model;
    type Error = Failure;

    async fn load(&self, keys: &[TerminationAt]) -> Result<HashMap<TerminationAt, Self::Value>, Failure> {
        use termination::Column;
        let mut found = HashMap::new();
        for (as_of, keys) in
            by_position(keys, |TerminationAt(as_of, key)| (*as_of, (key.issuer.clone(), key.instance.clone())))
        {
            let rows = termination::Entity::held(as_of)
                .filter(among([Column::Issuer, Column::InstanceId], keys))
                .all(&self.0)
                .await?;
            found.extend(rows.into_iter().map(|row| (TerminationAt(as_of, run(&row.issuer, &row.instance_id)), row)));
        }
        Ok(found)
    }
}

impl Loader<CountAt> for Rows {
    type Value = i64;
    type Error = Failure;

    async fn load(&self, keys: &[CountAt]) -> Result<HashMap<CountAt, i64>, Failure> {
        use state::Column;
        let mut found = HashMap::new();
        for (as_of, keys) in
            by_position(keys, |CountAt(as_of, key)| (*as_of, (key.issuer.clone(), key.instance.clone())))
        {
            let rows: Vec<(Vec<u8>, Vec<u8>, i64)> = state::Entity::held(as_of)
                .filter(among([Column::Issuer, Column::InstanceId], keys.clone()))
                .select_only()
                .columns([Column::Issuer, Column::InstanceId])
                .column_as(Column::Position.count(), "states")
                .group_by(Column::Issuer)
                .group_by(Column::InstanceId)
                .into_tuple()
                .all(&self.0)
                .await?;
            let under_roots = states_under_roots(&self.0, as_of, keys).await?;
            for (issuer, instance, count) in rows.into_iter().chain(under_roots) {
                *found.entry(CountAt(as_of, run(&issuer, &instance))).or_default() += count;
            }
        }
        Ok(found)
    }
}

async fn states_under_roots(
    database: &DatabaseConnection,
    as_of: i64,
    keys: Vec<(Vec<u8>, Vec<u8>)>,
) -> Result<Vec<(Vec<u8>, Vec<u8>, i64)>, DbErr> {
    use states_root::Column;
    states_root::Entity::held(as_of)
        .filter(among([Column::Issuer, Column::InstanceId], keys))
        .select_only()
        .columns([Column::Issuer, Column::InstanceId])
        .column_as(Expr::col(Column::Count).sum().cast_as("bigint"), "states")
        .group_by(Column::Issuer)
        .group_by(Column::InstanceId)
        .into_tuple()
        .all(database)
        .await
}

impl Loader<StateAt> for Rows {
    type Value = state::Model;
    type Error = Failure;

    async fn load(&self, keys: &[StateAt]) -> Result<HashMap<StateAt, Self::Value>, Failure> {
        use state::Column;
        let mut found = HashMap::new();
        let split =
            |StateAt(as_of, key, sequence): &StateAt| (*as_of, (key.issuer.clone(), key.instance.clone(), *sequence));
        for (as_of, keys) in by_position(keys, split) {
            let columns = [Column::Issuer, Column::InstanceId, Column::Sequence];
            let rows = state::Entity::held(as_of).filter(among(columns, keys)).all(&self.0).await?;
            found.extend(
                rows.into_iter().map(|row| (StateAt(as_of, run(&row.issuer, &row.instance_id), row.sequence), row)),
            );
        }
        Ok(found)
    }
}

impl Loader<ModelAt> for Rows {
    type Value = model::Model;
    type Error = Failure;

    async fn load(&self, keys: &[ModelAt]) -> Result<HashMap<ModelAt, Self::Value>, Failure> {
        use model::Column;
        let mut found = HashMap::new();
        for (as_of, keys) in by_position(keys, |ModelAt(as_of, issuer, id)| (*as_of, (issuer.clone(), id.clone()))) {
            let rows =
                model::Entity::held(as_of).filter(among([Column::Issuer, Column::ModelId], keys)).all(&self.0).await?;
            found.extend(rows.into_iter().map(|row| (ModelAt(as_of, row.issuer.clone(), row.model_id.clone()), row)));
        }
        Ok(found)
    }
}

impl Loader<LevelsAt> for Rows {
    type Value = Levels;
    type Error = Failure;

    async fn load(&self, keys: &[LevelsAt]) -> Result<HashMap<LevelsAt, Self::Value>, Failure> {
        let mut found = HashMap::new();
        for key in keys {
            found.insert(key.clone(), place::levels(&self.0, key.0).await?);
        }
        Ok(found)
    }
}

impl Loader<RunVerdict> for Rows {
    type Value = instance_verdict::Model;
    type Error = Failure;

    async fn load(&self, keys: &[RunVerdict]) -> Result<HashMap<RunVerdict, Self::Value>, Failure> {
        use instance_verdict::Column;
        let keys = keys.iter().map(|RunVerdict(key)| (key.issuer.clone(), key.instance.clone()));
        let rows = instance_verdict::Entity::find()
            .filter(among([Column::Issuer, Column::InstanceId], keys))
            .all(&self.0)
            .await?;
        Ok(rows.into_iter().map(|row| (RunVerdict(run(&row.issuer, &row.instance_id)), row)).collect())
    }
}

impl Loader<StateVerdictOf> for Rows {
    type Value = state_verdict::Model;
    type Error = Failure;

    async fn load(&self, keys: &[StateVerdictOf]) -> Result<HashMap<StateVerdictOf, Self::Value>, Failure> {
        use state_verdict::Column;
        let keys =
            keys.iter().map(|StateVerdictOf(key, sequence)| (key.issuer.clone(), key.instance.clone(), *sequence));
        let columns = [Column::Issuer, Column::InstanceId, Column::Sequence];
        let rows = state_verdict::Entity::find().filter(among(columns, keys)).all(&self.0).await?;
        Ok(rows
            .into_iter()
            .map(|row| (StateVerdictOf(run(&row.issuer, &row.instance_id), row.sequence), row))
            .collect())
    }
}
