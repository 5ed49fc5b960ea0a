//! The GraphQL schema.

mod certificate;
mod client;
mod entry;
pub(crate) mod failure;
mod filter;
mod instance;
mod loaders;
mod model;
mod paging;
pub(crate) mod place;
mod query;
pub(crate) mod scalars;
pub(crate) mod snapshot;
mod state;
mod states_root;
mod subscription;
mod verdict;

use async_graphql::{EmptyMutation, Schema, SchemaBuilder};
use sea_orm::DatabaseConnection;

use self::{query::Query, subscription::Subscription};
use crate::{feed::Feed, settings::Settings};

/// The schema with its resolvers.
pub(crate) type Served = Schema<Query, EmptyMutation, Subscription>;

fn bare() -> SchemaBuilder<Query, EmptyMutation, Subscription> {
    Schema::build(Query, EmptyMutation, Subscription)
}

/// The schema over a database.
pub(crate) fn build(settings: &Settings, database: DatabaseConnection, feed: Feed) -> Served {
    let mut builder = bare()
        .limit_depth(settings.limits.depth)
        .limit_complexity(settings.limits.complexity)
        .data(loaders::batched(database.clone()))
        .data(database)
        .data(feed);
    if !settings.introspection {
        builder = builder.disable_introspection();
    }
    builder.finish()
}

/// The schema as text, in GraphQL's definition language.
#[must_use]
pub fn definition() -> String {
    bare().finish().sdl()
}

#[cfg(test)]
mod tests {
    /// A change of the schema is a change of what clients rely on: it must be seen in review. Write it anew with `UPDATE_SCHEMA=1 cargo test -p runproof-api`.
    #[test]
    fn the_committed_definition_is_the_one_served() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/schema.graphql");
        if std::env::var_os("UPDATE_SCHEMA").is_some() {
            std::fs::write(path, super::definition()).expect("schema.graphql can be written");
        }
        let committed = std::fs::read_to_string(path).expect("schema.graphql can be read");
        assert!(
            committed == super::definition(),
            "schema.graphql differs from the schema: UPDATE_SCHEMA=1 writes it anew"
        );
    }
}
