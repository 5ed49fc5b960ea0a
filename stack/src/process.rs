//! One server process: started with a log of its own, awaited until it answers, stopped gracefully, and gone when its parent is gone.

use std::ffi::OsString;
use std::fs::{self, File};
use std::future::Future;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Gid, Pid, Uid};
use tokio::sync::watch;

use crate::{Part, StackError};

/// How often a server that is starting or stopping is looked at: none of the four tells by an event when it is ready.
const PROBE_EVERY: Duration = Duration::from_millis(50);
/// A server that takes longer than this to start is taken for broken (slow, busy machines included).
const START_LIMIT: Duration = Duration::from_secs(90);
/// A server that takes longer than this to stop is killed.
const STOP_LIMIT: Duration = Duration::from_secs(15);

/// Everything needed to start a server, any number of times.
#[derive(Debug, Clone)]
pub(crate) struct Launch {
    pub(crate) part: Part,
    /// util-linux's `setpriv`, which ties the server's life to ours.
    pub(crate) setpriv: PathBuf,
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<OsString>,
    pub(crate) env: Vec<(&'static str, String)>,
    /// The account to run under, if not ours.
    pub(crate) account: Option<(Uid, Gid)>,
    /// Where `PART.log` and `PART.pid` are written.
    pub(crate) run_dir: PathBuf,
    /// The signal on which the server saves its data and ends.
    pub(crate) stop_signal: Signal,
}

/// A server that may be running or stopped.
#[derive(Debug)]
pub(crate) struct Server {
    launch: Launch,
    running: Mutex<Option<Running>>,
}

#[derive(Debug, Clone)]
struct Running {
    pid: Pid,
    exited: watch::Receiver<bool>,
}

impl Server {
    pub(crate) fn new(launch: Launch) -> Self {
        Self { launch, running: Mutex::new(None) }
    }

    /// Waits until a server that an earlier, killed stack left behind has ended.
    pub(crate) async fn reclaim(&self) -> Result<(), StackError> {
        let pid_file = self.launch.pid_file();
        let Some(pid) = fs::read_to_string(&pid_file).ok().and_then(|text| left_behind(&text)) else { return Ok(()) };
        tracing::info!(part = %self.launch.part, pid = pid.as_raw(), "waiting for the previous server to end");
        // It was told to stop when its stack died: telling it at once again could cut its saving short.
        for signal in [None, Some(self.launch.stop_signal), Some(Signal::SIGKILL)] {
            let _ = kill(pid, signal);
            let begun = Instant::now();
            while begun.elapsed() < STOP_LIMIT {
                if !Path::new("/proc").join(pid.to_string()).exists() {
                    return fs::remove_file(&pid_file).map_err(StackError::io(pid_file));
                }
                tokio::time::sleep(PROBE_EVERY).await;
            }
        }
        Ok(())
    }

    /// Starts the server and returns when `ready` has answered true.
    pub(crate) async fn start<F: Future<Output = bool>>(&self, ready: impl Fn() -> F) -> Result<(), StackError> {
        let mut running = self.launch.spawn()?;
        *self.running() = Some(running.clone());
        let answered = async {
            while !ready().await {
                tokio::time::sleep(PROBE_EVERY).await;
            }
        };
        tokio::select! {
            () = answered => Ok(()),
            _ = running.exited.wait_for(|exited| *exited) => {
                *self.running() = None;
                Err(StackError::Exited { part: self.launch.part, log: self.launch.log(), log_tail: self.launch.log_tail() })
            }
            () = tokio::time::sleep(START_LIMIT) => {
                Err(StackError::NotReady { part: self.launch.part, waited_s: START_LIMIT.as_secs(), log: self.launch.log(), log_tail: self.launch.log_tail() })
            }
        }
    }

    /// Asks the server to save and end; kills it if it does not.
    pub(crate) async fn stop(&self) {
        self.end(self.launch.stop_signal).await;
    }

    /// Ends the server at once, as a crash would.
    pub(crate) async fn kill(&self) {
        self.end(Signal::SIGKILL).await;
    }

    /// Sends the server a signal, e.g. SIGSTOP and SIGCONT, without waiting for anything.
    pub(crate) fn signal(&self, signal: Signal) {
        if let Some(running) = &*self.running() {
            running.signal(signal);
        }
    }

