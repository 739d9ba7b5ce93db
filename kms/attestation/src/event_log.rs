// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The event log: what was extended into the registers, and what of it may be believed.
//!
//! Boot events go into RTMR0 to RTMR2. Their digests are over things that no log carries whole (firmware volumes, the
//! kernel), so the log gives the digest; what they replay to is the register, and the register is compared with the image.
//! Names and payloads of boot events are nobody's word. Runtime events go into RTMR3:
//! ```text
//!  system-preparing  app-id  compose-hash  launch-ticket-hash?  init-script-hash*  gpu-policy-hash?
//!  gpu-attestation?  instance-id  boot-mr-done  os-image-hash  key-provider  storage-fs
//!  system-ready │ whatever the app extends
//!  ── written by the measured OS, believed ── │ ── replayed, never believed ──
//! ```
//! The log itself is untrusted text. Each runtime digest is recomputed from name and payload and all are folded into a register;
//! only when that equals the quote's RTMR3 is the log the one that was extended. Up to `system-ready` only the OS can
//! extend; after it the app can, under any name it likes.

use alloy::primitives::{Address, B256};
use sha2::{Digest, Sha384};

use crate::error::EvidenceError;

/// Type of the events that the runtime extends.
pub const RUNTIME_EVENT: u32 = 0x0800_0001;
/// The register that they are extended into.
pub const RUNTIME_REGISTER: u32 = 3;

const APP_ID: &str = "app-id";
const COMPOSE_HASH: &str = "compose-hash";
const LAUNCH_TICKET_HASH: &str = "launch-ticket-hash";
const INIT_SCRIPT_HASH: &str = "init-script-hash";
const INSTANCE_ID: &str = "instance-id";
pub(crate) const OS_IMAGE_HASH: &str = "os-image-hash";
const KEY_PROVIDER: &str = "key-provider";
const SYSTEM_READY: &str = "system-ready";

/// The known boot events in their order. Unknown names may stand anywhere between them: they are replayed, not believed.
const BOOT_ORDER: [&str; 13] = [
    "system-preparing",
    APP_ID,
    COMPOSE_HASH,
    LAUNCH_TICKET_HASH,
    INIT_SCRIPT_HASH,
    "gpu-policy-hash",
    "gpu-attestation",
    INSTANCE_ID,
    "boot-mr-done",
    OS_IMAGE_HASH,
    KEY_PROVIDER,
    "storage-fs",
    SYSTEM_READY,
];

/// RTMR0 to RTMR3.
pub type Registers = [[u8; 48]; 4];

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Index of the RTMR: [`RUNTIME_REGISTER`] for runtime events, less for boot events.
    pub register: u32,
    /// Type: [`RUNTIME_EVENT`] for runtime events, anything else for boot events.
    pub kind: u32,
    /// How its digest is made.
    pub digest_version: DigestVersion,
    /// Its name.
    pub name: String,
    /// Its payload.
    pub payload: Vec<u8>,
}

impl Event {
    /// A runtime event.
    pub fn runtime(
        digest_version: DigestVersion,
        name: impl Into<String>,
        payload: impl Into<Vec<u8>>,
    ) -> Self {
        Self {
            register: RUNTIME_REGISTER,
            kind: RUNTIME_EVENT,
            digest_version,
            name: name.into(),
            payload: payload.into(),
        }
    }

    /// A boot event, with the digest that firmware or boot loader logged.
    pub fn boot(register: u32, kind: u32, digest: [u8; 48]) -> Self {
        Self {
            register,
            kind,
            digest_version: DigestVersion::Boot(digest),
            name: String::new(),
            payload: Vec::new(),
        }
    }

    /// The digest that is extended: of a runtime event recomputed, of a boot event as logged.
    pub fn digest(&self) -> [u8; 48] {
        match self.digest_version {
            DigestVersion::Boot(logged) => logged,
            DigestVersion::V1 => self.digest_v1(),
            DigestVersion::V2 => self.digest_v2(),
        }
    }

