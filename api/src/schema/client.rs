//! Clients: whoever registered, or asked for a transition.

use async_graphql::{
    Error, Result, SimpleObject,
    connection::{Connection, Edge},
};
use sea_orm::{DatabaseConnection, DbBackend, FromQueryResult, Statement};

use super::{
    failure::unavailable,
    paging,
    scalars::{Address, Long},
};

const ACTIVITY: &str = "
    select address,
           count(*) filter (where kind = 'model_registered') as models,
           count(*) filter (where kind in ('instance_registered', 'itrex_instance_registered')) as instances,
           (count(*) filter (where kind in ('state_registered', 'itrex_state_registered')) + coalesce(sum(under_root), 0))::bigint as states,
           count(*) filter (where kind = 'transition_requested') as requests,
           min(block_timestamp_s) as first_seen_s, max(block_timestamp_s) as last_seen_s
    from (
        select issuer as address, kind, block_timestamp_s,
               case when kind = 'states_root_registered' then (event ->> 'count')::bigint end as under_root
        from journal.applied
        where kind <> 'transition_requested' and position <= $1 and (retracted_by is null or retracted_by > $1)
        union all
        select decode(substr(event ->> 'participant', 3), 'hex'), kind, block_timestamp_s, null from journal.applied
        where kind in ('transition_requested', 'participant_set') and position <= $1 and (retracted_by is null or retracted_by > $1)
    ) activity
    where ($2::bytea is null or address = $2) and ($3::bytea is null or address > $3)
    group by address order by address limit $4";

/// An address that registered something, was made a participant, or asked for a transition.
#[derive(Debug, SimpleObject)]
pub(crate) struct Client {
    /// Its address.
    address: Address,
    /// Models that it registered.
    models: Long,
    /// Instances that it registered.
    instances: Long,
    /// States that it registered.
    states: Long,
    /// Transitions that it asked for.
    requests: Long,
    /// Block time of its first appearance, Unix seconds.
    first_seen_s: Long,
    /// Block time of its last appearance, Unix seconds.
    last_seen_s: Long,
}

#[derive(FromQueryResult)]
struct Activity {
    address: Vec<u8>,
    models: i64,
    instances: i64,
    states: i64,
    requests: i64,
    first_seen_s: i64,
    last_seen_s: i64,
}

impl From<Activity> for Client {
    fn from(row: Activity) -> Self {
        Self {
            address: Address(row.address),
            models: Long(row.models),
            instances: Long(row.instances),
            states: Long(row.states),
            requests: Long(row.requests),
            first_seen_s: Long(row.first_seen_s),
            last_seen_s: Long(row.last_seen_s),
        }
    }
}

/// Reads a page of clients, by address; a cursor is the address as hex.
pub(super) async fn read(
    database: &DatabaseConnection,
    as_of: i64,
    address: Option<Address>,
    first: Option<i32>,
    after: Option<String>,
) -> Result<Connection<String, Client>> {
    let length = paging::length_or_usual(first)?;
    let after = after
        .map(|after| hex::decode(&after).map_err(|_| Error::new("not a cursor: give one that a page gave")))
        .transpose()?;
    let values = [
        as_of.into(),
        address.map(|address| address.0).into(),
        after.clone().into(),
        (length + 1).cast_signed().into(),
    ];
    let statement = Statement::from_sql_and_values(DbBackend::Postgres, ACTIVITY, values);
    let mut rows = Activity::find_by_statement(statement).all(database).await.map_err(unavailable)?;

    let has_next = rows.len() as u64 > length;
    rows.truncate(usize::try_from(length)?);
    let mut page = Connection::new(after.is_some(), has_next);
    page.edges.extend(rows.into_iter().map(|row| Edge::new(hex::encode(&row.address), Client::from(row))));
    Ok(page)
}
