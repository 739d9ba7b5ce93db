// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Keys from a guest agent's socket.

use std::sync::Arc;

use axum::{Json, Router, routing::post};
use mandate_acme::keys::{AgentKeys, KeyError, KeySource};
use mandate_runtime::{
    Net,
    http::{ApiError, serve},
    net::TcpNet,
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

const KEY: &str = "0101010101010101010101010101010101010101010101010101010101010101";

/// Answers as the agent does; what it answers is told by the path that it is asked for.
async fn get_key(Json(request): Json<Value>) -> Result<Json<Value>, ApiError> {
    assert_eq!(request["purpose"], "p256");
    match request["path"].as_str().unwrap() {
        "good" => Ok(Json(json!({ "key": KEY, "signature_chain": ["00"] }))),
        "short" => Ok(Json(json!({ "key": &KEY[2..], "signature_chain": [] }))),
        _ => Err(ApiError::unavailable("the app's secret has not been released yet")),
    }
}

#[tokio::test]
async fn g12_keys_come_from_the_agent_and_errors_do_not_show_them() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("agent.sock");
    let keys = AgentKeys::new(Arc::new(TcpNet), &socket);
    assert!(matches!(keys.key("good", "p256").await, Err(KeyError::Agent(_))));

    let listener = TcpNet.listen_unix(&socket).await.unwrap();
    let router = Router::new().route("/GetKey", post(get_key));
    tokio::spawn(serve(listener, router, CancellationToken::new()));
    assert_eq!(*keys.key("good", "p256").await.unwrap(), [1; 32]);
    let short = keys.key("short", "p256").await.unwrap_err();
    assert!(matches!(&short, KeyError::NotAKey { path } if path == "short"));
    assert!(!short.to_string().contains("0101"));
    let locked = keys.key("locked", "p256").await.unwrap_err().to_string();
    assert!(locked.contains("not been released yet"), "{locked}");
}
