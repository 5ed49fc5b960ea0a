//! What was indexed and verified, over TLS: GraphQL with subscriptions, and a page for people.
//!
//! | path | serves |
//! |---|---|
//! | `/` | the monitor page |
//! | `POST /graphql` | queries, one a request, `content-type: application/json` |
//! | `GET /graphql/ws` | the same and subscriptions, protocol graphql-transport-ws |
//! | `POST /sources/<name>/graphql`, `GET /sources/<name>/graphql/ws` | the same of a further source |
//! | `/graphiql` | GraphiQL, if it is switched on |
//! | `/schema.graphql` | the schema |
//! | `/healthz`, `/readyz` | whether the process lives; whether it can answer |
//!
//! It only reads: Postgres role `runproof_reader`.

mod asset;
mod database;
mod feed;
mod graphiql;
mod http;
mod limits;
mod origin;
mod page;
mod schema;
mod server;
mod service;
mod settings;
mod watermark;
mod websocket;

pub use schema::definition;
pub use server::serve;
pub use settings::{Limits, Settings};
