//! Reading ahead: while a range is being written, the next ones are fetched, checked and decoded, in order and never more than a few.

use std::{collections::VecDeque, ops::RangeInclusive};

use tokio_util::task::AbortOnDropHandle;

use crate::{
    block::Block,
    decode::{self, Decoded},
    error::IndexError,
    source::Source,
};

/// Ranges that are read at the same time: one that is fetched while another is decoded. More would only cost memory.
const AT_ONCE: usize = 2;

/// A range as it is to be written.
pub(crate) struct Taken {
    /// Its blocks, all or the first.
    pub(crate) blocks: Vec<Block>,
    /// What they hold.
    pub(crate) decoded: Decoded,
    /// Whether these are all.
    pub(crate) whole: bool,
}

/// Reads of consecutive ranges.
pub(crate) struct Ahead<'a> {
    source: &'a Source,
    left: RangeInclusive<u64>,
    reading: VecDeque<Reading>,
}

/// A range that is being read.
struct Reading {
    last: u64,
    taken: AbortOnDropHandle<Result<Taken, IndexError>>,
}

impl<'a> Ahead<'a> {
    /// Of these blocks; reads nothing yet.
    pub(crate) fn new(source: &'a Source, blocks: RangeInclusive<u64>) -> Self {
        Self { source, left: blocks, reading: VecDeque::new() }
    }

    /// The next range (of one that holds too much, the first blocks), of at most `span` blocks; `None` after the last. After an error nothing more is to be asked for.
    pub(crate) async fn next(&mut self, span: u64) -> Option<Result<Taken, IndexError>> {
        while self.reading.len() < AT_ONCE && !self.left.is_empty() {
            let (first, end) = (*self.left.start(), *self.left.end());
            let last = end.min(first.saturating_add(span.max(1) - 1));
            self.left = last + 1..=end;
            let taken = AbortOnDropHandle::new(tokio::spawn(take(self.source.clone(), first..=last)));
            self.reading.push_back(Reading { last, taken });
        }
        let Reading { last, taken } = self.reading.pop_front()?;
        let mut taken = taken.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
        let read_to = taken.as_ref().ok().and_then(|taken| taken.blocks.last()).map_or(last, |block| block.number);
        if let (true, Ok(taken)) = (read_to < last, &mut taken) {
            // There was no room for all of it: what comes after it is not what was begun.
            taken.whole = false;
            self.reading.clear();
            self.left = read_to + 1..=*self.left.end();
        }
        Some(taken)
    }
}

async fn take(source: Source, range: RangeInclusive<u64>) -> Result<Taken, IndexError> {
    let blocks = source.blocks(range).await?;
    let decoded = decode::decode(source.kind(), &blocks);
    Ok(Taken { blocks, decoded, whole: true })
}
