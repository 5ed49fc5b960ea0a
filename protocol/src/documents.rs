//! The documents that an issuer's site publishes, with the paper's fields and ours.

use alloy_primitives::{Address, B256};
use serde::{Deserialize, Serialize};

use crate::{
    InstanceId, ModelId, StateId,
    head::{self, Batch, Outcome, Registry},
    json_dumps, merkle,
};

/// What is known of an execution at its start; its bytes are hashed into the [`InstanceId`]. The paper's fields of an AWS execution, without those
/// that only its end tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceDocument {
    /// ARN of the execution.
    #[serde(rename = "executionArn")]
    pub execution_arn: String,
    /// ARN of the state machine.
    #[serde(rename = "stateMachineArn")]
    pub state_machine_arn: String,
    /// Name of the execution.
    pub name: String,
    /// `RUNNING`.
    pub status: String,
    /// RFC 3339, UTC.
    #[serde(rename = "startDate")]
    pub start_date: String,
    /// The version of the state machine that it runs, if it was started by version or by an alias.
    #[serde(rename = "stateMachineVersionArn", default)]
    pub state_machine_version_arn: Option<String>,
    /// The alias by which it was started, if it was.
    #[serde(rename = "stateMachineAliasArn", default)]
    pub state_machine_alias_arn: Option<String>,
    /// The model that was deployed for the state machine, hex, where the execution runs another: the definition was changed past the issuer's tools.
    #[serde(rename = "deployedModel", default)]
    pub deployed_model: Option<String>,
    /// The Map Run that started it, if one did.
    #[serde(rename = "mapRunArn", default)]
    pub map_run_arn: Option<String>,
    /// What started it, if that was a state of another instance.
    #[serde(flatten)]
    pub parent: Option<Parent>,
    /// What of the execution this is, if it had failed before and was redriven.
    #[serde(flatten)]
    pub redrive: Option<Redrive>,
}

/// The state that started an execution: a distributed Map, or a task that starts executions. Told by the history of the parent, which names the
/// Map Run or the execution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    /// The parent's instance, hex.
    #[serde(rename = "parent")]
    pub instance: String,
    /// Id of the event with which the parent entered the state, in decimal digits: the `id` of that entry of its trace.
    #[serde(rename = "parentEventId")]
    pub event_id: String,
}

/// A redrive: an execution that failed goes on under its ARN, from where it failed. What was registered of it is sealed, so the part that follows is an
/// instance of its own, which names the one that it continues.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redrive {
    /// Which redrive it is, from 1, in decimal digits.
    #[serde(rename = "redriveCount")]
    pub count: String,
    /// RFC 3339, UTC.
    #[serde(rename = "redriveDate")]
    pub date: String,
    /// The instance that it continues, hex.
    pub continues: String,
}

impl InstanceDocument {
    /// The bytes that are hashed and published.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut fields = vec![
            ("executionArn", Some(self.execution_arn.as_str())),
            ("stateMachineArn", Some(&self.state_machine_arn)),
            ("name", Some(&self.name)),
            ("status", Some(&self.status)),
            ("startDate", Some(&self.start_date)),
        ];
        let others = [
            ("stateMachineVersionArn", self.state_machine_version_arn.as_deref()),
            ("stateMachineAliasArn", self.state_machine_alias_arn.as_deref()),
            ("deployedModel", self.deployed_model.as_deref()),
            ("mapRunArn", self.map_run_arn.as_deref()),
        ];
        fields.extend(others.into_iter().filter(|(_, value)| value.is_some()));
        if let Some(Parent { instance, event_id }) = &self.parent {
            fields.extend([("parent", Some(instance.as_str())), ("parentEventId", Some(event_id))]);
        }
        if let Some(Redrive { count, date, continues }) = &self.redrive {
            fields.extend([
                ("redriveCount", Some(count.as_str())),
                ("redriveDate", Some(date)),
                ("continues", Some(continues)),
            ]);
        }
        let mut out = String::new();
        json_dumps::write_object(&mut out, fields);
        out.into_bytes()
    }
}

/// The execution engine that an instance document names: `aws-step-functions` where its `executionArn` is one of Step Functions' ARNs
/// (`arn:<partition>:states:…`), otherwise unknown.
pub fn engine(instance_document: &[u8]) -> Option<&'static str> {
    let document: serde_json::Value = serde_json::from_slice(instance_document).ok()?;
    let mut parts = document["executionArn"].as_str()?.split(':');
    (parts.next() == Some("arn") && parts.nth(1) == Some("states")).then_some("aws-step-functions")
}

