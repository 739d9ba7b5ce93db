// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The runtime event log: what was extended into RTMR3, and what of it may be believed.
//!
//! ```text
//!  system-preparing  app-id  compose-hash  launch-ticket-hash?  init-script-hash*  gpu-policy-hash?
//!  gpu-attestation?  instance-id  boot-mr-done  os-image-hash  key-provider  storage-fs
//!  system-ready │ whatever the app extends
//!  ── written by the measured OS, believed ── │ ── replayed, never believed ──
//! ```
//! The log itself is untrusted text. Each digest is recomputed from name and payload and all are folded into a register;
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
const OS_IMAGE_HASH: &str = "os-image-hash";
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

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Index of the RTMR; [`RUNTIME_REGISTER`] is the only one accepted.
    pub register: u32,
    /// Type; [`RUNTIME_EVENT`] is the only one accepted, since no other digest can be recomputed.
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

    /// The digest that is extended, recomputed: a digest that a log carries is never looked at.
    pub fn digest(&self) -> [u8; 48] {
        match self.digest_version {
            DigestVersion::V1 => self.digest_v1(),
            DigestVersion::V2 => self.digest_v2(),
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

/// How an event's digest is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DigestVersion {
    /// Over the colon-separated fields.
    V1,
    /// Over canonical JSON.
    V2,
}

impl DigestVersion {
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::V1 => 1,
            Self::V2 => 2,
        }
    }
}

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

