//! What lists can be narrowed to.

use async_graphql::InputObject;
use runproof_migrations::entity::{instance, instance_verdict, model, state, state_verdict, termination};
use sea_orm::{
    ColumnTrait, Condition, QueryFilter, QuerySelect, QueryTrait, Select,
    sea_query::{Alias, Expr, ExprTrait, Query, SelectStatement},
};

use super::{
    scalars::{Address, ContentId, Long},
    snapshot::Journaled,
    verdict::VerdictStatus,
};

/// From and to, both included, both optional.
#[derive(Debug, Clone, Default, InputObject)]
pub(crate) struct Range {
    /// Least.
    from: Option<Long>,
    /// Greatest.
    to: Option<Long>,
}

impl Range {
    fn holds(&self, column: impl ColumnTrait) -> Condition {
        Condition::all()
            .add_option(self.from.map(|Long(from)| column.gte(from)))
            .add_option(self.to.map(|Long(to)| column.lte(to)))
    }
}

/// Narrows models.
#[derive(Debug, Clone, Default, InputObject)]
pub(crate) struct ModelFilter {
    /// Registered by this address.
    issuer: Option<Address>,
    /// With this id.
    model: Option<ContentId>,
    /// Registered in these blocks.
    block_number: Option<Range>,
    /// Registered at these block times, Unix seconds.
    block_timestamp_s: Option<Range>,
}

impl ModelFilter {
    /// One model, by whatever issuer if none is given.
    pub(super) fn of(issuer: Option<Address>, model: ContentId) -> Self {
        Self { issuer, model: Some(model), ..Self::default() }
    }

    pub(super) fn apply(self, select: Select<model::Entity>) -> Select<model::Entity> {
        use model::Column;
        select.filter(
            Condition::all()
                .add_option(self.issuer.map(|issuer| Column::Issuer.eq(issuer.0)))
                .add_option(self.model.map(|model| Column::ModelId.eq(model.0)))
                .add_option(self.block_number.map(|range| range.holds(Column::BlockNumber)))
                .add_option(self.block_timestamp_s.map(|range| range.holds(Column::BlockTimestampS))),
        )
    }
}

/// Narrows instances.
#[derive(Debug, Clone, Default, InputObject)]
pub(crate) struct InstanceFilter {
    /// Registered by this address.
    issuer: Option<Address>,
    /// With this id.
    instance: Option<ContentId>,
    /// Of this model.
    model: Option<ContentId>,
    /// `true`: still running; `false`: ended.
    running: Option<bool>,
    /// Registered in these blocks.
    block_number: Option<Range>,
    /// Registered at these block times, Unix seconds.
    block_timestamp_s: Option<Range>,
    /// With this verdict now. `NOT_CHECKED` includes what has no verdict yet.
    verdict: Option<VerdictStatus>,
}

impl InstanceFilter {
    /// A model's runs by an issuer.
    pub(super) fn of(issuer: &Address, model: &ContentId) -> Self {
        Self { issuer: Some(issuer.clone()), model: Some(model.clone()), ..Self::default() }
    }

    pub(super) fn apply(self, select: Select<instance::Entity>, as_of: i64) -> Select<instance::Entity> {
        use instance::Column;
        select.filter(
            Condition::all()
                .add_option(self.issuer.map(|issuer| Column::Issuer.eq(issuer.0)))
                .add_option(self.instance.map(|instance| Column::InstanceId.eq(instance.0)))
                .add_option(self.model.map(|model| Column::ModelId.eq(model.0)))
                .add_option(self.running.map(|running| if running { ended(as_of).not() } else { ended(as_of) }))
                .add_option(self.block_number.map(|range| range.holds(Column::BlockNumber)))
                .add_option(self.block_timestamp_s.map(|range| range.holds(Column::BlockTimestampS)))
                .add_option(self.verdict.map(|status| graded(status, instance_verdicts))),
        )
    }
}