/// The instances that an instance document names: the one of which a state started it, and the one that it continues.
pub fn named_instances(instance_document: &[u8]) -> Vec<InstanceId> {
    let Ok(document) = serde_json::from_slice::<serde_json::Value>(instance_document) else { return Vec::new() };
    ["parent", "continues"].iter().filter_map(|field| document[*field].as_str()?.parse().ok()).collect()
}

/// A state's document repeats the trace up to it, so the documents of all states of a run grow with the square of its length: of states after these
/// many, of one run, what is stored for a static host is the trace, and of longer runs verifiers read that.
pub const MOST_STATE_DOCUMENTS: usize = 200;

/// An instance's protocol: who registered which state when, with the address of each document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceProtocol {
    /// Model.
    pub model_hash: ModelId,
    /// Instance.
    pub instance_hash: InstanceId,
    /// URL of the instance document.
    pub instance_data: String,
    /// URL of the model.
    pub model_data: String,
    /// URL of the whole trace.
    pub trace_data: String,
    /// URL of the trace's companion document: each event of the history, with exits, failures and retries. An imported run has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events_data: Option<String>,
    /// Its SHA-256, hex without `0x`; absent until the run's end is told here, for it grows until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events_hash: Option<String>,
    /// Chain and contract of the registrations.
    pub registry: Registry,
    /// Who registered the instance.
    pub issuer: Address,
    /// The instance's place among the issuer's.
    pub ordinal: u64,
    /// How the run ended; absent while it runs.
    pub termination: Option<Termination>,
    /// One row for each state, in order.
    pub instance_protocol: Vec<ProtocolRow>,
}

/// The end of a run as registered. Block and time are absent until the registration is included.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Termination {
    /// How it ended.
    pub outcome: Outcome,
    /// States registered in all.
    pub count: u64,
    /// Block of the registration.
    pub block_nr: Option<u64>,
    /// That block's time, Unix seconds.
    pub timestamp: Option<u64>,
    /// Transaction, hex without `0x`.
    pub transaction_hash: String,
}

/// One state of a protocol: the paper's seven fields, then ours. Block and time are absent until the registration is included: a row is published
/// before its transaction is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProtocolRow {
    /// `Register State`.
    pub event_type: String,
    /// Id of the state.
    pub state_hash: StateId,
    /// Time of the block, Unix seconds.
    pub timestamp: Option<u64>,
    /// Block of the registration.
    pub block_nr: Option<u64>,
    /// In whose name it was registered, lower-case hex without `0x`.
    pub client_address: String,
    /// Transaction, lower-case hex without `0x`.
    pub transaction_hash: String,
    /// URL of the state's document; absent where a static host serves the run, for states after the first [`MOST_STATE_DOCUMENTS`]: the trace says the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_data: Option<String>,
    /// URL of the [disclosure](crate::commitment::Disclosure) of its input, if the model is private and that was disclosed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_data: Option<String>,
    /// Place in the instance, from 0.
    pub sequence: u64,
    /// Sequence number of the state it was entered from.
    pub predecessor: Option<u32>,
    /// Sequence number of the first state registered by the same call.
    pub batch: u64,
    /// Name of the state in the model.
    pub state_name: String,
    /// When it was entered, milliseconds since the Unix epoch.
    pub entered_at_ms: i64,
}

/// The paper's name for a row of a registered state.
pub const REGISTER_STATE: &str = "Register State";

/// An address as the paper's documents write it: lower-case hex without `0x`.
pub fn bare_address(address: Address) -> String {
    hex::encode(address)
}

/// A hash as the paper's documents write it: lower-case hex without `0x`.
pub fn bare_hash(hash: B256) -> String {
    hex::encode(hash)
}

/// States that one call registered, as leaves of its Merkle tree: `/<instance>/roots/<first>.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaves {
    /// Ids, in order; none of one that is withheld.
    pub states: Vec<Option<StateId>>,
    /// Predecessor of each, as registered: empty if each follows the one just before it.
    pub predecessors: Vec<Option<u32>>,
}

