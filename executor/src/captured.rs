//! Events and states as they are stored: each with the bytes that it adds to a document.

use runproof_protocol::{InstanceId, history::CapturedState};
use sqlx::PgConnection;

use crate::{capture::CaptureError, companion, withheld::Withheld};

/// Stores events with the bytes that each adds to the companion document.
pub(crate) async fn store_events(
    sql: &mut PgConnection,
    instance: InstanceId,
    events: &[(Withheld, Option<u64>)],
    parts: &[companion::Part],
) -> Result<(), CaptureError> {
    let ids: Vec<i64> = events.iter().map(|(withheld, _)| withheld.event.id as i64).collect();
    let texts = events.iter().map(|(withheld, _)| serde_json::to_string(&withheld.event));
    let openings = events.iter().map(|(withheld, _)| {
        let openings = Some(&withheld.openings).filter(|openings| !openings.is_empty());
        openings.map(serde_json::to_string).transpose()
    });
    sqlx::query(
        "insert into executor.history_event (instance_id, event_id, event, openings, part, document_len)
         select $1, e.id, e.event::json, e.openings::json, e.part, e.document_len
         from unnest($2::bigint[], $3::text[], $4::text[], $5::text[], $6::bigint[]) as e(id, event, openings, part, document_len)",
    )
    .bind(instance.as_slice())
    .bind(ids)
    .bind(texts.collect::<Result<Vec<_>, _>>()?)
    .bind(openings.collect::<Result<Vec<_>, _>>()?)
    .bind(parts.iter().map(|part| part.text.as_str()).collect::<Vec<_>>())
    .bind(parts.iter().map(|part| part.document_len as i64).collect::<Vec<_>>())
    .execute(sql)
    .await?;
    Ok(())
}

/// Stores states with the bytes that each adds to the trace.
pub(crate) async fn store_states(
    sql: &mut PgConnection,
    instance: InstanceId,
    states: &[CapturedState],
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into executor.state (instance_id, sequence, state_id, event_id, name, entered_at_ms, predecessor, part, trace_len)
         select $1, s.* from unnest($2::bigint[], $3::bytea[], $4::bigint[], $5::text[], $6::bigint[], $7::bigint[], $8::text[], $9::bigint[]) as s",
    )
    .bind(instance.as_slice())
    .bind(column(states, |state| state.sequence as i64))
    .bind(column(states, |state| state.id.as_slice().to_vec()))
    .bind(column(states, |state| state.event_id as i64))
    // Postgres stores no NUL in text; the name is a label, the trace keeps the original.
    .bind(column(states, |state| state.name.replace('\0', "\u{fffd}")))
    .bind(column(states, |state| state.entered_at_ms))
    .bind(column(states, |state| state.predecessor.map(i64::from)))
    .bind(column(states, |state| state.part.clone()))
    .bind(column(states, |state| state.trace_len as i64))
    .execute(sql)
    .await?;
    Ok(())
}

/// One column of rows that are stored by one statement.
pub(crate) fn column<R, T>(rows: &[R], value: impl Fn(&R) -> T) -> Vec<T> {
    rows.iter().map(value).collect()
}
