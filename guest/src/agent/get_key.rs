// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `GetKey`.

use alloy::primitives::{B256, keccak256};
use axum::extract::State;
use bytes::Bytes;
use k256::ecdsa::SigningKey;
use mandate_runtime::http::{ApiError, ApiJson};
use mandate_threshold::AppSecret;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

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
    let Vouched { secret, word, .. } = vouched(&held.secret, &wish.path, &wish.purpose)?;
    Ok(GetKeyAnswer { key: hex::encode(secret.as_slice()), signature_chain: vec![hex::encode(word)] })
}

/// A key that derives from the app's secret, and the app key's word on it.
pub(crate) struct Vouched {
    secret: Zeroizing<[u8; 32]>,
    key: SigningKey,
    /// The compressed public key.
    pub(crate) public: Vec<u8>,
    /// The app key's signature, as [`GetKeyAnswer::signature_chain`] describes it.
    pub(crate) word: Vec<u8>,
}

impl Vouched {
    /// A recoverable signature, 65 bytes.
    pub(crate) fn sign(&self, hash: &B256) -> Result<Vec<u8>, k256::ecdsa::Error> {
        recoverable(&self.key, hash)
    }
}

/// The key under `path` and `purpose`.
pub(crate) fn vouched(secret: &AppSecret, path: &str, purpose: &str) -> Result<Vouched, k256::ecdsa::Error> {
    let derived = secret.path_key(path, purpose);
    let key = SigningKey::from_slice(derived.as_slice())?;
    let public = key.verifying_key().to_sec1_bytes().to_vec();
    let statement = format!("{purpose}:{}", hex::encode(&public));
    let app = SigningKey::from_slice(secret.k256_key().as_slice())?;
    let word = recoverable(&app, &keccak256(statement))?;
    Ok(Vouched { secret: derived, key, public, word })
}

fn recoverable(key: &SigningKey, hash: &B256) -> Result<Vec<u8>, k256::ecdsa::Error> {
    let (signature, recovery) = key.sign_prehash_recoverable(hash.as_slice())?;
    let mut signed = signature.to_vec();
    signed.push(recovery.to_byte());
    Ok(signed)
}
