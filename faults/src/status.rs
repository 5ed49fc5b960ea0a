//! What an indexer tells of its endpoints.

use std::net::TcpListener;

use eyre::{OptionExt, Result};
use serde_json::Value;

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
        let answer = reqwest::get(format!("http://127.0.0.1:{}/status", self.port)).await?;
        let mut status: Value = serde_json::from_slice(&answer.error_for_status()?.bytes().await?)?;
        Ok(status["sources"][0]["endpoints"][place][what].take())
    }
}
