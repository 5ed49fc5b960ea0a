//! What is kept back of a history's events before they are stored: account numbers are masked, and private inputs get a salt to be committed to by.

use alloy::{
    primitives::B256,
    signers::k256::elliptic_curve::rand_core::{OsRng, RngCore},
};
use runproof_protocol::{commitment::Salt, history::HistoryEvent, model::Privacy};

use crate::mask::AccountMask;

/// The event as it is captured. What it tells to have been started keeps its real ARN, which AWS is asked by. Each call salts anew: what it returns must be stored before anything tells of it.
pub(crate) fn withheld(event: &HistoryEvent, privacy: Privacy, mask: &AccountMask) -> HistoryEvent {
    let input = event.input.as_deref().map(|input| mask.apply(input).into_owned());
    let salt = input.as_ref().filter(|_| privacy == Privacy::Committed).map(|_| fresh_salt());
    HistoryEvent { input, salt, ..event.clone() }
}

fn fresh_salt() -> Salt {
    let mut salt = B256::ZERO;
    OsRng.fill_bytes(salt.as_mut_slice());
    Salt(salt)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_is_masked_and_salted_and_what_was_started_keeps_its_arn() {
        let (arn, account) = ("arn:aws:states:us-east-1:726210406721:mapRun:m/Each:0a1b", "726210406721");
        let event = HistoryEvent {
            id: 2,
            previous_id: 1,
            event_type: "MapStateEntered".into(),
            timestamp_ms: 1,
            state_name: Some("Each".into()),
            input: Some(format!(r#"{{"bucket": "of-{account}"}}"#)),
            starts: Some(arn.into()),
            salt: None,
        };
        let mask = AccountMask::new(vec![account.into()]).expect("an account number");
        let published = withheld(&event, Privacy::Published, &mask);
        let masked = Some(r#"{"bucket": "of-000000000000"}"#.to_owned());
        assert_eq!(published, HistoryEvent { input: masked.clone(), ..event.clone() });
        let committed = withheld(&event, Privacy::Committed, &mask);
        assert!(committed.salt.is_some() && committed.salt != withheld(&event, Privacy::Committed, &mask).salt);
        assert_eq!(HistoryEvent { salt: None, ..committed }, published);
    }
}