    fn belongs(&self) -> Belongs {
        let runtime_type = self.kind == RUNTIME_EVENT;
        match (self.register, self.digest_version) {
            (RUNTIME_REGISTER, DigestVersion::V1 | DigestVersion::V2) if runtime_type => Belongs::Runtime,
            (..RUNTIME_REGISTER, DigestVersion::Boot(_)) if !runtime_type => Belongs::Boot,
            _ => Belongs::Nowhere,
        }
    }

    /// SHA-384(type, little-endian ‖ ":" ‖ name ‖ ":" ‖ payload).
    fn digest_v1(&self) -> [u8; 48] {
        Sha384::new()
            .chain_update(self.kind.to_le_bytes())
            .chain_update(b":")
            .chain_update(&self.name)
            .chain_update(b":")
            .chain_update(&self.payload)
            .finalize()
            .into()
    }

    /// SHA-384 of the canonical JSON (RFC 8785) of name, payload in hex and type. The keys are in their canonical order,
    /// and serde_json escapes a string just as RFC 8785 demands.
    fn digest_v2(&self) -> [u8; 48] {
        let name = serde_json::Value::from(self.name.as_str());
        let payload = hex::encode(&self.payload);
        let json = format!(r#"{{"name":{name},"payload":"{payload}","type":{}}}"#, self.kind);
        Sha384::digest(json).into()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Belongs {
    Runtime,
    Boot,
    Nowhere,
}

/// How an event's digest is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DigestVersion {
    /// It was made at boot, over things that the log does not carry: the logged SHA-384.
    Boot([u8; 48]),
    /// Over the colon-separated fields.
    V1,
    /// Over canonical JSON.
    V2,
}

impl DigestVersion {
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Boot(_) => 0,
            Self::V1 => 1,
            Self::V2 => 2,
        }
    }
}

/// The versions of runtime events; a boot event needs its digest beside the number.
impl TryFrom<u8> for DigestVersion {
    type Error = EvidenceError;

    fn try_from(got: u8) -> Result<Self, EvidenceError> {
        match got {
            1 => Ok(Self::V1),
            2 => Ok(Self::V2),
            got => Err(EvidenceError::UnknownDigestVersion { got }),
        }
    }
}

/// What a register holds after these events: SHA-384(register ‖ digest), from 48 zero bytes.
pub fn replay<'a>(events: impl IntoIterator<Item = &'a Event>) -> [u8; 48] {
    events.into_iter().fold([0; 48], |register, event| {
        Sha384::new().chain_update(register).chain_update(event.digest()).finalize().into()
    })
}

/// What the proven boot part of a log says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BootFacts {
    pub(crate) app_id: Address,
    pub(crate) compose_hash: B256,
    pub(crate) launch_ticket: Option<B256>,
    pub(crate) instance_id: Address,
    pub(crate) os_image_hash: Option<B256>,
    pub(crate) key_provider: Vec<u8>,
}

/// Proves the log against the registers, then reads what the OS extended.
pub(crate) fn prove(events: &[Event], registers: &Registers) -> Result<BootFacts, EvidenceError> {
    check_forms(events)?;
    check_boot_events(events, registers)?;
    let [.., rtmr3] = registers;
    let runtime: Vec<&Event> = events.iter().filter(|e| e.belongs() == Belongs::Runtime).collect();
    if replay(runtime.iter().copied()) != *rtmr3 {
        return Err(EvidenceError::LogMismatch);
    }
    let boot = boot_part(&runtime)?;
    check_names(boot)?;
    Ok(BootFacts {
        app_id: payload::<20>(boot, APP_ID)?.into(),
        compose_hash: payload::<32>(boot, COMPOSE_HASH)?.into(),
        launch_ticket: optional::<32>(boot, LAUNCH_TICKET_HASH)?.map(B256::from),
        instance_id: instance_id(boot)?,
        os_image_hash: optional::<32>(boot, OS_IMAGE_HASH)?.map(B256::from),
        key_provider: find(boot, KEY_PROVIDER)?.payload.clone(),
    })
}

