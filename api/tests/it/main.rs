//! The API on a real Postgres, asked over real TLS. Rows of the journal are inserted as the indexer would.

mod events;
mod journal;
mod protocol;
mod queries;
mod refusals;
mod served;
mod warehouse;
