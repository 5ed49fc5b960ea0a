//! The loop's step: one comparison of the journal with the chain, one act. Restart, catch-up, live and reorganisation are this step.

use std::{
    ops::RangeInclusive,
    time::{Duration, Instant},
};

use alloy::primitives::B256;
use sqlx::PgPool;
use tracing::debug;

use crate::{
    ahead::{Ahead, Taken},
    allowed_range::allowed_range,
    batch,
    block::{Block, BlockRef, Head},
    commit, cursor,
    cursor::Cursor,
    error::IndexError,
    finality, indexes,
    progress::Progress,
    rewind,
    source::Source,
    span::Span,
};

/// How old a head may be on a long way: how far there is to go, and what is final, are told from it.
const HEAD_INTERVAL: Duration = Duration::from_secs(5);

/// Blocks that are left to take while somebody waits for the next.
const AWAITED_BLOCKS: u64 = 16;

/// Batches beyond which states become rows at once: who reads would have to go through all of them.
const MOST_UNSPREAD: usize = 64;

/// What is to be done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Plan {
    /// The journal is where the chain is, or the node lags behind it.
    Wait,
    /// The chain no longer has the cursor's block.
    Rewind,
    /// These blocks come next, up to the node's newest.
    Take(RangeInclusive<u64>),
}

/// Compares the cursor with the node's newest block. `ours` is the journal's canonical hash at that block's height, where it has one.
pub(crate) fn plan(cursor: Option<BlockRef>, start_block: u64, head: BlockRef, ours: Option<B256>) -> Plan {
    let next = cursor.map_or(start_block, |block| block.number + 1);
    match ours {
        // Only a cursor at or above the head has a hash there.
        Some(ours) if ours != head.hash => Plan::Rewind,
        _ if next <= head.number => Plan::Take(next..=head.number),
        _ => Plan::Wait,
    }
}

/// Whether the chain goes on from the cursor with this parent.
pub(crate) fn follows(cursor: Option<BlockRef>, parent_hash: B256) -> bool {
    cursor.is_none_or(|block| block.hash == parent_hash)
}

/// The newest of our blocks (newest first) that the node has too.
pub(crate) fn newest_common(ours: &[BlockRef], theirs: &[Option<B256>]) -> Option<BlockRef> {
    ours.iter().zip(theirs).find(|(ours, theirs)| Some(ours.hash) == **theirs).map(|(ours, _)| *ours)
}

/// A writer with its lease, its cursor and its source.
pub(crate) struct Writer<'a> {
    /// The journal's database.
    pub(crate) pool: &'a PgPool,
    /// The chain.
    pub(crate) source: &'a Source,
    /// First block to look at.
    pub(crate) start_block: u64,
    /// The journal's state.
    pub(crate) cursor: Cursor,
    /// Whether the journal's indexes are yet to be built.
    pub(crate) indexes_deferred: bool,
    /// Batches that are yet to be spread into rows.
    pub(crate) unspread: usize,
    /// Size of the next range.
    pub(crate) span: &'a mut Span,
    /// What is told of the way.
    pub(crate) progress: &'a mut Progress,
}

impl Writer<'_> {
    /// One step. Returns whether there may be more to do at once.
    ///
    /// # Errors
    /// After an error the cursor is not to be trusted: take the journal anew.
    pub(crate) async fn step(&mut self) -> Result<bool, IndexError> {
        let head = self.source.head().await?;
        let ours = match self.cursor.block {
            Some(block) if block.number >= head.latest.number => {
                canonical_hash(self.pool, &self.cursor, head.latest.number).await?
            }
            _ => None,
        };
        match plan(self.cursor.block, self.start_block, head.latest, ours) {
            Plan::Wait => {
                self.restore_indexes().await?;
                if finality::may_advance(&self.cursor, &head) {
                    self.cursor = finality::commit(self.pool, &self.cursor, &head).await?;
                } else {
                    // Who has nothing to write would not find out that another one does.
                    cursor::confirm(self.pool, &self.cursor).await?;
                }
                self.progress.update(&self.cursor, &head, 0);
                Ok(false)
            }
            Plan::Rewind => self.rewind().await,
            Plan::Take(blocks) => self.take(blocks, head).await,
        }
    }

    /// Takes blocks range by range, the next ones being read while one is written.
    async fn take(&mut self, blocks: RangeInclusive<u64>, mut head: Head) -> Result<bool, IndexError> {
        let behind = blocks.end() - blocks.start();
        self.indexes_deferred |= indexes::defer(self.pool, self.cursor.position, behind).await?;
        let mut head_read = Instant::now();
        let mut ahead = Ahead::new(self.source, blocks);
        while let Some(taken) = ahead.next(self.span.blocks()).await {
            let Taken { blocks, decoded, whole } = match taken {
                Ok(taken) => taken,
                // Providers limit ranges, each in words of its own; and a chain that changes while it is read is read again.
                Err(error @ (IndexError::Refused { .. } | IndexError::Mismatch(_)))
                    if self.span.refused(allowed_range(&error.to_string())) =>
                {
                    debug!(%error, next_blocks = self.span.blocks(), "range refused, a smaller one is tried");
                    return Ok(true);
                }
                Err(error) => return Err(error),
            };
            if !blocks.first().is_some_and(|block: &Block| follows(self.cursor.block, block.parent_hash)) {
                return self.rewind().await;
            }
            if head_read.elapsed() >= HEAD_INTERVAL {
                (head, head_read) = (self.source.head().await?, Instant::now());
            }
            let batched = behind < AWAITED_BLOCKS && self.unspread < MOST_UNSPREAD;
            let (cursor, batches) = commit::commit(self.pool, &self.cursor, &blocks, &decoded, &head, batched).await?;
            (self.cursor, self.unspread) = (cursor, self.unspread + batches);
            match whole {
                true => self.span.answered(decoded.items.len()),
                false => self.span.cut(blocks.len(), decoded.items.len()),
            }
            self.progress.update(&self.cursor, &head, decoded.items.len());
        }
        let restored = self.restore_indexes().await?;
        Ok(restored || self.cursor.block != Some(head.latest))
    }

    async fn rewind(&mut self) -> Result<bool, IndexError> {
        // What is taken back is found by the indexes, and blocks that come again meet the uniqueness that these keep.
        self.restore_indexes().await?;
        let cursor = rewind::rewind(self.pool, self.source, &self.cursor).await?;
        if cursor.block != self.cursor.block {
            self.progress.reorganised();
        }
        self.cursor = cursor;
        Ok(true)
    }

    /// Spreads some batches into rows.
    pub(crate) async fn spread(&mut self) -> Result<(), IndexError> {
        self.unspread = self.unspread.saturating_sub(batch::spread(self.pool).await?);
        Ok(())
    }

    /// Whether there were any to build.
    async fn restore_indexes(&mut self) -> Result<bool, IndexError> {
        let deferred = std::mem::take(&mut self.indexes_deferred);
        if deferred {
            indexes::restore(self.pool).await?;
        }
        Ok(deferred)
    }
}

async fn canonical_hash(pool: &PgPool, cursor: &Cursor, number: u64) -> Result<Option<B256>, sqlx::Error> {
    let found: Option<Vec<u8>> =
        sqlx::query_scalar("select hash from journal.block where source_id = $1 and canonical and number = $2")
            .bind(cursor.source_id)
            .bind(cursor::bigint(number))
            .fetch_optional(pool)
            .await?;
    found.map(|hash| cursor::hash(&hash)).transpose()
}

#[cfg(test)]
#[path = "converge_tests.rs"]
mod tests;
