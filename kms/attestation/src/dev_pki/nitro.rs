// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A PKI for development with Nitro Enclaves: real documents in AWS's form, under a root that nobody trusts by default.
//!
//! ```text
//! root ── region ── host ── signs documents
//! ```
//! Keys come from the seed and signatures are RFC 6979: a seed, an enclave, report data and a time give the same evidence,
//! byte for byte.

mod defect;
mod document;
mod keys;

use alloy::primitives::{Address, B256, FixedBytes};
use sha2::{Digest, Sha256, Sha384};

use super::DevGuest;
use crate::{
    anchors::TrustAnchors,
    config::{KeyProvider, LaunchConfig},
    evidence::Evidence,
    image::NitroMeasurement,
    measurements::sha256,
    nitro::{NitroEvidence, config_pcr},
};

pub use defect::NitroDefect;

use document::Chain;

/// A root of trust that anyone with the seed can sign for.
pub struct DevNitroPki {
    seed: [u8; 32],
}

impl DevNitroPki {
    /// The PKI of a seed.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self { seed }
    }

    /// Anchors under which this PKI's evidence verifies. They call themselves a development's.
    pub fn trust_anchors(&self) -> TrustAnchors {
        self.anchor(TrustAnchors::production())
    }

    /// Others' anchors with this PKI's root for Nitro.
    pub fn anchor(&self, anchors: TrustAnchors) -> TrustAnchors {
        anchors.with_nitro_root(self.root_der()).expect("a root that was just made is a certificate")
    }

    /// The root certificate, DER.
    pub fn root_der(&self) -> Vec<u8> {
        document::root(&self.seed)
    }

    /// What an enclave would present at `now` (seconds since the epoch, after 2020), with its defect if it has one.
    pub fn evidence(&self, enclave: &DevEnclave, report_data: [u8; 64], now: u64) -> Evidence {
        let seed = match enclave.defect {
            Some(NitroDefect::OtherRoot) => {
                Sha256::new().chain_update(b"stranger").chain_update(self.seed).finalize().into()
            }
            _ => self.seed,
        };
        let chain = Chain::of(&seed, enclave, now);
        let mut evidence = NitroEvidence {
            document: document::signed(&chain, enclave, report_data, now),
            config: enclave.config(),
            image: DevGuest { os_image: enclave.os_image.clone(), ..DevGuest::default() }.image_manifest(),
        };
        if let Some(defect) = enclave.defect {
            defect.tamper(&mut evidence);
        }
        Evidence::Nitro(Box::new(evidence))
    }
}

impl std::fmt::Debug for DevNitroPki {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DevNitroPki").finish_non_exhaustive()
    }
}

/// What is started, where, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DevEnclave {
    /// The app.
    pub app_id: Address,
    /// Its code hash.
    pub compose_hash: B256,
    /// SHA-256 of the launch ticket that it is started with.
    pub launch_ticket: Option<B256>,
    /// The instance.
    pub instance_id: Address,
    /// Name of the OS image, as in [`DevGuest`].
    pub os_image: String,
    /// The parent EC2 instance.
    pub parent: String,
    /// What is wrong, if anything.
    pub defect: Option<NitroDefect>,
}

impl Default for DevEnclave {
    /// Some app's enclave, for tests that do not care which.
    fn default() -> Self {
        Self::new(Address::repeat_byte(0xa1), B256::repeat_byte(0xc0))
    }
}

impl DevEnclave {
    /// An enclave without defects, with image `dev-os`.
    pub fn new(app_id: Address, compose_hash: B256) -> Self {
        Self {
            app_id,
            compose_hash,
            launch_ticket: None,
            instance_id: DevGuest::instance_id_of(app_id, b"0"),
            os_image: "dev-os".to_owned(),
            parent: "i-0123456789abcdef0".to_owned(),
            defect: None,
        }
    }

    /// The same enclave with a defect.
    #[must_use]
    pub fn with_defect(self, defect: NitroDefect) -> Self {
        Self { defect: Some(defect), ..self }
    }

    /// The hash of its OS image: what is scheduled on chain.
    pub fn os_image_hash(&self) -> B256 {
        DevGuest::os_image_hash_of(&self.os_image)
    }

    /// Its device id.
    pub fn device_id(&self) -> B256 {
        sha256(&[self.parent.as_bytes()])
    }

    /// The `mr_system` that it is started into.
    pub fn mr_system(&self) -> B256 {
        let NitroMeasurement { pcr0, pcr1, pcr2 } = self.measured();
        sha256(&[pcr0.as_slice(), pcr1.as_slice(), pcr2.as_slice()])
    }

    /// The `mr_aggregated` that it is started into.
    pub fn mr_aggregated(&self) -> B256 {
        let NitroMeasurement { pcr0, pcr1, pcr2 } = self.measured();
        let config = config_pcr(&self.config());
        sha256(&[pcr0.as_slice(), pcr1.as_slice(), pcr2.as_slice(), config.as_slice()])
    }

    fn measured(&self) -> NitroMeasurement {
        match self.defect {
            Some(NitroDefect::OtherOsStarted) => row("an attacker's OS"),
            Some(NitroDefect::Debug) => {
                NitroMeasurement { pcr0: FixedBytes::ZERO, pcr1: FixedBytes::ZERO, pcr2: FixedBytes::ZERO }
            }
            _ => row(&self.os_image),
        }
    }

    fn config(&self) -> Vec<u8> {
        if self.defect == Some(NitroDefect::ConfigNoJson) {
            return b"app_id = 1".to_vec();
        }
        let config = LaunchConfig {
            version: 3,
            app_id: self.app_id,
            compose_hash: self.compose_hash,
            instance_id: self.instance_id,
            key_provider: KeyProvider::Kms,
            key_provider_id: None,
            gpu_policy_hash: None,
            init_script_hashes: None,
            launch_ticket_hash: self.launch_ticket,
        };
        config.to_bytes()
    }
}

/// What starting a development image leaves.
pub(super) fn row(image: &str) -> NitroMeasurement {
    let register = |name: &str| {
        let digest = Sha384::new().chain_update(name).chain_update(b":").chain_update(image).finalize();
        FixedBytes::<48>::from_slice(&digest)
    };
    NitroMeasurement { pcr0: register("pcr0"), pcr1: register("pcr1"), pcr2: register("pcr2") }
}
