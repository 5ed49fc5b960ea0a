//! The real binary, run to its end or as a role that can be killed.

use std::{
    fs::File,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

/// A running role of the binary. Dropping it kills it, as a crash would.
pub struct Role {
    child: Child,
    log: PathBuf,
}

impl Role {
    /// Starts `runproof <arguments>`, its output in a log file.
    pub fn start(mut command: Command, log: PathBuf) -> Self {
        let output = File::options().create(true).append(true).open(&log).expect("the log can be written");
        let errors = output.try_clone().expect("the log can be written twice");
        let child = command.stdout(output).stderr(errors).stdin(Stdio::null()).spawn().expect("the binary runs");
        Self { child, log }
    }

    /// Kill -9.
    pub fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }

    /// Asks it to stop, as Ctrl-C does, and waits until it has.
    pub fn stop(mut self) -> bool {
        let pid = i32::try_from(self.child.id()).expect("a process id");
        let killed = Command::new("kill").args(["-INT", &pid.to_string()]).status().expect("kill runs");
        killed.success() && self.child.wait().expect("it ends").success()
    }

    /// What it has printed so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            super::report(&format!("--- {}\n{}", self.log.display(), self.log()));
        }
    }
}

/// The binary with a configuration file and nothing of the environment's own settings.
pub fn runproof(config: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_runproof"));
    command.arg("--config").arg(config).args(arguments).env("NO_COLOR", "1");
    command
}

/// Standard output of a command that succeeded.
pub fn succeeded(output: &Output, what: &str) -> String {
    assert!(
        output.status.success(),
        "{what} failed\n{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A port that is free now.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port()
}
