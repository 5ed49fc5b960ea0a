//! A stack whose process is killed saves its data, leaves no server behind, and does not block the next start.

use std::env;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use alloy::providers::Provider;
use eyre::{OptionExt, ensure};
use runproof_stack::{Mining, Ports, Stack, StackOptions};

const FOLDER: &str = "RUNPROOF_TEST_FOLDER";
const BLOCKS: u64 = 7;

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_leaves_no_server_and_its_data() -> eyre::Result<()> {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let folder = tempfile::tempdir()?;
    let mut child = Command::new(env::current_exe()?)
        .args(["--ignored", "--exact", "holds_a_stack", "--nocapture"])
        .env(FOLDER, folder.path())
        .stdout(Stdio::piped())
        .spawn()?;
    let lines = BufReader::new(child.stdout.take().ok_or_eyre("no output")?).lines().map_while(Result::ok);
    let ports = lines.filter_map(|line| serde_json::from_str::<Ports>(line.get(line.find('{')?..)?).ok()).next();
    child.kill()?;
    child.wait()?;
    let ports = ports.ok_or_eyre("the other process did not start its stack")?;

    let options = StackOptions { ports, mining: Mining::OnDemand, ..StackOptions::new(folder.path()) };
    let stack = Stack::start(options).await?;
    let head = stack.chain()?.provider().get_block_number().await?;
    stack.stop().await;
    ensure!(head >= BLOCKS, "the chain was at block {BLOCKS} or more, and is at {head}");
    Ok(())
}

#[tokio::test]
#[ignore = "the other half of the test above, which runs it in a process of its own and kills that"]
async fn holds_a_stack() -> eyre::Result<()> {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let ports = Ports::free()?;
    let folder = env::var(FOLDER)?;
    let stack = Stack::start(StackOptions { ports, mining: Mining::OnDemand, ..StackOptions::new(folder) }).await?;
    stack.chain()?.mine(BLOCKS).await?;
    println!("\n{}", serde_json::to_string(&ports)?);
    std::future::pending().await
}
