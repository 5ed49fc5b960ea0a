//! Structured logs on standard error, so that standard output stays the answer.

use std::io::IsTerminal;

use tracing_indicatif::{IndicatifLayer, filter::IndicatifFilter};
use tracing_subscriber::{EnvFilter, Layer, fmt, layer::SubscriberExt, util::SubscriberInitExt};

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

/// Starts logging. `RUST_LOG` chooses otherwise; lines are JSON where no terminal reads them, and go around the progress bars where one does.
pub fn start(level: Level) {
    let default = match level {
        Level::Quiet => "error,runproof=warn,rdkafka=off,librdkafka=off",
        Level::Usual => "warn,runproof=info,rdkafka=off,librdkafka=warn",
        Level::Verbose => "info,runproof=debug",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let registry = tracing_subscriber::registry().with(filter);
    if std::io::stderr().is_terminal() {
        let bars = IndicatifLayer::new();
        let lines = fmt::layer().with_writer(bars.get_stderr_writer()).with_target(false).compact();
        registry.with(lines).with(bars.with_filter(IndicatifFilter::new(false))).init();
    } else {
        registry.with(fmt::layer().with_writer(std::io::stderr).json().flatten_event(true)).init();
    }
}
