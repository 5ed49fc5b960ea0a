//! A private PostgreSQL cluster.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;
use nix::unistd::{Gid, Uid, User};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{AssertSqlSafe, Connection, Executor};

use crate::process::{Launch, Server, as_account};
use crate::{Part, StackError, Tools, secret};

/// The role that owns everything in the embedded cluster.
const SUPERUSER: &str = "runproof";
/// The database of the demo.
const DATABASE: &str = "runproof";
/// Where clusters of root lie whose data folder no other account may enter.
const ROOT_CLUSTERS: &str = "/var/lib/runproof";

/// A running private PostgreSQL: password login on loopback, durable (`fsync` on).
#[derive(Debug)]
pub struct Postgres {
    server: Server,
    port: u16,
    password: String,
}

impl Postgres {
    pub(crate) async fn start(data_dir: &Path, port: u16, tools: &Tools) -> Result<Self, StackError> {
        let account = account()?;
        let cluster = cluster_folder(data_dir, account)?;
        let password = secret::of_file(&data_dir.join("postgres.password"))?;
        let setpriv = tools.setpriv()?;
        if !cluster.join("data").exists() {
            init(&cluster, account, &password, tools)?;
        }
        let data = cluster.join("data");
        let mut args = vec!["-D".into(), data.into_os_string()];
        for setting in [
            "listen_addresses=127.0.0.1".into(),
            format!("port={port}"),
            "max_connections=200".into(),
            sockets(&cluster),
        ] {
            args.extend(["-c".into(), setting.into()]);
        }
        let launch = Launch {
            part: Part::Postgres,
            setpriv,
            program: tools.postgres("postgres")?,
            args,
            env: vec![],
            account,
            run_dir: data_dir.to_owned(),
            stop_signal: Signal::SIGINT, // "fast": rolls back what is open, writes a checkpoint
        };
        let postgres = Self { server: Server::new(launch), port, password };
        postgres.server.reclaim().await?;
        crate::ports::ensure_free(Part::Postgres, port)?;
        postgres.restart().await?;
        postgres.create_database(DATABASE).await?;
        Ok(postgres)
    }

    /// URL of the demo's database.
    pub fn url(&self) -> String {
        self.url_of(DATABASE)
    }

    /// URL of a database of this cluster.
    pub fn url_of(&self, database: &str) -> String {
        format!("postgres://{SUPERUSER}:{}@127.0.0.1:{}/{database}", self.password, self.port)
    }

    /// Creates an empty database unless there is one of that name; returns its URL.
    pub async fn create_database(&self, name: &str) -> Result<String, StackError> {
        self.create_database_from(name, "template1").await
    }

    /// Creates a database as a copy of `template` (which nobody may be connected to) unless there is one of that name; returns its URL.
    pub async fn create_database_from(&self, name: &str, template: &str) -> Result<String, StackError> {
        let refused = || StackError::refused::<sqlx::Error>(Part::Postgres, format!("creating database {name}"));
        let mut connection = self.connect().await.map_err(refused())?;
        let there: Option<i32> = sqlx::query_scalar("SELECT 1 FROM pg_database WHERE datname = $1")
            .bind(name)
            .fetch_optional(&mut connection)
            .await
            .map_err(refused())?;
        if there.is_none() {
            let quoted = |identifier: &str| format!("\"{}\"", identifier.replace('"', "\"\""));
            let create = format!("CREATE DATABASE {} TEMPLATE {}", quoted(name), quoted(template));
            connection.execute(AssertSqlSafe(create)).await.map_err(refused())?;
        }
        Ok(self.url_of(name))
    }

    /// Ends the server as a crash would.
    pub async fn kill(&self) {
        self.server.kill().await;
    }

    /// Starts the server again after [`Self::kill`] or [`Self::stop`], on the same data and port.
    pub async fn restart(&self) -> Result<(), StackError> {
        self.server.stop().await;
        loop {
            match self.server.start(|| async { self.connect().await.is_ok() }).await {
                // The workers of a killed server need a moment to notice that it is gone.
                Err(StackError::Exited { log_tail, .. }) if log_tail.contains("shared memory block") => {
                    tokio::task::yield_now().await
                }
                outcome => return outcome,
            }
        }
    }

    /// Stops the server; what was committed is kept.
    pub async fn stop(&self) {
        self.server.stop().await;
    }

