//! `runproof audit`: everything that was indexed, compared with the chain.

use std::time::Duration;

use eyre::{Context, Result};
use runproof_indexer::audit::AuditSettings;
use url::Url;

use crate::{cli::Audit, config::Config, observed::endpoints};

/// Prints what differs; tells whether nothing does.
pub async fn audit(config: &Config, audit: &Audit) -> Result<bool> {
    let postgres_url = Url::parse(&config.postgres.url).wrap_err("postgres.url")?;
    let chain = &config.chain;
    let topic = config.kafka.as_ref().map(|kafka| kafka.relay_settings(postgres_url.clone(), chain.registry));
    let settings = AuditSettings {
        endpoints: endpoints(chain)?,
        registry: chain.registry,
        kind: chain.kind,
        strict: chain.strict,
        start_block: chain.registry_deployed_at_block,
        postgres_url,
        topic,
        patience: Duration::from_secs(audit.patience),
    };
    let report = runproof_indexer::audit::audit(&settings).await?;
    if audit.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{report}");
    }
    Ok(report.differences.is_empty())
}
