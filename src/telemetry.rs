//! Structured logs on standard error, so that standard output stays the answer.

use std::io::IsTerminal;

use tracing_subscriber::{EnvFilter, fmt};

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Warnings: a person reads something else on the same terminal.
    Quiet,
    /// What the roles do.
    Usual,
    /// How they do it.
    Verbose,
}

/// Starts logging. `RUST_LOG` chooses otherwise; lines are JSON where no terminal reads them.
pub fn start(level: Level) {
    let default = match level {
        Level::Quiet => "error,runproof=warn,rdkafka=off,librdkafka=off",
        Level::Usual => "warn,runproof=info,rdkafka=off,librdkafka=warn",
        Level::Verbose => "info,runproof=debug",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let builder = fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        builder.with_target(false).compact().init();
    } else {
        builder.json().flatten_event(true).init();
    }
}
