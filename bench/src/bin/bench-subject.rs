//! What is measured, each alone in a process, until it is ended.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use clap::{Parser, Subcommand};
use eyre::{Result, eyre};
use runproof_bench::{ceiling, chain::REGISTRY};
use runproof_indexer::{
    RelaySettings, Settings,
    endpoints::{EndpointSettings, Endpoints},
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use url::Url;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    role: Role,
}

#[derive(Subcommand)]
enum Role {
    /// Reads what the indexer reads, and throws it away; ends after it
    Read { rpc_url: Url, last_block: u64 },
    /// Chain to journal
    Index { rpc_url: Url, postgres_url: Url, ws_url: Option<Url> },
    /// Journal to Kafka
    Relay { postgres_url: Url, bootstrap: String, topic: String },
    /// GraphQL; prints its address when it listens
    Serve { postgres_url: String, certificate: PathBuf, private_key: PathBuf },
}

#[tokio::main]
async fn main() -> Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    rustls::crypto::aws_lc_rs::default_provider().install_default().map_err(|_| eyre!("two TLS providers"))?;
    let token = CancellationToken::new();
    match Arguments::parse().role {
        Role::Read { rpc_url, last_block } => ceiling::read(rpc_url, last_block).await,
        Role::Index { rpc_url, postgres_url, ws_url } => {
            let node = EndpointSettings { ws_url, ..EndpointSettings::new(rpc_url) };
            let endpoints = Arc::new(Endpoints::new(vec![node], 1, u64::MAX)?);
            runproof_indexer::run(Settings::new(endpoints, REGISTRY.address, postgres_url), token).await
        }
        Role::Relay { postgres_url, bootstrap, topic } => {
            let settings = RelaySettings { topic, ..RelaySettings::new(postgres_url, REGISTRY.address, bootstrap) };
            runproof_indexer::relay::run(settings, token).await
        }
        Role::Serve { postgres_url, certificate, private_key } => {
            let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
            println!("{}", listener.local_addr()?);
            let settings = runproof_api::Settings {
                postgres_url,
                sources: BTreeMap::new(),
                certificate,
                private_key,
                allowed_origins: vec![],
                graphiql: None,
                introspection: false,
                limits: runproof_api::Limits::default(),
            };
            runproof_api::serve(settings, listener, token).await
        }
    }
}
