//! The rules of verification: evidence in, findings out. Who gathers the evidence, and how, is not known here.
//!
//! | check | rule | evidence |
//! |---|---|---|
//! | 1 state exists | [`existence::state_exists`] | the contract's logs and its proved storage |
//! | 2 model and instance exist | [`existence::model_and_instance_exist`] | the contract's views |
//! | 2, of instances that the document names | [`existence::named_instance_exists`] | the contract's views, the instance document |
//! | 3 issuer known | [`issuer::issuer_known`] | ENS records |
//! | 4 certificate known | [`certificate::certificate_known`] | the TLS handshake, the contract's bindings |
//! | 5 protocol linked | [`certificate::protocol_linked`] | the binding's signature |
//! | content | [`content::content`] | published bytes |
//! | content, of a root | [`leaves::reveal`] | published leaves |
//! | content, of a private state's input | [`disclosure::disclosed`] | what was disclosed of it |
//! | completeness | [`completeness::completeness`] | the published protocol, the proved head |
//!
//! Of the paper's own contract less can be said: [`itrex`].

pub mod certificate;
pub mod completeness;
pub mod content;
pub mod disclosure;
pub mod existence;
pub mod issuer;
pub mod itrex;
pub mod leaves;
pub mod registered;

use crate::verdict::{Check, Finding, Status};

/// What came of reading a source. Only what was read can fail a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading<T> {
    /// It was read.
    Read(T),
    /// It could not be reached or did not answer, and why: nothing is known.
    Unavailable(String),
    /// It was not asked, and why.
    NotAsked(String),
}

impl<T> Reading<T> {
    /// The same reading of a part of what was read.
    pub fn map<U>(self, part: impl FnOnce(T) -> U) -> Reading<U> {
        match self {
            Self::Read(value) => Reading::Read(part(value)),
            Self::Unavailable(why) => Reading::Unavailable(why),
            Self::NotAsked(why) => Reading::NotAsked(why),
        }
    }

    /// The same reading by reference.
    pub fn as_ref(&self) -> Reading<&T> {
        match self {
            Self::Read(value) => Reading::Read(value),
            Self::Unavailable(why) => Reading::Unavailable(why.clone()),
            Self::NotAsked(why) => Reading::NotAsked(why.clone()),
        }
    }

    /// What was read, if it was.
    pub fn read(&self) -> Option<&T> {
        match self {
            Self::Read(value) => Some(value),
            Self::Unavailable(_) | Self::NotAsked(_) => None,
        }
    }
}

/// A check put to a source: each answer to it is a finding.
struct Question<'a> {
    check: Check,
    source: &'a str,
}

impl Question<'_> {
    fn finding(&self, status: Status) -> Finding {
        Finding { check: self.check, status, expected: None, found: None, source: self.source.to_owned(), detail: None }
    }

    /// Found as expected.
    fn passed(&self, found: impl ToString) -> Finding {
        let found = found.to_string();
        Finding { expected: Some(found.clone()), found: Some(found), ..self.finding(Status::Passed) }
    }

    /// Something else was found; `None` is nothing.
    fn failed(&self, expected: impl ToString, found: Option<String>, detail: impl Into<String>) -> Finding {
        let detail = Some(detail.into());
        Finding { expected: Some(expected.to_string()), found, detail, ..self.finding(Status::Failed) }
    }

    /// The source did not answer.
    fn unavailable(&self, why: impl Into<String>) -> Finding {
        Finding { detail: Some(why.into()), ..self.finding(Status::Unavailable) }
    }

    /// What the check rests on is not there.
    fn not_checked(&self, why: impl Into<String>) -> Finding {
        Finding { detail: Some(why.into()), ..self.finding(Status::NotChecked) }
    }

    /// Judges what was read; what was not read decides nothing.
    fn judge<T>(&self, reading: &Reading<T>, rule: impl FnOnce(&T) -> Finding) -> Finding {
        match reading {
            Reading::Read(value) => rule(value),
            Reading::Unavailable(why) => self.unavailable(why),
            Reading::NotAsked(why) => self.not_checked(why),
        }
    }
}
