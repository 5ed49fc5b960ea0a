//! What is measured: the indexer or the relay, alone in a process, until it is ended.

use clap::{Parser, Subcommand};
use eyre::{Result, eyre};
use runproof_bench::chain::REGISTRY;
use runproof_indexer::{RelaySettings, Settings, endpoints::Endpoints};
use tokio_util::sync::CancellationToken;
use url::Url;

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    role: Role,
}

#[derive(Subcommand)]
enum Role {
    /// Chain to journal
    Index { rpc_url: Url, postgres_url: Url },
    /// Journal to Kafka
    Relay { postgres_url: Url, bootstrap: String, topic: String },
}

#[tokio::main]
async fn main() -> Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    rustls::crypto::aws_lc_rs::default_provider().install_default().map_err(|_| eyre!("two TLS providers"))?;
    let token = CancellationToken::new();
    match Arguments::parse().role {
        Role::Index { rpc_url, postgres_url } => {
            runproof_indexer::run(Settings::new(Endpoints::one(rpc_url)?, REGISTRY.address, postgres_url), token).await
        }
        Role::Relay { postgres_url, bootstrap, topic } => {
            let settings = RelaySettings { topic, ..RelaySettings::new(postgres_url, REGISTRY.address, bootstrap) };
            runproof_indexer::relay::run(settings, token).await
        }
    }
}
