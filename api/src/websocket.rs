//! `GET /graphql/ws`: GraphQL over websocket, protocol [graphql-transport-ws](https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md).
//!
//! A subscription reads on only when its last frame was taken by the socket, so a slow client costs no memory; one that takes nothing is cut off
//! and resumes from its last position.

use std::{sync::Arc, time::Duration};

use async_graphql::{Request, Response as Answer, Value};
use axum::{
    Extension,
    extract::{
        State, WebSocketUpgrade,
        ws::{CloseFrame, Message, WebSocket},
    },
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use futures::{FutureExt, SinkExt, StreamExt, stream, stream::BoxStream};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, error::Elapsed, timeout};
use tokio_stream::StreamMap;

use crate::{http::Refused, origin, server::ConnectionPermit, service::Service};

const PROTOCOL: &str = "graphql-transport-ws";

/// Takes a socket.
pub(crate) async fn upgrade(
    State(service): State<Arc<Service>>,
    permit: Option<Extension<ConnectionPermit>>,
    uri: Uri,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    if !origin::is_allowed(&headers, &uri, &service.settings.allowed_origins) {
        return Refused(StatusCode::FORBIDDEN, "pages of this origin may not use this API".to_owned()).into_response();
    }
    let bytes = service.settings.limits.message_bytes;
    let upgrade = upgrade.protocols([PROTOCOL]).max_message_size(bytes).max_frame_size(bytes);
    if upgrade.selected_protocol().is_none() {
        return Refused(StatusCode::BAD_REQUEST, format!("ask for the websocket protocol {PROTOCOL}")).into_response();
    }
    upgrade.on_upgrade(move |socket| async move {
        let _counted_until_it_ends = permit;
        let sockets = metrics::gauge!("runproof_api_websockets");
        sockets.increment(1);
        Session::new(service, socket).run().await;
        sockets.decrement(1);
    })
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum FromClient {
    ConnectionInit,
    Ping,
    Pong,
    Subscribe { id: String, payload: Box<Request> },
    Complete { id: String },
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum ToClient<'a> {
    ConnectionAck,
    Pong,
    Next { id: &'a str, payload: &'a Answer },
    Error { id: &'a str, payload: &'a [async_graphql::ServerError] },
    Complete { id: &'a str },
}

/// Why the server ends a session.
#[derive(Debug, PartialEq, Eq)]
struct Close(u16, String);

fn close<T>(code: u16, reason: impl Into<String>) -> Result<T, Close> {
    Err(Close(code, reason.into()))
}

/// A frame of an operation, or its end.
type Frame = Option<Answer>;

struct Session {
    service: Arc<Service>,
    socket: WebSocket,
    acknowledged: bool,
    operations: StreamMap<String, BoxStream<'static, Frame>>,
    heard: Instant,
    pinged: bool,
}

impl Session {
    fn new(service: Arc<Service>, socket: WebSocket) -> Self {
        Self {
            service,
            socket,
            acknowledged: false,
            operations: StreamMap::new(),
            heard: Instant::now(),
            pinged: false,
        }
    }

    async fn run(mut self) {
        let Close(code, reason) = match self.converse().await {
            Ok(()) => return,
            Err(close) => close,
        };
        tracing::debug!(code, reason, "websocket closed");
        let frame = CloseFrame { code, reason: reason.into() };
        // The client may be gone already, and then there is nobody to tell.
        let _ = timeout(self.service.settings.limits.handshake, self.socket.send(Message::Close(Some(frame)))).await;
    }

    /// Until the client goes (`Ok`) or is sent away.
    async fn converse(&mut self) -> Result<(), Close> {
        let stopping = self.service.stopping.clone();
        loop {
            let wake = self.heard + self.patience();
            tokio::select! {
                () = stopping.cancelled() => return close(1001, "the server is stopping: connect again"),
                message = self.socket.recv() => match message {
                    Some(Ok(Message::Close(_))) | None => return Ok(()),
                    Some(Ok(message)) => self.take(message).await?,
                    Some(Err(error)) => return close(1009, limited(&format!("message refused: {error}"))),
                },
                Some((id, frame)) = self.operations.next(), if !self.operations.is_empty() => self.give_ready(id, frame).await?,
                () = tokio::time::sleep_until(wake) => self.probe().await?,
            }
            self.flush().await?;
        }
    }

    fn patience(&self) -> Duration {
        let limits = &self.service.settings.limits;
        match (self.acknowledged, self.pinged) {
            (false, _) => limits.handshake,
            (true, false) => limits.keep_alive,
            (true, true) => limits.keep_alive * 2,
        }
    }

    /// The client was silent for as long as it may.
    async fn probe(&mut self) -> Result<(), Close> {
        if !self.acknowledged {
            return close(4408, "Connection initialisation timeout");
        }
        if self.pinged {
            return close(1002, "no answer to a ping");
        }
        self.pinged = true;
        self.send(Message::Ping(Default::default())).await
    }

    async fn take(&mut self, message: Message) -> Result<(), Close> {
        if self.acknowledged {
            self.heard = Instant::now();
            self.pinged = false;
        }
        let text = match message {
            Message::Text(text) => text,
            Message::Binary(_) => return close(4400, "send text messages"),
            Message::Ping(_) | Message::Pong(_) | Message::Close(_) => return Ok(()),
        };
        match serde_json::from_str(&text) {
            Ok(FromClient::ConnectionInit) if self.acknowledged => close(4429, "Too many initialisation requests"),
            Ok(FromClient::ConnectionInit) => {
                self.acknowledged = true;
                self.tell(&ToClient::ConnectionAck).await
            }
            Ok(FromClient::Ping) => self.tell(&ToClient::Pong).await,
            Ok(FromClient::Pong) => Ok(()),
            Ok(_) if !self.acknowledged => close(4401, "Unauthorized: send connection_init first"),
            Ok(FromClient::Subscribe { id, payload }) => self.subscribe(id, *payload),
            Ok(FromClient::Complete { id }) => {
                self.operations.remove(&id);
                Ok(())
            }
            Err(error) => close(4400, limited(&format!("not a message of {PROTOCOL}: {error}"))),
        }
    }

    fn subscribe(&mut self, id: String, request: Request) -> Result<(), Close> {
        if self.operations.contains_key(&id) {
            return close(4409, limited(&format!("Subscriber for {id} already exists")));
        }
        let most = self.service.settings.limits.subscriptions;
        if self.operations.len() >= most {
            return close(4429, format!("at most {most} operations at a time on one socket"));
        }
        let answers = Arc::clone(&self.service).stream(request).map(Some);
        self.operations.insert(id, answers.chain(stream::iter([None])).boxed());
        Ok(())
    }

    /// Frames that are there at once leave together: each alone would be a record of TLS and a packet of its own.
    async fn give_ready(&mut self, id: String, frame: Frame) -> Result<(), Close> {
        self.give(&id, frame).await?;
        while let Some(Some((id, frame))) = self.operations.next().now_or_never() {
            self.give(&id, frame).await?;
        }
        Ok(())
    }

    /// An answer without data is the operation's end, as the protocol has it.
    async fn give(&mut self, id: &str, frame: Frame) -> Result<(), Close> {
        match frame {
            Some(answer) if answer.is_err() && answer.data == Value::Null => {
                self.operations.remove(id);
                self.tell(&ToClient::Error { id, payload: &answer.errors }).await
            }
            Some(answer) => self.tell(&ToClient::Next { id, payload: &answer }).await,
            None => self.tell(&ToClient::Complete { id }).await,
        }
    }

    async fn tell(&mut self, message: &ToClient<'_>) -> Result<(), Close> {
        let text = serde_json::to_string(message).or_else(|error| close(1011, limited(&error.to_string())))?;
        self.send(Message::Text(text.into())).await
    }

    /// Leaves with the next flush, or before it if there is much.
    async fn send(&mut self, message: Message) -> Result<(), Close> {
        sent(timeout(self.service.settings.limits.deadline, self.socket.feed(message)).await)
    }

    async fn flush(&mut self) -> Result<(), Close> {
        sent(timeout(self.service.settings.limits.deadline, self.socket.flush()).await)
    }
}

fn sent(outcome: Result<Result<(), axum::Error>, Elapsed>) -> Result<(), Close> {
    match outcome {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => close(1001, "connection lost"),
        Err(_) => close(1013, "too slow: connect again and go on from the last position received"),
    }
}

/// A close frame holds 123 bytes of reason (RFC 6455).
fn limited(reason: &str) -> String {
    let mut end = reason.len().min(120);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    reason[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_fit_into_a_close_frame() {
        assert_eq!(limited("short"), "short");
        assert!(limited(&"ä".repeat(200)).len() <= 123);
    }

    #[test]
    fn messages_are_the_protocols() {
        let subscribe = r#"{"type":"subscribe","id":"1","payload":{"query":"{watermark{position}}"}}"#;
        assert!(matches!(serde_json::from_str(subscribe), Ok(FromClient::Subscribe { id, .. }) if id == "1"));
        assert!(matches!(
            serde_json::from_str(r#"{"type":"connection_init","payload":{}}"#),
            Ok(FromClient::ConnectionInit)
        ));
        for wrong in [
            "",
            "{}",
            "[]",
            r#"{"type":"start"}"#,
            r#"{"type":"subscribe"}"#,
            r#"{"type":"subscribe","id":1,"payload":{}}"#,
        ] {
            assert!(serde_json::from_str::<FromClient>(wrong).is_err(), "{wrong}");
        }
        let shown = serde_json::to_value(ToClient::Complete { id: "1" }).expect("serialises");
        assert_eq!(shown, serde_json::json!({"type": "complete", "id": "1"}));
    }
}
