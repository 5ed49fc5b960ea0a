//! Structured logs on standard error, so that standard output stays the answer.

use std::io::IsTerminal;

use tracing_subscriber::{EnvFilter, fmt};

/// Starts logging. `RUST_LOG` chooses what is shown; lines are JSON where no terminal reads them.
pub fn start(verbose: bool) {
    let default = if verbose { "info,runproof=debug" } else { "warn,runproof=info" };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let builder = fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        builder.with_target(false).compact().init();
    } else {
        builder.json().flatten_event(true).init();
    }
}
