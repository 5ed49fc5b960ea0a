//! One binary; its roles are subcommands. See ARCHITECTURE.md.

mod cli;
mod commands;
mod config;
mod demo;
mod operations;
mod roles;
mod shutdown;
mod telemetry;

use std::process::ExitCode;

use clap::Parser;
use eyre::{Result, eyre};
use tokio_util::sync::CancellationToken;

use crate::{
    cli::{Cli, Command},
    config::Config,
    telemetry::Level,
};

#[tokio::main]
async fn main() -> Result<ExitCode> {
    color_eyre::config::HookBuilder::default().display_env_section(false).install()?;
    let cli = Cli::parse();
    telemetry::start(match &cli.command {
        _ if cli.verbose => Level::Verbose,
        Command::Demo(_) | Command::Stack(_) => Level::Quiet,
        _ => Level::Usual,
    });
    rustls::crypto::aws_lc_rs::default_provider().install_default().map_err(|_| eyre!("two TLS providers"))?;
    let token = shutdown::on_signal()?;
    let passed = match &cli.command {
        Command::Demo(demo) => demo::run(demo, token).await?,
        Command::Stack(stack) => demo::stack_only(stack, token).await?,
        command => execute(command, &Config::load(&cli.config)?, token).await?,
    };
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs a command that needs the configuration; tells whether what it checked passed.
async fn execute(command: &Command, config: &Config, token: CancellationToken) -> Result<bool> {
    match command {
        Command::Verify(verify) => return commands::verify::verify(config, verify).await,
        Command::Audit(audit) => return commands::audit::audit(config, audit).await,
        Command::Identity(identity) => commands::identity::run(config, identity).await?,
        Command::Contract(contract) => commands::contract::run(config, contract).await?,
        Command::Deploy(deploy) => commands::model::deploy(config, deploy).await?,
        Command::Run(run) => commands::run::start(config, run).await?,
        Command::Import(import) => commands::model::import(config, import).await?,
        Command::RequestTransition(request) => commands::run::request_transition(config, request).await?,
        Command::Migrate => drop(roles::migrate(config).await?),
        Command::Follow(follow) if follow.once => commands::run::follow(config, follow, token).await?,
        Command::Follow(_) | Command::Site | Command::Index | Command::Verdicts | Command::Serve => {
            role(command, config, token).await?;
        }
        Command::Demo(_) | Command::Stack(_) => unreachable!("these write their own configuration"),
    }
    Ok(true)
}

/// Runs a role until it is told to stop, with health and metrics beside it.
async fn role(command: &Command, config: &Config, token: CancellationToken) -> Result<()> {
    let database = roles::migrate(config).await?;
    let working = async {
        match command {
            Command::Follow(follow) => commands::run::follow(config, follow, token.clone()).await,
            Command::Site => roles::site(config, token.clone()).await,
            Command::Index => roles::index(config, token.clone()).await,
            Command::Verdicts => roles::verdicts(config, token.clone()).await,
            _ => roles::serve(config, token.clone()).await,
        }
    };
    tokio::try_join!(working, operations::serve(config, database, token.clone()))?;
    Ok(())
}
