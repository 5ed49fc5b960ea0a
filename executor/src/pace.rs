//! How often something in AWS is looked at: often while it changes, ever more seldom while it stands still.

use std::time::{Duration, Instant};

/// What stood still for a time is seen to have changed at the latest after this part of that time.
const LATE: u32 = 10;

/// Times between two looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// While it changes.
    pub(crate) least: Duration,
    /// However long it stands still.
    pub(crate) most: Duration,
}

/// What a look gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    /// Something new.
    News,
    /// Nothing new.
    Nothing,
}

/// When one thing is looked at.
#[derive(Debug, Clone)]
pub(crate) struct Pace {
    changed_at: Instant,
    looked_at: Option<Instant>,
    due_at: Instant,
}

impl Pace {
    /// Due at once.
    pub(crate) fn new(now: Instant) -> Self {
        Self { changed_at: now, looked_at: None, due_at: now }
    }

    pub(crate) fn is_due(&self, now: Instant) -> bool {
        now >= self.due_at
    }

    /// It was looked at.
    pub(crate) fn looked(&mut self, now: Instant, seen: Seen, bounds: Bounds) {
        if seen == Seen::News {
            self.changed_at = now;
        }
        let stands_still = now.saturating_duration_since(self.changed_at);
        self.looked_at = Some(now);
        self.due_at = now + (stands_still / LATE).min(bounds.most).max(bounds.least);
    }

    /// It may have changed just now. Returns when it is due: so long after the look before, or earlier, so that a flood of hints makes no flood of calls.
    pub(crate) fn hinted(&mut self, now: Instant, apart: Duration) -> Instant {
        self.changed_at = now;
        self.due_at = self.due_at.min(self.looked_at.map_or(now, |looked_at| looked_at + apart));
        self.due_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { least: Duration::from_millis(500), most: Duration::from_secs(30) };

    /// Looks at what stands still until it is so old, each time as soon as it is due; the number of looks.
    fn looks(pace: &mut Pace, began: Instant, until: Duration) -> u32 {
        let mut looks = 0;
        while pace.due_at <= began + until {
            let due_at = pace.due_at;
            let late = due_at - pace.looked_at.unwrap_or(due_at);
            let allowed = ((due_at - began) / LATE).clamp(BOUNDS.least, BOUNDS.most);
            assert!(late <= allowed, "{late:?} after {:?}", due_at - began);
            pace.looked(due_at, Seen::Nothing, BOUNDS);
            looks += 1;
        }
        looks
    }

    #[test]
    fn what_stands_still_is_looked_at_ever_more_seldom_and_never_later_than_a_tenth_of_that_time() {
        let began = Instant::now();
        let mut pace = Pace::new(began);
        let (minute, hour) = (Duration::from_secs(60), Duration::from_secs(3_600));
        let first = looks(&mut pace, began, minute);
        assert!((30..40).contains(&first), "{first}, where 120 are due without");
        let then = looks(&mut pace, began, hour);
        assert!((120..160).contains(&then), "{then}, where 7,080 are due without");
        let due_at = pace.due_at;
        pace.looked(due_at, Seen::News, BOUNDS);
        assert_eq!(pace.due_at, due_at + BOUNDS.least, "it moves again");
    }

    #[test]
    fn a_hint_brings_the_look_forward_and_a_flood_of_them_only_to_one_a_second() {
        let began = Instant::now();
        let mut pace = Pace::new(began);
        looks(&mut pace, began, Duration::from_secs(600));
        let looked_at = pace.looked_at.expect("it was looked at");
        let hinted = looked_at + Duration::from_secs(7);
        let apart = Duration::from_secs(1);
        pace.hinted(hinted, apart);
        assert!(pace.is_due(hinted), "at once, seven seconds after the look before");
        pace.looked(hinted, Seen::Nothing, BOUNDS);
        assert_eq!(pace.due_at, hinted + BOUNDS.least, "and soon again: what was hinted at may not be told yet");
        pace.looked(hinted, Seen::Nothing, Bounds { least: Duration::from_secs(60), ..BOUNDS });
        let due = (0..1_000).map(|_| pace.hinted(hinted, apart)).max();
        assert_eq!(due, Some(hinted + apart));
    }
}