    /// Sends the server a signal, e.g. SIGSTOP.
    pub fn signal(&self, signal: Signal) {
        self.server.signal(signal);
    }

    async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        let options = PgConnectOptions::new_without_pgpass().host("127.0.0.1").port(self.port);
        PgConnection::connect_with(
            &options.username(SUPERUSER).password(&self.password).database("postgres").ssl_mode(PgSslMode::Disable),
        )
        .await
    }
}

/// PostgreSQL refuses to run as root: the account to use instead.
fn account() -> Result<Option<(Uid, Gid)>, StackError> {
    if !Uid::effective().is_root() {
        return Ok(None);
    }
    let known = ["postgres", "nobody"].into_iter().find_map(|name| User::from_name(name).ok().flatten());
    let missing =
        || StackError::ToolMissing { tool: "the account postgres or nobody".into(), looked_in: "/etc/passwd".into() };
    known.map(|user| Some((user.uid, user.gid))).ok_or_else(missing)
}

/// `postgres/` in the data folder; a link to another place if only root may enter the data folder.
fn cluster_folder(data_dir: &Path, account: Option<(Uid, Gid)>) -> Result<PathBuf, StackError> {
    let folder = data_dir.join("postgres");
    if let Some(account) = account
        && !folder.exists()
    {
        let home = if open_to_all(data_dir) { folder.clone() } else { elsewhere(data_dir) };
        fs::create_dir_all(&home).map_err(StackError::io(&home))?;
        chown(&home, Some(account.0.as_raw()), Some(account.1.as_raw())).map_err(StackError::io(&home))?;
        if home != folder {
            tracing::info!(path = %home.display(), "PostgreSQL keeps its files here: its account may not enter the data folder");
            symlink(&home, &folder).map_err(StackError::io(&folder))?;
        }
    }
    fs::create_dir_all(&folder).map_err(StackError::io(&folder))?;
    fs::canonicalize(&folder).map_err(StackError::io(folder))
}

fn open_to_all(path: &Path) -> bool {
    path.ancestors().all(|folder| fs::metadata(folder).is_ok_and(|found| found.permissions().mode() & 0o001 != 0))
}

fn elsewhere(data_dir: &Path) -> PathBuf {
    Path::new(ROOT_CLUSTERS).join(data_dir.to_string_lossy().trim_matches('/').replace('/', "-"))
}

/// The socket lies beside the data, unless its path would exceed what a Unix socket's address holds.
fn sockets(cluster: &Path) -> String {
    const LONGEST: usize = 107 - "/.s.PGSQL.65535.lock".len();
    let fits = cluster.as_os_str().len() <= LONGEST;
    format!("unix_socket_directories={}", if fits { cluster.display().to_string() } else { String::new() })
}

/// A new cluster, under another name until it is whole.
fn init(cluster: &Path, account: Option<(Uid, Gid)>, password: &str, tools: &Tools) -> Result<(), StackError> {
    let [unfinished, password_file] = ["unfinished", "password"].map(|name| cluster.join(name));
    let _ = fs::remove_dir_all(&unfinished);
    secret::write(&password_file, password)?;
    if let Some((uid, gid)) = account {
        chown(&password_file, Some(uid.as_raw()), Some(gid.as_raw())).map_err(StackError::io(&password_file))?;
    }
    let mut initdb = as_account(&tools.setpriv()?, account);
    initdb.arg("--").arg(tools.postgres("initdb")?).arg("-D").arg(&unfinished);
    initdb
        .args(["-U", SUPERUSER, "--auth=scram-sha-256", "--no-locale", "--encoding=UTF8"])
        .arg("--pwfile")
        .arg(&password_file);
    let outcome = run(initdb.current_dir(cluster));
    fs::remove_file(&password_file).map_err(StackError::io(password_file))?;
    outcome?;
    fs::rename(unfinished, cluster.join("data")).map_err(StackError::io(cluster))
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command) -> Result<(), StackError> {
    let name = command
        .get_args()
        .find(|arg| arg.as_encoded_bytes().starts_with(b"/"))
        .unwrap_or(command.get_program())
        .to_string_lossy()
        .into_owned();
    let output = command.output().map_err(StackError::io(&name))?;
    if output.status.success() {
        return Ok(());
    }
    let output = [output.stdout, output.stderr].concat();
    Err(StackError::Command { command: name, output: String::from_utf8_lossy(&output).into_owned() })
}
