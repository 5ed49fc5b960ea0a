//! The newest verdict of each instance in Postgres: what the compacted topic of verdicts must come to.

use alloy::primitives::Address;
use eyre::Result;
use runproof_protocol::InstanceId;
use serde_json::json;
use sqlx::PgPool;

use super::keyed::{Keyed, Newest};
use crate::{cursor::unsigned, relay::message::instance_key};

const NEWEST: &str = "
    select issuer, instance_id, revision, status from verdict.instance
    union all select issuer, instance_id, revision, null from verdict.removal order by revision";

/// A row of it: issuer, instance, revision and, unless it was removed, its status.
type Row = (Vec<u8>, Vec<u8>, i64, Option<String>);

/// As of now.
///
/// # Errors
/// Postgres'.
pub(super) async fn newest(pool: &PgPool) -> Result<Keyed> {
    let rows: Vec<Row> = sqlx::query_as(NEWEST).fetch_all(pool).await?;
    let mut keyed = Keyed::default();
    for (issuer, instance, revision, status) in rows {
        let key = instance_key(Address::try_from(&issuer[..])?, InstanceId::try_from(&instance[..])?);
        let mark = unsigned(revision);
        let value = status.map(|status| json!({"revision": mark, "status": status}));
        keyed.newest.insert(key, Newest { mark, value });
        keyed.upto = mark;
    }
    Ok(keyed)
}
