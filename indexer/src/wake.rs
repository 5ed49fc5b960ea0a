//! A hint that there may be a new block: the node's websocket subscription. It may lag, drop or lie; what counts is what a step then reads.

use std::{sync::Arc, time::Duration};

use alloy::providers::{Provider, ProviderBuilder, WsConnect};
use futures::StreamExt;
use tokio::sync::Notify;
use tracing::debug;
use url::Url;

const RECONNECT: Duration = Duration::from_secs(2);

/// Notifies at each new head, forever; reconnects by itself. Cancel by dropping.
pub(crate) async fn notify_new_heads(ws_url: Url, wake: Arc<Notify>) {
    loop {
        if let Err(error) = follow(&ws_url, &wake).await {
            let reason = error.to_string().replace(ws_url.as_str(), "the node");
            debug!(reason, "no subscription to new heads; polling goes on");
        }
        tokio::time::sleep(RECONNECT).await;
    }
}

async fn follow(ws_url: &Url, wake: &Notify) -> eyre::Result<()> {
    let provider = ProviderBuilder::new().connect_ws(WsConnect::new(ws_url.as_str())).await?;
    let mut heads = provider.subscribe_blocks().await?.into_stream();
    while heads.next().await.is_some() {
        wake.notify_one();
    }
    Ok(())
}
