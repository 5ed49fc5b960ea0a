//! A compacted topic: the newest message of each key.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    report::{Difference, Place, differ},
    topic::Read,
};

/// What the newest message of each key must tell.
#[derive(Debug, Default)]
pub(super) struct Keyed {
    /// By key.
    pub(super) newest: BTreeMap<String, Newest>,
    /// Messages with a later mark than this tell of what came since: nothing is known of their keys.
    pub(super) upto: u64,
}

/// What the newest message of a key tells.
#[derive(Debug)]
pub(super) struct Newest {
    /// Position or revision.
    pub(super) mark: u64,
    /// `None` of a tombstone.
    pub(super) value: Option<Value>,
}

impl Newest {
    fn told(&self) -> String {
        let value = self.value.as_ref().map_or_else(|| "a tombstone".to_owned(), Value::to_string);
        format!("at {}: {value}", self.mark)
    }
}

impl Keyed {
    /// What differs from the messages of a topic. Of a value only the members that are expected are compared.
    pub(super) fn compare(&self, topic: &str, read: &[Read]) -> Vec<Difference> {
        let mut differences = Vec::new();
        let mut found = BTreeMap::new();
        for message in read {
            match (&message.key, message.mark) {
                (Some(key), Some(mark)) => {
                    found.insert(key, Newest { mark, value: self.members(key, message) });
                }
                _ => {
                    let at = format!("{topic}, {}", message.at());
                    differences.push(Difference::new(Place::Topic, at, None, Some(message.excerpt())));
                }
            }
        }
        let known = |key: &String| found.get(key).is_none_or(|newest| newest.mark <= self.upto);
        // A broker may have dropped a tombstone, with all that was before it.
        let kept = |key: &String, newest: &Newest| newest.value.is_some() || found.contains_key(key);
        let expected = self.newest.iter().filter(|(key, newest)| known(key) && kept(key, newest));
        let expected = expected.map(|(key, newest)| (key.clone(), newest.told())).collect();
        let told = found.iter().filter(|(key, _)| known(key)).map(|(key, newest)| ((*key).clone(), newest.told()));
        differences.extend(differ(Place::Topic, topic, &expected, &told.collect()));
        differences
    }

    fn members(&self, key: &str, message: &Read) -> Option<Value> {
        let told = message.value.as_deref()?;
        let Ok(Value::Object(mut told)) = serde_json::from_slice(told) else {
            return Some(Value::String(message.excerpt()));
        };
        if let Some(Value::Object(expected)) = self.newest.get(key).and_then(|newest| newest.value.as_ref()) {
            told.retain(|name, _| expected.contains_key(name));
        }
        Some(Value::Object(told))
    }
}
