//! What one endpoint is worth, from how it answered so far. Pure: observations and the time in, state and cost out.

use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use crate::{check::Mismatch, error::IndexError};

/// Weight of the newest observation in what is remembered of all.
const NEWEST: f64 = 0.1;
/// What a block of lag is worth in latency, in milliseconds.
const COST_OF_A_BLOCK_MS: f64 = 250.0;
/// An endpoint that always fails is as bad as one so many times slower.
const COST_OF_FAILURE: f64 = 20.0;
/// So long after a lie it begins anew.
const FORGIVEN: Duration = Duration::from_secs(60);
/// So many answers in a row that may also come of a chain that just changed are borne.
const BORNE: u32 = 2;

/// How an endpoint disappointed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// It refused, or answered what may also come of a chain that changes while it is read.
    Unclear,
    /// Its head went back, or stays behind those of the others.
    Lags,
    /// It could not be reached, or its answer not be read.
    Fails,
    /// Its answer differs from one that others agree on.
    Dissents,
    /// Its answer does not fit itself: no chain has that.
    DoesNotFit,
    /// It is of another chain, or has other code at the contract's address.
    Stranger,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Unclear, Self::Lags, Self::Fails, Self::Dissents, Self::DoesNotFit, Self::Stranger];

    /// What an error says about who gave it; `None` if nothing.
    pub(crate) fn of(error: &IndexError) -> Option<Self> {
        match error {
            IndexError::Refused { .. }
            | IndexError::Mismatch(Mismatch::MissingBlock(_) | Mismatch::Unlinked(_) | Mismatch::OtherFork(_)) => {
                Some(Self::Unclear)
            }
            IndexError::Rpc { .. } => Some(Self::Fails),
            IndexError::Mismatch(_) => Some(Self::DoesNotFit),
            IndexError::WrongChain { .. }
            | IndexError::OtherGenesis { .. }
            | IndexError::OtherCode { .. }
            | IndexError::NoContract { .. } => Some(Self::Stranger),
            _ => None,
        }
    }

    /// Whether one that does this may also answer well, and yet is not to be trusted.
    fn is_lie(self) -> bool {
        matches!(self, Self::Dissents | Self::DoesNotFit | Self::Stranger)
    }

    /// Its name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unclear => "unclear",
            Self::Lags => "lags",
            Self::Fails => "fails",
            Self::Dissents => "dissents",
            Self::DoesNotFit => "does_not_fit",
            Self::Stranger => "stranger",
        }
    }

    /// First and longest time for which it is set aside.
    fn aside(self) -> (Duration, Duration) {
        let (first_ms, longest_s) = match self {
            Self::Unclear => (250, 10),
            Self::Fails | Self::Dissents => (500, 30),
            Self::DoesNotFit => (2_000, 60),
            // Looked at again by the next survey at the earliest.
            Self::Lags | Self::Stranger => (8_000, 60),
        };
        (Duration::from_millis(first_ms), Duration::from_secs(longest_s))
    }
}

/// Whether an endpoint is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It has not shown yet, or not again, that it is of the right chain and contract.
    Unproven,
    /// It is.
    Serving,
    /// It asked for a pause: a rate limit.
    Paused,
    /// Not for now, for what it did last.
    SetAside,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Unproven, Self::Serving, Self::Paused, Self::SetAside];

    /// Its name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unproven => "unproven",
            Self::Serving => "serving",
            Self::Paused => "paused",
            Self::SetAside => "set_aside",
        }
    }
}

/// What is remembered of an endpoint.
#[derive(Debug, Clone, Default)]
pub(crate) struct Standing {
    /// Whether it has shown that it is of the right chain and contract.
    pub(crate) proven: bool,
    /// Time of its newest answers.
    pub(crate) latency_ms: Option<f64>,
    /// Share of faults in what was asked of it lately, 0 to 1.
    pub(crate) fault_rate: f64,
    /// Its newest block.
    pub(crate) head: Option<u64>,
    /// Faults so far.
    pub(crate) faults: u64,
    /// How often it was set aside.
    pub(crate) times_aside: u64,
    in_a_row: u32,
    last: Option<Fault>,
    aside_until: Option<Instant>,
}

impl Standing {
    /// How long it took to answer what all are asked.
    pub(crate) fn timed(&mut self, took: Duration) {
        let took_ms = took.as_secs_f64() * 1e3;
        self.latency_ms = Some(self.latency_ms.map_or(took_ms, |before| before + (took_ms - before) * NEWEST));
    }

    /// It answered well.
    pub(crate) fn answered(&mut self) {
        self.fault_rate *= 1.0 - NEWEST;
        if !self.last.is_some_and(Fault::is_lie) {
            self.in_a_row = 0;
        }
    }

    /// It told its newest block; returns the one that it told before, if that was a later one.
    pub(crate) fn told_head(&mut self, head: u64) -> Option<u64> {
        self.head.replace(head).filter(|before| *before > head)
    }

    /// It disappointed; returns for how long it is set aside, if it is.
    pub(crate) fn disappointed(&mut self, fault: Fault, now: Instant) -> Option<Duration> {
        self.faults += 1;
        self.fault_rate += (1.0 - self.fault_rate) * NEWEST;
        if self.aside_until.is_some_and(|until| now > until + FORGIVEN) {
            self.in_a_row = 0;
        }
        self.last = Some(fault);
        self.in_a_row = self.in_a_row.saturating_add(1);
        self.proven &= fault != Fault::Stranger;
        let borne = if fault == Fault::Unclear { BORNE } else { 0 };
        let beyond = self.in_a_row.checked_sub(borne + 1)?;
        let (first, longest) = fault.aside();
        let aside = (first * 2u32.saturating_pow(beyond.min(10))).min(longest);
        self.aside_until = self.aside_until.max(Some(now + aside));
        self.times_aside += 1;
        Some(aside)
    }

    /// Until when it is set aside.
    pub(crate) fn aside_until(&self, now: Instant) -> Option<Instant> {
        self.aside_until.filter(|until| *until > now)
    }

    /// What an answer of it is expected to cost, in milliseconds, against a chain whose newest block is `best`.
    pub(crate) fn cost_ms(&self, best: u64) -> f64 {
        let behind = self.head.map_or(0, |head| best.saturating_sub(head));
        let failures = 1.0 + self.fault_rate * COST_OF_FAILURE;
        (1.0 + self.latency_ms.unwrap_or(0.0)) * failures + behind as f64 * COST_OF_A_BLOCK_MS
    }
}

/// The newest block that can be relied on of those that endpoints tell: the middle one, since the highest may be told by one that lies.
pub(crate) fn reliable_head(mut heads: Vec<u64>) -> Option<u64> {
    heads.sort_unstable_by_key(|head| std::cmp::Reverse(*head));
    heads.get((heads.len().max(1) - 1) / 2).copied()
}

#[cfg(test)]
#[path = "standing_tests.rs"]
mod tests;
