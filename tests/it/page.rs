//! The monitor page in a real browser: a state appears without a reload, its verdict is shown, text from the chain is escaped.

use std::{
    process::{Child, Command, Stdio},
    time::Duration,
};

use fantoccini::{Client, ClientBuilder, Locator};
use serde_json::json;

use crate::{
    crash::start_slow_run,
    harness::{self, World, free_port, stack},
};

/// A browser that ends with the test.
struct Browser {
    driver: Child,
    client: Client,
    _profile: tempfile::TempDir,
}

impl Browser {
    async fn start(width: u32) -> Self {
        let profile = tempfile::tempdir().expect("a folder");
        let port = free_port();
        let driver = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver runs; `make setup` installs it");
        let arguments = [
            "--headless".to_owned(),
            "--no-sandbox".into(),
            "--disable-gpu".into(),
            "--disable-quic".into(),
            "--disable-dev-shm-usage".into(),
            "--no-first-run".into(),
            "--disable-background-networking".into(),
            "--disable-component-update".into(),
            "--disable-sync".into(),
            format!("--window-size={width},900"),
            format!("--user-data-dir={}", profile.path().display()),
        ];
        let capabilities = json!({
            "acceptInsecureCerts": true,
            "goog:chromeOptions": { "args": arguments },
        });
        let capabilities = capabilities.as_object().expect("an object").clone();
        let url = format!("http://127.0.0.1:{port}");
        let client = harness::eventually("the browser starts", async || {
            ClientBuilder::new(hyper_util::client::legacy::connect::HttpConnector::new())
                .capabilities(capabilities.clone())
                .connect(&url)
                .await
                .ok()
        })
        .await;
        Self { driver, client, _profile: profile }
    }

    /// Waits until an element is there.
    async fn shows(&self, selector: &str) {
        let waiting = self.client.wait().at_most(Duration::from_secs(90)).for_element(Locator::Css(selector));
        if let Err(error) = waiting.await {
            let page = self.client.execute("return document.documentElement.outerHTML;", vec![]).await;
            panic!("{selector}: {error}\n{page:?}");
        }
    }

    async fn stop(mut self) {
        let _ = self.client.clone().close().await;
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

#[test]
fn states_appear_without_reload_and_carry_their_verdicts() {
    harness::run(async {
        stack().await;
        let world = World::new().await;
        let _roles = ["follow", "site", "index", "verdicts", "serve"].map(|role| world.start(&[role]));
        harness::eventually("the page is served", async || world.http().get(&world.api_url).send().await.ok()).await;
        let browser = Browser::start(375).await;
        browser.client.goto(&world.api_url).await.expect("the page loads");
        let marked = "window.notReloaded = true; return document.documentElement.scrollWidth <= window.innerWidth;";
        let fits = browser.client.execute(marked, vec![]).await.expect("a script runs");
        assert_eq!(fits, json!(true), "no horizontal scrolling at a phone's width");

        start_slow_run(&world, 4).await;
        browser.shows("[data-sequence='0']").await;
        browser.shows("[data-sequence='3'][data-status='passed']").await;
        browser.shows("[data-sequence='3']:not([data-finality='finalized'])").await;
        world.chain().await.mine(70).await.expect("the chain makes blocks");
        browser.shows("[data-sequence='3'][data-finality='finalized']").await;
        let same = browser.client.execute("return window.notReloaded === true;", vec![]).await.expect("a script runs");
        assert_eq!(same, json!(true), "the page was not reloaded");
        let fits = browser.client.execute(marked, vec![]).await.expect("a script runs");
        assert_eq!(fits, json!(true), "no horizontal scrolling with states");
        browser.stop().await;
    });
}

#[test]
fn text_from_the_chain_is_shown_as_text() {
    // Without quotes: the emulator leaves their escapes in names.
    const HOSTILE: &str = "<img src=x onerror=window.hacked=true>";
    harness::run(async {
        let world = World::new().await;
        let _roles = ["follow", "site", "index", "verdicts", "serve"].map(|role| world.start(&[role]));
        let model = json!({"StartAt": HOSTILE, "States": {HOSTILE: {"Type": "Pass", "End": true}}}).to_string();
        let model = world.file("hostile.asl.json", model);
        world.runproof(&["deploy", &model.to_string_lossy(), "--name", &world.name]).await;
        world.runproof(&["run", &world.name]).await;
        let browser = Browser::start(1200).await;
        browser.client.goto(&world.api_url).await.expect("the page loads");
        browser.shows("[data-sequence='0'][data-status='passed']").await;
        let script = "return document.querySelector(\"[data-sequence='0']\").textContent;";
        let text = browser.client.execute(script, vec![]).await.expect("a script runs");
        assert!(text.as_str().is_some_and(|text| text.contains(HOSTILE)), "the name is readable: {text}");
        let script = "return [document.querySelectorAll('#instances img').length, window.hacked === true];";
        assert_eq!(browser.client.execute(script, vec![]).await.expect("a script runs"), json!([0, false]));
        browser.stop().await;
    });
}
