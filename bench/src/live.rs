//! Live latency: a chain that grows by a block a second, and when each block has arrived in Postgres, in the topic and at a subscriber.
//!
//! The node is the one that replays, and not a development node: it shows a block, and tells of it, at a moment that is known exactly, and takes no time
//! for making one. Node and watchers share a process, and so a clock.

pub mod subscriber;
pub mod watch;

use std::{
    fmt::Write,
    time::{Duration, Instant},
};

use clap::ValueEnum;

use crate::{
    chain::{LOADS, Recipe},
    quantile::quantile,
};

/// Who reads what is live, beside Postgres.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Reader {
    /// A consumer of the topic, and so the relay.
    Topic,
    /// A subscriber, and so the API.
    Subscription,
}

/// Events that were there, and when.
pub type Seen = (u64, Instant);

/// What was seen at a place.
#[derive(Debug)]
pub struct Place {
    /// As it is called in the table.
    pub name: &'static str,
    /// In the order of time.
    pub seen: Vec<Seen>,
}

/// A Markdown table of the latency of whole blocks: p50, p99 and the longest, by load and place. The first `warm_up` blocks of each load do not count.
///
/// `arrived` holds when each block after the history was shown.
pub fn render(recipe: &Recipe, arrived: &[Instant], places: &[Place], warm_up: usize) -> String {
    let mut table = format!(
        "Live, one block a second, {} events before, {} blocks of each load: ms from the block's arrival at the node\n\n\
         | events a block | until all of the block is | p50 ms | p99 ms | longest ms |\n|---|---|---|---|---|\n",
        recipe.events,
        (recipe.live_blocks as usize).saturating_sub(warm_up),
    );
    for (nth, load) in LOADS.iter().enumerate() {
        for place in places {
            let first = recipe.blocks + 1 + nth as u64 * recipe.live_blocks;
            let blocks = (first..first + recipe.live_blocks).skip(warm_up);
            let mut latencies: Vec<Duration> = blocks
                .map(|number| {
                    latency(arrived[(number - recipe.blocks - 1) as usize], recipe.events_until(number), &place.seen)
                })
                .collect();
            latencies.sort_unstable();
            let ms = |share: f64| quantile(&latencies, share).unwrap_or(Duration::MAX).as_secs_f64() * 1e3;
            // A String takes whatever is written.
            let _ = writeln!(table, "| {load} | {} | {:.1} | {:.1} | {:.1} |", place.name, ms(0.5), ms(0.99), ms(1.0));
        }
    }
    table
}

/// From a block's arrival until its last position was seen.
fn latency(arrived: Instant, last_position: u64, seen: &[Seen]) -> Duration {
    let there = seen.partition_point(|(position, _)| *position < last_position);
    seen.get(there).map_or(Duration::MAX, |(_, at)| at.saturating_duration_since(arrived))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_there_with_its_last_event() {
        let arrived = Instant::now();
        let after = |ms| arrived + Duration::from_millis(ms);
        let seen = [(1, after(3)), (4, after(5)), (9, after(8))];
        let latencies = [1, 2, 4, 5, 9].map(|last| latency(arrived, last, &seen).as_millis());
        assert_eq!(latencies, [3, 5, 5, 8, 8]);
        assert_eq!(latency(arrived, 10, &seen), Duration::MAX, "it never came");
    }
}
