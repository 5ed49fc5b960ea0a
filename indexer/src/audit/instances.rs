//! The newest state of each instance, by the fold of all events: what the compacted topic of instances must come to.

use std::collections::{BTreeMap, BTreeSet};

use runproof_protocol::event::{Event, JournalEntry};
use serde_json::{Value, json};

use super::keyed::Newest;
use crate::relay::message::instance_key;

/// By key of the topic, as of the last entry. An instance whose registration was taken back has a tombstone.
///
/// # Errors
/// None that an entry of a journal causes.
pub(super) fn fold(entries: &[JournalEntry]) -> serde_json::Result<BTreeMap<String, Newest>> {
    let taken_back = |entry: &JournalEntry| entry.retraction.as_ref().map(|retraction| retraction.position);
    let taken_back: BTreeSet<u64> = entries.iter().filter_map(taken_back).collect();
    let mut all = BTreeMap::<String, Newest>::new();
    for entry in entries {
        let Some(key) = concerned(&entry.event) else { continue };
        let newest = all.entry(key).or_insert(Newest { mark: 0, value: None });
        newest.mark = entry.position;
        if entry.retraction.is_none() && !taken_back.contains(&entry.position) {
            apply(&mut newest.value, entry)?;
        }
        if let Some(value) = &mut newest.value {
            value["position"] = json!(newest.mark);
        }
    }
    Ok(all)
}

fn concerned(event: &Event) -> Option<String> {
    match event {
        Event::InstanceRegistered { issuer, instance, .. }
        | Event::StateRegistered { issuer, instance, .. }
        | Event::StatesRootRegistered { issuer, instance, .. }
        | Event::InstanceTerminated { issuer, instance, .. } => Some(instance_key(*issuer, *instance)),
        _ => None,
    }
}

/// What stands comes in the order of the chain, and its registration first.
fn apply(value: &mut Option<Value>, entry: &JournalEntry) -> serde_json::Result<()> {
    let origin = serde_json::to_value(entry.origin)?;
    if let Event::InstanceRegistered { issuer, instance, model, ordinal, .. } = &entry.event {
        *value = Some(json!({
            "issuer": issuer, "instance": instance, "model": model, "ordinal": ordinal, "registered": origin,
            "state_count": 0, "newest_state": null, "termination": null,
        }));
    }
    let Some(value) = value else { return Ok(()) };
    match &entry.event {
        Event::StateRegistered { state, sequence, predecessor, .. } => {
            value["state_count"] = json!(sequence.saturating_add(1));
            value["newest_state"] =
                json!({"state": state, "sequence": sequence, "predecessor": predecessor, "origin": origin});
        }
        Event::StatesRootRegistered { first, count, .. } => {
            value["state_count"] = json!(first.saturating_add(*count));
            value["newest_state"] = Value::Null;
        }
        Event::InstanceTerminated { outcome, head, .. } => {
            value["termination"] = json!({"outcome": outcome, "head": head, "origin": origin});
        }
        _ => {}
    }
    Ok(())
}
