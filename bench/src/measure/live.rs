//! Indexer, relay and API on a chain that grows.

use std::{fs, process::Stdio};

use eyre::{Result, ensure};

use super::{Bench, started};
use crate::{chain::Recipe, live::Reader};

impl Bench {
    /// Latency of each load, as a table.
    pub async fn live(&self, name: &str, recipe: Recipe, warm_up: u64, readers: &[Reader]) -> Result<String> {
        let (url, connection) = self.fresh(name).await?;
        let (certificate, private_key) = (self.data.path().join("certificate.pem"), self.data.path().join("key.pem"));
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
        fs::write(&certificate, made.cert.pem())?;
        fs::write(&private_key, made.signing_key.serialize_pem())?;
        let mut node = self.program("bench-live");
        node.arg("--cache").arg(&self.cache).args(recipe.arguments()).args(["--warm-up", &warm_up.to_string()]);
        node.args(["--postgres-url", &url]).stderr(Stdio::inherit());
        let mut children = Vec::new();
        if readers.contains(&Reader::Subscription) {
            let mut api = self.program("bench-subject");
            api.args(["serve", &url]).args([&certificate, &private_key]).stderr(Stdio::inherit());
            let (api, address, _) = started(api).await?;
            node.args(["--api", &address, "--certificate"]).arg(&certificate);
            children.push(api);
        }
        if readers.contains(&Reader::Topic) {
            node.args(["--bootstrap", &self.stack.kafka()?.bootstrap(), "--topic", name]);
            children.push(self.relay(&url, name)?);
        }
        let (mut node, address, mut lines) = started(node).await?;
        children.push(self.indexer(&format!("http://{address}"), &url, Some(&format!("ws://{address}")))?);
        let mut table = String::new();
        while let Some(line) = lines.next_line().await? {
            table += &line;
            table.push('\n');
        }
        let status = node.wait().await?;
        ensure!(status.success(), "bench-live ended: {status}");
        for mut child in children {
            child.kill().await?;
        }
        self.drop_database(name, connection).await?;
        Ok(table)
    }
}