fn check_forms(events: &[Event]) -> Result<(), EvidenceError> {
    match events.iter().enumerate().find(|(_, e)| e.belongs() == Belongs::Nowhere) {
        Some((index, e)) => Err(EvidenceError::ForeignEvent { index, register: e.register, kind: e.kind }),
        None => Ok(()),
    }
}

/// A log may leave all boot events out, since the registers say what counts. One that has any must have all.
fn check_boot_events(events: &[Event], registers: &Registers) -> Result<(), EvidenceError> {
    if events.iter().all(|e| e.belongs() != Belongs::Boot) {
        return Ok(());
    }
    for (index, (register, expected)) in (0..RUNTIME_REGISTER).zip(registers).enumerate() {
        if replay(events.iter().filter(|e| e.register == register)) != *expected {
            return Err(EvidenceError::BootLogMismatch { register: index });
        }
    }
    Ok(())
}

/// An app without instance ids extends an empty one: no address stands for it.
fn instance_id(boot: &[&Event]) -> Result<Address, EvidenceError> {
    match find(boot, INSTANCE_ID)?.payload.is_empty() {
        true => Ok(Address::ZERO),
        false => payload::<20>(boot, INSTANCE_ID).map(Address::from),
    }
}

/// Everything up to and including the first `system-ready`.
fn boot_part<'e, 'a>(events: &'a [&'e Event]) -> Result<&'a [&'e Event], EvidenceError> {
    let end = events.iter().position(|e| e.name == SYSTEM_READY);
    end.and_then(|end| events.get(..=end)).ok_or(EvidenceError::MissingEvent { name: SYSTEM_READY })
}

/// In digest version 1 "a:b" with payload "c" and "a" with payload "b:c" are one event; without colons in names there is
/// one reading. Known names keep their order, and no name occurs twice but the init scripts'.
fn check_names(boot: &[&Event]) -> Result<(), EvidenceError> {
    let mut seen: Vec<&str> = Vec::with_capacity(boot.len());
    let mut newest = 0;
    for (index, event) in boot.iter().enumerate() {
        let name = event.name.as_str();
        if name.is_empty() || name.contains(':') {
            return Err(EvidenceError::AmbiguousName { index });
        }
        if name != INIT_SCRIPT_HASH && seen.contains(&name) {
            return Err(EvidenceError::DuplicateEvent { name: name.to_owned() });
        }
        seen.push(name);
        if let Some(rank) = BOOT_ORDER.iter().position(|known| *known == name) {
            if rank < newest {
                return Err(EvidenceError::EventOrder { name: name.to_owned() });
            }
            newest = rank;
        }
    }
    Ok(())
}

fn find<'e>(boot: &[&'e Event], name: &'static str) -> Result<&'e Event, EvidenceError> {
    boot.iter().copied().find(|e| e.name == name).ok_or(EvidenceError::MissingEvent { name })
}

/// As [`payload`], of an event that need not be there.
fn optional<const N: usize>(boot: &[&Event], name: &'static str) -> Result<Option<[u8; N]>, EvidenceError> {
    match boot.iter().any(|e| e.name == name) {
        true => payload(boot, name).map(Some),
        false => Ok(None),
    }
}

/// A payload of exactly N bytes: short ones are errors, never padded.
fn payload<const N: usize>(boot: &[&Event], name: &'static str) -> Result<[u8; N], EvidenceError> {
    let payload = &find(boot, name)?.payload;
    payload.as_slice().try_into().map_err(|_| EvidenceError::PayloadLength {
        name,
        got: payload.len(),
        expected: N,
    })
}

#[cfg(test)]
mod tests;
