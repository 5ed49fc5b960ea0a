//! The binary as a process that can be killed, stopped and frozen.

use std::{
    fs::File,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use eyre::{Context, OptionExt, Result};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::process::{Child, Command};

/// A running role of `runproof`. Dropping it kills it.
pub(crate) struct Role {
    child: Child,
    pid: Pid,
    log: PathBuf,
}

impl Role {
    /// Starts it; its log is appended to `log`.
    pub(crate) fn start(binary: &Path, config: &Path, name: &str, log: PathBuf) -> Result<Self> {
        let output = File::options().create(true).append(true).open(&log)?;
        let mut command = Command::new(binary);
        command.arg("--config").arg(config).arg(name).kill_on_drop(true);
        command
            .env(
                "RUST_LOG",
                "warn,runproof=info,runproof_indexer=debug,runproof_executor=debug,rdkafka=off,librdkafka=off",
            )
            .env("NO_COLOR", "1");
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let child = command.spawn().wrap_err("starting the binary")?;
        let pid = child.id().and_then(|id| i32::try_from(id).ok()).ok_or_eyre("it ended at once")?;
        Ok(Self { child, pid: Pid::from_raw(pid), log })
    }

    /// Kill -9; returns when it is gone.
    pub(crate) async fn kill(mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill(self.pid, signal)?)
    }

    /// How it ended, if it does so in time.
    pub(crate) async fn ended(&mut self, within: Duration) -> Option<ExitStatus> {
        tokio::time::timeout(within, self.child.wait()).await.ok()?.ok()
    }

    /// Asks it to stop; tells whether it did so gracefully.
    pub(crate) async fn stop(mut self) -> Result<bool> {
        self.signal(Signal::SIGINT)?;
        let ended = self.ended(Duration::from_secs(60)).await;
        Ok(ended.is_some_and(|status| status.success() && status.signal().is_none()))
    }

    /// The last that was said in its log.
    pub(crate) fn log_end(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(5)..].join("\n")
    }

    /// What it, and those before it with the same log, have said.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}
