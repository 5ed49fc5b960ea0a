//! graphql-transport-ws: what breaks its rules is closed with the protocol's code.

use std::time::Duration;

use runproof_api::Limits;
use serde_json::{Value, json};

use crate::served::{hear, say, served, served_with};

const WATCH: &str = "subscription { watermark { position } }";

fn subscribe(id: &str) -> Value {
    json!({ "type": "subscribe", "id": id, "payload": { "query": WATCH } })
}

#[tokio::test]
async fn rules_are_kept() {
    let served = served().await;
    let init = || json!({ "type": "connection_init" });
    for (messages, code) in [
        (vec![subscribe("1")], 4401),
        (vec![init(), init()], 4429),
        (vec![init(), subscribe("1"), subscribe("1")], 4409),
        (vec![init(), json!({ "type": "start" })], 4400),
        (vec![init(), json!("?")], 4400),
        (vec![init(), json!({ "type": "ping", "payload": "x".repeat(70_000) })], 1009),
        (std::iter::once(init()).chain((0..=20).map(|id| subscribe(&id.to_string()))).collect(), 4429),
    ] {
        let mut socket = served.connect(None).await.expect("a websocket");
        for message in messages {
            say(&mut socket, message).await;
        }
        let closed = loop {
            let message = hear(&mut socket).await;
            if message.get("close").is_some() {
                break message;
            }
        };
        assert_eq!(closed, json!({ "close": code }));
    }
}

#[tokio::test]
async fn who_says_nothing_is_sent_away() {
    let served = served_with(Limits { handshake: Duration::from_millis(300), ..Limits::default() }).await;
    let mut socket = served.connect(None).await.expect("a websocket");
    assert_eq!(hear(&mut socket).await, json!({ "close": 4408 }));
}

#[tokio::test]
async fn a_bad_query_ends_itself_and_nothing_else() {
    let served = served().await;
    let mut socket = served.subscribe("{ nope }").await;
    let answer = hear(&mut socket).await;
    assert_eq!((&answer["type"], &answer["id"]), (&json!("error"), &json!("1")));
    assert!(answer["payload"][0]["message"].is_string());
    say(&mut socket, json!({ "type": "ping" })).await;
    assert_eq!(hear(&mut socket).await, json!({ "type": "pong" }));
}

#[tokio::test]
async fn connections_beyond_the_limit_are_refused_until_one_is_free() {
    let served = served_with(Limits { connections: 1, ..Limits::default() }).await;
    let first = served.connect(None).await.expect("a websocket");
    assert!(served.connect(None).await.is_err());
    drop(first);
    let again = async {
        while served.connect(None).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), again).await.expect("the place is free again");
}
