//! A second emulator of Step Functions: LocalStack's free core, without containers. It serves what the first one does not: activities, nested
//! executions, versions and aliases, JSONata and variables. It is slow to start, and no part of the stack: who needs these starts one.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use aws_config::SdkConfig;
use nix::sys::signal::Signal;

use crate::emulator::sdk_config;
use crate::process::{Launch, Server};
use crate::{Part, Ports, StackError, Tools};

/// A running LocalStack. It keeps nothing.
#[derive(Debug)]
pub struct LocalStack {
    _server: Server,
    url: String,
}

impl LocalStack {
    /// The access key to be used, which it takes for the number of the account.
    pub const ACCESS_KEY: &str = "123456789012";

    /// Starts it in an empty folder, on a free port.
    ///
    /// # Errors
    /// It is not installed, or does not answer.
    pub async fn start(folder: &Path) -> Result<Self, StackError> {
        let tools = Tools::locate();
        let (program, jsonata) = tools.localstack()?;
        let java = tools.java()?.canonicalize().map_err(StackError::io("java"))?;
        let java_home = java.ancestors().nth(2).unwrap_or(&java);
        // It would download both, each to a place under this folder.
        let libraries = folder.join("var/lib/localstack/lib");
        fs::create_dir_all(libraries.join("java")).map_err(StackError::io(&libraries))?;
        symlink(java_home, libraries.join("java/21")).map_err(StackError::io(&libraries))?;
        symlink(jsonata, libraries.join("jsonata")).map_err(StackError::io(&libraries))?;
        let listen = format!("127.0.0.1:{}", Ports::free()?.aws);
        let env = [
            ("GATEWAY_LISTEN", listen.as_str()),
            ("FILESYSTEM_ROOT", &folder.to_string_lossy()),
            ("OVERRIDE_IN_DOCKER", "0"),
            ("DNS_ADDRESS", "0"),
            ("SKIP_SSL_CERT_DOWNLOAD", "1"),
            ("DISABLE_EVENTS", "1"),
            ("EAGER_SERVICE_LOADING", "0"),
            ("LS_LOG", "warning"),
        ];
        let server = Server::new(Launch {
            part: Part::Emulator,
            setpriv: tools.setpriv()?,
            program,
            args: ["-m", "localstack.runtime.main"].map(Into::into).into(),
            env: env.map(|(name, value)| (name, value.to_owned())).into(),
            account: None,
            run_dir: folder.to_owned(),
            // Asked to stop, it waits for whoever waits for a task of an activity, and for the tasks.
            stop_signal: Signal::SIGKILL,
        });
        let url = format!("http://{listen}");
        let http = reqwest::Client::builder().no_proxy().build();
        let http = http.map_err(StackError::refused(Part::Emulator, "making a client"))?;
        let health = format!("{url}/_localstack/health");
        server
            .start(|| async { http.get(&health).send().await.is_ok_and(|answer| answer.status().is_success()) })
            .await?;
        Ok(Self { _server: server, url })
    }

    /// The endpoint for every AWS client.
    pub fn endpoint_url(&self) -> &str {
        &self.url
    }

    /// Endpoint, region and keys, for the clients of the AWS SDK.
    pub fn sdk_config(&self) -> SdkConfig {
        sdk_config(&self.url, Self::ACCESS_KEY)
    }
}
