// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The committee's public word on an app's keys, and on an instance.

use alloy::{
    primitives::{Address, B256},
    signers::local::PrivateKeySigner,
};
use mandate_model::wire::kms::{AppKeys, RouteWish};
use mandate_threshold::{AppSecret, AppStatement, InstanceStatement};
use sha2::{Digest, Sha256};

use super::{KeyError, Pinned};
use crate::certificate::TlsKey;

/// "This generation of this app has these keys", signed by a quorum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stated {
    /// What is said.
    pub statement: AppStatement,
    /// The group's signature: [`AppStatement::verify`] checks it under the group key on chain.
    pub signature: Vec<u8>,
}

/// The public keys of an app's secret.
pub(super) fn keys(secret: &AppSecret) -> Result<AppKeys, KeyError> {
    let failed = |what: &dyn ToString| KeyError::Keys { what: what.to_string() };
    let spki = TlsKey::from_scalar(&secret.ca_key()).and_then(|key| key.spki()).map_err(|e| failed(&e))?;
    let signer = PrivateKeySigner::from_slice(secret.k256_key().as_slice()).map_err(|e| failed(&e))?;
    Ok(AppKeys { ca_spki_sha256: B256::from_slice(&Sha256::digest(spki)), ethereum: signer.address() })
}

/// What the nodes sign.
pub(super) fn statement(pinned: &Pinned, app: Address, generation: u64, keys: &AppKeys) -> AppStatement {
    AppStatement {
        chain_id: pinned.chain_id,
        kms_auth: pinned.kms_auth.into(),
        app: app.into(),
        generation,
        ca_spki_sha256: keys.ca_spki_sha256.into(),
        ethereum: keys.ethereum.into(),
    }
}

/// What the nodes sign of an instance in which they find `boot_request`.
pub(super) fn instance<'a>(
    pinned: &Pinned,
    route: &'a RouteWish,
    boot_request: &'a [u8],
) -> InstanceStatement<'a> {
    InstanceStatement {
        chain_id: pinned.chain_id,
        kms_auth: pinned.kms_auth.into(),
        boot_request,
        registration: &route.registration.0,
        until: route.until,
    }
}
