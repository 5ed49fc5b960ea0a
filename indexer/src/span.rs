//! How many blocks the next request spans.

/// Entries that a commit should hold about: large enough to spread the cost of a commit, small enough to keep memory flat.
const TARGET_ITEMS: usize = 40_000;

/// Grows while ranges are small and answered, shrinks when they are not.
#[derive(Debug, Clone)]
pub(crate) struct Span {
    blocks: u64,
    max: u64,
    /// Items that there is room for, as far as is known.
    target: usize,
}

impl Span {
    /// Begins small: a provider's limit is not known.
    pub(crate) fn new(max: u64) -> Self {
        Self { blocks: 64.min(max.max(1)), max: max.max(1), target: TARGET_ITEMS }
    }

    /// Blocks of the next range, at least 1.
    pub(crate) fn blocks(&self) -> u64 {
        self.blocks
    }

    /// A range was answered, and held so many items.
    pub(crate) fn answered(&mut self, items: usize) {
        if items > self.target {
            self.blocks = (self.blocks / 2).max(1);
        } else if items < self.target / 2 {
            self.blocks = (self.blocks * 2).min(self.max);
        }
        // Denser blocks do not go on for ever.
        self.target = (self.target + self.target / 32 + 1).min(TARGET_ITEMS);
    }

    /// There was room for no more than so many blocks, with so many items. What was read beyond them is read again, so the next range keeps some distance.
    pub(crate) fn cut(&mut self, blocks: usize, items: usize) {
        self.blocks = (blocks as u64 * 7 / 8).clamp(1, self.max);
        self.target = items.clamp(1, TARGET_ITEMS);
    }

    /// A range was not answered well; `allowed` is what the provider said it would answer. Returns whether a smaller one can be tried.
    pub(crate) fn refused(&mut self, allowed: Option<u64>) -> bool {
        let before = self.blocks;
        match allowed.filter(|allowed| (1..before).contains(allowed)) {
            Some(allowed) => self.blocks = allowed,
            None => self.blocks = (before / 2).max(1),
        }
        // What was refused once is not asked for again and again.
        if allowed == Some(self.blocks) {
            self.max = self.blocks;
        }
        self.blocks < before
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn stays_within_its_bounds(max in 0u64..5_000, answers in prop::collection::vec(prop::option::of(0..2 * TARGET_ITEMS), 0..60)) {
            let mut span = Span::new(max);
            for answer in answers {
                match answer {
                    Some(items) if items % 3 == 0 => span.cut(items / 100, items),
                    Some(items) => span.answered(items),
                    None => { span.refused(Some(7)); span.refused(None); }
                }
                prop_assert!((1..=max.max(1)).contains(&span.blocks()));
            }
        }
    }

    #[test]
    fn comes_down_to_one_block_and_up_again() {
        let mut span = Span::new(2_000);
        while span.refused(None) {}
        assert_eq!(span.blocks(), 1);
        (0..11).for_each(|_| span.answered(0));
        assert_eq!(span.blocks(), 2_000);
    }

    #[test]
    fn keeps_to_what_there_was_room_for() {
        let mut span = Span::new(2_000);
        span.cut(16, 1_000);
        (0..8).for_each(|_| span.answered(875));
        assert_eq!(span.blocks(), 14, "nothing is read twice again and again");
        (0..40).for_each(|_| span.answered(10));
        assert_eq!(span.blocks(), 2_000, "what is less dense is read as before");
    }

    #[test]
    fn keeps_to_what_the_provider_allows() {
        let mut span = Span::new(2_000);
        assert!(span.refused(Some(50)));
        assert_eq!(span.blocks(), 50);
        (0..11).for_each(|_| span.answered(0));
        assert_eq!(span.blocks(), 50);
        assert!(span.refused(Some(50)), "refused all the same");
        assert_eq!(span.blocks(), 25);
    }
}
