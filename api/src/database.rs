//! Connections that can only read.

use std::str::FromStr;

use eyre::WrapErr;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};

use crate::settings::Settings;

/// Opens connections as role `runproof_reader`, read-only, each statement bounded by the deadline.
pub(crate) fn open(settings: &Settings) -> eyre::Result<PgPool> {
    let deadline_ms = settings.limits.deadline.as_millis();
    let options = PgConnectOptions::from_str(&settings.postgres_url)
        .wrap_err("postgres_url cannot be read: give postgres://user:password@host:port/database")?
        .application_name("runproof-api")
        .options([("role", "runproof_reader"), ("default_transaction_read_only", "on")])
        .options([("statement_timeout", deadline_ms), ("idle_in_transaction_session_timeout", deadline_ms)]);
    Ok(PgPoolOptions::new()
        .max_connections(settings.limits.database_connections)
        .acquire_timeout(settings.limits.deadline)
        .connect_lazy_with(options))
}
