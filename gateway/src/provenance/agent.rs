// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the guest agent says of the gateway's own app: evidence, the committee's word, a signature.

use std::{path::PathBuf, sync::Arc};

use alloy::{
    primitives::{Address, Bytes},
    signers::{SignerSync, local::PrivateKeySigner},
};
use mandate_model::wire::{
    provenance::{AppKeys, DomainStatement, KEY_PATH, KEY_PURPOSE, StatementSignature},
    upstream::AppInfo,
};
use mandate_runtime::{
    Net,
    config::Secret,
    http::{ApiError, Client, HttpError},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use thiserror::Error;
use zeroize::Zeroizing;

/// Why the agent's answer is of no use. Nothing in it is secret.
#[derive(Debug, Error)]
pub enum AgentError {
    /// No answer, or a refusal.
    #[error("guest agent: {0}")]
    Asked(#[from] HttpError),
    /// An answer that is not what it should be.
    #[error("guest agent: {0} is not what it should be")]
    Malformed(&'static str),
}

impl From<AgentError> for ApiError {
    fn from(error: AgentError) -> Self {
        // The socket's path and what the agent says in detail are the operator's.
        tracing::warn!(%error, "provenance");
        ApiError::bad_gateway("the gateway's guest agent gives no evidence at the moment")
    }
}

/// The guest agent behind its socket.
#[derive(Debug, Clone)]
pub struct Agent {
    client: Client,
}

#[derive(Deserialize)]
struct Evidence {
    evidence: String,
}

#[derive(Deserialize)]
struct Key {
    key: Secret,
    signature_chain: Vec<String>,
}

#[derive(Deserialize)]
struct Statement {
    chain_id: u64,
    kms_auth: String,
    app_id: String,
    generation: u64,
    ca_spki_sha256: String,
    ethereum: String,
    signature: String,
}

impl Statement {
    fn keys(self) -> Option<AppKeys> {
        Some(AppKeys {
            chain_id: self.chain_id,
            kms_auth: fixed(&self.kms_auth)?.into(),
            app: fixed(&self.app_id)?.into(),
            generation: self.generation,
            ca_spki_hash: fixed(&self.ca_spki_sha256)?.into(),
            ethereum: fixed(&self.ethereum)?.into(),
            signature: hex::decode(self.signature).ok()?.into(),
        })
    }
}

fn fixed<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut out = [0; N];
    hex::decode_to_slice(text, &mut out).ok().map(|()| out)
}

impl Agent {
    /// Asks the agent that serves `socket`.
    pub fn new(net: Arc<dyn Net>, socket: impl Into<PathBuf>) -> Self {
        Self { client: Client::unix_over(net, socket) }
    }

    async fn ask<T: DeserializeOwned>(&self, method: &str, body: &Value) -> Result<T, AgentError> {
        Ok(self.client.post_json(&format!("http://agent/{method}"), body).await?)
    }

    /// Fresh evidence that binds `report_data`.
    pub(super) async fn evidence(&self, report_data: [u8; 64]) -> Result<Bytes, AgentError> {
        let wish = json!({ "report_data": hex::encode(report_data) });
        let answer: Evidence = self.ask("Evidence", &wish).await?;
        hex::decode(answer.evidence).map(Into::into).map_err(|_| AgentError::Malformed("evidence"))
    }

    /// A fresh quote as upstream's tools read it: the agent's whole answer, as JSON text.
    pub(super) async fn quote(&self, report_data: [u8; 64]) -> Result<String, AgentError> {
        let wish = json!({ "report_data": hex::encode(report_data) });
        let answer: Value = self.ask("GetQuote", &wish).await?;
        Ok(answer.to_string())
    }

    /// What the app is.
    pub(super) async fn info(&self) -> Result<AppInfo, AgentError> {
        self.ask("Info", &json!({})).await
    }

    /// Which app it is.
    pub(super) async fn app(&self) -> Result<Address, AgentError> {
        fixed(&self.info().await?.app_id).map(Address::from).ok_or(AgentError::Malformed("app_id"))
    }

    /// The committee's word on the app's keys, once it is there.
    pub(super) async fn keys(&self) -> Result<Option<AppKeys>, AgentError> {
        match self.ask::<Statement>("Statement", &json!({})).await {
            Ok(statement) => statement.keys().map(Some).ok_or(AgentError::Malformed("statement")),
            Err(AgentError::Asked(error)) if error.status() == Some(503) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Signs with a key that derives from the app secret for nothing but this, and for which the app key vouches.
    pub(super) async fn sign(&self, statement: &DomainStatement) -> Result<StatementSignature, AgentError> {
        let malformed = || AgentError::Malformed("a key for statements");
        let answer: Key = self.ask("GetKey", &json!({ "path": KEY_PATH, "purpose": KEY_PURPOSE })).await?;
        let mut secret = Zeroizing::new([0; 32]);
        hex::decode_to_slice(answer.key.expose(), secret.as_mut_slice()).map_err(|_| malformed())?;
        let key = PrivateKeySigner::from_slice(secret.as_slice()).map_err(|_| malformed())?;
        let vouched = answer.signature_chain.first().and_then(|text| hex::decode(text).ok());
        let signature = key.sign_hash_sync(&statement.signing_hash()).map_err(|_| malformed())?;
        let public = key.credential().verifying_key().to_encoded_point(true);
        Ok(StatementSignature {
            public_key: public.as_bytes().to_vec().into(),
            vouched: vouched.ok_or_else(malformed)?.into(),
            signature: signature.as_bytes().to_vec().into(),
        })
    }
}
