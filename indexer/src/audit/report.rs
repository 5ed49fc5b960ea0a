//! What an audit found.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{self, Display},
};

use serde::{Deserialize, Serialize};

use super::ledger::Judged;

/// Differences shown in full; a store that is not the chain's at all would fill screens.
const SHOWN: usize = 50;

/// What was compared, and what differs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The chain was indexed up to this block.
    pub upto_block: u64,
    /// Entries in Postgres, retractions included.
    pub entries: u64,
    /// Entries in the topic; `None`: there was none to compare.
    pub messages: Option<u64>,
    /// Instances whose head, count and outcome were compared with the contract's.
    pub instances: u64,
    /// In the order in which they were found.
    pub differences: Vec<Difference>,
}

/// One thing that is not as the chain says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// Who says otherwise.
    pub place: Place,
    /// Where in it.
    pub at: String,
    /// What belongs there; `None`: nothing.
    pub expected: Option<String>,
    /// What is there; `None`: nothing.
    pub found: Option<String>,
}

/// What is held against the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// The journal's database.
    Postgres,
    /// The journal's topic.
    Topic,
    /// The contract's storage, against the fold of its own logs.
    Contract,
}

impl Report {
    /// Takes over what was found wrong; returns the positions that were named.
    pub(super) fn add(&mut self, judged: Judged) -> BTreeSet<u64> {
        self.differences.extend(judged.differences);
        judged.positions
    }
}

impl Difference {
    /// At a place, one thing instead of another.
    pub(super) fn new(place: Place, at: impl Display, expected: Option<String>, found: Option<String>) -> Self {
        Self { place, at: at.to_string(), expected, found }
    }
}

/// Keys of which one side has none, or another value.
pub(super) fn differ<K: Ord + Display>(
    place: Place,
    what: &str,
    expected: &BTreeMap<K, String>,
    found: &BTreeMap<K, String>,
) -> Vec<Difference> {
    let keys: BTreeSet<&K> = expected.keys().chain(found.keys()).collect();
    keys.into_iter()
        .filter(|key| expected.get(key) != found.get(key))
        .map(|key| Difference::new(place, format!("{what} {key}"), expected.get(key).cloned(), found.get(key).cloned()))
        .collect()
}

impl Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Postgres => "postgres",
            Self::Topic => "topic",
            Self::Contract => "contract",
        })
    }
}

impl Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or_nothing = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".into());
        writeln!(f, "{}, {}", self.place, self.at)?;
        writeln!(f, "  expected  {}", or_nothing(&self.expected))?;
        writeln!(f, "  found     {}", or_nothing(&self.found))
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.differences.iter().take(SHOWN).try_for_each(|difference| difference.fmt(f))?;
        if self.differences.len() > SHOWN {
            writeln!(f, "… and {} more (--json shows all)", self.differences.len() - SHOWN)?;
        }
        let topic = self.messages.map_or_else(|| "no topic".to_owned(), |messages| format!("{messages} messages"));
        writeln!(
            f,
            "{} differences; compared up to block {}: {} entries, {topic}, {} instances",
            self.differences.len(),
            self.upto_block,
            self.entries,
            self.instances
        )
    }
}