/// That a state is one of those that a call registered by their root: `/<instance>/proof/<sequence>.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InclusionProof {
    /// The run.
    pub instance: InstanceId,
    /// The state's place in the run, from 0.
    pub sequence: u64,
    /// Its id.
    pub state: StateId,
    /// Sequence number of the first state of the call.
    pub first: u64,
    /// How many states it registered.
    pub count: u64,
    /// Root of their Merkle tree: to be held against the chain's.
    pub root: B256,
    /// Hashes beside the way from the leaf to the root, the leaf's sibling first (RFC 9162, section 2.1.3).
    pub audit_path: Vec<B256>,
}

impl InclusionProof {
    /// Whether it proves that the state, at its place, is under the root.
    pub fn holds(&self) -> bool {
        let place = self.sequence.checked_sub(self.first);
        let root = place.and_then(|place| merkle::root_by_path(self.state, place, self.count, &self.audit_path));
        root == Some(self.root)
    }
}

/// Block number and time (Unix seconds) of a batch, by the sequence number of its first state.
pub type Inclusion<'a> = &'a dyn Fn(u64) -> Option<(u64, u64)>;

impl InstanceProtocol {
    /// Registrations as the rows tell them. `inclusion` gives block and time where a row does not have them yet; where neither does, zero is
    /// folded, which no head matches.
    pub fn batches(&self, inclusion: Inclusion<'_>) -> Vec<Batch> {
        self.instance_protocol
            .chunk_by(|a, b| a.batch == b.batch)
            .map(|rows| {
                let first = &rows[0];
                let known = first.block_nr.zip(first.timestamp).or_else(|| inclusion(first.batch));
                let (block_number, block_timestamp_s) = known.unwrap_or_default();
                Batch {
                    first: first.sequence,
                    states: rows.iter().map(|row| row.state_hash).collect(),
                    predecessors: head::shorten_predecessors(
                        first.sequence,
                        rows.iter().map(|row| row.predecessor).collect(),
                    ),
                    block_number,
                    block_timestamp_s,
                }
            })
            .collect()
    }

    /// The head that the published history folds to. `sealed` gives block and time of a termination that does not have them yet.
    pub fn head(&self, inclusion: Inclusion<'_>, sealed: Option<(u64, u64)>) -> B256 {
        let genesis = head::genesis(self.registry, self.issuer, self.instance_hash, self.model_hash, self.ordinal);
        let open = self.batches(inclusion).iter().fold(genesis, head::extend);
        self.termination.as_ref().map_or(open, |end| {
            let (block, time) = end.block_nr.zip(end.timestamp).or(sealed).unwrap_or_default();
            head::seal(open, end.count, end.outcome, block, time)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_document_tells_what_it_was_made_from() {
        let top = InstanceDocument {
            execution_arn: "arn:aws:states:us-east-1:1:execution:etl/Each:9f".into(),
            state_machine_arn: "arn:aws:states:us-east-1:1:stateMachine:etl/Each".into(),
            name: "9f".into(),
            status: "RUNNING".into(),
            start_date: "2026-01-01T00:00:00.000Z".into(),
            state_machine_version_arn: None,
            state_machine_alias_arn: None,
            deployed_model: None,
            map_run_arn: None,
            parent: None,
            redrive: None,
        };
        let parent = Some(Parent { instance: InstanceId::of(b"parent").to_string(), event_id: "2".into() });
        let child = InstanceDocument {
            map_run_arn: Some("arn:aws:states:us-east-1:1:mapRun:etl/Each:0a".into()),
            parent,
            ..top.clone()
        };
        let redrive = Redrive {
            count: "1".into(),
            date: top.start_date.clone(),
            continues: InstanceId::of(&child.to_bytes()).to_string(),
        };
        let redriven = InstanceDocument { redrive: Some(redrive), ..child.clone() };
        for document in [&top, &child, &redriven] {
            let read: InstanceDocument = serde_json::from_slice(&document.to_bytes()).expect("JSON");
            assert_eq!(&read, document);
        }
        let named = [InstanceId::of(b"parent"), InstanceId::of(&child.to_bytes())];
        assert_eq!(named_instances(&redriven.to_bytes()), named);
        assert_eq!(named_instances(br#"{"parent": "another engine's", "continues": 7}"#), []);
        assert!(!String::from_utf8_lossy(&top.to_bytes()).contains("parent"));
    }
}
