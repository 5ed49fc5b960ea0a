//! A row of `journal.record`: an entry, and what of it has columns of its own.

use alloy::primitives::Address;
use runproof_protocol::{InstanceId, certificate::CertificateBinding, event::Event};

use crate::{cursor::bigint, decode::Item};

/// What is written of an item.
pub(crate) struct Record<'a> {
    pub(crate) position: i64,
    pub(crate) item: &'a Item,
    pub(crate) columns: Columns<'a>,
    pub(crate) block_number: i64,
    pub(crate) block_timestamp_s: i64,
    pub(crate) log_index: Option<i32>,
    pub(crate) item_index: Option<i32>,
}

impl<'a> Record<'a> {
    /// The items in their order, the first at `first`.
    pub(crate) fn numbered(first: u64, items: &'a [Item]) -> Result<Vec<Self>, sqlx::Error> {
        (first..).zip(items).map(|(position, item)| Self::new(position, item)).collect()
    }

    fn new(position: u64, item: &'a Item) -> Result<Self, sqlx::Error> {
        let index = |number: Option<u64>| {
            number.map(i32::try_from).transpose().map_err(|error| sqlx::Error::Encode(error.into()))
        };
        let Item { origin, event } = item;
        Ok(Self {
            position: bigint(position),
            item,
            columns: Columns::of(event),
            block_number: bigint(origin.block_number),
            block_timestamp_s: bigint(origin.block_timestamp_s),
            log_index: index(origin.place.and_then(|place| place.log_index))?,
            item_index: index(origin.place.map(|place| place.item_index))?,
        })
    }

    pub(crate) fn block_hash(&self) -> &'a [u8] {
        self.item.origin.block_hash.as_slice()
    }

    pub(crate) fn transaction_hash(&self) -> Option<&'a [u8]> {
        self.item.origin.place.as_ref().map(|place| place.transaction_hash.as_slice())
    }
}

/// The parts of an event that have columns of their own, and the event itself where these do not tell all of it.
pub(crate) struct Columns<'a> {
    pub(crate) kind: &'static str,
    pub(crate) issuer: Option<Address>,
    pub(crate) instance: Option<InstanceId>,
    pub(crate) model: Option<&'a [u8]>,
    pub(crate) content: Option<&'a [u8]>,
    pub(crate) sequence: Option<i64>,
    pub(crate) predecessor: Option<i64>,
    pub(crate) batch: Option<i64>,
    pub(crate) event: Option<&'a Event>,
}

impl<'a> Columns<'a> {
    fn of(event: &'a Event) -> Self {
        let none = Self {
            kind: event.kind(),
            issuer: event.issuer(),
            instance: event.instance(),
            model: None,
            content: None,
            sequence: None,
            predecessor: None,
            batch: None,
            event: Some(event),
        };
        match event {
            Event::ModelRegistered { model, .. } | Event::InstanceRegistered { model, .. } => {
                Self { model: Some(model.as_slice()), ..none }
            }
            // Most of what there is: it is stored once.
            Event::StateRegistered { state, sequence, predecessor, batch, .. } => Self {
                content: Some(state.as_slice()),
                sequence: Some(bigint(*sequence)),
                predecessor: predecessor.map(i64::from),
                batch: Some(bigint(*batch)),
                event: None,
                ..none
            },
            Event::TransitionRequested { sequence, .. } => Self { sequence: Some(bigint(*sequence)), ..none },
            Event::CertificateBound(CertificateBinding { fingerprint, .. })
            | Event::CertificateRevoked { fingerprint: Some(fingerprint), .. } => {
                Self { content: Some(fingerprint.as_slice()), ..none }
            }
            Event::ItrexModelRegistered { model, .. } | Event::ItrexInstanceRegistered { model, .. } => {
                Self { model: Some(model.as_slice()), ..none }
            }
            Event::ItrexStateRegistered { state, .. } | Event::ItrexClientNotified { state, .. } => {
                Self { content: Some(state.as_slice()), ..none }
            }
            Event::ItrexCertificateRegistered { fingerprint, .. } => {
                Self { content: Some(fingerprint.as_slice()), ..none }
            }
            Event::StatesRootRegistered { .. }
            | Event::InstanceTerminated { .. }
            | Event::DelegateSet { .. }
            | Event::ParticipantSet { .. }
            | Event::ParticipationSet { .. }
            | Event::CertificateRevoked { fingerprint: None, .. }
            | Event::GuardianSet { .. }
            | Event::ItrexTransitionRegistered { .. }
            | Event::ItrexInstanceTerminated { .. }
            | Event::BlockSafe
            | Event::BlockFinalized => none,
        }
    }
}
