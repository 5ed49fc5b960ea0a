//! The lines of the campaign.

use std::time::Instant;

use eyre::Result;
use futures::{FutureExt, future::BoxFuture};
use rand::rngs::StdRng;

use crate::{
    ground::Ground,
    lines::{
        brokers, clouds, crashes, databases, engine, executors, forks, liars, nodes, providers, strangers,
        transactions, writers,
    },
    table::Row,
};

/// One kind of fault.
pub(crate) struct Line {
    /// Its number, by which it is asked for.
    pub(crate) number: u8,
    /// What is done.
    pub(crate) fault: &'static str,
    /// How often, in a full campaign.
    full: u64,
    /// How often, in a short one.
    short: u64,
}

/// How often each fault is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    /// As often as each line says.
    Full,
    /// Each at least once, together in a few minutes.
    Short,
    /// So often.
    Exactly(u64),
}

impl Times {
    pub(crate) fn of(self, line: &Line) -> u64 {
        match self {
            Self::Full => line.full,
            Self::Short => line.short,
            Self::Exactly(times) => times,
        }
    }
}

/// What came of a line.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// How often the fault was really done.
    pub(crate) tried: u64,
    /// What was measured.
    pub(crate) figure: String,
    /// What did not hold.
    pub(crate) broken: Vec<String>,
    /// Why it could not be done here at all.
    pub(crate) skipped: Option<&'static str>,
}

impl Outcome {
    /// Of a line that cannot be done here.
    pub(crate) fn skipped(why: &'static str) -> Self {
        Self { skipped: Some(why), ..Self::default() }
    }
}

const fn line(number: u8, fault: &'static str, full: u64, short: u64) -> Line {
    Line { number, fault, full, short }
}

/// In the order in which they are done.
pub(crate) const LINES: &[Line] = &[
    line(1, "kill -9 of the indexer at random, while blocks come and go", 200, 3),
    line(2, "kill -9 before and after a commit to Postgres and each step of a Kafka transaction", 200, 10),
    line(3, "reorganisations of depth 1 to 63, by two methods", 500, 4),
    line(4, "fork A, fork B, fork A again, while the first turn is still being taken", 100, 3),
    line(5, "a reorganisation below finalized", 10, 1),
    line(6, "a node that lags, or answers with no logs, 20 % of calls", 300, 5),
    line(7, "logs of another fork, duplicated, shuffled, out of range, altered", 10_000, 15),
    line(8, "answers that are null, cut short, huge, no JSON", 500, 8),
    line(9, "refused ranges, in the words of each provider and in unknown ones", 22, 2),
    line(10, "429 by HTTP and by JSON-RPC, delays, connections that never answer", 60, 4),
    line(11, "websockets that stall, leave gaps, talk nonsense, hang up or flood", 200, 5),
    line(12, "another chain, another genesis, no contract, another contract", 12, 4),
    line(13, "emptied bloom filters, forged receipts", 1_000, 10),
    line(14, "one of three endpoints lies, two must agree", 20, 5),
    line(15, "Postgres killed; the acknowledgement of a COMMIT cut off", 200, 4),
    line(16, "Postgres frozen in the middle of it; tables locked by others", 60, 2),
    line(17, "the disk under the tables is full", 60, 2),
    line(18, "Kafka killed in mid-transaction", 100, 1),
    line(19, "an EndTxn that arrives in the next transaction", 500, 2),
    line(20, "an indexer frozen, replaced, and thawed again", 100, 1),
    line(21, "messages that are not delivered in time, or whose delivery is told too late", 60, 1),
    line(22, "the writer loses its lease's session only", 100, 2),
    line(23, "three writers race", 30, 1),
    line(24, "kill -9 of the executor at six points of a transaction's life", 300, 6),
    line(25, "a transaction is taken, and the node says: timed out, already known, nonce too low", 200, 4),
    line(26, "a transaction is dropped by the node, or outbid by the blocks' base fee", 100, 2),
    line(27, "another user of the same key: nonces overtaken, ahead, gone again", 100, 4),
    line(28, "a receipt reorganised away, or not told for a while", 200, 4),
    line(29, "two executors with one key, on one database or on two", 50, 2),
    line(
        30,
        "a history of 25,000 events, some of them late, pages of it given twice, their tokens refused",
        25_000,
        1_500,
    ),
    line(31, "half of all calls refused for the quota, replies to StartExecution lost", 100, 4),
    line(32, "an execution's status, and lists of executions, as of some time ago", 50, 2),
    line(33, "failed executions redriven, while the executor is there or away", 50, 2),
    line(36, "as line 3, by a real geth that the engine API drives, down to the last final block", 150, 2),
    line(37, "as line 4, by a real geth", 75, 1),
    line(38, "as line 5, by a real geth", 10, 1),
];

