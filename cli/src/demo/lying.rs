// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A host whose RPC endpoint answers honestly but for storage: there it claims other values, with forged proofs.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use alloy::primitives::{B256, Bytes};
use axum::{
    Json, Router,
    extract::{OriginalUri, State},
    http::{Method, StatusCode},
    routing::post,
};
use mandate_devchain::DevChain;
use mandate_runtime::{Ambient, http::Client};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

use crate::error::{CliError, Result};

/// The running host: an RPC endpoint, and a way to the honest relayer for everything but witnesses.
#[derive(Debug)]
pub(crate) struct LyingHost {
    address: SocketAddr,
    lies: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

#[derive(Clone)]
struct Host {
    chain: DevChain,
    relayer: String,
    client: Client,
    lies: Arc<AtomicBool>,
}

impl LyingHost {
    /// Starts it in front of `chain` and `relayer`, honest at first.
    pub(crate) async fn start(ambient: &Ambient, chain: DevChain, relayer: String) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(CliError::unavailable)?;
        let address = listener.local_addr().map_err(CliError::unavailable)?;
        let lies = Arc::new(AtomicBool::new(false));
        let host =
            Host { chain, relayer, client: Client::new(Arc::clone(&ambient.net)), lies: Arc::clone(&lies) };
        let router = Router::new()
            .route("/", post(answer))
            // Without a witness from here, the node builds its own over this host's RPC.
            .route("/v1/witness", post(|| async { StatusCode::SERVICE_UNAVAILABLE }))
            .fallback(forward)
            .with_state(host);
        let task = tokio::spawn(async move {
            // It serves until it is dropped.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { address, lies, task })
    }

    /// Its base URL, of the RPC endpoint and of the relayer.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on it lies.
    pub(crate) fn lie(&self) {
        self.lies.store(true, Ordering::SeqCst);
    }
}

impl Drop for LyingHost {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn forward(
    State(host): State<Host>,
    method: Method,
    OriginalUri(uri): OriginalUri,
    body: axum::body::Bytes,
) -> std::result::Result<Json<Value>, StatusCode> {
    let url = format!("{}{uri}", host.relayer);
    let answer = match method {
        Method::GET => host.client.get_json(&url).await,
        _ => {
            let body: Value = serde_json::from_slice(&body).map_err(|_| StatusCode::BAD_REQUEST)?;
            host.client.post_json(&url, &body).await
        }
    };
    answer.map(Json).map_err(|_| StatusCode::BAD_GATEWAY)
}

async fn answer(State(host): State<Host>, Json(request): Json<Value>) -> Json<Value> {
    match &request {
        Value::Array(batch) => Json(batch.iter().map(|one| single(&host, one)).collect()),
        one => Json(single(&host, one)),
    }
}

fn single(host: &Host, request: &Value) -> Value {
    let method = request.get("method").and_then(Value::as_str).unwrap_or_default();
    let params = request.get("params").cloned().unwrap_or_default();
    let id = request.get("id").cloned().unwrap_or_default();
    match host.chain.handle(method, &params) {
        Ok(mut result) => {
            if host.lies.load(Ordering::SeqCst) {
                lie(method, &mut result);
            }
            json!({"jsonrpc": "2.0", "id": id, "result": result})
        }
        Err(e) => json!({"jsonrpc": "2.0", "id": id, "error": {"code": e.code, "message": e.message}}),
    }
}

/// Every storage slot holds something else, and the last node of its proof says so too.
fn lie(method: &str, result: &mut Value) {
    match method {
        "eth_getStorageAt" => *result = json!(B256::with_last_byte(1)),
        "eth_getProof" => {
            let slots = result.get_mut("storageProof").and_then(Value::as_array_mut);
            slots.into_iter().flatten().for_each(forge);
        }
        _ => {}
    }
}

fn forge(slot: &mut Value) {
    if let Some(value) = slot.get_mut("value") {
        *value = json!("0x1");
    }
    let Some(last) = slot.get_mut("proof").and_then(Value::as_array_mut).and_then(|nodes| nodes.last_mut())
    else {
        return;
    };
    let Some(Ok(node)) = last.as_str().map(str::parse::<Bytes>) else { return };
    let mut node = node.to_vec();
    if let Some(byte) = node.last_mut() {
        *byte ^= 1;
    }
    *last = json!(Bytes::from(node));
}
