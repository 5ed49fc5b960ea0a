//! Answers of AWS JSON 1.0, the protocol of Step Functions (<https://smithy.io/2.0/aws/protocols/aws-json-1_0-protocol.html>).

use axum::{
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

/// The content type of requests and answers.
pub const AWS_JSON: &str = "application/x-amz-json-1.0";

/// What was asked for.
pub fn accepted(answer: &Value) -> Response {
    told(StatusCode::OK, answer)
}

/// An error that the caller is to blame for, by its name.
pub fn refused(kind: &str, message: &str) -> Response {
    told(StatusCode::BAD_REQUEST, &json!({ "__type": kind, "message": message }))
}

fn told(status: StatusCode, body: &Value) -> Response {
    (status, [(CONTENT_TYPE, AWS_JSON)], body.to_string()).into_response()
}
