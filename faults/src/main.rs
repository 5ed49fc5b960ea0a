//! `cargo run -p runproof-faults -- --seed N --line K --times M`: see the library.

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;
use eyre::{Result, ensure, eyre};
use runproof_faults::{Campaign, Times};

/// The fault campaign: each line is a fault, done to the real parts again and again, and judged by `runproof audit`.
#[derive(Debug, Parser)]
struct Options {
    /// What decides everything that is random.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Lines to run, by number [default: all].
    #[arg(long = "line")]
    lines: Vec<u8>,
    /// How often each fault is done [default: as the line says].
    #[arg(long)]
    times: Option<u64>,
    /// The binary [default: `runproof` beside this one].
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Folder of databases, chains and logs; it is kept if something did not hold.
    #[arg(long, default_value = "/tmp/runproof-faults")]
    folder: PathBuf,
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let options = Options::parse();
    let filter =
        tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "runproof_faults=info".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_target(false).with_writer(std::io::stderr).init();
    rustls::crypto::aws_lc_rs::default_provider().install_default().map_err(|_| eyre!("two TLS providers"))?;
    let binary = match options.binary {
        Some(binary) => binary,
        None => std::env::current_exe()?.with_file_name("runproof"),
    };
    ensure!(binary.exists(), "{} is missing: build it first, with `cargo build`", binary.display());
    let times = options.times.map_or(Times::Full, Times::Exactly);
    let campaign = Campaign { seed: options.seed, lines: options.lines, times, binary, folder: options.folder };
    let table = campaign.run().await?;
    println!("{table}");
    Ok(if table.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
