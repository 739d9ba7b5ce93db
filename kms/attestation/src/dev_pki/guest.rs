// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A guest as development describes it.

use alloy::primitives::{Address, B256};
use sha2::{Digest, Sha256, Sha384};

use super::{Defect, nitro, quote::td_report, snp};
use crate::{
    event_log::{self, DigestVersion, Event},
    image::{ImageMeasurements, OsImage},
    measurements,
    tdx::config_id::second_form,
};

/// Hardware shapes of every development image; guests boot on the first.
const SHAPES: [&str; 2] = ["small", "large"];

/// What boots, where, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DevGuest {
    /// The app.
    pub app_id: Address,
    /// Its code hash.
    pub compose_hash: B256,
    /// SHA-256 of the launch ticket that it is started with.
    pub launch_ticket: Option<B256>,
    /// The instance.
    pub instance_id: Address,
    /// Name of the OS image; its registers, manifest and hash follow from it.
    pub os_image: String,
    /// The platform's provisioning id.
    pub device: [u8; 16],
    /// What the OS records about its key provider.
    pub key_provider: Vec<u8>,
    /// Whether its log has the firmware's and boot loader's events too.
    pub logs_boot_events: bool,
    /// Format of the quote.
    pub quote_version: QuoteVersion,
    /// How digests of events are made.
    pub digest_version: DigestVersion,
    /// How Intel rates the platform.
    pub tcb: DevTcb,
    /// How Intel rates its TDX module.
    pub module_tcb: DevTcb,
    /// How Intel rates its quoting enclave.
    pub qe_tcb: DevTcb,
    /// Events that the app extends after `system-ready`.
    pub app_events: Vec<Event>,
    /// What is wrong, if anything.
    pub defect: Option<Defect>,
}

/// How Intel rates the platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DevTcb {
    /// The status, in Intel's words.
    pub status: String,
    /// The advisories.
    pub advisories: Vec<String>,
}

impl Default for DevTcb {
    /// Nothing to complain about.
    fn default() -> Self {
        Self { status: "UpToDate".to_owned(), advisories: Vec::new() }
    }
}

/// Format of a quote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuoteVersion {
    /// Version 4, with a TDX 1.0 report.
    V4,
    /// Version 5, with a TDX 1.5 report.
    V5,
    /// Version 5, with a TDX 1.0 report.
    V5Td10,
    /// Version 5, with an extended TDX 1.5 report.
    V5Ex,
}

impl QuoteVersion {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::V4, Self::V5, Self::V5Td10, Self::V5Ex];

    pub(super) const fn number(self) -> u16 {
        match self {
            Self::V4 => 4,
            Self::V5 | Self::V5Td10 | Self::V5Ex => 5,
        }
    }
}

impl Default for DevGuest {
    /// Some app's guest, for tests that do not care which.
    fn default() -> Self {
        Self::new(Address::repeat_byte(0xa1), B256::repeat_byte(0xc0))
    }
}

impl DevGuest {
    /// A guest without defects: image `dev-os`, the first development device, an up-to-date platform, and the instance id
    /// that an unnamed first instance of the app gets.
    pub fn new(app_id: Address, compose_hash: B256) -> Self {
        Self {
            app_id,
            compose_hash,
            launch_ticket: None,
            instance_id: Self::instance_id_of(app_id, b"0"),
            os_image: "dev-os".to_owned(),
            device: [1; 16],
            key_provider: br#"{"name":"kms","id":"de7e10"}"#.to_vec(),
            logs_boot_events: false,
            quote_version: QuoteVersion::V4,
            digest_version: DigestVersion::V1,
            tcb: DevTcb::default(),
            module_tcb: DevTcb::default(),
            qe_tcb: DevTcb::default(),
            app_events: Vec::new(),
            defect: None,
        }
    }

    /// The same guest with a defect, and with the format of quote or log that can have it.
    pub fn with_defect(self, defect: Defect) -> Self {
        let quote_version = match defect {
            Defect::ServiceTd => QuoteVersion::V5,
            Defect::ServiceTdLater => QuoteVersion::V5Ex,
            _ => self.quote_version,
        };
        let logs_boot_events = self.logs_boot_events || defect == Defect::ForgedBootLog;
        Self { defect: Some(defect), quote_version, logs_boot_events, ..self }
    }

    /// SHA-256(seed ‖ app id)[..20].
    pub fn instance_id_of(app_id: Address, seed: &[u8]) -> Address {
        let digest = Sha256::new().chain_update(seed).chain_update(app_id).finalize();
        Address::from_slice(digest.get(..20).unwrap_or_default())
    }

    /// The hash of its OS image: what is scheduled on chain.
    pub fn os_image_hash(&self) -> B256 {
        Self::os_image_hash_of(&self.os_image)
    }

    /// The hash of a development image.
    pub fn os_image_hash_of(name: &str) -> B256 {
        OsImage::hash(&manifest(name))
    }

