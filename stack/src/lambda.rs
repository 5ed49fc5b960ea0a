//! The AWS endpoint: Lambda invocations are answered here, by Rust functions; all else is handed on to the emulator.
//!
//! The emulator's Step Functions interpreter sends the calls of its tasks to this endpoint, so that the tasks of a workflow really run.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::thread;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Request, State};
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use futures::future::BoxFuture;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{Part, StackError};

/// Why a function failed, as a workflow's `Retry` and `Catch` see it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{error_type}: {message}")]
pub struct LambdaError {
    /// The name that `ErrorEquals` is compared with.
    pub error_type: String,
    /// The cause, for people.
    pub message: String,
}

impl LambdaError {
    /// An error with its name and cause.
    pub fn new(error_type: impl Into<String>, message: impl Into<String>) -> Self {
        Self { error_type: error_type.into(), message: message.into() }
    }
}

type Function = Arc<dyn Fn(Value) -> BoxFuture<'static, Result<Value, LambdaError>> + Send + Sync>;

/// Functions by name.
#[derive(Clone, Default)]
pub struct LambdaFunctions(BTreeMap<String, Function>);

impl std::fmt::Debug for LambdaFunctions {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_set().entries(self.0.keys()).finish()
    }
}

impl LambdaFunctions {
    /// Adds a function: JSON event in, JSON result out.
    #[must_use]
    pub fn with<F, Fut>(mut self, name: &str, function: F) -> Self
    where
        F: Fn(Value) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Value, LambdaError>> + Send + 'static,
    {
        self.0.insert(name.to_owned(), Arc::new(move |event| Box::pin(function(event))));
        self
    }

    /// Adds all of `others`.
    #[must_use]
    pub fn and(mut self, others: Self) -> Self {
        self.0.extend(others.0);
        self
    }
}

#[derive(Clone)]
struct Endpoint {
    functions: Arc<LambdaFunctions>,
    emulator: reqwest::Client,
    emulator_port: u16,
}

/// Serves on 127.0.0.1 until the guard is dropped. It has a thread of its own, so that it serves whatever runtime started it.
pub(crate) fn serve(port: u16, emulator_port: u16, functions: LambdaFunctions) -> Result<DropGuard, StackError> {
    let refused = || StackError::refused(Part::Emulator, "starting the Lambda endpoint");
    // Answers go through as they came: nothing is unpacked, no redirect followed.
    let emulator = reqwest::Client::builder()
        .no_gzip()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(refused())?;
    let endpoint = Endpoint { functions: Arc::new(functions), emulator, emulator_port };
    let router = Router::new()
        .route("/2015-03-31/functions/{name}/invocations", post(invoke))
        .fallback(hand_on)
        .with_state(endpoint);
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(StackError::io("127.0.0.1"))?;
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .map_err(StackError::io(format!("127.0.0.1:{port}")))?;
    listener.set_nonblocking(true).map_err(StackError::io("127.0.0.1"))?;
    let serve = async move {
        let listener = TcpListener::from_std(listener)?;
        tokio::select! {
            ended = axum::serve(listener, router) => ended,
            () = stopped.cancelled() => Ok(()), // open connections included: the emulator goes with us
        }
    };
    let run = move || {
        if let Err(error) = runtime.block_on(serve) {
            tracing::error!(%error, "the Lambda endpoint ended");
        }
    };
    thread::Builder::new().name("lambda".into()).spawn(run).map_err(StackError::io("lambda"))?;
    Ok(stop.drop_guard())
}

/// Lambda's `Invoke` (API 2015-03-31).
async fn invoke(State(endpoint): State<Endpoint>, Path(name): Path<String>, event: Bytes) -> Response {
    let name = function_name(&name);
    let Some(function) = endpoint.functions.0.get(name) else {
        let error = json!({"Type": "User", "Message": format!("Function not found: {name}")});
        return (StatusCode::NOT_FOUND, [("x-amzn-errortype", "ResourceNotFoundException")], error.to_string())
            .into_response();
    };
    let event = if event.is_empty() { Ok(json!({})) } else { serde_json::from_slice(&event) };
    let Ok(event) = event else {
        let error = json!({"Type": "User", "Message": "Could not parse request body into json"});
        return (StatusCode::BAD_REQUEST, [("x-amzn-errortype", "InvalidRequestContentException")], error.to_string())
            .into_response();
    };
    tracing::debug!(function = name, "invoked");
    let json_type = (header::CONTENT_TYPE, "application/json");
    match function(event).await {
        Ok(result) => ([json_type], result.to_string()).into_response(),
        Err(error) => {
            let failed = (HeaderName::from_static("x-amz-function-error"), "Unhandled");
            let body = json!({"errorType": error.error_type, "errorMessage": error.message});
            ([json_type, failed], body.to_string()).into_response()
        }
    }
}

/// The name in `name`, `name:qualifier` or a function's whole ARN.
fn function_name(given: &str) -> &str {
    let unqualified = given.rsplit_once(":function:").map_or(given, |(_, name)| name);
    unqualified.split(':').next().unwrap_or(unqualified)
}

async fn hand_on(State(endpoint): State<Endpoint>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    let url = format!("http://127.0.0.1:{}{path}", endpoint.emulator_port);
    let body = reqwest::Body::wrap_stream(body.into_data_stream());
    match endpoint.emulator.request(head.method, url).headers(head.headers).body(body).send().await {
        Ok(answer) => {
            let (status, mut headers) = (answer.status(), answer.headers().clone());
            for of_connection in [header::CONNECTION, header::TRANSFER_ENCODING] {
                headers.remove(of_connection);
            }
            (status, headers, Body::from_stream(answer.bytes_stream())).into_response()
        }
        Err(error) => (StatusCode::BAD_GATEWAY, format!("the emulator does not answer: {error}")).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::function_name;

    #[test]
    fn a_function_is_found_by_name_or_arn() {
        for given in
            ["transform", "transform:$LATEST", "arn:aws:lambda:us-east-1:123456789012:function:transform:$LATEST"]
        {
            assert_eq!(function_name(given), "transform");
        }
    }
}
