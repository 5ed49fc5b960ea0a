//! Bad input gets an answer that says what is wrong, in GraphQL's form, and never 500.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::served::{Served, served};

async fn post(served: &Served, content_type: &str, body: impl Into<reqwest::Body>) -> (StatusCode, Value) {
    let response = served.post().header("content-type", content_type).body(body).send().await.expect("an answer");
    (response.status(), response.json().await.expect("JSON"))
}

#[tokio::test]
async fn what_is_no_request_is_refused() {
    let served = served().await;
    let query = r#"{"query":"{watermark{position}}"}"#;
    for (content_type, body, expected) in [
        ("text/plain", query.to_owned(), StatusCode::UNSUPPORTED_MEDIA_TYPE),
        ("multipart/form-data; boundary=x", query.to_owned(), StatusCode::UNSUPPORTED_MEDIA_TYPE),
        ("application/json", format!("[{query}]"), StatusCode::BAD_REQUEST),
        ("application/json", "{".to_owned(), StatusCode::BAD_REQUEST),
        ("application/json", String::new(), StatusCode::BAD_REQUEST),
        ("application/json", "[".repeat(60_000), StatusCode::BAD_REQUEST),
        ("application/json", " ".repeat(100_000_000), StatusCode::PAYLOAD_TOO_LARGE),
    ] {
        let (status, answer) = post(&served, content_type, body).await;
        assert_eq!(status, expected, "{answer}");
        assert!(answer["errors"][0]["message"].is_string(), "{answer}");
    }
}

#[tokio::test]
async fn queries_out_of_bounds_are_refused() {
    let served = served().await;
    let deep = "predecessor{".repeat(20) + "sequence" + &"}".repeat(20);
    let mut fragments = String::from("query{...F0}");
    for level in 0..30 {
        fragments += &format!(" fragment F{level} on Query{{...F{0} ...F{0}}}", level + 1);
    }
    for query in [
        "{nope}".to_owned(),
        "{instances(first:-1){asOf}}".to_owned(),
        "{instances(first:501){asOf}}".to_owned(),
        "{instances(first:1,last:1){asOf}}".to_owned(),
        "{instances(first:1,after:\"'; drop table\"){asOf}}".to_owned(),
        "{clients(first:1,after:\"zz\"){pageInfo{hasNextPage}}}".to_owned(),
        "{instances(asOf:99){asOf}}".to_owned(),
        "{model(id:\"12\"){issuer}}".to_owned(),
        format!("{{states{{nodes{{{deep}}}}}}}"),
        "{instances(first:500){nodes{states(first:500){nodes{stateId}}}}}".to_owned(),
        "{".to_owned() + &"a".repeat(30) + &"{a".repeat(3000),
        "{watermark".to_owned() + &"@skip(if:false)".repeat(40) + "{position}}",
        fragments,
        "subscription{watermark{position}}".to_owned(),
        "mutation{register}".to_owned(),
    ] {
        let (status, answer) = served.ask(&query).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{query}");
        assert!(answer["errors"][0]["message"].is_string(), "{answer}");
    }
}

#[tokio::test]
async fn pages_of_foreign_origins_are_refused() {
    let served = served().await;
    let own = served.url("");
    for (origin, expected) in [
        ("https://evil.example", StatusCode::FORBIDDEN),
        ("null", StatusCode::FORBIDDEN),
        ("https://app.example", StatusCode::OK),
        (&own, StatusCode::OK),
    ] {
        let asked =
            served.post().header("origin", origin).json(&json!({ "query": "{ watermark { position } }" })).send().await;
        assert_eq!(asked.expect("an answer").status(), expected, "{origin}");
        assert_eq!(served.connect(Some(origin)).await.is_ok(), expected == StatusCode::OK, "{origin}");
    }
}

#[tokio::test]
async fn the_page_runs_no_script_but_its_own() {
    let served = served().await;
    for path in ["/", "/monitor.js", "/view.js", "/socket.js", "/monitor.css", "/schema.graphql", "/readyz", "/healthz"]
    {
        let response = served.client.get(served.url(path)).send().await.expect("an answer");
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        if !path.ends_with('z') {
            let policy = response.headers()["content-security-policy"].to_str().expect("text").to_owned();
            assert!(
                policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'"),
                "{path}: {policy}"
            );
        }
        let body = response.text().await.expect("text");
        assert!(!body.contains("innerHTML") && !body.contains("<script>"), "{path}");
    }
}
