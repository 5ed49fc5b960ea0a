//! The committed artifact is what the source compiles to.

use std::process::Command;

use eyre::{Result, ensure};

#[test]
fn artifact_is_what_the_source_compiles_to() -> Result<()> {
    let check = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/build.sh")).arg("--check").output()?;
    ensure!(
        check.status.success(),
        "{}{}",
        String::from_utf8_lossy(&check.stdout),
        String::from_utf8_lossy(&check.stderr)
    );
    Ok(())
}
