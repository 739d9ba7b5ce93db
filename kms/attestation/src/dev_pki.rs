// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A PKI for development: real quotes, real collateral, a root that nobody trusts by default.
//!
//! ```text
//! root ─┬─ platform CA ── PCK (one per device) ── signs the quoting enclave's report ── attestation key ── signs quotes
//!       └─ TCB signer ── TCB info, QE identity                     (root and platform CA sign a CRL each)
//! ```
//! All keys come from the seed and all signatures are RFC 6979, so a seed, a guest, report data and a time give the same
//! evidence, byte for byte. Knowing the seed is being the root: never put its anchors where real keys are released.

mod certs;
mod collateral;
mod defect;
mod guest;
mod keys;
mod quote;

use sha2::{Digest, Sha256};

use crate::{
    anchors::TrustAnchors,
    evidence::{Evidence, TdxEvidence},
};

pub use defect::Defect;
pub use guest::{DevGuest, DevTcb, QuoteVersion};

use certs::{Ca, Leaf};
use keys::DevKey;

/// A root of trust that anyone with the seed can sign for.
pub struct DevPki {
    seed: [u8; 32],
    root: Ca,
    platform: Ca,
    tcb_signer: Leaf,
    attestation_key: DevKey,
}

impl DevPki {
    /// The PKI of a seed.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        let root = Ca::root(&seed, "Mandate Development Root CA");
        let platform = Ca::intermediate(&seed, "Mandate Development PCK Platform CA", &root);
        let tcb_signer = Leaf::issue(
            DevKey::derive(&seed, "tcb signer"),
            "Mandate Development TCB Signing",
            4,
            &root,
            None,
        );
        Self { seed, root, platform, tcb_signer, attestation_key: DevKey::derive(&seed, "attestation key") }
    }

    /// Anchors under which this PKI's evidence verifies. They call themselves a development's.
    pub fn trust_anchors(&self) -> TrustAnchors {
        TrustAnchors::from_roots(self.root.der.clone()).expect("a root that was just made is a certificate")
    }

    /// The root certificate, DER: what a service is configured with.
    pub fn root_der(&self) -> &[u8] {
        &self.root.der
    }

    /// What a guest would present at `now` (seconds since the epoch, after 2020), with the guest's defect if it has one.
    pub fn evidence(&self, guest: &DevGuest, report_data: [u8; 64], now: u64) -> Evidence {
        if guest.defect == Some(Defect::OtherRoot) {
            return self.stranger().evidence(&DevGuest { defect: None, ..guest.clone() }, report_data, now);
        }
        let mut tdx = TdxEvidence {
            quote: self.quote(guest, report_data),
            event_log: guest.event_log(),
            image: guest.image_manifest(),
            collateral: self.collateral(guest, now),
        };
        if let Some(defect) = guest.defect {
            defect.tamper(&mut tdx);
        }
        Evidence::Tdx(Box::new(tdx))
    }

    /// Another PKI with the same names.
    fn stranger(&self) -> Self {
        Self::from_seed(Sha256::new().chain_update(b"stranger").chain_update(self.seed).finalize().into())
    }

    /// The PCK certificate of a device.
    fn pck(&self, guest: &DevGuest) -> Leaf {
        let key = DevKey::derive(&self.seed, &format!("pck {}", hex::encode(guest.device)));
        let extension = certs::sgx_extension(&guest.device);
        Leaf::issue(
            key,
            "Mandate Development PCK Certificate",
            pck_serial(guest),
            &self.platform,
            Some(extension),
        )
    }
}

/// A serial number per device, so that one can be revoked.
fn pck_serial(guest: &DevGuest) -> u64 {
    let digest: [u8; 32] = Sha256::digest(guest.device).into();
    let [a, b, c, d, ..] = digest;
    u64::from(u32::from_be_bytes([a, b, c, d])) + 0x1_0000
}

impl std::fmt::Debug for DevPki {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DevPki")
            .field("root", &self.trust_anchors().tdx_fingerprint())
            .finish_non_exhaustive()
    }
}