    /// The log of the current start.
    pub(crate) fn log(&self) -> PathBuf {
        self.launch.log()
    }

    async fn end(&self, signal: Signal) {
        let Some(mut running) = self.running().take() else { return };
        running.signal(signal);
        if tokio::time::timeout(STOP_LIMIT, running.exited.wait_for(|exited| *exited)).await.is_err() {
            tracing::warn!(part = %self.launch.part, waited_s = STOP_LIMIT.as_secs(), "did not stop, killing it");
            running.signal(Signal::SIGKILL);
            let _ = running.exited.wait_for(|exited| *exited).await;
        }
        let _ = fs::remove_file(self.launch.pid_file());
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Server {
    /// The last resort, for a stack that was never stopped: no data is saved.
    fn drop(&mut self) {
        if let Some(running) = self.running().take() {
            running.signal(Signal::SIGKILL);
        }
    }
}

impl Running {
    fn signal(&self, signal: Signal) {
        if !*self.exited.borrow() {
            let _ = kill(self.pid, signal);
        }
    }
}

impl Launch {
    fn log(&self) -> PathBuf {
        self.run_dir.join(format!("{}.log", self.part))
    }

    fn pid_file(&self) -> PathBuf {
        self.run_dir.join(format!("{}.pid", self.part))
    }

    fn log_tail(&self) -> String {
        let text = fs::read(self.log()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }

    /// `setpriv … program args`, in a process group of its own so that Ctrl-C reaches us alone.
    fn command(&self) -> Result<Command, StackError> {
        let log = self.log();
        if log.exists() {
            fs::rename(&log, log.with_extension("previous.log")).map_err(StackError::io(&log))?;
        }
        let output = File::create(&log).map_err(StackError::io(&log))?;
        let mut command = as_account(&self.setpriv, self.account);
        // If we die without stopping it, the server still saves its data and ends.
        command.arg("--pdeathsig").arg(self.stop_signal.as_str().trim_start_matches("SIG"));
        command.arg("--").arg(&self.program).args(&self.args).envs(self.env.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stderr(output.try_clone().map_err(StackError::io(&log))?).stdout(output);
        command.process_group(0);
        Ok(command)
    }

    /// The thread that starts the process also waits for it: the kernel sends the parent-death signal when that *thread* ends.
    fn spawn(&self) -> Result<Running, StackError> {
        let mut command = self.command()?;
        let (started, start) = mpsc::channel();
        let (exit, exited) = watch::channel(false);
        let wait = move || match command.spawn() {
            Ok(mut child) => {
                let _ = started.send(Ok(child.id()));
                let status = child.wait();
                tracing::debug!(?status, "server ended");
                let _ = exit.send(true);
            }
            Err(error) => drop(started.send(Err(error))),
        };
        thread::Builder::new().name(self.part.to_string()).spawn(wait).map_err(StackError::io(&self.program))?;
        let ended = |_| std::io::Error::other("the thread that starts it ended");
        let pid = start.recv().map_err(ended).flatten().map_err(StackError::io(&self.setpriv))?;
        fs::write(self.pid_file(), format!("{pid} {}", started_at(pid).unwrap_or_default()))
            .map_err(StackError::io(self.pid_file()))?;
        Ok(Running { pid: Pid::from_raw(pid.cast_signed()), exited })
    }
}

/// `setpriv`, with the arguments that change to another account if one is given.
pub(crate) fn as_account(setpriv: &Path, account: Option<(Uid, Gid)>) -> Command {
    let mut command = Command::new(setpriv);
    if let Some((uid, gid)) = account {
        command.args([format!("--reuid={uid}"), format!("--regid={gid}"), "--clear-groups".into()]);
    }
    command
}

/// The process that a pid file names, if it is still the same one.
fn left_behind(pid_file: &str) -> Option<Pid> {
    let (pid, since) = pid_file.split_once(' ')?;
    let pid: u32 = pid.parse().ok()?;
    (started_at(pid)? == since).then(|| Pid::from_raw(pid.cast_signed()))
}

/// Start time of a process, field 22 of proc(5)'s stat: with the pid it names a process for good.
fn started_at(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field may hold spaces and ends with the last parenthesis.
    Some(stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.to_owned())
}
