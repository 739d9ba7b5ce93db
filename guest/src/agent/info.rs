// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `Info` and `Version`.

use axum::extract::State;
use mandate_runtime::http::{ApiError, ApiJson};
use serde::{Deserialize, Serialize};

use super::{Answer, Ask, KeyState};
use crate::describe::Description;

/// What the app is, beside what its evidence says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AppFacts {
    /// The app's name.
    pub name: String,
    /// The exact text of app-compose.json.
    pub compose: String,
}

/// What the agent knows of its app.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct InfoAnswer {
    /// Hex.
    pub app_id: String,
    /// Hex.
    pub instance_id: String,
    /// The app CA's certificate in PEM; empty until the secret is there.
    pub app_cert: String,
    /// A JSON text: registers, event log, app-compose.json.
    pub tcb_info: String,
    /// The app's name.
    pub app_name: String,
    /// Empty: only who verifies the quote learns the device.
    pub device_id: String,
    /// Hex.
    pub mr_aggregated: String,
    /// Hex.
    pub os_image_hash: String,
    /// As the OS recorded it.
    pub key_provider_info: String,
    /// Hex.
    pub compose_hash: String,
    /// Empty, as in `GetQuote`.
    pub vm_config: String,
}

/// Which agent this is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionAnswer {
    /// Version of this crate.
    pub version: String,
    /// `mandate`: not upstream's agent.
    pub rev: String,
}

#[derive(Serialize)]
struct TcbInfo<'a> {
    mrtd: String,
    rtmr0: String,
    rtmr1: String,
    rtmr2: String,
    rtmr3: String,
    mr_aggregated: String,
    os_image_hash: String,
    compose_hash: String,
    device_id: String,
    event_log: &'a [crate::describe::LoggedEvent],
    app_compose: &'a str,
}

pub(super) async fn handle(State(agent): Ask) -> Answer<InfoAnswer> {
    let evidence = agent.shared.quoter.evidence([0; 64]).await.map_err(ApiError::bad_gateway)?;
    let described = Description::of(&evidence)
        .ok_or_else(|| ApiError::unavailable("the evidence of this guest names no app"))?;
    let facts = &agent.shared.facts;
    let tcb_info = tcb_info(&described, &facts.compose).map_err(ApiError::internal)?;
    let app_cert = match &*agent.shared.keys.borrow() {
        KeyState::Held(held) => held.authority.pem(),
        KeyState::Waiting(_) => String::new(),
    };
    Ok(ApiJson(InfoAnswer {
        app_id: hex::encode(described.app),
        instance_id: hex::encode(described.instance),
        app_cert,
        tcb_info,
        app_name: facts.name.clone(),
        device_id: String::new(),
        mr_aggregated: hex::encode(described.registers.aggregated()),
        os_image_hash: hex::encode(&described.os_image_hash),
        key_provider_info: String::from_utf8_lossy(&described.key_provider).into_owned(),
        compose_hash: hex::encode(&described.compose_hash),
        vm_config: String::new(),
    }))
}

fn tcb_info(described: &Description, compose: &str) -> Result<String, serde_json::Error> {
    let [rtmr0, rtmr1, rtmr2, rtmr3] = described.registers.rtmr.map(hex::encode);
    serde_json::to_string(&TcbInfo {
        mrtd: hex::encode(described.registers.mrtd),
        rtmr0,
        rtmr1,
        rtmr2,
        rtmr3,
        mr_aggregated: hex::encode(described.registers.aggregated()),
        os_image_hash: hex::encode(&described.os_image_hash),
        compose_hash: hex::encode(&described.compose_hash),
        device_id: String::new(),
        event_log: &described.events,
        app_compose: compose,
    })
}

pub(super) async fn version() -> ApiJson<VersionAnswer> {
    ApiJson(VersionAnswer { version: env!("CARGO_PKG_VERSION").to_owned(), rev: "mandate".to_owned() })
}
