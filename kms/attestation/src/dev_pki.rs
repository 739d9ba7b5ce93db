// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A PKI for development: real quotes, real collateral, a root that nobody trusts by default.
//!
//! ```text
//! root ─┬─ platform CA ── PCK (one per device) ── signs the quoting enclave's report ── attestation key ── signs quotes
//!       └─ TCB signer ── TCB info, QE identity                     (root and platform CA sign a CRL each)
//! ```
//! All keys come from the seed and all signatures are RFC 6979, so a seed, a guest, report data and a time give the same
//! evidence, byte for byte. Knowing the seed is being the root: never put its anchors where real keys are released.

/// An enum with a list of its variants, so that a test can go through all of them.
macro_rules! defects {
    ($(#[doc = $about:literal])+ $defect:ident { $($(#[doc = $doc:literal])+ $name:ident,)+ }) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $defect {
            $($(#[doc = $doc])+ $name,)+
        }

        impl $defect {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)+];
        }
    };
}

use defects;

mod certs;
mod collateral;
mod defect;
mod guest;
mod keys;
mod nitro;
mod pccs;
mod quote;
mod snp;

use sha2::{Digest, Sha256};

use crate::{
    anchors::TrustAnchors,
    evidence::{Collateral, Evidence, TdxEvidence},
};

pub use defect::Defect;
pub use guest::{DevGuest, DevTcb, QuoteVersion};
pub use nitro::{DevEnclave, DevNitroPki, NitroDefect};
pub use pccs::PccsAnswer;
pub use snp::{DevSnpGuest, DevSnpPki, DevSnpTcb, SnpDefect};

use certs::{Ca, Leaf, TCB_SIGNER_SERIAL, Validity};
use collateral::DAY;
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
        let tcb_signer = tcb_signer(&seed, &root, Validity::LONG);
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

    /// The collateral of development platforms at `now`, as their PCCS would serve it.
    pub fn current_collateral(&self, now: u64) -> Collateral {
        self.collateral(&DevGuest::default(), now)
    }

    /// What a guest would present at `now` (seconds since the epoch, after 2020), with the guest's defect if it has one.
    pub fn evidence(&self, guest: &DevGuest, report_data: [u8; 64], now: u64) -> Evidence {
        if guest.defect == Some(Defect::OtherRoot) {
            return self.stranger().evidence(&DevGuest { defect: None, ..guest.clone() }, report_data, now);
        }
        let mut tdx = TdxEvidence {
            quote: self.quote(guest, report_data, now),
            event_log: guest.event_log(),
            image: guest.image_manifest(),
            collateral: self.collateral(guest, now),
        };
        if let Some(defect) = guest.defect {
            defect.tamper(&mut tdx);
        }
        Evidence::Tdx(Box::new(tdx))
    }

    /// A certificate of a key of the guest's with evidence for it, valid for an hour before and after `now`.
    #[cfg(feature = "x509")]
    pub fn certificate(&self, guest: &DevGuest, now: u64) -> Vec<u8> {
        let key = DevKey::derive(&self.seed, &format!("tls {}", guest.instance_id));
        let evidence = self.evidence(guest, crate::x509::report_data(&key.spki()), now);
        certs::attested(&key, crate::x509::extension(&evidence), collateral::seconds(now))
    }

    /// Another PKI with the same names.
    fn stranger(&self) -> Self {
        Self::from_seed(Sha256::new().chain_update(b"stranger").chain_update(self.seed).finalize().into())
    }

    /// The PCK certificate of a device.
    fn pck(&self, guest: &DevGuest, now: u64) -> Leaf {
        let key = DevKey::derive(&self.seed, &format!("pck {}", hex::encode(guest.device)));
        let ppid = if guest.defect == Some(Defect::NoPpid) { &[][..] } else { &guest.device };
        let now = collateral::seconds(now);
        let validity = match guest.defect {
            Some(Defect::ExpiredPck) => Validity { until: now - DAY, ..Validity::LONG },
            Some(Defect::FuturePck) => Validity { from: now + 2 * DAY, ..Validity::LONG },
            _ => Validity::LONG,
        };
        let stranger = (guest.defect == Some(Defect::OtherPlatformCa)).then(|| self.stranger());
        let issuer = stranger.as_ref().map_or(&self.platform, |stranger| &stranger.platform);
        let extension = certs::sgx_extension(ppid, &guest.device);
        Leaf::issue(
            key,
            "Mandate Development PCK Certificate",
            pck_serial(guest),
            issuer,
            validity,
            Some(extension),
        )
    }

    /// Who signs the collateral, as the guest's defect has it.
    fn signer(&self, guest: &DevGuest, now: u64) -> Leaf {
        match guest.defect {
            Some(Defect::ExpiredTcbSigner) => {
                let validity = Validity { until: collateral::seconds(now) - DAY, ..Validity::LONG };
                tcb_signer(&self.seed, &self.root, validity)
            }
            Some(Defect::IndirectTcbSigner) => tcb_signer(&self.seed, &self.platform, Validity::LONG),
            _ => self.tcb_signer.clone(),
        }
    }
}

fn tcb_signer(seed: &[u8; 32], issuer: &Ca, validity: Validity) -> Leaf {
    let key = DevKey::derive(seed, "tcb signer");
    Leaf::issue(key, "Mandate Development TCB Signing", TCB_SIGNER_SERIAL, issuer, validity, None)
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
