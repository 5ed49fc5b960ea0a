//! One binary; its roles are subcommands. See ARCHITECTURE.md.

mod cli;
mod commands;
mod config;
mod database;
mod demo;
mod observed;
mod operations;
mod roles;
mod shutdown;
mod status;
mod telemetry;

use std::{io::IsTerminal, process::ExitCode, slice::from_ref, sync::Arc};

use clap::Parser;
use eyre::{Result, WrapErr, bail, eyre};
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::{
    cli::{Cli, Command},
    config::Config,
    database::when_ready,
    observed::Observed,
    telemetry::Level,
};

/// Receipts are many small pieces, made by one thread and freed by another.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let errors = color_eyre::config::HookBuilder::default().display_env_section(false);
    let plain = !std::io::stderr().is_terminal();
    if plain { errors.theme(color_eyre::config::Theme::new()) } else { errors }.install()?;
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
        command => {
            let config = Config::load(&cli.config)?;
            let sources = config.named_sources(&cli.sources)?;
            if command.is_role() {
                role(command, &config, &sources, token).await.map(|()| true)?
            } else {
                let done = token.run_until_cancelled(once(command, &sources)).await;
                done.ok_or_else(|| eyre!("interrupted: nothing is lost, run the command again"))??
            }
        }
    };
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs a command that ends by itself; tells whether what it checked passed. It may be left at any point, and run again.
async fn once(command: &Command, sources: &[Config]) -> Result<bool> {
    // What is asked of one source is asked of the first that was named.
    let config = &sources[0];
    match command {
        Command::Verify(verify) => return commands::verify::verify(config, verify).await,
        Command::Audit(audit) => return commands::audit::audit(config, audit).await,
        Command::Identity(identity) => commands::identity::run(config, identity).await?,
        Command::Contract(contract) => commands::contract::run(config, contract).await?,
        Command::Quarantine(quarantine) => commands::quarantine::run(config, quarantine).await?,
        Command::Deploy(deploy) => commands::model::deploy(config, deploy).await?,
        Command::Run(run) => commands::run::start(config, run).await?,
        Command::Follow(follow) => commands::run::follow_once(config, follow).await?,
        Command::Import(import) => commands::model::import(config, import).await?,
        Command::Disclose(disclose) => commands::model::disclose(config, disclose).await?,
        Command::Relay(relay) => commands::relay::run(config, relay).await?,
        Command::RequestTransition(request) => commands::run::request_transition(config, request).await?,
        Command::Migrate => {
            for source in sources {
                database::migrate(source).await?;
            }
        }
        Command::Rebuild => {
            println!("rows rebuilt: {}", runproof_migrations::rebuild(&database::migrate(config).await?).await?)
        }
        other => bail!("{other:?} does not end by itself"),
    }
    Ok(true)
}

/// Runs a role until it is told to stop, with health and metrics beside it.
async fn role(command: &Command, config: &Config, sources: &[Config], token: CancellationToken) -> Result<()> {
    let mut databases = Vec::with_capacity(sources.len());
    for source in sources {
        databases.push(database::lazy(source).await?);
    }
    let observed = Observed::all(sources)?;
    let working = async {
        match command {
            Command::Follow(follow) => {
                when_ready(from_ref(config), &token, commands::run::follow(config, follow, token.clone())).await
            }
            Command::Site => when_ready(from_ref(config), &token, roles::site(config, token.clone())).await,
            Command::Index => {
                let index =
                    |source, seen| when_ready(from_ref(source), &token, roles::index(source, seen, token.clone()));
                each(sources, &observed, index).await
            }
            Command::Verdicts => {
                let verify =
                    |source, seen| when_ready(from_ref(source), &token, roles::verdicts(source, seen, token.clone()));
                each(sources, &observed, verify).await
            }
            _ => when_ready(sources, &token, roles::serve(config, token.clone())).await,
        }
    };
    tokio::try_join!(working, operations::serve(config, sources, databases, &observed, token.clone()))?;
    Ok(())
}

/// Works on each source until told to stop. One that fails for good is told of, and the others go on without it.
///
/// # Errors
/// The first failure, once nothing is worked on any more.
async fn each<'a, F: Future<Output = Result<()>>>(
    sources: &'a [Config],
    observed: &[Arc<Observed>],
    work: impl Fn(&'a Config, Arc<Observed>) -> F,
) -> Result<()> {
    let alone = sources.len() == 1;
    let each = sources.iter().zip(observed).map(|(source, observed)| {
        let working = work(source, observed.clone());
        async move {
            let outcome = working.await;
            if alone {
                return outcome;
            }
            outcome.wrap_err_with(|| format!("source `{}`", source.source_name())).inspect_err(|failure| {
                error!(failure = format!("{failure:#}"), "failed for good; the other sources go on");
                let _ = observed.failure.set(format!("{failure:#}"));
            })
        }
    });
    futures::future::join_all(each).await.into_iter().collect()
}