/// Narrows states.
#[derive(Debug, Clone, Default, InputObject)]
pub(crate) struct StateFilter {
    /// Registered by this address.
    issuer: Option<Address>,
    /// Of this instance.
    instance: Option<ContentId>,
    /// Of instances of this model.
    model: Option<ContentId>,
    /// Registered in these blocks.
    block_number: Option<Range>,
    /// Registered at these block times, Unix seconds.
    block_timestamp_s: Option<Range>,
    /// With this verdict now. `NOT_CHECKED` includes what has no verdict yet.
    verdict: Option<VerdictStatus>,
}

impl StateFilter {
    pub(super) fn apply(self, select: Select<state::Entity>, as_of: i64) -> Select<state::Entity> {
        use state::Column;
        select.filter(
            Condition::all()
                .add_option(self.issuer.map(|issuer| Column::Issuer.eq(issuer.0)))
                .add_option(self.instance.map(|instance| Column::InstanceId.eq(instance.0)))
                .add_option(self.model.map(|model| of_model(model, as_of)))
                .add_option(self.block_number.map(|range| range.holds(Column::BlockNumber)))
                .add_option(self.block_timestamp_s.map(|range| range.holds(Column::BlockTimestampS)))
                .add_option(self.verdict.map(|status| graded(status, state_verdicts))),
        )
    }
}

fn other(column: &'static str) -> Expr {
    Expr::col((Alias::new("v"), Alias::new(column)))
}

/// Whether a termination of the instance in the outer query held at a position.
fn ended(as_of: i64) -> Expr {
    let mut query = Query::select();
    query
        .expr(Expr::val(1))
        .from_as((Alias::new("journal"), termination::Entity), Alias::new("v"))
        .and_where(other("issuer").equals((instance::Entity, instance::Column::Issuer)))
        .and_where(other("instance_id").equals((instance::Entity, instance::Column::InstanceId)))
        .and_where(other("position").lte(as_of))
        .and_where(other("retracted_by").is_null().or(other("retracted_by").gt(as_of)));
    Expr::exists(query)
}

fn of_model(model: ContentId, as_of: i64) -> Expr {
    let instances = instance::Entity::held(as_of)
        .filter(instance::Column::ModelId.eq(model.0))
        .select_only()
        .columns([instance::Column::Issuer, instance::Column::InstanceId])
        .into_query();
    Expr::tuple([
        Expr::col((state::Entity, state::Column::Issuer)),
        Expr::col((state::Entity, state::Column::InstanceId)),
    ])
    .in_subquery(instances)
}

/// Whether the last verdict has this status; no verdict counts as not checked.
fn graded(status: VerdictStatus, verdicts: fn() -> SelectStatement) -> Expr {
    match status {
        VerdictStatus::NotChecked => {
            Expr::exists(verdicts().and_where(other("status").ne("not_checked")).to_owned()).not()
        }
        status => Expr::exists(verdicts().and_where(other("status").eq(status.name())).to_owned()),
    }
}

fn instance_verdicts() -> SelectStatement {
    Query::select()
        .expr(Expr::val(1))
        .from_as((Alias::new("verdict"), instance_verdict::Entity), Alias::new("v"))
        .and_where(other("issuer").equals((instance::Entity, instance::Column::Issuer)))
        .and_where(other("instance_id").equals((instance::Entity, instance::Column::InstanceId)))
        .to_owned()
}

fn state_verdicts() -> SelectStatement {
    Query::select()
        .expr(Expr::val(1))
        .from_as((Alias::new("verdict"), state_verdict::Entity), Alias::new("v"))
        .and_where(other("issuer").equals((state::Entity, state::Column::Issuer)))
        .and_where(other("instance_id").equals((state::Entity, state::Column::InstanceId)))
        .and_where(other("sequence").equals((state::Entity, state::Column::Sequence)))
        .and_where(other("state_id").equals((state::Entity, state::Column::StateId)))
        .to_owned()
}
