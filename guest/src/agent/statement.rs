// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `Statement`: the committee's public word on the app's keys, for whoever has the group key from the chain.

use axum::extract::State;
use mandate_runtime::http::{ApiError, ApiJson};
use serde::{Deserialize, Serialize};

use super::{Answer, Ask};
use crate::keys::Stated;

/// What `mandate_threshold::AppStatement` holds, and the group's signature over it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatementAnswer {
    /// Chain of the policy.
    pub chain_id: u64,
    /// `KmsAuth`, hex.
    pub kms_auth: String,
    /// Hex.
    pub app_id: String,
    /// The key generation.
    pub generation: u64,
    /// SHA-256 of the SubjectPublicKeyInfo of the app's CA, hex.
    pub ca_spki_sha256: String,
    /// Address of the app's secp256k1 key, hex.
    pub ethereum: String,
    /// The group's signature, hex.
    pub signature: String,
}

impl From<&Stated> for StatementAnswer {
    fn from(Stated { statement, signature }: &Stated) -> Self {
        Self {
            chain_id: statement.chain_id,
            kms_auth: hex::encode(statement.kms_auth),
            app_id: hex::encode(statement.app),
            generation: statement.generation,
            ca_spki_sha256: hex::encode(statement.ca_spki_sha256),
            ethereum: hex::encode(statement.ethereum),
            signature: hex::encode(signature),
        }
    }
}

pub(super) async fn handle(State(agent): Ask) -> Answer<StatementAnswer> {
    let held = agent.held()?;
    let stated = held.stated.get();
    let stated =
        stated.ok_or_else(|| ApiError::unavailable("the committee has not signed the statement yet"))?;
    Ok(ApiJson(stated.into()))
}
