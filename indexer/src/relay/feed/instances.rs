//! The newest state of each instance that a page of the journal concerns.
//!
//! What is running is kept in memory, so that the journal is asked only for what this session has not seen begin, and after a retraction: while a
//! long chain is loaded, nothing but its positions is indexed.

use std::collections::{BTreeMap, HashMap, HashSet};

use runproof_protocol::event::{JournalEntry, Origin};
use sqlx::Row;

use super::{
    Database,
    snapshot::{InstanceKey, Snapshot, touched},
};
use crate::{
    cursor::{bigint, unsigned},
    journal,
    relay::{
        message::{Attributes, Message, instance_key},
        topic::Topic,
    },
};

/// Running instances kept at most, some 30 MB of them. Beyond, all are forgotten, and asked for again.
const KEPT: usize = 50_000;

/// Snapshots as of the last page.
#[derive(Default)]
pub(super) struct Instances {
    running: HashMap<InstanceKey, Snapshot>,
}

/// The last entry of a page that concerns an instance.
struct Touch {
    key: InstanceKey,
    position: u64,
    origin: Origin,
}

impl Instances {
    /// One message for each instance that the entries concern, in the order of their positions. They must follow those of the call before.
    pub(super) async fn messages<'a>(
        &mut self,
        database: &Database,
        entries: impl Iterator<Item = &'a JournalEntry>,
    ) -> eyre::Result<Vec<Message>> {
        let (touches, unknown) = self.apply(entries);
        self.load(database, touches.iter().filter(|touch| unknown.contains(&touch.key))).await?;
        let messages = touches.iter().map(|touch| message(database, touch, self.running.get(&touch.key)));
        let messages = messages.collect::<Result<_, _>>()?;
        for touch in &touches {
            if self.running.get(&touch.key).is_some_and(Snapshot::has_ended) {
                self.running.remove(&touch.key);
            }
        }
        if self.running.len() > KEPT {
            self.running.clear();
        }
        Ok(messages)
    }

    /// Applies what can be applied; tells what was touched, and what must be read.
    fn apply<'a>(&mut self, entries: impl Iterator<Item = &'a JournalEntry>) -> (Vec<Touch>, HashSet<InstanceKey>) {
        let (mut touches, mut unknown) = (HashMap::new(), HashSet::new());
        for entry in entries {
            let Some(key) = touched(&entry.event) else { continue };
            touches.insert(key, Touch { key, position: entry.position, origin: entry.origin });
            if entry.retraction.is_some() || unknown.contains(&key) {
                self.running.remove(&key);
                unknown.insert(key);
            } else if let Some(snapshot) = self.running.get_mut(&key) {
                snapshot.advance(entry);
            } else if let Some(snapshot) = Snapshot::new(entry) {
                self.running.insert(key, snapshot);
            } else {
                unknown.insert(key);
            }
        }
        let mut touches: Vec<Touch> = touches.into_values().collect();
        touches.sort_unstable_by_key(|touch| touch.position);
        (touches, unknown)
    }

    /// Reads instances as of their touches: what was taken back later stands still. Of the states, the newest is enough.
    async fn load(&mut self, database: &Database, touches: impl Iterator<Item = &Touch>) -> eyre::Result<()> {
        let touches: Vec<&Touch> = touches.collect();
        if touches.is_empty() {
            return Ok(());
        }
        let rows = sqlx::query(
            "select distinct on (t.position, e.kind) t.position as as_of, e.*
             from unnest($2::bytea[], $3::bytea[], $4::bigint[]) as t (issuer, instance_id, position)
             join journal.row e on e.instance_id = t.instance_id and e.issuer = t.issuer and e.position <= t.position
             where e.source_id = $1 and e.kind in ('instance_registered', 'state_registered', 'states_root_registered', 'instance_terminated')
               and e.retracts is null and (e.retracted_by is null or e.retracted_by > t.position)
             order by t.position, e.kind, e.position desc",
        )
        .bind(database.source_id)
        .bind(touches.iter().map(|touch| touch.key.0.as_slice()).collect::<Vec<_>>())
        .bind(touches.iter().map(|touch| touch.key.1.as_slice()).collect::<Vec<_>>())
        .bind(touches.iter().map(|touch| bigint(touch.position)).collect::<Vec<_>>())
        .fetch_all(&database.pool)
        .await?;
        let mut standing = BTreeMap::<u64, Vec<JournalEntry>>::new();
        for row in &rows {
            standing.entry(unsigned(row.try_get("as_of")?)).or_default().push(journal::entry(row)?);
        }
        for touch in touches {
            let mut entries = standing.remove(&touch.position).unwrap_or_default();
            entries.sort_unstable_by_key(|entry| entry.position);
            let snapshot = Snapshot::as_of(touch.position, &entries);
            self.running.extend(snapshot.map(|snapshot| (touch.key, snapshot)));
        }
        Ok(())
    }
}

/// Without a snapshot, the tombstone of a registration that was taken back.
fn message(database: &Database, touch: &Touch, snapshot: Option<&Snapshot>) -> Result<Message, serde_json::Error> {
    let (issuer, instance) = touch.key;
    let attributes = Attributes {
        registry: &database.registry,
        kind: if snapshot.is_some() { "instance" } else { "instance_retracted" },
        mark: touch.position,
        subject: Some(instance.to_string()),
        block: Some((touch.origin.block_number, touch.origin.block_hash)),
        time_s: Some(touch.origin.block_timestamp_s),
    };
    let value = snapshot.map(serde_json::to_vec).transpose()?;
    Ok(Message::new(Topic::Instances, instance_key(issuer, instance), attributes, value))
}
