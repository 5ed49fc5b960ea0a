//! The loop's step: one comparison of the journal with the chain, one act. Restart, catch-up, live and reorganisation are this step.

use std::ops::RangeInclusive;

use alloy::primitives::B256;
use sqlx::PgPool;
use tracing::debug;

use crate::{
    block::{Block, BlockRef},
    commit, cursor,
    cursor::Cursor,
    decode,
    error::IndexError,
    progress::Progress,
    rewind,
    source::Source,
    span::Span,
};

/// What is to be done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Plan {
    /// The journal is where the chain is, or the node lags behind it.
    Wait,
    /// The chain no longer has the cursor's block.
    Rewind,
    /// These blocks come next.
    Take(RangeInclusive<u64>),
}

/// Compares the cursor with the node's newest block. `ours` is the journal's canonical hash at that block's height, where it has one.
pub(crate) fn plan(cursor: Option<BlockRef>, start_block: u64, head: BlockRef, ours: Option<B256>, span: u64) -> Plan {
    let next = cursor.map_or(start_block, |block| block.number + 1);
    match ours {
        // Only a cursor at or above the head has a hash there.
        Some(ours) if ours != head.hash => Plan::Rewind,
        _ if next <= head.number => Plan::Take(next..=head.number.min(next + span.max(1) - 1)),
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
        let span = self.span.blocks();
        let range = match plan(self.cursor.block, self.start_block, head.latest, ours, span) {
            Plan::Wait => {
                self.progress.update(&self.cursor, &head, 0);
                return Ok(false);
            }
            Plan::Rewind => return self.rewind().await,
            Plan::Take(range) => range,
        };
        let blocks = match self.source.blocks(range.clone()).await {
            Ok(blocks) => blocks,
            // Providers limit ranges, each in words of its own; and a chain that changes while it is read is read again.
            Err(error) if self.span.refused() => {
                debug!(%error, ?range, "range refused, a smaller one is tried");
                return Ok(true);
            }
            Err(error) => return Err(error),
        };
        if !blocks.first().is_some_and(|block: &Block| follows(self.cursor.block, block.parent_hash)) {
            return self.rewind().await;
        }
        let decoded = decode::decode(&blocks);
        self.cursor = commit::commit(self.pool, &self.cursor, &blocks, &decoded, &head).await?;
        self.span.answered(decoded.items.len());
        self.progress.update(&self.cursor, &head, decoded.items.len());
        Ok(self.cursor.block != Some(head.latest))
    }

    async fn rewind(&mut self) -> Result<bool, IndexError> {
        self.cursor = rewind::rewind(self.pool, self.source, &self.cursor).await?;
        Ok(true)
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
