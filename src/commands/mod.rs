//! The commands that do one thing and end.

pub mod audit;
pub mod contract;
pub mod identity;
pub mod model;
pub mod quarantine;
pub mod relay;
pub mod run;
pub mod verify;

use std::path::Path;

use eyre::{Context, Result};

/// A file's bytes, or a sentence that names it.
fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).wrap_err_with(|| format!("{} cannot be read", path.display()))
}
