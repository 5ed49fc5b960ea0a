//! A moment to wait for in what passes through a proxy: it is told when the moment has come, and the proxy stands still until it is told to go on.

use std::sync::{Mutex, PoisonError};

use tokio::sync::oneshot;

/// At most one trap is set at a time.
pub(crate) struct Snare<P> {
    trap: Mutex<Option<(P, oneshot::Sender<Caught>)>>,
}

/// What was caught. Dropping it lets the proxy go on.
pub(crate) struct Caught {
    _held: oneshot::Sender<()>,
}

/// The proxy's side: done when what was caught is let go.
pub(crate) type Release = oneshot::Receiver<()>;

impl<P: PartialEq> Snare<P> {
    /// Without a trap.
    pub(crate) fn new() -> Self {
        Self { trap: Mutex::new(None) }
    }

    /// Sets a trap; the answer comes when something has come to that point.
    pub(crate) fn set(&self, point: P) -> oneshot::Receiver<Caught> {
        let (sender, caught) = oneshot::channel();
        *self.trap.lock().unwrap_or_else(PoisonError::into_inner) = Some((point, sender));
        caught
    }

    /// Called by the proxy at each point: springs the trap if it is set there.
    pub(crate) fn pass(&self, point: P) -> Option<Release> {
        let mut trap = self.trap.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, sender) = trap.take_if(|(set, _)| *set == point)?;
        let (held, release) = oneshot::channel();
        sender.send(Caught { _held: held }).ok()?;
        Some(release)
    }
}
