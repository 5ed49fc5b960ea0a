//! What is told of the way while there is much to catch up with: a bar where a person looks on, a log line from time to time elsewhere.

use std::{
    io::IsTerminal,
    time::{Duration, Instant},
};

use indicatif::ProgressStyle;
use tracing::{Span, info, info_span};
use tracing_indicatif::span_ext::IndicatifSpanExt;

use crate::{block::Head, cursor::Cursor};

/// How often a line is written.
const INTERVAL: Duration = Duration::from_secs(2);
const BAR: &str = "{bar:32} {human_pos}/{human_len} blocks, {msg}";

/// Of one catch-up after the other.
pub(crate) struct Progress {
    source: String,
    on_terminal: bool,
    way: Option<Way>,
}

/// A catch-up: since when and where, and what it brought.
struct Way {
    begun: Instant,
    first_block: u64,
    told: Instant,
    items: u64,
    bar: Option<Span>,
}

/// Blocks, pace and time left.
struct Figures {
    blocks: u64,
    blocks_per_s: f64,
    events_per_s: f64,
    left_s: Option<f64>,
}

impl Progress {
    /// Of this source, from now on.
    pub(crate) fn new(source: String) -> Self {
        Self { source, on_terminal: std::io::stderr().is_terminal(), way: None }
    }

    /// The journal is at `cursor`, the chain at `head`, and `items` entries came in between.
    pub(crate) fn update(&mut self, cursor: &Cursor, head: &Head, items: usize) {
        metrics::counter!("runproof_indexer_entries_total", "source" => self.source.clone()).increment(items as u64);
        let indexed = cursor.block.map_or(0, |block| block.number);
        let lag_blocks = head.latest.number.saturating_sub(indexed);
        let now = Instant::now();
        if lag_blocks == 0 {
            let told = self.way.take().is_some_and(|way| way.bar.is_some() || way.told > way.begun);
            if told {
                info!(indexed_block = indexed, position = cursor.position, "caught up with the chain");
            }
            return;
        }
        let way =
            self.way.get_or_insert_with(|| Way { begun: now, first_block: indexed, told: now, items: 0, bar: None });
        way.items += items as u64;
        let figures = way.figures(indexed, lag_blocks, now);
        // A way of a single step is not told of.
        if self.on_terminal && figures.blocks > 0 {
            way.draw(&figures, lag_blocks);
        } else if !self.on_terminal && now - way.told >= INTERVAL {
            way.told = now;
            info!(
                indexed_block = indexed,
                head_block = head.latest.number,
                lag_blocks,
                blocks_per_s = figures.blocks_per_s.round(),
                events_per_s = figures.events_per_s.round(),
                left_s = figures.left_s.map(f64::round),
                "catching up"
            );
        }
    }

    /// The chain took blocks back.
    pub(crate) fn reorganised(&self) {
        metrics::counter!("runproof_indexer_reorganisations_total", "source" => self.source.clone()).increment(1);
    }
}

impl Way {
    fn figures(&self, indexed: u64, lag_blocks: u64, now: Instant) -> Figures {
        let seconds = (now - self.begun).as_secs_f64().max(1e-3);
        let blocks = indexed.saturating_sub(self.first_block);
        let blocks_per_s = blocks as f64 / seconds;
        let left_s = (blocks > 0).then(|| lag_blocks as f64 / blocks_per_s);
        Figures { blocks, blocks_per_s, events_per_s: self.items as f64 / seconds, left_s }
    }

    fn draw(&mut self, figures: &Figures, lag_blocks: u64) {
        let bar = self.bar.get_or_insert_with(|| {
            let bar = info_span!("catching up", indicatif.pb_show = true);
            bar.pb_set_style(&ProgressStyle::with_template(BAR).unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.pb_start();
            bar
        });
        bar.pb_set_length(figures.blocks + lag_blocks);
        bar.pb_set_position(figures.blocks);
        let left = figures.left_s.map_or_else(|| "?".into(), |seconds| format!("{seconds:.0} s"));
        bar.pb_set_message(&format!("{:.0} events/s, {left} left", figures.events_per_s));
    }
}
