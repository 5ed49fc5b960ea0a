//! Questions.

use async_graphql::{Context, Object, Result};
use runproof_migrations::entity::{certificate, instance, model, state};
use sea_orm::{ColumnTrait, DatabaseConnection, QueryFilter, QueryOrder};

use super::{
    certificate::Certificate,
    client::{self, Client},
    failure::unavailable,
    filter::{InstanceFilter, ModelFilter, StateFilter},
    instance::Instance,
    model::Model,
    paging::{self, Page, Window},
    scalars::{Address, ContentId, Position},
    snapshot::{Journaled, Snapshot, as_of},
    state::State,
};
use crate::watermark::Watermark;

/// What was registered, and what became of it. All parts of one answer are read as of the same position, see `watermark`.
pub(crate) struct Query;

#[Object]
impl Query {
    /// How far the journal has come: this answer is as of its position. Null before the indexer's first start.
    async fn watermark(&self, context: &Context<'_>) -> Result<Option<Watermark>> {
        Ok(context.data::<Snapshot>()?.0.clone())
    }

    /// Models, in the order of their registration. Pages have at most 500.
    #[expect(clippy::too_many_arguments, reason = "Relay's arguments are single ones")]
    #[graphql(complexity = "paging::cost(first, last, child_complexity)")]
    async fn models(
        &self,
        context: &Context<'_>,
        filter: Option<ModelFilter>,
        #[graphql(desc = "Read as of this position instead of now.")] as_of: Option<Position>,
        first: Option<i32>,
        after: Option<String>,
        last: Option<i32>,
        before: Option<String>,
    ) -> Result<Page<Model>> {
        let (window, as_of) = (Window::new(first, after, last, before)?, self::as_of(context, as_of)?);
        let select = filter.unwrap_or_default().apply(model::Entity::held(as_of));
        paging::read(context.data::<DatabaseConnection>()?, select, window, as_of, |row| Model::new(row, as_of)).await
    }

    /// Instances, in the order of their registration. Pages have at most 500.
    #[expect(clippy::too_many_arguments, reason = "Relay's arguments are single ones")]
    #[graphql(complexity = "paging::cost(first, last, child_complexity)")]
    async fn instances(
        &self,
        context: &Context<'_>,
        filter: Option<InstanceFilter>,
        #[graphql(desc = "Read as of this position instead of now.")] as_of: Option<Position>,
        first: Option<i32>,
        after: Option<String>,
        last: Option<i32>,
        before: Option<String>,
    ) -> Result<Page<Instance>> {
        let (window, as_of) = (Window::new(first, after, last, before)?, self::as_of(context, as_of)?);
        let select = filter.unwrap_or_default().apply(instance::Entity::held(as_of), as_of);
        paging::read(context.data::<DatabaseConnection>()?, select, window, as_of, |row| Instance::new(row, as_of))
            .await
    }

    /// States, in the order of their registration. Pages have at most 500.
    #[expect(clippy::too_many_arguments, reason = "Relay's arguments are single ones")]
    #[graphql(complexity = "paging::cost(first, last, child_complexity)")]
    async fn states(
        &self,
        context: &Context<'_>,
        filter: Option<StateFilter>,
        #[graphql(desc = "Read as of this position instead of now.")] as_of: Option<Position>,
        first: Option<i32>,
        after: Option<String>,
        last: Option<i32>,
        before: Option<String>,
    ) -> Result<Page<State>> {
        let (window, as_of) = (Window::new(first, after, last, before)?, self::as_of(context, as_of)?);
        let select = filter.unwrap_or_default().apply(state::Entity::held(as_of), as_of);
        paging::read(context.data::<DatabaseConnection>()?, select, window, as_of, |row| State::new(row, as_of)).await
    }

    /// Certificates, in the order of their binding, revoked ones included. Pages have at most 500.
    #[expect(clippy::too_many_arguments, reason = "Relay's arguments are single ones")]
    #[graphql(complexity = "paging::cost(first, last, child_complexity)")]
    async fn certificates(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Of this address alone.")] subject: Option<Address>,
        #[graphql(desc = "Read as of this position instead of now.")] as_of: Option<Position>,
        first: Option<i32>,
        after: Option<String>,
        last: Option<i32>,
        before: Option<String>,
    ) -> Result<Page<Certificate>> {
        let (window, as_of) = (Window::new(first, after, last, before)?, self::as_of(context, as_of)?);
        let mut select = certificate::Entity::held(as_of);
        if let Some(Address(subject)) = subject {
            select = select.filter(certificate::Column::Subject.eq(subject));
        }
        paging::read(context.data::<DatabaseConnection>()?, select, window, as_of, |row| Certificate::new(row, as_of))
            .await
    }

    /// Addresses that registered something, were made participants, or asked for a transition, by address. Pages have at most 500.
    #[graphql(complexity = "paging::cost(first, None, child_complexity)")]
    async fn clients(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "This address alone.")] address: Option<Address>,
        #[graphql(desc = "Read as of this position instead of now.")] as_of: Option<Position>,
        first: Option<i32>,
        after: Option<String>,
    ) -> Result<async_graphql::connection::Connection<String, Client>> {
        let as_of = self::as_of(context, as_of)?;
        client::read(context.data::<DatabaseConnection>()?, as_of, address, first, after).await
    }

    /// The model with this id: as this issuer registered it, else as it was registered first.
    async fn model(
        &self,
        context: &Context<'_>,
        id: ContentId,
        issuer: Option<Address>,
        as_of: Option<Position>,
    ) -> Result<Option<Model>> {
        let as_of = self::as_of(context, as_of)?;
        let select =
            ModelFilter::of(issuer, id).apply(model::Entity::held(as_of)).order_by_asc(model::Column::Position);
        let row = select.one(context.data::<DatabaseConnection>()?).await.map_err(unavailable)?;
        Ok(row.map(|row| Model::new(row, as_of)))
    }

    /// The instance that this issuer registered with this id.
    async fn instance(
        &self,
        context: &Context<'_>,
        issuer: Address,
        id: ContentId,
        as_of: Option<Position>,
    ) -> Result<Option<Instance>> {
        let as_of = self::as_of(context, as_of)?;
        let select = instance::Entity::held(as_of)
            .filter(instance::Column::Issuer.eq(issuer.0))
            .filter(instance::Column::InstanceId.eq(id.0));
        let row = select.one(context.data::<DatabaseConnection>()?).await.map_err(unavailable)?;
        Ok(row.map(|row| Instance::new(row, as_of)))
    }

    /// The state with this id: as this issuer registered it, else as it was registered first.
    async fn state(
        &self,
        context: &Context<'_>,
        id: ContentId,
        issuer: Option<Address>,
        as_of: Option<Position>,
    ) -> Result<Option<State>> {
        let as_of = self::as_of(context, as_of)?;
        let mut select =
            state::Entity::held(as_of).filter(state::Column::StateId.eq(id.0)).order_by_asc(state::Column::Position);
        if let Some(Address(issuer)) = issuer {
            select = select.filter(state::Column::Issuer.eq(issuer));
        }
        let row = select.one(context.data::<DatabaseConnection>()?).await.map_err(unavailable)?;
        Ok(row.map(|row| State::new(row, as_of)))
    }
}
