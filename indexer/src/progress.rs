//! What is told of the way: metrics always, a log line from time to time while there is much to catch up with.

use std::time::{Duration, Instant};

use tracing::info;

use crate::{block::Head, cursor::Cursor};

const INTERVAL: Duration = Duration::from_secs(2);

/// Since when, and how much.
pub(crate) struct Progress {
    told: Instant,
    blocks_then: u64,
    items: u64,
    behind: bool,
}

impl Progress {
    /// From now on.
    pub(crate) fn new() -> Self {
        Self { told: Instant::now(), blocks_then: 0, items: 0, behind: false }
    }

    /// The journal is at `cursor`, the chain at `head`, and `items` entries came in between.
    pub(crate) fn update(&mut self, cursor: &Cursor, head: &Head, items: usize) {
        let indexed = cursor.block.map_or(0, |block| block.number);
        let lag_blocks = head.latest.number.saturating_sub(indexed);
        metrics::gauge!("runproof_indexer_head_block").set(head.latest.number as f64);
        metrics::gauge!("runproof_indexer_indexed_block").set(indexed as f64);
        metrics::gauge!("runproof_indexer_lag_blocks").set(lag_blocks as f64);
        metrics::gauge!("runproof_indexer_position").set(cursor.position as f64);
        metrics::counter!("runproof_indexer_entries_total").increment(items as u64);
        self.items += items as u64;
        let elapsed = self.told.elapsed();
        if lag_blocks == 0 {
            if self.behind {
                info!(indexed_block = indexed, position = cursor.position, "caught up with the chain");
            }
            *self = Self { blocks_then: indexed, ..Self::new() };
        } else if elapsed >= INTERVAL {
            let seconds = elapsed.as_secs_f64();
            let blocks_per_s = indexed.saturating_sub(self.blocks_then) as f64 / seconds;
            let left_s = (blocks_per_s > 0.0).then(|| (lag_blocks as f64 / blocks_per_s).round());
            let events_per_s = (self.items as f64 / seconds).round();
            info!(
                indexed_block = indexed,
                head_block = head.latest.number,
                lag_blocks,
                blocks_per_s = blocks_per_s.round(),
                events_per_s,
                left_s,
                "catching up"
            );
            *self = Self { blocks_then: indexed, behind: true, ..Self::new() };
        }
    }
}
