// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A PKI for development with SEV-SNP: real reports and certificates in AMD's form, under roots that nobody trusts by
//! default.
//!
//! ```text
//! ARK-Milan, ARK-Genoa, ARK-Turin ─┬─ SEV-… ── VCEK (one per chip and TCB) ── signs reports
//!                                  ├─ SEV-VLEK-… ── VLEK ── signs reports
//!                                  └─ CRL
//! ```
//! RSA keys have 2048 bits unless asked for AMD's 4096, which take some seconds to make. Keys and salts come from the seed: a seed, a guest, report data and a time give
//! the same evidence, byte for byte.

mod certs;
mod defect;
mod guest;
mod keys;
mod report;

use std::sync::OnceLock;

use sha2::{Digest, Sha256};

use crate::{
    anchors::TrustAnchors,
    evidence::Evidence,
    snp::{Endorsement, KeyKind, Product, SnpEvidence},
};

pub use defect::SnpDefect;
pub(super) use guest::row;
pub use guest::{DevSnpGuest, DevSnpTcb};

use keys::{EcKey, RsaKey};

/// Roots of trust that anyone with the seed can sign for. RSA keys are made when they are first needed, which takes a
/// second or so in a build that is not optimised.
pub struct DevSnpPki {
    seed: [u8; 32],
    bits: usize,
    authorities: OnceLock<Authorities>,
}

struct Authorities {
    ark: RsaKey,
    ask: RsaKey,
    asvk: RsaKey,
}

impl DevSnpPki {
    /// The PKI of a seed.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self { seed, bits: 2048, authorities: OnceLock::new() }
    }

    /// The same with RSA keys of AMD's size, for whoever measures time.
    pub fn of_full_size(seed: [u8; 32]) -> Self {
        Self { bits: 4096, ..Self::from_seed(seed) }
    }

    /// Anchors under which this PKI's evidence verifies. They call themselves a development's.
    pub fn trust_anchors(&self) -> TrustAnchors {
        self.anchor(TrustAnchors::production())
    }

    /// Others' anchors with this PKI's roots for AMD's processors.
    pub fn anchor(&self, anchors: TrustAnchors) -> TrustAnchors {
        Product::ALL.into_iter().fold(anchors, |anchors, product| {
            let root = certs::root(&self.authorities().ark, product);
            anchors.with_snp_root(product, root).expect("a root that was just made is a certificate")
        })
    }

    /// The root certificate of a line of processors, DER.
    pub fn root_der(&self, product: Product) -> Vec<u8> {
        certs::root(&self.authorities().ark, product)
    }

    /// What a guest would present at `now` (seconds since the epoch, after 2020), with the guest's defect if it has one.
    pub fn evidence(&self, guest: &DevSnpGuest, report_data: [u8; 64], now: u64) -> Evidence {
        if guest.defect == Some(SnpDefect::OtherRoot) {
            return self.stranger().evidence(
                &DevSnpGuest { defect: None, ..guest.clone() },
                report_data,
                now,
            );
        }
        let mut evidence = SnpEvidence {
            report: report::signed(&self.endorsement_key(guest), guest, report_data),
            endorsement: self.endorsement(guest, now),
            config: guest.config(),
            image: guest.image_manifest(),
        };
        if let Some(defect) = guest.defect {
            defect.tamper(&mut evidence);
        }
        Evidence::Snp(Box::new(evidence))
    }

    fn endorsement(&self, guest: &DevSnpGuest, now: u64) -> Endorsement {
        let stranger = self.stranger();
        let root = match guest.defect {
            Some(SnpDefect::AuthorityOfAnotherRoot) => &stranger.authorities().ark,
            _ => &self.authorities().ark,
        };
        let crl_root = match guest.defect {
            Some(SnpDefect::CrlOfAnotherRoot) => &stranger.authorities().ark,
            _ => &self.authorities().ark,
        };
        let authority = match guest.authority() {
            KeyKind::Vcek => &self.authorities().ask,
            KeyKind::Vlek => &self.authorities().asvk,
        };
        Endorsement {
            key: certs::endorsement_key(authority, &self.endorsement_key(guest), guest, now),
            authority: certs::authority(root, authority, guest, now),
            crl: certs::crl(crl_root, guest, now),
        }
    }

    /// A chip's key for a TCB, or a provider's.
    fn endorsement_key(&self, guest: &DevSnpGuest) -> EcKey {
        EcKey::derive(&self.seed, &guest.key_label())
    }

    fn authorities(&self) -> &Authorities {
        self.authorities.get_or_init(|| Authorities {
            ark: RsaKey::derive(&self.seed, "ark", self.bits),
            ask: RsaKey::derive(&self.seed, "ask", self.bits),
            asvk: RsaKey::derive(&self.seed, "asvk", self.bits),
        })
    }

    /// Another PKI with the same names.
    fn stranger(&self) -> Self {
        let seed = Sha256::new().chain_update(b"stranger").chain_update(self.seed).finalize().into();
        Self { bits: self.bits, ..Self::from_seed(seed) }
    }
}

impl std::fmt::Debug for DevSnpPki {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DevSnpPki").finish_non_exhaustive()
    }
}
