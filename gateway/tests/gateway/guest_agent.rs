// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A guest agent of the gateway's own app.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use alloy::{
    primitives::{Address, B256, keccak256},
    signers::{SignerSync, local::PrivateKeySigner},
};
use axum::{
    Json, Router,
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::post,
};
use http::StatusCode;
use mandate_attestation::dev_pki::{DevGuest, DevPki};
use mandate_runtime::{
    Net,
    http::{ApiError, serve},
    net::TcpNet,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::world::{DEPLOYED, NOW};

/// The gateway's own app.
pub const GATEWAY: Address = Address::repeat_byte(0x6a);

/// With what the tests look at.
pub struct GuestAgent {
    pki: DevPki,
    pub app_key: PrivateKeySigner,
    pub asked: AtomicUsize,
    made: AtomicUsize,
    pub stated: AtomicBool,
    pub gate: Semaphore,
    /// What one of its paths answers instead.
    pub broken: Mutex<Option<(&'static str, u16, Value)>>,
    dir: tempfile::TempDir,
}

type Ask = State<Arc<GuestAgent>>;

pub fn report_data(wish: &Value) -> [u8; 64] {
    hex::decode(wish["report_data"].as_str().unwrap()).unwrap().try_into().unwrap()
}

async fn evidence(State(agent): Ask, Json(wish): Json<Value>) -> Json<Value> {
    agent.asked.fetch_add(1, Ordering::SeqCst);
    agent.gate.acquire().await.unwrap().forget();
    agent.made.fetch_add(1, Ordering::SeqCst);
    let guest = DevGuest::new(GATEWAY, B256::repeat_byte(0x6b));
    let evidence = agent.pki.evidence(&guest, report_data(&wish), NOW);
    Json(json!({ "evidence": hex::encode(evidence.encode()), "report_data": wish["report_data"] }))
}

async fn quote(State(agent): Ask, Json(wish): Json<Value>) -> Json<Value> {
    agent.made.fetch_add(1, Ordering::SeqCst);
    Json(json!({ "quote": "00", "event_log": "[]", "report_data": wish["report_data"], "vm_config": "" }))
}

async fn statement(State(agent): Ask) -> Result<Json<Value>, ApiError> {
    if !agent.stated.load(Ordering::SeqCst) {
        return Err(ApiError::unavailable("the committee has not signed the statement yet"));
    }
    Ok(Json(agent.statement()))
}

/// As `guest/src/agent/get_key.rs` answers.
async fn get_key(State(agent): Ask, Json(wish): Json<Value>) -> Json<Value> {
    let (path, purpose) = (wish["path"].as_str().unwrap(), wish["purpose"].as_str().unwrap());
    let secret = B256::from(<[u8; 32]>::from(Sha256::digest(format!("{path}/{purpose}"))));
    let key = PrivateKeySigner::from_bytes(&secret).unwrap();
    let public = key.credential().verifying_key().to_encoded_point(true);
    let vouched = keccak256(format!("{purpose}:{}", hex::encode(public.as_bytes())));
    let mut vouched = agent.app_key.sign_hash_sync(&vouched).unwrap().as_bytes();
    vouched[64] -= 27;
    Json(json!({ "key": hex::encode(secret), "signature_chain": [hex::encode(vouched)] }))
}

async fn perhaps_broken(State(agent): Ask, request: Request, next: Next) -> Response {
    let broken = agent.broken.lock().unwrap().clone();
    match broken {
        Some((path, status, answer)) if request.uri().path() == path => {
            (StatusCode::from_u16(status).unwrap(), Json(answer)).into_response()
        }
        _ => next.run(request).await,
    }
}

impl GuestAgent {
    pub async fn start() -> Arc<Self> {
        let agent = Arc::new(Self {
            pki: DevPki::from_seed([5; 32]),
            app_key: PrivateKeySigner::from_bytes(&B256::repeat_byte(9)).unwrap(),
            asked: AtomicUsize::new(0),
            made: AtomicUsize::new(0),
            stated: AtomicBool::new(true),
            gate: Semaphore::new(1_000),
            broken: Mutex::new(None),
            dir: tempfile::tempdir().unwrap(),
        });
        let router = Router::new()
            .route("/Evidence", post(evidence))
            .route("/GetQuote", post(quote))
            .route("/Statement", post(statement))
            .route("/GetKey", post(get_key))
            .route("/Info", post(async || Json(json!({ "app_id": hex::encode(GATEWAY), "app_name": "gw" }))))
            .layer(from_fn_with_state(Arc::clone(&agent), perhaps_broken))
            .with_state(Arc::clone(&agent));
        let listener = TcpNet.listen_unix(&agent.socket()).await.unwrap();
        tokio::spawn(serve(listener, router, CancellationToken::new()));
        agent
    }

    /// What it answers when the committee has signed.
    pub fn statement(&self) -> Value {
        json!({
            "chain_id": 31_337, "kms_auth": hex::encode(DEPLOYED.kms_auth), "app_id": hex::encode(GATEWAY),
            "generation": 1, "ca_spki_sha256": "11".repeat(32), "ethereum": hex::encode(self.app_key.address()),
            "signature": "2222",
        })
    }

    pub fn socket(&self) -> std::path::PathBuf {
        self.dir.path().join("agent.sock")
    }

    pub fn made(&self) -> usize {
        self.made.load(Ordering::SeqCst)
    }
}
