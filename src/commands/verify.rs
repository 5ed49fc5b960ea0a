//! `runproof verify`: a run checked from chain and web alone.

use eyre::{Context, Result};
use runproof_protocol::verdict::Status;
use runproof_verifier::render;
use url::Url;

use crate::{cli::Verify, config::Config, roles};

/// Prints the verdict; tells whether every check passed.
pub async fn verify(config: &Config, verify: &Verify) -> Result<bool> {
    let mut settings = roles::verifier_settings(config)?;
    settings.site = verify.site.as_deref().map(Url::parse).transpose().wrap_err("--site is not a URL")?;
    let verdict = runproof_verifier::verify(&settings, verify.issuer, verify.instance).await?;
    if verify.json {
        println!("{}", serde_json::to_string_pretty(&render::json(&verdict))?);
    } else {
        print!("{}", render::table(&verdict));
    }
    Ok(verdict.status() == Status::Passed)
}
