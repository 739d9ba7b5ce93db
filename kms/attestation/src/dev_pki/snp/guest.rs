// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A SEV-SNP guest as development describes it.

use alloy::primitives::{Address, B256, FixedBytes};
use sha2::{Digest, Sha384};

use super::SnpDefect;
use crate::{
    config::{self, KeyProvider, LaunchConfig},
    dev_pki::DevGuest,
    image::SnpMeasurement,
    measurements::sha256,
    snp::{KeyKind, Product},
};

/// What is launched, where, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DevSnpGuest {
    /// The app.
    pub app_id: Address,
    /// Its code hash.
    pub compose_hash: B256,
    /// SHA-256 of the launch ticket that it is started with.
    pub launch_ticket: Option<B256>,
    /// The instance.
    pub instance_id: Address,
    /// Name of the OS image, as in [`DevGuest`]: both kinds of guest boot the same images.
    pub os_image: String,
    /// The line of the processor.
    pub product: Product,
    /// The chip. Turin's ids are the first eight bytes.
    pub chip: [u8; 64],
    /// Version of the report, 2 to 5.
    pub report_version: u32,
    /// The kind of key that signs it.
    pub key: KeyKind,
    /// The platform's firmware.
    pub tcb: DevSnpTcb,
    /// Whether firmware says that it looked for memory aliases.
    pub aliases_checked: bool,
    /// What is wrong, if anything.
    pub defect: Option<SnpDefect>,
}

/// Security versions of the firmware, one number for all its components.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DevSnpTcb {
    /// Whose key signs.
    pub reported: u8,
    /// What is running.
    pub current: u8,
    /// What the host can go back to.
    pub committed: u8,
    /// What was running when the guest was launched.
    pub launched: u8,
}

impl DevSnpTcb {
    /// The same for all.
    pub const fn even(version: u8) -> Self {
        Self { reported: version, current: version, committed: version, launched: version }
    }
}

impl Default for DevSnpGuest {
    /// Some app's guest, for tests that do not care which.
    fn default() -> Self {
        Self::new(Address::repeat_byte(0xa1), B256::repeat_byte(0xc0))
    }
}

impl DevSnpGuest {
    /// A guest without defects: image `dev-os` on an up-to-date Milan, whose VCEK signs a report of version 3.
    pub fn new(app_id: Address, compose_hash: B256) -> Self {
        Self {
            app_id,
            compose_hash,
            launch_ticket: None,
            instance_id: DevGuest::instance_id_of(app_id, b"0"),
            os_image: "dev-os".to_owned(),
            product: Product::Milan,
            chip: [0x5a; 64],
            report_version: 3,
            key: KeyKind::Vcek,
            tcb: DevSnpTcb::even(24),
            aliases_checked: true,
            defect: None,
        }
    }

    /// The same guest with a defect.
    #[must_use]
    pub fn with_defect(self, defect: SnpDefect) -> Self {
        Self { defect: Some(defect), ..self }
    }

    /// The hash of its OS image: what is scheduled on chain.
    pub fn os_image_hash(&self) -> B256 {
        DevGuest::os_image_hash_of(&self.os_image)
    }

    /// Its device id.
    pub fn device_id(&self) -> B256 {
        sha256(&[&self.chip_id()])
    }

    /// The `mr_system` that it is launched into.
    pub fn mr_system(&self) -> B256 {
        sha256(&[self.measurement().as_slice()])
    }

    /// The `mr_aggregated` that it is launched into.
    pub fn mr_aggregated(&self) -> B256 {
        sha256(&[self.measurement().as_slice(), config::host_data(&self.config()).as_slice()])
    }

    /// The chip id as a report shows it.
    pub(super) fn chip_id(&self) -> [u8; 64] {
        let mut id = self.chip;
        if self.product == Product::Turin {
            id.iter_mut().skip(8).for_each(|byte| *byte = 0);
        }
        id
    }

    pub(super) fn measurement(&self) -> FixedBytes<48> {
        match self.defect {
            Some(SnpDefect::OtherOsLaunched) => measurement("an attacker's OS"),
            _ => measurement(&self.os_image),
        }
    }

    /// The launch configuration.
    pub(super) fn config(&self) -> Vec<u8> {
        let config = LaunchConfig {
            version: 3,
            app_id: self.app_id,
            compose_hash: self.compose_hash,
            instance_id: self.instance_id,
            key_provider: KeyProvider::Kms,
            key_provider_id: Some(b"development".to_vec().into()),
            gpu_policy_hash: None,
            init_script_hashes: None,
            launch_ticket_hash: self.launch_ticket,
        };
        let document = config.to_bytes();
        match self.defect {
            Some(SnpDefect::ConfigNoJson) => b"app_id = 1".to_vec(),
            Some(SnpDefect::ConfigWithoutApp) => without(&document, "app_id"),
            Some(SnpDefect::ConfigWithoutInstance) => without(&document, "instance_id"),
            _ => document,
        }
    }

    pub(super) fn image_manifest(&self) -> Vec<u8> {
        DevGuest { os_image: self.os_image.clone(), ..DevGuest::default() }.image_manifest()
    }

    /// The kind of authority that signs its key.
    pub(super) fn authority(&self) -> KeyKind {
        match (self.key, self.defect) {
            (KeyKind::Vcek, Some(SnpDefect::AuthorityOfTheOtherKind)) => KeyKind::Vlek,
            (KeyKind::Vlek, Some(SnpDefect::AuthorityOfTheOtherKind)) => KeyKind::Vcek,
            (kind, _) => kind,
        }
    }

    /// What its endorsement key is derived from.
    pub(super) fn key_label(&self) -> String {
        match self.key {
            KeyKind::Vcek => {
                format!("{} {} {}", self.product, hex::encode(self.chip_id()), self.tcb.reported)
            }
            KeyKind::Vlek => format!("{} provider {}", self.product, self.tcb.reported),
        }
    }
}

/// What launching a development image leaves.
pub(in crate::dev_pki) fn row(image: &str) -> SnpMeasurement {
    SnpMeasurement { measurement: measurement(image) }
}

fn measurement(image: &str) -> FixedBytes<48> {
    FixedBytes::from_slice(&Sha384::new().chain_update(b"launch:").chain_update(image).finalize())
}

/// The document without a field.
fn without(document: &[u8], field: &str) -> Vec<u8> {
    let mut members: serde_json::Map<_, _> = serde_json::from_slice(document).expect("it was just written");
    members.remove(field);
    serde_json::Value::Object(members).to_string().into_bytes()
}
