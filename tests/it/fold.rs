//! The journal folded to what the contract holds: the oracle that Postgres, the topic and the contract are compared by.
//!
//! An entry is the same JSON wherever it is read, so the same fold judges all of them, and it takes nothing on trust: positions have no gap, a
//! retraction takes back an entry that stands and repeats it, states come in order, and heads are recomputed from the entries.

use std::collections::BTreeMap;

use alloy::primitives::{Address, B256};
use runproof_protocol::{
    Fingerprint, InstanceId, ModelId, StateId,
    event::{Event, JournalEntry, Origin},
    head::{self, Batch, Outcome, Range, Registry},
};
use sqlx::{PgPool, Row, types::Json};

/// What stands when all entries are applied.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Folded {
    /// Block of registration, by issuer and id.
    pub models: BTreeMap<(Address, ModelId), u64>,
    /// By issuer and id.
    pub instances: BTreeMap<(Address, InstanceId), Instance>,
    /// First block in which it is not to be trusted, by subject and fingerprint.
    pub certificates: BTreeMap<(Address, Fingerprint), Option<u64>>,
    /// Whether allowed, by issuer, instance (`None` for all) and delegate.
    pub delegates: BTreeMap<(Address, Option<InstanceId>, Address), bool>,
    /// Likewise, participants.
    pub participants: BTreeMap<(Address, Option<InstanceId>, Address), bool>,
    /// Likewise, who accepted to be one.
    pub participations: BTreeMap<(Address, Option<InstanceId>, Address), bool>,
    /// By subject.
    pub guardians: BTreeMap<Address, Option<Address>>,
    /// Positions are of no interest here: issuer, instance, participant and sequence of each request, in order.
    pub requests: Vec<(Address, InstanceId, Address, u64)>,
    /// The newest safe and the newest finalized block, by the entries' kind.
    pub levels: BTreeMap<String, u64>,
}

/// A run as registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// What it runs.
    pub model: ModelId,
    /// Its place among the issuer's.
    pub ordinal: u64,
    /// States in all, those under roots included.
    pub count: u64,
    /// Those that the chain tells, in order.
    pub states: Vec<StateId>,
    /// The predecessor of each.
    pub predecessors: Vec<Option<u32>>,
    /// Where the others are: sequence number of the first, how many, and their root.
    pub roots: Vec<(u64, u64, B256)>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// Recomputed; equals the contract's if nothing is missing, doubled or out of order.
    pub head: B256,
}

/// Folds entries in the order of their positions, from 1.
pub fn fold(registry: Registry, entries: impl IntoIterator<Item = JournalEntry>) -> Result<Folded, String> {
    let mut standing: BTreeMap<u64, JournalEntry> = BTreeMap::new();
    for (expected, entry) in (1u64..).zip(entries) {
        if entry.position != expected {
            return Err(format!("position {} where {expected} belongs", entry.position));
        }
        let Some(retraction) = &entry.retraction else {
            standing.insert(expected, entry);
            continue;
        };
        let taken = standing.remove(&retraction.position);
        if taken.is_none_or(|taken| (taken.event, taken.origin) != (entry.event, entry.origin)) {
            return Err(format!("{expected} retracts {}, which does not stand so", retraction.position));
        }
    }
    let (promotions, registrations): (Vec<_>, Vec<_>) =
        standing.into_values().partition(|entry| entry.event.is_promotion());
    let mut folded = Folded::default();
    for JournalEntry { position, event, origin, .. } in promotions {
        let before = folded.levels.insert(event.kind().to_owned(), origin.block_number);
        if before >= Some(origin.block_number) {
            return Err(format!("{position} promotes what was promoted"));
        }
    }
    for calls in registrations.chunk_by(|one, next| log(&one.origin) == log(&next.origin)) {
        folded.apply(registry, calls)?;
    }
    Ok(folded)
}

/// Folds the messages of a topic, or any other JSON of entries.
pub fn fold_json<'a>(registry: Registry, entries: impl IntoIterator<Item = &'a [u8]>) -> Result<Folded, String> {
    let entries = entries.into_iter().map(serde_json::from_slice).collect::<Result<Vec<_>, _>>();
    fold(registry, entries.map_err(|error| error.to_string())?)
}

/// Folds the journal in Postgres, read by its own SQL.
pub async fn fold_postgres(registry: Registry, pool: &PgPool) -> Result<Folded, String> {
    fold(registry, entries(pool).await?)
}

/// All entries in Postgres, in order.
pub async fn entries(pool: &PgPool) -> Result<Vec<JournalEntry>, String> {
    let rows = sqlx::query(
        "select json_build_object('position', position, 'event', event, 'retraction', case when retracts is not null then json_build_object(
                    'position', retracts, 'reason', reason, 'replaced_by', '0x' || encode(replaced_by, 'hex')) end,
                'origin', json_build_object('block_number', block_number, 'block_hash', '0x' || encode(block_hash, 'hex'),
                    'block_timestamp_s', block_timestamp_s, 'transaction_hash', '0x' || encode(transaction_hash, 'hex'),
                    'log_index', log_index, 'item_index', item_index)) from journal.entry order by position",
    )
    .fetch_all(pool)
    .await
    .map_err(|error| error.to_string())?;
    let entries = rows.iter().map(|row| row.try_get::<Json<JournalEntry>, _>(0).map(|json| json.0));
    entries.collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())
}

