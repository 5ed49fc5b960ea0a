//! Whether a journal, wherever it was read, comes to what the chain says. Pure: entries and the chain's items in, differences out.

use std::collections::{BTreeMap, BTreeSet};

use runproof_protocol::event::{Event, JournalEntry, Origin};

use super::report::{Difference, Place};
use crate::decode::Item;

/// What is wrong with a journal.
#[derive(Debug, Default)]
pub(super) struct Judged {
    /// Each once.
    pub(super) differences: Vec<Difference>,
    /// The positions that they name.
    pub(super) positions: BTreeSet<u64>,
}

/// Replays `entries`, which should be those of the positions 1 to `last`, and compares what stands at the end with `items`.
pub(super) fn judge(place: Place, entries: &[JournalEntry], last: u64, items: &[Item]) -> Judged {
    let mut replay =
        Replay { place, last, judged: Judged::default(), standing: BTreeMap::new(), gaps: BTreeSet::new() };
    let mut before = 0;
    for entry in entries {
        if entry.position > last {
            replay.name(entry.position, "", None, Some(told(&entry.event, &entry.origin)));
        } else if entry.position <= before {
            replay.name(entry.position, " once more", None, Some(told(&entry.event, &entry.origin)));
        } else {
            replay.gaps.extend(before + 1..entry.position);
            before = entry.position;
            replay.apply(entry);
        }
    }
    replay.gaps.extend(before + 1..=last);
    replay.compare(items);
    replay.judged
}

/// Positions at which two journals differ, besides those `named` already.
pub(super) fn entries_differ(
    journal: &[JournalEntry],
    topic: &[JournalEntry],
    named: &BTreeSet<u64>,
) -> Vec<Difference> {
    let by_position = |entries: &[JournalEntry]| -> BTreeMap<u64, String> {
        let others = entries.iter().filter(|entry| !named.contains(&entry.position));
        others.map(|entry| (entry.position, json(entry))).collect()
    };
    super::report::differ(Place::Topic, "position", &by_position(journal), &by_position(topic))
}

/// A place on the chain: block, log (none: a call, which comes before), item.
type Spot = (u64, Option<u64>, u64);

fn spot(origin: &Origin) -> Spot {
    let (log, item) = origin.place.map_or((None, 0), |place| (place.log_index, place.item_index));
    (origin.block_number, log, item)
}

struct Replay<'a> {
    place: Place,
    last: u64,
    judged: Judged,
    standing: BTreeMap<u64, &'a JournalEntry>,
    gaps: BTreeSet<u64>,
}

impl<'a> Replay<'a> {
    fn name(&mut self, position: u64, how: &str, expected: Option<String>, found: Option<String>) {
        self.judged.positions.insert(position);
        self.judged.differences.push(Difference::new(self.place, format!("position {position}{how}"), expected, found));
    }

    /// An entry comes to stand, or takes back one that stands.
    fn apply(&mut self, entry: &'a JournalEntry) {
        let Some(retraction) = &entry.retraction else {
            self.standing.insert(entry.position, entry);
            return;
        };
        let taken = self.standing.remove(&retraction.position);
        let fits = taken.is_some_and(|taken| (&taken.event, taken.origin) == (&entry.event, entry.origin));
        if !fits {
            let expected = taken.map(|taken| format!("if a retraction of it, {}", told(&taken.event, &taken.origin)));
            let found =
                format!("retraction of position {}: {}", retraction.position, told(&entry.event, &entry.origin));
            self.name(entry.position, "", expected, Some(found));
        }
    }

    fn compare(&mut self, items: &[Item]) {
        let mut standing = self.by_spot();
        let mut before = 0;
        for item in items {
            let expected = told(&item.event, &item.origin);
            match standing.remove(&spot(&item.origin)) {
                Some(entry) => {
                    before = entry.position;
                    if (&entry.event, &entry.origin) != (&item.event, &item.origin) {
                        self.name(before, "", Some(expected), Some(told(&entry.event, &entry.origin)));
                    }
                }
                None => {
                    let after =
                        standing.range(spot(&item.origin)..).next().map_or(self.last + 1, |(_, entry)| entry.position);
                    self.missing(before, after, item, expected);
                }
            }
        }
        for entry in standing.into_values() {
            self.name(entry.position, "", None, Some(told(&entry.event, &entry.origin)));
        }
        for gap in std::mem::take(&mut self.gaps) {
            self.name(gap, "", Some("an entry".into()), None);
        }
    }

    /// What the contract said and stands, by its place on the chain. The first of two at the same place stays.
    fn by_spot(&mut self) -> BTreeMap<Spot, &'a JournalEntry> {
        let mut by_spot = BTreeMap::new();
        let standing = std::mem::take(&mut self.standing).into_values();
        for entry in standing.filter(|entry| !entry.event.is_promotion()) {
            let found = Some(told(&entry.event, &entry.origin));
            if let Some(first) = by_spot.get(&spot(&entry.origin)).map(|first: &&JournalEntry| first.position) {
                self.name(entry.position, &format!(", the same place as position {first}"), None, found);
                continue;
            }
            if by_spot.last_key_value().is_some_and(|(newest, _)| *newest > spot(&entry.origin)) {
                self.name(entry.position, ", after what comes later on the chain", None, found);
            }
            by_spot.insert(spot(&entry.origin), entry);
        }
        by_spot
    }

    /// Names the gap between the neighbours' positions in which a missing entry must have been, if there is one.
    fn missing(&mut self, before: u64, after: u64, item: &Item, expected: String) {
        let gap = self.gaps.iter().copied().find(|gap| (before + 1..after).contains(gap));
        match gap {
            Some(position) => {
                self.gaps.remove(&position);
                self.name(position, "", Some(expected), None);
            }
            None => {
                let (block, log, item) = spot(&item.origin);
                let at = log.map_or_else(
                    || format!("block {block}, call {item}"),
                    |log| format!("block {block}, log {log}, item {item}"),
                );
                self.judged.differences.push(Difference::new(self.place, at, Some(expected), None));
            }
        }
    }
}

fn told(event: &Event, origin: &Origin) -> String {
    format!("{} at {}", json(event), json(origin))
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_else(|error| error.to_string())
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
