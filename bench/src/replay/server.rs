//! JSON-RPC over HTTP, and subscriptions to new heads over websocket, on one port.

use std::sync::Arc;

use axum::{
    Router,
    body::Bytes,
    extract::{
        State, WebSocketUpgrade,
        ws::{Message, WebSocket},
    },
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::post,
    serve::ListenerExt,
};
use eyre::Result;
use serde_json::json;
use tokio::net::TcpListener;

use super::Replay;

/// Serves until it is dropped.
pub async fn serve(replay: Arc<Replay>, listener: TcpListener) -> Result<()> {
    // Small answers are not to wait for acknowledgements. Where that cannot be set, it is measured.
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    let router = Router::new().route("/", post(answer).get(upgrade)).with_state(replay);
    Ok(axum::serve(listener, router).await?)
}

async fn answer(State(replay): State<Arc<Replay>>, body: Bytes) -> Response {
    match replay.respond(&body) {
        Ok(answer) => ([(CONTENT_TYPE, "application/json")], answer).into_response(),
        Err(error) => (StatusCode::BAD_REQUEST, format!("{error:#}")).into_response(),
    }
}

async fn upgrade(State(replay): State<Arc<Replay>>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(async move |socket| {
        if let Err(error) = converse(&replay, socket).await {
            tracing::warn!(%error, "a websocket ended");
        }
    })
}

/// Answers as over HTTP; who has sent anything is told of new heads, since nothing but that is subscribed to.
async fn converse(replay: &Replay, mut socket: WebSocket) -> Result<()> {
    let mut newest = replay.newest.subscribe();
    let mut told = None;
    loop {
        tokio::select! {
            message = socket.recv() => match message.transpose()? {
                Some(Message::Text(text)) => {
                    told = Some(told.unwrap_or(*newest.borrow_and_update()));
                    let answer = String::from_utf8(replay.respond(text.as_bytes())?)?;
                    socket.send(Message::text(answer)).await?;
                }
                Some(_) => {}
                None => return Ok(()),
            },
            Ok(()) = newest.changed(), if told.is_some() => {
                let reached = *newest.borrow_and_update();
                for number in told.map_or(reached, |told| told + 1)..=reached {
                    let params = json!({"subscription": "0x01", "result": replay.header(number)?});
                    let notification = json!({"jsonrpc": "2.0", "method": "eth_subscription", "params": params});
                    socket.send(Message::text(notification.to_string())).await?;
                }
                told = Some(reached);
            }
        }
    }
}
