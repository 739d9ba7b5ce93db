// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Guests of the story: what they run, and evidence minted for them under the development root.

use std::sync::Arc;

use alloy::primitives::{Address, B256};
use futures::future::{BoxFuture, FutureExt};
use mandate_attestation::{
    Evidence,
    dev_pki::{Defect, DevGuest, DevPki},
};
use mandate_guest::{Quoter, QuoterError};
use mandate_model::compose::{compose_hash, normalize};
use mandate_runtime::Clock;
use serde_json::json;

/// Names of the versions of the app.
pub(crate) const V1: &str = "v1";
pub(crate) const V2: &str = "v2";

/// The app-compose.json of a version of the app, in its normal form, and its hash.
pub(crate) fn compose(version: &str) -> (Vec<u8>, B256) {
    let file = json!({
        "manifest_version": 2,
        "name": "notes",
        "runner": "docker-compose",
        "docker_compose_file": format!("services:\n  notes:\n    image: example.org/notes:{version}\n"),
        "kms_enabled": true,
        "gateway_enabled": true,
        "allowed_envs": [],
    });
    // A JSON value always has a normal form.
    let bytes = normalize(file.to_string().as_bytes()).unwrap_or_default();
    let hash = compose_hash(&bytes);
    (bytes, hash)
}

/// A guest whose evidence comes from the development PKI.
#[derive(Debug, Clone)]
pub(crate) struct DemoGuest {
    pki: Arc<DevPki>,
    clock: Arc<dyn Clock>,
    guest: DevGuest,
}

impl DemoGuest {
    /// A guest of `app` that booted `code`.
    pub(crate) fn new(pki: Arc<DevPki>, clock: Arc<dyn Clock>, app: Address, code: B256) -> Self {
        let guest = DevGuest::new(app, code);
        Self { pki, clock, guest }
    }

    /// The same with something wrong.
    pub(crate) fn with_defect(mut self, defect: Defect) -> Self {
        self.guest = self.guest.with_defect(defect);
        self
    }
}

impl Quoter for DemoGuest {
    fn evidence(&self, report_data: [u8; 64]) -> BoxFuture<'_, Result<Evidence, QuoterError>> {
        let evidence = self.pki.evidence(&self.guest, report_data, self.clock.unix());
        async move { Ok(evidence) }.boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_have_their_own_hash() {
        assert_ne!(compose(V1).1, compose(V2).1);
        assert_eq!(compose(V1).1, compose(V1).1);
    }
}