impl Line {
    /// Does the fault so often, and judges.
    pub(crate) async fn run(&self, ground: &Ground, random: &mut StdRng, times: u64) -> Row {
        let begun = Instant::now();
        let outcome = self.attempt(ground, random, times).await.unwrap_or_else(|error| Outcome {
            broken: vec![format!("the line did not come to its end: {error:#}")],
            ..Outcome::default()
        });
        let Outcome { tried, figure, mut broken, skipped } = outcome;
        if tried == 0 && skipped.is_none() && broken.is_empty() {
            broken.push("the fault was never done".into());
        }
        let seconds = begun.elapsed().as_secs();
        Row { number: self.number, fault: self.fault, tried, figure, broken, skipped, seconds }
    }

    /// Boxed, since a line's future holds a whole world, and twenty of them in one would overflow a thread's stack.
    fn attempt<'a>(&self, ground: &'a Ground, random: &'a mut StdRng, times: u64) -> BoxFuture<'a, Result<Outcome>> {
        match self.number {
            1 => crashes::at_random(ground, random, times).boxed(),
            2 => crashes::at_commits(ground, random, times).boxed(),
            3 => forks::deep(ground, random, times).boxed(),
            4 => forks::there_and_back(ground, random, times).boxed(),
            5 => forks::below_finalized(ground, random, times).boxed(),
            6 => nodes::lagging(ground, random, times).boxed(),
            7 => nodes::wrong_logs(ground, random, times).boxed(),
            8 => nodes::broken_answers(ground, random, times).boxed(),
            9 => providers::refused_ranges(ground, random, times).boxed(),
            10 => providers::slow(ground, random, times).boxed(),
            11 => providers::websockets(ground, random, times).boxed(),
            12 => strangers::other_chains(ground, random, times).boxed(),
            13 => nodes::forged(ground, random, times).boxed(),
            14 => liars::one_in_three(ground, random, times).boxed(),
            15 => databases::killed(ground, random, times).boxed(),
            16 => databases::frozen(ground, random, times).boxed(),
            17 => databases::full(ground, random, times).boxed(),
            18 => brokers::killed(ground, random, times).boxed(),
            19 => brokers::late_end(ground, random, times).boxed(),
            20 => writers::zombie(ground, random, times).boxed(),
            21 => brokers::timed_out(ground, random, times).boxed(),
            22 => writers::session_lost(ground, random, times).boxed(),
            24 => executors::killed(ground, random, times).boxed(),
            25 => transactions::told_wrongly(ground, random, times).boxed(),
            26 => transactions::dropped_or_outbid(ground, random, times).boxed(),
            27 => transactions::same_key(ground, random, times).boxed(),
            28 => transactions::receipts_lost(ground, random, times).boxed(),
            29 => executors::two(ground, random, times).boxed(),
            30 => clouds::long_histories(ground, random, times).boxed(),
            31 => clouds::throttled(ground, random, times).boxed(),
            32 => clouds::stale(ground, random, times).boxed(),
            33 => clouds::redriven(ground, random, times).boxed(),
            36 => engine::deep(ground, random, times).boxed(),
            37 => engine::there_and_back(ground, random, times).boxed(),
            38 => engine::below_finalized(ground, random, times).boxed(),
            _ => writers::race(ground, random, times).boxed(),
        }
    }
}
