//! The trace's companion document, `/<instance>/events.json`: each event of the history, with exits, failures and retries, of which the trace tells nothing.
//!
//! Like a trace it is a JSON list that only grows, stored part by part: what was published of it stays as it was. A retry is known by its attempts: each is
//! scheduled anew after the event with which the one before failed, within the state that was entered with the same event.

use futures::TryStreamExt;
use runproof_protocol::{
    InstanceId,
    detail::Detail,
    trace::{TraceHasher, separator},
};
use serde::Serialize;
use sqlx::PgConnection;

use crate::{
    capture::CaptureError,
    mask::AccountMask,
    request::published::{self, AcceptedRequest, PublishedRequest},
    withheld::Withheld,
};

/// An event as it is published.
#[derive(Serialize)]
struct ToldEvent<'a> {
    id: u64,
    /// The event before it on its branch, 0 for none.
    previous_id: u64,
    #[serde(rename = "type")]
    event_type: &'a str,
    /// Milliseconds since the Unix epoch.
    timestamp_ms: i64,
    /// Name of the state that was entered or left.
    #[serde(skip_serializing_if = "Option::is_none")]
    state_name: Option<&'a str>,
    /// The event with which the state was entered in which it happened; absent outside of all states that this instance entered.
    #[serde(skip_serializing_if = "Option::is_none")]
    entered: Option<u64>,
    #[serde(flatten)]
    detail: &'a Detail,
    /// The client's request by which the task was completed.
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<&'a PublishedRequest>,
}

/// What an event adds to the document.
#[derive(Debug)]
pub(crate) struct Part {
    /// Its bytes, separator included.
    pub(crate) text: String,
    /// Length of the document up to and including it, without the closing `]`, bytes.
    pub(crate) document_len: u64,
}

/// What these events, each with that with which its state was entered, add to a document of this length.
pub(crate) fn parts(
    document_len: u64,
    events: &[(Withheld, Option<u64>)],
    accepted: &[AcceptedRequest],
    mask: &AccountMask,
) -> serde_json::Result<Vec<Part>> {
    let part = |len: &mut u64, (withheld, entered): &(Withheld, Option<u64>)| {
        let event = &withheld.event;
        let completes = |request: &&AcceptedRequest| request.completes(*entered, withheld.output(), mask);
        let told = ToldEvent {
            id: event.id,
            previous_id: event.previous_id,
            event_type: &event.event_type,
            timestamp_ms: event.timestamp_ms,
            state_name: event.state_name.as_deref(),
            entered: *entered,
            detail: &event.detail,
            request: accepted.iter().filter(|_| succeeds(withheld)).find(completes).map(|request| &request.published),
        };
        let text = serde_json::to_string(&told).map(|told| format!("{}{told}", separator(*len)))?;
        *len += text.len() as u64;
        Ok(Part { text, document_len: *len })
    };
    let mut len = document_len;
    events.iter().map(|event| part(&mut len, event)).collect()
}

/// Accepted requests by which tasks of these events may have been completed. A request is accepted before its task is.
pub(crate) async fn accepted(
    sql: &mut PgConnection,
    instance: InstanceId,
    events: &[(Withheld, Option<u64>)],
) -> Result<Vec<AcceptedRequest>, CaptureError> {
    let entered = events.iter().filter(|(event, _)| succeeds(event)).filter_map(|(_, entered)| *entered);
    let entered: Vec<i64> = entered.map(|id| id as i64).collect();
    if entered.is_empty() { Ok(Vec::new()) } else { Ok(published::accepted_in(sql, instance, &entered).await?) }
}

/// Whether a task that may have waited for a client was completed.
fn succeeds(withheld: &Withheld) -> bool {
    match withheld.event.event_type.as_str() {
        "ActivitySucceeded" => true,
        "TaskSucceeded" => {
            let resource = withheld.event.detail.resource.as_deref();
            resource.is_some_and(|resource| resource.ends_with(".waitForTaskToken"))
        }
        _ => false,
    }
}

/// Stores the hash of the whole document, of an instance that has ended.
pub(crate) async fn seal(sql: &mut PgConnection, instance: InstanceId) -> sqlx::Result<()> {
    let (mut hasher, mut hash) = (TraceHasher::default(), None);
    let parts = "select part from executor.history_event where instance_id = $1 order by event_id";
    let mut parts = sqlx::query_scalar::<_, String>(parts).bind(instance.as_slice()).fetch(&mut *sql);
    while let Some(part) = parts.try_next().await? {
        hash = Some(hasher.append(part.as_bytes()));
    }
    drop(parts);
    let stored = sqlx::query("update executor.instance set events_hash = $2 where instance_id = $1");
    stored.bind(instance.as_slice()).bind(hash.as_ref().map(|hash| hash.as_slice())).execute(sql).await?;
    Ok(())
}
