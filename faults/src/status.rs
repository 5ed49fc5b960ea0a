//! What an indexer tells of its endpoints.

use std::{
    net::TcpListener,
    time::{Duration, Instant},
};

use eyre::{OptionExt, Result, bail};
use serde_json::Value;

const TOLD_WITHIN: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Where an indexer serves `/status`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Status {
    pub(crate) port: u16,
}

impl Status {
    /// At a port that is free now.
    pub(crate) fn at_free_port() -> Result<Self> {
        Ok(Self { port: TcpListener::bind("127.0.0.1:0")?.local_addr()?.port() })
    }

    /// A number that is told of an endpoint; the first is the one of `rpc_url`.
    pub(crate) async fn of_endpoint(self, place: usize, figure: &str) -> Result<u64> {
        self.read(place, figure).await?.as_u64().ok_or_eyre("/status does not tell it")
    }

    /// A word that is told of an endpoint.
    pub(crate) async fn text_of_endpoint(self, place: usize, what: &str) -> Result<String> {
        Ok(self.read(place, what).await?.as_str().ok_or_eyre("/status does not tell it")?.to_owned())
    }

    async fn read(self, place: usize, what: &str) -> Result<Value> {
        let deadline = Instant::now() + TOLD_WITHIN;
        loop {
            let answer = reqwest::get(format!("http://127.0.0.1:{}/status", self.port)).await?;
            let status: Value = serde_json::from_slice(&answer.error_for_status()?.bytes().await?)?;
            // An indexer that has just started serves it before it has looked at its sources.
            match status.pointer(&format!("/sources/0/endpoints/{place}/{what}")) {
                Some(told) => return Ok(told.clone()),
                None if Instant::now() > deadline => bail!("/status tells no {what} of endpoint {place}: {status}"),
                None => tokio::time::sleep(LOOK_AGAIN).await,
            }
        }
    }
}
