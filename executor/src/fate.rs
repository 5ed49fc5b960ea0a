//! What is to be done about a stored transaction, by what a node says of it. Pure.
//!
//! Nothing is concluded from one look at a node that may lag or be in the middle of a reorganisation: a transaction counts as lost only if it has been
//! for some blocks.

/// Blocks for which a transaction must have been lost before what it registers is open again.
const LOST_FOR_BLOCKS: u64 = 2;

/// What one node says, in the order in which it was asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sighting {
    /// Its newest block.
    pub(crate) block: u64,
    /// Nonces of the sender that blocks have used. Asked for before the receipt: a nonce used before the receipt was missing is used by another
    /// transaction.
    pub(crate) used_nonces: u64,
    /// The nonce after all that the pool has, or is given before this transaction.
    pub(crate) next_nonce: u64,
    /// Whether there is a receipt.
    pub(crate) receipt: bool,
    /// Whether the node has the transaction at all.
    pub(crate) known: bool,
    /// Whether it offers less a gas than the newest block's base fee, so that no block can take it.
    pub(crate) underpriced: bool,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Take over what the receipt tells.
    Include,
    /// Nothing yet.
    Wait,
    /// Send the stored bytes (again).
    Send,
    /// Offer more, with the same nonce.
    Replace,
    /// It can never be included, or not before something that is gone: what it registers is open again.
    Abandon(Loss),
}

/// Why a transaction is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Loss {
    /// By another one of the same key.
    #[error("its nonce was used by another transaction")]
    NonceUsed,
    /// Nothing has the nonce before its own.
    #[error("a transaction before it vanished")]
    Gap,
}

/// What is remembered of a transaction from look to look.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Watch {
    waits_since_block: u64,
    lost_since_block: Option<u64>,
}

impl Watch {
    /// Of one that is looked for first at this block.
    pub(crate) fn new(block: u64) -> Self {
        Self { waits_since_block: block, lost_since_block: None }
    }

    /// What is to be done about the transaction with this nonce; it is outbid if it waits for more than so many blocks.
    pub(crate) fn step(&mut self, nonce: u64, seen: &Sighting, replace_after_blocks: u64) -> Step {
        if seen.receipt {
            return Step::Include;
        }
        let loss = seen.loss(nonce);
        self.lost_since_block = loss.and(self.lost_since_block.or(Some(seen.block)));
        let since = |block: u64| seen.block.saturating_sub(block);
        match (loss, self.lost_since_block) {
            (Some(loss), Some(block)) if since(block) >= LOST_FOR_BLOCKS => Step::Abandon(loss),
            (Some(_), _) => Step::Wait,
            // It is in a block; the receipt is still to come.
            (None, _) if nonce < seen.used_nonces => Step::Wait,
            _ if seen.underpriced || since(self.waits_since_block) > replace_after_blocks => Step::Replace,
            _ if !seen.known => Step::Send,
            _ => Step::Wait,
        }
    }
}

impl Sighting {
    fn loss(&self, nonce: u64) -> Option<Loss> {
        if nonce < self.used_nonces {
            (!self.known).then_some(Loss::NonceUsed)
        } else {
            (nonce > self.next_nonce).then_some(Loss::Gap)
        }
    }
}

#[cfg(test)]
#[path = "fate_tests.rs"]
mod tests;
