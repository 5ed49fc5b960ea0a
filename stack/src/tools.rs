//! Where the programs that the stack runs were installed by `make setup`.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::StackError;

/// The folder that `install.sh` fills, and the system's folders of programs.
#[derive(Debug, Clone)]
pub struct Tools {
    root: PathBuf,
}

impl Tools {
    /// The same rule as `install.sh`: `RUNPROOF_TOOLS`, else `runproof/tools` in the user's cache folder.
    pub fn locate() -> Self {
        let cache =
            || env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(|| Some(env::home_dir()?.join(".cache")));
        let root = env::var_os("RUNPROOF_TOOLS").map(PathBuf::from).or_else(|| Some(cache()?.join("runproof/tools")));
        Self { root: root.unwrap_or_else(|| PathBuf::from("/var/cache/runproof/tools")) }
    }

    /// Folder of the npm packages that GraphiQL is served from, if they are installed.
    pub fn graphiql(&self) -> Option<PathBuf> {
        Some(self.root.join("graphiql/node_modules")).filter(|folder| folder.is_dir())
    }

    /// Foundry's development chain.
    ///
    /// # Errors
    /// It is not installed.
    pub fn anvil(&self) -> Result<PathBuf, StackError> {
        let machine = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
        self.own("anvil", &format!("foundry/node_modules/@foundry-rs/anvil-linux-{machine}/bin/anvil"))
    }

    /// The Ethereum node whose reorganisations the fault campaign drives.
    pub(crate) fn geth(&self) -> Result<PathBuf, StackError> {
        self.own("geth", "geth/bin/geth")
    }

    /// The Step Functions emulator.
    pub(crate) fn moto_server(&self) -> Result<PathBuf, StackError> {
        self.own("the moto server", "moto/bin/moto_server")
    }

    /// Python with LocalStack, and the folder of what it evaluates JSONata with.
    pub(crate) fn localstack(&self) -> Result<(PathBuf, PathBuf), StackError> {
        let own = |path| self.own("LocalStack", path);
        Ok((own("localstack/bin/python")?, own("localstack/jsonata")?))
    }

    /// Java class path of the Kafka broker.
    pub(crate) fn kafka_class_path(&self) -> Result<String, StackError> {
        Ok(format!("{}/*", self.own("Apache Kafka", "kafka/lib")?.display()))
    }

    /// A compiled contract of the ENS packages, e.g. `ens/build/contracts/ENSRegistry.json`.
    pub(crate) fn ens_artifact(&self, path: &str) -> Result<PathBuf, StackError> {
        self.own("the ENS contracts", &format!("ens/node_modules/@ensdomains/{path}"))
    }

    /// `java` of `JAVA_HOME`, else of the search path.
    pub(crate) fn java(&self) -> Result<PathBuf, StackError> {
        let of_home = env::var_os("JAVA_HOME").map(|home| Path::new(&home).join("bin/java"));
        of_home.filter(|java| java.is_file()).map_or_else(|| on_path("java"), Ok)
    }

    /// util-linux's `setpriv`.
    pub(crate) fn setpriv(&self) -> Result<PathBuf, StackError> {
        on_path("setpriv")
    }

    /// A server program of PostgreSQL; Debian keeps these off the search path, in a folder per version.
    pub(crate) fn postgres(&self, program: &str) -> Result<PathBuf, StackError> {
        let debian = Path::new("/usr/lib/postgresql");
        let version = |path: &Path| path.file_name().and_then(OsStr::to_str).and_then(|name| name.parse::<u32>().ok());
        let installed = debian.read_dir().into_iter().flatten().flatten().map(|entry| entry.path());
        let newest = installed.filter(|path| path.join("bin").join(program).is_file()).max_by_key(|path| version(path));
        newest.map_or_else(|| on_path(program), |path| Ok(path.join("bin").join(program)))
    }

    /// Python with what the example consumer needs.
    pub fn consumer_python(&self) -> Result<PathBuf, StackError> {
        self.own("the example consumer's Python", "consumer/bin/python")
    }

    fn own(&self, tool: &str, path: &str) -> Result<PathBuf, StackError> {
        let found = self.root.join(path);
        if found.exists() {
            Ok(found)
        } else {
            Err(StackError::ToolMissing { tool: tool.into(), looked_in: self.root.clone() })
        }
    }
}

fn on_path(program: &str) -> Result<PathBuf, StackError> {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file());
    found.ok_or_else(|| StackError::ToolMissing { tool: program.into(), looked_in: PathBuf::from("the search path") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_tool_names_the_command_that_installs_it() {
        let tools = Tools { root: PathBuf::from("/nonexistent") };
        let error = tools.moto_server().expect_err("there is no such folder");
        assert!(error.to_string().contains("make setup"), "{error}");
    }
}
