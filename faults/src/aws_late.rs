//! Events that come later than those after them: a history that is read meanwhile has holes.

use std::{
    collections::HashMap,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use serde_json::Value;

use crate::aws_proxy::{lock, place};

/// Readings in which such an event is missing: more than one may think a hole to last.
const LATE_BY: u32 = 6;

/// In how many readings events were missing so far, by execution and id.
#[derive(Default)]
pub(crate) struct LateEvents(Mutex<HashMap<(String, u64), u32>>);

impl LateEvents {
    /// A reading of a history without those that are late, which is one of so many (0: none). Each hole is counted once.
    pub(crate) fn without(&self, arn: &str, mut history: Vec<Value>, every: u64, holes: &AtomicU64) -> Vec<Value> {
        let newest = history.last().map(place).unwrap_or_default();
        let mut missing = lock(&self.0);
        history.retain(|event| {
            let id = place(event);
            if !id.is_multiple_of(every) {
                return true;
            }
            // One that was given once stays.
            let begins = if id == newest { LATE_BY } else { 0 };
            let readings = missing.entry((arn.to_owned(), id)).or_insert(begins);
            *readings = readings.saturating_add(1);
            holes.fetch_add(u64::from(*readings == 1), Ordering::Relaxed);
            *readings > LATE_BY
        });
        history
    }
}
