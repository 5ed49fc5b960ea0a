//! Models.

use async_graphql::{ComplexObject, Context, Result, SimpleObject};
use runproof_migrations::entity::{instance, model};
use sea_orm::DatabaseConnection;

use super::{
    filter::InstanceFilter,
    instance::Instance,
    paging::{self, Page, Window},
    place::{self, Block, Finality, block_of},
    scalars::{Address, ContentId, Hash, Position},
    snapshot::Journaled,
};

/// An executable model, registered by its issuer.
#[derive(Debug, SimpleObject)]
#[graphql(complex)]
pub(crate) struct Model {
    /// SHA-256 of the model's document.
    model_id: ContentId,
    /// Who registered it.
    issuer: Address,
    /// Place in the journal.
    position: Position,
    /// Block of its registration.
    block: Block,
    /// Transaction of its registration.
    transaction_hash: Hash,
    #[graphql(skip)]
    as_of: i64,
}

#[ComplexObject]
impl Model {
    /// How firmly the chain holds that block, as of the answer's position.
    async fn finality(&self, context: &Context<'_>) -> Result<Finality> {
        place::finality(context, self.as_of, &self.block).await
    }

    /// Its runs by the same issuer, in the order of their registration.
    #[graphql(complexity = "paging::cost(first, last, child_complexity)")]
    async fn instances(
        &self,
        context: &Context<'_>,
        first: Option<i32>,
        after: Option<String>,
        last: Option<i32>,
        before: Option<String>,
    ) -> Result<Page<Instance>> {
        let window = Window::new(first, after, last, before)?;
        let filter = InstanceFilter::of(&self.issuer, &self.model_id);
        let select = filter.apply(instance::Entity::held(self.as_of), self.as_of);
        let database = context.data::<DatabaseConnection>()?;
        paging::read(database, select, window, self.as_of, |row| Instance::new(row, self.as_of)).await
    }
}

impl Model {
    pub(super) fn new(row: model::Model, as_of: i64) -> Self {
        Self {
            block: block_of!(row),
            model_id: ContentId(row.model_id),
            issuer: Address(row.issuer),
            position: Position(row.position),
            transaction_hash: Hash(row.transaction_hash),
            as_of,
        }
    }
}
