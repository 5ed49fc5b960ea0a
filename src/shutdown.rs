//! One token that Ctrl-C and SIGTERM cancel; every role stops when it is.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// A token that the first Ctrl-C or SIGTERM cancels. The second ends the process at once.
pub fn on_signal() -> std::io::Result<CancellationToken> {
    let token = CancellationToken::new();
    let cancelled = token.clone();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        for code in [None, Some(130)] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            match code {
                None => {
                    tracing::info!("stopping; a second Ctrl-C ends at once");
                    cancelled.cancel();
                }
                Some(code) => std::process::exit(code),
            }
        }
    });
    Ok(token)
}
