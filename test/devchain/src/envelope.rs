// SPDX-License-Identifier: Apache-2.0 OR MIT
//! JSON-RPC 2.0 envelopes: one request or a batch in, one answer or a batch out.

use serde_json::{Value, json};

use crate::error::RpcError;

/// How many requests one batch may have.
const MAX_BATCH: usize = 1000;

/// A request out of its envelope.
#[derive(Debug)]
pub(crate) struct Request {
    /// Absent for a notification, which gets no answer.
    id: Option<Value>,
    call: Result<(String, Value), RpcError>,
}

/// What a body holds.
#[derive(Debug)]
pub(crate) enum Body {
    Single(Request),
    Batch(Vec<Request>),
}

impl Body {
    /// Reads a body. Whatever is wrong with it becomes the answer.
    pub(crate) fn read(bytes: &[u8]) -> Self {
        match serde_json::from_slice(bytes) {
            Ok(Value::Array(requests)) if requests.is_empty() => {
                Self::Single(Request::broken(RpcError::request("empty batch")))
            }
            Ok(Value::Array(requests)) if requests.len() > MAX_BATCH => Self::Single(Request::broken(
                RpcError::request(format!("batch too large: {} requests, limit {MAX_BATCH}", requests.len())),
            )),
            Ok(Value::Array(requests)) => Self::Batch(requests.into_iter().map(Request::read).collect()),
            Ok(request) => Self::Single(Request::read(request)),
            Err(error) => Self::Single(Request::broken(RpcError::parse(format!("parse error: {error}")))),
        }
    }
}

impl Request {
    fn broken(error: RpcError) -> Self {
        Self { id: Some(Value::Null), call: Err(error) }
    }

    fn read(request: Value) -> Self {
        let Value::Object(mut request) = request else {
            return Self::broken(RpcError::request("invalid request: not an object"));
        };
        let id = request.remove("id");
        if id.as_ref().is_some_and(|id| !(id.is_string() || id.is_number() || id.is_null())) {
            return Self::broken(RpcError::request("invalid request: the id is neither string nor number"));
        }
        let call = match (request.remove("jsonrpc"), request.remove("method")) {
            (Some(Value::String(version)), Some(Value::String(method))) if version == "2.0" => {
                Ok((method, request.remove("params").unwrap_or_default()))
            }
            (_, Some(Value::String(_))) => {
                Err(RpcError::request(r#"invalid request: "jsonrpc" must be "2.0""#))
            }
            _ => Err(RpcError::request("invalid request: no method")),
        };
        // Something broken is answered even without an id, as nobody could tell it from a notification.
        let id = if call.is_err() { Some(id.unwrap_or_default()) } else { id };
        Self { id, call }
    }

    /// Runs the request and wraps the outcome; `None` for a notification.
    pub(crate) fn answer(self, run: impl FnOnce(&str, &Value) -> Result<Value, RpcError>) -> Option<Value> {
        let outcome = self.call.and_then(|(method, params)| run(&method, &params));
        let id = self.id?;
        Some(match outcome {
            Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
            Err(error) => json!({ "jsonrpc": "2.0", "id": id, "error": error.object() }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(body: &str) -> Vec<Value> {
        let echo = |method: &str, params: &Value| match method {
            "echo" => Ok(params.clone()),
            other => Err(RpcError::method(other)),
        };
        match Body::read(body.as_bytes()) {
            Body::Single(request) => request.answer(echo).into_iter().collect(),
            Body::Batch(requests) => requests.into_iter().filter_map(|r| r.answer(echo)).collect(),
        }
    }

    fn code(body: &str) -> i64 {
        answers(body)[0]["error"]["code"].as_i64().unwrap()
    }

    #[test]
    fn envelope_keeps_the_id_when_it_answers() {
        let answer = &answers(r#"{"jsonrpc":"2.0","id":"a","method":"echo","params":[1]}"#)[0];
        assert_eq!(*answer, json!({"jsonrpc": "2.0", "id": "a", "result": [1]}));
    }

    #[test]
    fn envelope_says_what_is_wrong_in_the_standard_codes() {
        assert_eq!(code("{"), -32700);
        assert_eq!(code("[]"), -32600);
        assert_eq!(code("7"), -32600);
        assert_eq!(code(r#"{"id":1,"method":"echo"}"#), -32600);
        assert_eq!(code(r#"{"jsonrpc":"2.0","id":{},"method":"echo"}"#), -32600);
        assert_eq!(code(r#"{"jsonrpc":"2.0","id":1,"method":"none"}"#), -32601);
        assert_eq!(code(&format!("[{}1]", "1,".repeat(1000))), -32600);
    }

    #[test]
    fn envelope_leaves_notifications_unanswered() {
        assert!(answers(r#"{"jsonrpc":"2.0","method":"echo"}"#).is_empty());
        let batch = r#"[{"jsonrpc":"2.0","method":"echo"},{"jsonrpc":"2.0","id":2,"method":"echo"},3]"#;
        assert_eq!(answers(batch).len(), 2);
    }
}
