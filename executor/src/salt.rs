//! Salts of private inputs.

use std::borrow::Cow;

use alloy::{
    primitives::B256,
    signers::k256::elliptic_curve::rand_core::{OsRng, RngCore},
};
use runproof_protocol::{commitment::Salt, history::HistoryEvent, model::Privacy};

/// The events with what commits to their inputs, to be stored before anything tells of the commitments.
pub(crate) fn salted(events: &[HistoryEvent], privacy: Privacy) -> Cow<'_, [HistoryEvent]> {
    match privacy {
        Privacy::Published => events.into(),
        Privacy::Committed => events.iter().cloned().map(with_fresh_salt).collect(),
    }
}

fn with_fresh_salt(event: HistoryEvent) -> HistoryEvent {
    let salt = event.input.as_ref().map(|_| {
        let mut salt = B256::ZERO;
        OsRng.fill_bytes(salt.as_mut_slice());
        Salt(salt)
    });
    HistoryEvent { salt, ..event }
}