/// What RTMR3 holds after these events: SHA-384(register ‖ digest), from 48 zero bytes.
pub fn replay(events: &[Event]) -> [u8; 48] {
    events.iter().fold([0; 48], |register, event| {
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
    pub(crate) os_image_hash: B256,
    pub(crate) key_provider: Vec<u8>,
}

/// Proves the log against RTMR3, then reads its boot part.
pub(crate) fn prove(events: &[Event], rtmr3: &[u8; 48]) -> Result<BootFacts, EvidenceError> {
    check_runtime_events(events)?;
    if replay(events) != *rtmr3 {
        return Err(EvidenceError::LogMismatch);
    }
    let boot = boot_part(events)?;
    check_names(boot)?;
    Ok(BootFacts {
        app_id: payload::<20>(boot, APP_ID)?.into(),
        compose_hash: payload::<32>(boot, COMPOSE_HASH)?.into(),
        launch_ticket: optional::<32>(boot, LAUNCH_TICKET_HASH)?.map(B256::from),
        instance_id: payload::<20>(boot, INSTANCE_ID)?.into(),
        os_image_hash: payload::<32>(boot, OS_IMAGE_HASH)?.into(),
        key_provider: find(boot, KEY_PROVIDER)?.payload.clone(),
    })
}

fn check_runtime_events(events: &[Event]) -> Result<(), EvidenceError> {
    let foreign = |e: &Event| e.register != RUNTIME_REGISTER || e.kind != RUNTIME_EVENT;
    match events.iter().enumerate().find(|(_, e)| foreign(e)) {
        Some((index, e)) => Err(EvidenceError::ForeignEvent { index, register: e.register, kind: e.kind }),
        None => Ok(()),
    }
}

/// Everything up to and including the first `system-ready`.
fn boot_part(events: &[Event]) -> Result<&[Event], EvidenceError> {
    let end = events.iter().position(|e| e.name == SYSTEM_READY);
    end.and_then(|end| events.get(..=end)).ok_or(EvidenceError::MissingEvent { name: SYSTEM_READY })
}

/// In digest version 1 "a:b" with payload "c" and "a" with payload "b:c" are one event; without colons in names there is
/// one reading. Known names keep their order, and no name occurs twice but the init scripts'.
fn check_names(boot: &[Event]) -> Result<(), EvidenceError> {
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

fn find<'a>(boot: &'a [Event], name: &'static str) -> Result<&'a Event, EvidenceError> {
    boot.iter().find(|e| e.name == name).ok_or(EvidenceError::MissingEvent { name })
}

/// As [`payload`], of an event that need not be there.
fn optional<const N: usize>(boot: &[Event], name: &'static str) -> Result<Option<[u8; N]>, EvidenceError> {
    match boot.iter().any(|e| e.name == name) {
        true => payload(boot, name).map(Some),
        false => Ok(None),
    }
}

/// A payload of exactly N bytes: short ones are errors, never padded.
fn payload<const N: usize>(boot: &[Event], name: &'static str) -> Result<[u8; N], EvidenceError> {
    let payload = &find(boot, name)?.payload;
    payload.as_slice().try_into().map_err(|_| EvidenceError::PayloadLength {
        name,
        got: payload.len(),
        expected: N,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boot() -> Vec<Event> {
        let event = |name: &str, payload: &[u8]| Event::runtime(DigestVersion::V1, name, payload);
        vec![
            event("system-preparing", b""),
            event(APP_ID, &[1; 20]),
            event(COMPOSE_HASH, &[2; 32]),
            event(INIT_SCRIPT_HASH, &[3; 32]),
            event(INIT_SCRIPT_HASH, &[3; 32]),
            event(INSTANCE_ID, &[4; 20]),
            event("boot-mr-done", b""),
            event("vendor-extra", b"x"),
            event(OS_IMAGE_HASH, &[5; 32]),
            event(KEY_PROVIDER, b"{}"),
            event("storage-fs", b"zfs"),
            event(SYSTEM_READY, b""),
        ]
    }

    fn prove_own(events: &[Event]) -> Result<BootFacts, EvidenceError> {
        prove(events, &replay(events))
    }

    fn without(name: &str) -> Vec<Event> {
        boot().into_iter().filter(|e| e.name != name).collect()
    }

    /// Vectors computed apart from this code, with `sha384sum`.
    #[test]
    fn digests_match_independent_vectors() {
        let mut event = Event::runtime(DigestVersion::V1, APP_ID, [0x11; 20]);
        assert_eq!(
            hex::encode(event.digest()),
            concat!(
                "3f1fbb6cfe25e7f19bd48cfa9dc590cabaa946da04f92154",
                "02e7083550177292c1478402b258a90c649ccfcb5f408175"
            )
        );
        event.digest_version = DigestVersion::V2;
        assert_eq!(
            hex::encode(event.digest()),
            concat!(
                "f3fdf5a4af4b5554d2fd20456bd667fce7df585c5d94a4f3",
                "6b5c16ae22eab4123bf6f4e97a30efb6ec980a950e28d1a8"
            )
        );
    }

    #[test]
    fn an_empty_log_replays_to_zeros() {
        assert_eq!(replay(&[]), [0; 48]);
    }

    #[test]
    fn g1_facts_come_from_the_boot_part() {
        let facts = prove_own(&boot()).unwrap();
        assert_eq!(facts.app_id, Address::repeat_byte(1));
        assert_eq!(facts.compose_hash, B256::repeat_byte(2));
        assert_eq!(facts.instance_id, Address::repeat_byte(4));
        assert_eq!(facts.os_image_hash, B256::repeat_byte(5));
        assert_eq!(facts.key_provider, b"{}");
    }

    #[test]
    fn g1_launch_ticket_is_believed_only_from_the_boot_part() {
        assert_eq!(prove_own(&boot()).unwrap().launch_ticket, None);
        let ticket = |n| Event::runtime(DigestVersion::V1, LAUNCH_TICKET_HASH, [n; 32]);
        let mut events = boot();
        events.push(ticket(9));
        assert_eq!(prove_own(&events).unwrap().launch_ticket, None);
        events.insert(3, ticket(8));
        assert_eq!(prove_own(&events).unwrap().launch_ticket, Some(B256::repeat_byte(8)));
        events[3].payload.pop();
        let short = EvidenceError::PayloadLength { name: LAUNCH_TICKET_HASH, got: 31, expected: 32 };
        assert_eq!(prove_own(&events), Err(short));
    }

    #[test]
    fn g1_events_after_system_ready_are_replayed_and_not_believed() {
        let mut events = boot();
        events.push(Event::runtime(DigestVersion::V1, COMPOSE_HASH, [9; 32]));
        events.push(Event::runtime(DigestVersion::V2, "a:b", b"c".to_vec()));
        assert_eq!(prove_own(&events), prove_own(&boot()));
        assert_eq!(prove(&events, &replay(&boot())), Err(EvidenceError::LogMismatch));
    }

    #[test]
    fn g1_a_log_that_is_not_the_extended_one_is_refused() {
        let rtmr3 = replay(&boot());
        let mut other = boot();
        other[2].payload = vec![7; 32];
        assert_eq!(prove(&other, &rtmr3), Err(EvidenceError::LogMismatch));
        let mut swapped = boot();
        swapped.swap(1, 2);
        assert_eq!(prove(&swapped, &rtmr3), Err(EvidenceError::LogMismatch));
        assert_eq!(prove(&boot()[1..], &rtmr3), Err(EvidenceError::LogMismatch));
    }

    #[test]
    fn a_second_event_of_a_name_is_refused_before_system_ready() {
        for index in [1, 2, 5, 7, 8, 9] {
            let mut events = boot();
            let twice = events[index].clone();
            events.insert(index, twice);
            let name = events[index].name.clone();
            assert_eq!(prove_own(&events), Err(EvidenceError::DuplicateEvent { name }));
        }
    }

    #[test]
    fn boot_events_keep_their_order() {
        let mut events = boot();
        events.swap(1, 2);
        assert_eq!(prove_own(&events), Err(EvidenceError::EventOrder { name: APP_ID.to_owned() }));
    }

    #[test]
    fn every_fact_must_be_there() {
        for name in [APP_ID, COMPOSE_HASH, INSTANCE_ID, OS_IMAGE_HASH, KEY_PROVIDER, SYSTEM_READY] {
            assert_eq!(prove_own(&without(name)), Err(EvidenceError::MissingEvent { name }));
        }
    }

    #[test]
    fn payloads_of_another_length_are_refused_not_padded() {
        for (index, name, expected) in [(1, APP_ID, 20), (2, COMPOSE_HASH, 32), (5, INSTANCE_ID, 20)] {
            for got in [0, expected - 1, expected + 1] {
                let mut events = boot();
                events[index].payload = vec![1; got];
                assert_eq!(prove_own(&events), Err(EvidenceError::PayloadLength { name, got, expected }));
            }
        }
    }

    /// The attack: extend `compose-hash:` ‖ x once, then show it under a shorter or longer name.
    #[test]
    fn a_version_1_event_has_one_reading() {
        let mut events = boot();
        events[7].payload = b"evil:app-id:x".to_vec();
        let rtmr3 = replay(&events);
        events[7] = Event::runtime(DigestVersion::V1, "vendor-extra:evil", b"app-id:x".to_vec());
        assert_eq!(replay(&events), rtmr3);
        assert_eq!(prove(&events, &rtmr3), Err(EvidenceError::AmbiguousName { index: 7 }));
    }

    #[test]
    fn events_of_other_registers_or_types_are_refused() {
        let mut events = boot();
        events[0].register = 0;
        assert!(matches!(prove_own(&events), Err(EvidenceError::ForeignEvent { index: 0, register: 0, .. })));
        let mut events = boot();
        events[3].kind = 1;
        assert!(matches!(prove_own(&events), Err(EvidenceError::ForeignEvent { index: 3, kind: 1, .. })));
    }
}