    /// Its device id.
    pub fn device_id(&self) -> B256 {
        measurements::device_id(&self.device)
    }

    /// The `mr_system` that it boots into.
    pub fn mr_system(&self) -> B256 {
        measurements::mr_system(&td_report(self, [0; 64]), &self.key_provider)
    }

    /// The `mr_aggregated` that it boots into.
    pub fn mr_aggregated(&self) -> B256 {
        measurements::mr_aggregated(&td_report(self, [0; 64]))
    }

    /// What its log shows.
    pub(super) fn event_log(&self) -> Vec<Event> {
        let mut events =
            if self.logs_boot_events { firmware_events(&self.os_image, SHAPES[0]) } else { Vec::new() };
        if self.defect == Some(Defect::ForgedBootLog) {
            events.swap(0, 1);
        }
        events.extend(self.runtime_events());
        events
    }

    /// What it extends into RTMR3.
    fn runtime_events(&self) -> Vec<Event> {
        let mut events = self.boot_events();
        match self.defect {
            Some(Defect::DuplicateEvent) => events.insert(3, self.event("compose-hash", &[9; 32])),
            Some(Defect::EventOrder) => events.swap(1, 2),
            Some(Defect::NoSystemReady) => events.retain(|event| event.name != "system-ready"),
            Some(Defect::NoImageHash) => events.retain(|event| event.name != "os-image-hash"),
            Some(Defect::AmbiguousName) => events.insert(3, self.event("vendor:extra", b"x")),
            _ => {}
        }
        events.extend(self.app_events.iter().cloned());
        events
    }

    fn boot_events(&self) -> Vec<Event> {
        let compose_hash = match self.defect {
            Some(Defect::ShortComposeHash) => self.compose_hash.get(1..).unwrap_or_default(),
            _ => self.compose_hash.as_slice(),
        };
        let mut events = vec![
            self.event("system-preparing", b""),
            self.event("app-id", self.app_id.as_slice()),
            self.event("compose-hash", compose_hash),
        ];
        events.extend(self.launch_ticket.map(|ticket| self.event("launch-ticket-hash", ticket.as_slice())));
        events.extend([
            self.event("instance-id", self.instance_id.as_slice()),
            self.event("boot-mr-done", b""),
            self.event("os-image-hash", self.os_image_hash().as_slice()),
            self.event("key-provider", &self.key_provider),
            self.event("storage-fs", b"ext4"),
            self.event("system-ready", b""),
        ]);
        events
    }

    fn event(&self, name: &str, payload: &[u8]) -> Event {
        Event::runtime(self.digest_version, name, payload)
    }

    pub(super) fn rtmr3(&self) -> [u8; 48] {
        event_log::replay(&self.runtime_events())
    }

    pub(super) fn image_manifest(&self) -> Vec<u8> {
        manifest(&self.os_image)
    }

    /// What it boots into.
    pub(super) fn booted(&self) -> ImageMeasurements {
        match self.defect {
            Some(Defect::OtherOsBooted) => row("an attacker's OS", SHAPES[0]),
            _ => row(&self.os_image, SHAPES[0]),
        }
    }

    pub(super) fn config_id(&self) -> [u8; 48] {
        let mut config_id = [0; 48];
        match self.defect {
            Some(Defect::OtherConfigId) => config_id[0] = 1,
            Some(Defect::OtherConfigIdApp) => {
                let other = Address::repeat_byte(0xee);
                return second_form(self.compose_hash, other, &self.key_provider).unwrap_or(config_id);
            }
            _ => {}
        }
        config_id
    }
}

fn manifest(image: &str) -> Vec<u8> {
    let rows = SHAPES.iter().map(|shape| row(image, shape)).collect();
    OsImage::new(image, rows).with_snp(vec![snp::row(image)]).with_nitro(vec![nitro::row(image)]).to_bytes()
}

fn row(image: &str, shape: &str) -> ImageMeasurements {
    let events = firmware_events(image, shape);
    let register = |register| event_log::replay(events.iter().filter(|e| e.register == register)).into();
    ImageMeasurements {
        mrtd: digest("mrtd", image).into(),
        rtmr0: register(0),
        rtmr1: register(1),
        rtmr2: register(2),
    }
}

/// What firmware and boot loader extend: the hardware's shape, then the kernel, its command line and its initrd.
fn firmware_events(image: &str, shape: &str) -> Vec<Event> {
    vec![
        Event::boot(0, 0x8000_000b, digest("hand-off", image)),
        Event::boot(0, 10, digest("tables", shape)),
        Event::boot(1, 0x8000_0003, digest("kernel", image)),
        Event::boot(2, 6, digest("command line", image)),
        Event::boot(2, 6, digest("initrd", image)),
    ]
}

fn digest(name: &str, of: &str) -> [u8; 48] {
    Sha384::new().chain_update(name).chain_update(b":").chain_update(of).finalize().into()
}
