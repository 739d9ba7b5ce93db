// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `GetKey`.

use alloy::primitives::keccak256;
use axum::extract::State;
use bytes::Bytes;
use k256::ecdsa::SigningKey;
use mandate_runtime::http::{ApiError, ApiJson};
use serde::{Deserialize, Serialize};

use super::{Answer, Ask, Held, parse};

const MAX_TEXT: usize = 1_024;

/// Asks for a key of the app's choosing.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct GetKey {
    /// Any text: another path, another key.
    pub path: String,
    /// Likewise; also part of what is signed.
    pub purpose: String,
    /// `secp256k1`, also written `k256`, or nothing.
    pub algorithm: String,
}

/// The key.
#[derive(Clone, Serialize, Deserialize)]
pub struct GetKeyAnswer {
    /// 32 bytes in hex: a secp256k1 secret scalar, which is a P-256 scalar as well.
    pub key: String,
    /// The app key's recoverable signature over keccak256(purpose ‖ ":" ‖ hex of the compressed public key): 65 bytes in
    /// hex. The app key itself has no single signer above it: the committee states it together.
    pub signature_chain: Vec<String>,
}

impl std::fmt::Debug for GetKeyAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "GetKeyAnswer {{ signature_chain: {:?}, .. }}", self.signature_chain)
    }
}

pub(super) async fn handle(State(agent): Ask, body: Bytes) -> Answer<GetKeyAnswer> {
    let wish: GetKey = parse(&body)?;
    if !matches!(wish.algorithm.as_str(), "" | "secp256k1" | "k256") {
        return Err(ApiError::bad_request(
            "algorithm: secp256k1 is the one that this agent derives keys for",
        ));
    }
    for (name, text) in [("path", &wish.path), ("purpose", &wish.purpose)] {
        if text.len() > MAX_TEXT {
            return Err(ApiError::bad_request(format!("{name}: at most {MAX_TEXT} bytes")));
        }
    }
    answer(&*agent.held()?, &wish).map(ApiJson).map_err(ApiError::internal)
}

fn answer(held: &Held, wish: &GetKey) -> Result<GetKeyAnswer, k256::ecdsa::Error> {
    let key = held.secret.path_key(&wish.path, &wish.purpose);
    let public = SigningKey::from_slice(key.as_slice())?.verifying_key().to_sec1_bytes();
    let statement = format!("{}:{}", wish.purpose, hex::encode(public));
    let app = SigningKey::from_slice(held.secret.k256_key().as_slice())?;
    let (signature, recovery) = app.sign_prehash_recoverable(keccak256(statement).as_slice())?;
    let mut signed = signature.to_vec();
    signed.push(recovery.to_byte());
    Ok(GetKeyAnswer { key: hex::encode(key.as_slice()), signature_chain: vec![hex::encode(signed)] })
}
