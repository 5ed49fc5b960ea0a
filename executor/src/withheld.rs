//! What is kept back of a history's events before they are stored: account numbers are masked, and private inputs and outputs get salts to be committed to by.

use alloy::{
    primitives::B256,
    signers::k256::elliptic_curve::rand_core::{OsRng, RngCore},
};
use runproof_protocol::{
    commitment::{Commitment, Opening, Salt},
    detail::Detail,
    history::HistoryEvent,
    model::Privacy,
};

use crate::mask::AccountMask;

/// An event as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Withheld {
    /// As it is captured. Its detail is as it is published.
    pub(crate) event: HistoryEvent,
    /// What the detail only commits to.
    pub(crate) openings: Vec<Opening>,
}

impl Withheld {
    /// The event's output, whether it is published or not.
    pub(crate) fn output(&self) -> Option<&str> {
        let kept = self.openings.iter().find(|opening| opening.field == "output");
        kept.map(|opening| opening.data.as_str()).or(self.event.detail.data.output.as_deref())
    }
}

/// The event as it is captured. What it tells to have been started keeps its real ARN, which AWS is asked by. Each call salts anew: what it returns must be stored before anything tells of it.
pub(crate) fn withheld(event: &HistoryEvent, privacy: Privacy, mask: &AccountMask) -> Withheld {
    let input = event.input.as_deref().map(|input| mask.apply(input).into_owned());
    let salt = input.as_ref().filter(|_| privacy == Privacy::Committed).map(|_| fresh_salt());
    let mut detail = masked(event.detail.clone(), mask);
    let mut openings = Vec::new();
    if privacy == Privacy::Committed {
        detail.data = detail.data.map(|field, data| {
            let salt = fresh_salt();
            let commitment = Commitment::to(data.as_bytes(), salt).to_string();
            openings.push(Opening { field: field.to_owned(), salt, data });
            commitment
        });
    }
    Withheld { event: HistoryEvent { input, salt, detail, ..event.clone() }, openings }
}

fn masked(detail: Detail, mask: &AccountMask) -> Detail {
    let mask = |text: String| mask.apply(&text).into_owned();
    Detail {
        data: detail.data.map(|_, text| mask(text)),
        resource: detail.resource.map(mask),
        worker_name: detail.worker_name.map(mask),
        map_run_arn: detail.map_run_arn.map(mask),
        ..detail
    }
}

fn fresh_salt() -> Salt {
    let mut salt = B256::ZERO;
    OsRng.fill_bytes(salt.as_mut_slice());
    Salt(salt)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use runproof_protocol::detail::Data;

    use super::*;

    const ACCOUNT: &str = "726210406721";

    fn event() -> HistoryEvent {
        HistoryEvent {
            id: 2,
            previous_id: 1,
            event_type: "MapStateEntered".into(),
            timestamp_ms: 1,
            state_name: Some("Each".into()),
            input: Some(format!(r#"{{"bucket": "of-{ACCOUNT}"}}"#)),
            starts: Some(format!("arn:aws:states:us-east-1:{ACCOUNT}:mapRun:m/Each:0a1b")),
            salt: None,
            detail: Detail {
                data: Data {
                    output: Some(format!("[{ACCOUNT}]")),
                    error: Some("States.TaskFailed".into()),
                    cause: Some(format!("no bucket of-{ACCOUNT}")),
                    assigned_variables: Some("{}".into()),
                },
                resource: Some(format!("arn:aws:lambda:us-east-1:{ACCOUNT}:function:f")),
                worker_name: Some(ACCOUNT.into()),
                map_run_arn: Some(format!("arn:aws:states:us-east-1:{ACCOUNT}:mapRun:m/Each:0a1b")),
                ..Detail::default()
            },
        }
    }

    fn mask() -> AccountMask {
        AccountMask::new(vec![ACCOUNT.into()]).expect("an account number")
    }

    #[test]
    fn an_input_is_masked_and_salted_and_what_was_started_keeps_its_arn() {
        let Withheld { event: published, openings } = withheld(&event(), Privacy::Published, &mask());
        assert_eq!(published.input.as_deref(), Some(r#"{"bucket": "of-000000000000"}"#));
        assert_eq!((&published.starts, published.salt, openings.len()), (&event().starts, None, 0));
        let committed = withheld(&event(), Privacy::Committed, &mask()).event;
        let again = withheld(&event(), Privacy::Committed, &mask()).event;
        assert!(committed.salt.is_some() && committed.salt != again.salt);
        assert_eq!((committed.input, committed.starts), (published.input, event().starts));
    }

    #[test]
    fn what_an_event_tells_besides_is_masked_and_what_a_private_run_computed_is_committed_to() {
        let published = withheld(&event(), Privacy::Published, &mask());
        let told = serde_json::to_string(&published.event.detail).expect("JSON");
        assert!(told.contains("000000000000") && !told.contains(ACCOUNT), "{told}");
        assert_eq!(published.output(), Some("[000000000000]"));

        let committed = withheld(&event(), Privacy::Committed, &mask());
        assert_eq!(committed.output(), published.output());
        let fields: Vec<&str> = committed.openings.iter().map(|opening| opening.field.as_str()).collect();
        assert_eq!(fields, ["output", "error", "cause", "assigned_variables"]);
        let salts: HashSet<B256> = committed.openings.iter().map(|opening| opening.salt.0).collect();
        assert_eq!(salts.len(), fields.len());
        let told = serde_json::to_value(&committed.event.detail).expect("JSON");
        for Opening { field, salt, data } in &committed.openings {
            assert_eq!(told[field], Commitment::to(data.as_bytes(), *salt).to_string());
        }
        let plain = withheld(&event(), Privacy::Published, &mask()).event.detail;
        assert_eq!(Detail { data: plain.data.clone(), ..committed.event.detail }, plain);
    }
}
