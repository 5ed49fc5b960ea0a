//! Websockets that stall, leave gaps, talk nonsense, hang up or cry wolf. None of them says anything of use.

use axum::extract::ws::{Message, WebSocket};
use serde_json::{Value, json};

/// How a websocket is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manners {
    /// Accepted, never answered.
    Silent,
    /// The subscription is granted, and no head ever told.
    Gap,
    /// Frames that are no JSON-RPC.
    Nonsense,
    /// Closed as soon as it says something.
    HangUp,
    /// The same old head again and again.
    Flood,
}

impl Manners {
    /// All of them.
    pub(crate) const ALL: [Self; 5] = [Self::Silent, Self::Gap, Self::Nonsense, Self::HangUp, Self::Flood];
}

const FLOOD: usize = 200;

/// Serves one websocket until the other side leaves.
pub(crate) async fn misbehave(mut socket: WebSocket, manners: Manners) {
    while let Some(Ok(message)) = socket.recv().await {
        let Message::Text(text) = message else { continue };
        let request: Value = serde_json::from_str(&text).unwrap_or_default();
        let granted = json!({"jsonrpc": "2.0", "id": request["id"], "result": "0x1"}).to_string();
        let sent = match manners {
            Manners::Silent => Ok(()),
            Manners::HangUp => return,
            Manners::Gap => socket.send(Message::text(granted)).await,
            Manners::Nonsense => socket.send(Message::text("{\"jsonrpc\": \"2.0\", \"method\": \u{0}")).await,
            Manners::Flood => flood(&mut socket, granted).await,
        };
        if sent.is_err() {
            return;
        }
    }
}

async fn flood(socket: &mut WebSocket, granted: String) -> Result<(), axum::Error> {
    socket.send(Message::text(granted)).await?;
    let head = json!({"jsonrpc": "2.0", "method": "eth_subscription", "params": {"subscription": "0x1", "result": {"number": "0x1"}}});
    for _ in 0..FLOOD {
        socket.send(Message::text(head.to_string())).await?;
    }
    Ok(())
}