fn log(origin: &Origin) -> (u64, Option<u64>) {
    (origin.block_number, origin.place.and_then(|place| place.log_index))
}

impl Folded {
    /// Applies the entries of one log: one event, or the states of one batch.
    fn apply(&mut self, registry: Registry, entries: &[JournalEntry]) -> Result<(), String> {
        let Some(JournalEntry { event, origin, position, .. }) = entries.first() else { return Ok(()) };
        let once = |fresh: bool| fresh.then_some(()).ok_or(format!("{position} registers again"));
        match event.clone() {
            Event::ModelRegistered { issuer, model } => {
                once(self.models.insert((issuer, model), origin.block_number).is_none())?;
            }
            Event::InstanceRegistered { issuer, instance, model, ordinal, .. } => {
                let head = head::genesis(registry, issuer, instance, model, ordinal);
                let (states, predecessors, roots) = (vec![], vec![], vec![]);
                let run = Instance { model, ordinal, count: 0, states, predecessors, roots, outcome: None, head };
                once(self.instances.insert((issuer, instance), run).is_none())?;
            }
            Event::StateRegistered { issuer, instance, .. } => {
                self.running(issuer, instance, *position)?.extend(entries)?;
            }
            Event::StatesRootRegistered { issuer, instance, first, count, root, predecessors_hash, head: told } => {
                let run = self.running(issuer, instance, *position)?;
                let Origin { block_number, block_timestamp_s, .. } = *origin;
                let range = Range { first, count, root, predecessors_hash, block_number, block_timestamp_s };
                run.head = head::extend_by(run.head, &range);
                if run.count != first || run.head != told {
                    return Err(format!("{position} registers {range:?} with head {told}, folded {run:?}"));
                }
                run.count += count;
                run.roots.push((first, count, root));
            }
            Event::InstanceTerminated { issuer, instance, count, outcome, head: told } => {
                let run = self.running(issuer, instance, *position)?;
                run.head = head::seal(run.head, count, outcome, origin.block_number, origin.block_timestamp_s);
                if run.count != count || run.head != told {
                    return Err(format!("{position} seals {count} states with head {told}, folded {run:?}"));
                }
                run.outcome = Some(outcome);
            }
            Event::DelegateSet { issuer, instance, delegate, allowed } => {
                self.delegates.insert((issuer, instance, delegate), allowed);
            }
            Event::ParticipantSet { issuer, instance, participant, allowed } => {
                self.participants.insert((issuer, instance, participant), allowed);
            }
            Event::ParticipationSet { issuer, instance, participant, accepted } => {
                self.participations.insert((issuer, instance, participant), accepted);
            }
            Event::TransitionRequested { issuer, instance, participant, sequence, .. } => {
                self.requests.push((issuer, instance, participant, sequence));
            }
            Event::CertificateBound(bound) => {
                once(self.certificates.insert((bound.subject, bound.fingerprint), None).is_none())?;
            }
            Event::CertificateRevoked { subject, fingerprint, from_block, .. } => {
                let all = self.certificates.iter_mut().filter(|((whose, _), _)| *whose == subject);
                for (_, revoked) in all.filter(|((_, which), _)| fingerprint.is_none_or(|one| one == *which)) {
                    *revoked = Some(revoked.map_or(from_block, |earlier| earlier.min(from_block)));
                }
            }
            Event::GuardianSet { subject, guardian } => {
                self.guardians.insert(subject, guardian);
            }
            other => return Err(format!("{position} is no event of the registry: {other:?}")),
        }
        Ok(())
    }

    fn running(&mut self, issuer: Address, instance: InstanceId, position: u64) -> Result<&mut Instance, String> {
        let found = self.instances.get_mut(&(issuer, instance)).filter(|run| run.outcome.is_none());
        found.ok_or(format!("{position} belongs to no running instance"))
    }
}

impl Instance {
    /// Appends the states of one log.
    fn extend(&mut self, entries: &[JournalEntry]) -> Result<(), String> {
        let (first, begun) = (self.count, self.states.len());
        for (item, entry) in entries.iter().enumerate() {
            let Event::StateRegistered { state, sequence, predecessor, batch, .. } = entry.event else {
                return Err(format!("{} shares a log with states", entry.position));
            };
            let expected = (self.count, first, item as u64);
            let in_order = entry.origin.place.is_some_and(|place| (sequence, batch, place.item_index) == expected);
            if !in_order {
                return Err(format!("{} is out of order: {entry:?}", entry.position));
            }
            self.states.push(state);
            self.predecessors.push(predecessor);
            self.count += 1;
        }
        let Some(Origin { block_number, block_timestamp_s, .. }) = entries.first().map(|entry| entry.origin) else {
            return Ok(());
        };
        let predecessors = head::shorten_predecessors(first, self.predecessors[begun..].to_vec());
        let states = self.states[begun..].to_vec();
        let batch = Batch { first, states, predecessors, block_number, block_timestamp_s };
        self.head = head::extend(self.head, &batch);
        Ok(())
    }
}
