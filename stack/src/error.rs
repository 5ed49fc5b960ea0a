//! What can go wrong when the stack starts, each with the sentence that says what to do.

use std::path::PathBuf;

use crate::Part;

/// Why a part of the stack could not be started, reached or stopped.
#[derive(Debug, thiserror::Error)]
pub enum StackError {
    /// A port that the stack wants is taken by another program.
    #[error("port {port} for {part} is taken by another program: stop it (`ss -ltnp` names it), then start again")]
    PortBusy {
        /// The part that wanted the port.
        part: Part,
        /// TCP port on 127.0.0.1.
        port: u16,
    },
    /// A program or file that `make setup` installs is not there.
    #[error("{tool} was not found in {}: run `make setup`, which installs it", looked_in.display())]
    ToolMissing {
        /// What was looked for.
        tool: String,
        /// Where it should be.
        looked_in: PathBuf,
    },
    /// Another process runs a stack on the same data folder.
    #[error("the data folder {} is in use by another running stack: stop that one, or choose another data folder", path.display())]
    DataFolderInUse {
        /// The data folder.
        path: PathBuf,
    },
    /// A server ended while it was needed.
    #[error("{part} ended unexpectedly; its log {} ends with:\n{log_tail}", log.display())]
    Exited {
        /// The part that ended.
        part: Part,
        /// Its log file.
        log: PathBuf,
        /// The last lines of the log.
        log_tail: String,
    },
    /// A server started but does not answer.
    #[error("{part} did not answer within {waited_s} s; its log {} ends with:\n{log_tail}", log.display())]
    NotReady {
        /// The part that does not answer.
        part: Part,
        /// Seconds waited.
        waited_s: u64,
        /// Its log file.
        log: PathBuf,
        /// The last lines of the log.
        log_tail: String,
    },
    /// A part was asked for that [`crate::StackOptions::parts`] did not name.
    #[error("{0} was not started: add it to the parts of the stack")]
    NotStarted(Part),
    /// A command that prepares a part's data failed.
    #[error("{command} failed:\n{output}")]
    Command {
        /// The program.
        command: String,
        /// What it printed.
        output: String,
    },
    /// A file or folder could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A part answered, but refused what was asked of it.
    #[error("{part}: {action} failed: {reason}")]
    Refused {
        /// The part.
        part: Part,
        /// What was asked.
        action: String,
        /// What the part answered.
        reason: String,
    },
}

impl StackError {
    /// For `map_err` on file operations: keeps the path with the reason.
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }

    /// For `map_err` on requests to a part: keeps what was asked with the answer.
    pub(crate) fn refused<E: std::fmt::Debug + std::fmt::Display>(
        part: Part,
        action: impl Into<String>,
    ) -> impl FnOnce(E) -> Self {
        let action = action.into();
        // The alternate form shows an SDK error's causes, which its plain form hides.
        move |error| Self::Refused { part, action, reason: format!("{error}: {error:?}") }
    }
}
