// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Evidence in the forms of upstream dstack, so that an unmodified guest of it can be verified.
//!
//! | form | where it is met |
//! |---|---|
//! | answer of `GetQuote`, JSON | the guest agent's socket |
//! | event log, JSON | in that answer; in certificates (1.3.6.1.4.1.62397.1.2) |
//! | attestation, version 0 (SCALE) or 1 (MessagePack) | in certificates (1.3.6.1.4.1.62397.1.8) |
//!
//! None carries collateral or an OS image manifest: whoever asks adds the collateral, and a [`crate::Verifier`] that knows
//! the image by its registers verifies the rest. What these forms say beside quote and events (report data, VM
//! configuration, digests of runtime events) is not read: the quote says it better.

mod attestation;

use serde::Deserialize;

use crate::{
    error::{EvidenceError, Part},
    event_log::{DigestVersion, Event, RUNTIME_EVENT, RUNTIME_REGISTER},
    evidence::{Collateral, Evidence, MAX_EVIDENCE, TdxEvidence, cap, within},
};

const MAX_REASON: usize = 160;

/// What an upstream TDX guest shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamQuote {
    /// The quote.
    pub quote: Vec<u8>,
    /// What was extended into the registers.
    pub event_log: Vec<Event>,
}

impl UpstreamQuote {
    /// Reads the answer of `GetQuote`.
    ///
    /// # Errors
    /// [`EvidenceError::TooLarge`] and [`EvidenceError::NotUpstream`].
    pub fn from_get_quote(json: &[u8]) -> Result<Self, EvidenceError> {
        #[derive(Deserialize)]
        struct Answer {
            quote: String,
            event_log: String,
        }
        within(Part::Evidence, json.len(), MAX_EVIDENCE)?;
        let answer: Answer = serde_json::from_slice(json).map_err(|e| not_upstream(&e))?;
        Self::from_parts(bytes("quote", &answer.quote)?, answer.event_log.as_bytes())
    }

    /// Reads an attestation of version 0 or 1. Of its log only the runtime events are taken: it leaves out most of the
    /// boot events, and those that it has prove nothing alone.
    ///
    /// # Errors
    /// As [`UpstreamQuote::from_get_quote`].
    pub fn from_attestation(bytes: &[u8]) -> Result<Self, EvidenceError> {
        within(Part::Evidence, bytes.len(), MAX_EVIDENCE)?;
        let read = attestation::read(bytes)?;
        within(Part::Quote, read.quote.len(), cap::QUOTE)?;
        within(Part::EventLog, read.event_log.len(), cap::EVENTS)?;
        Ok(read)
    }

    /// A quote and its event log in JSON.
    ///
    /// # Errors
    /// As [`UpstreamQuote::from_get_quote`].
    pub fn from_parts(quote: Vec<u8>, event_log_json: &[u8]) -> Result<Self, EvidenceError> {
        within(Part::Quote, quote.len(), cap::QUOTE)?;
        Ok(Self { quote, event_log: event_log(event_log_json)? })
    }

    /// Evidence that a verifier can judge: with collateral, and without a manifest.
    pub fn with_collateral(self, collateral: Collateral) -> Evidence {
        let Self { quote, event_log } = self;
        Evidence::Tdx(Box::new(TdxEvidence { quote, event_log, image: Vec::new(), collateral }))
    }
}

/// Reads an event log: a JSON array of `imr`, `event_type`, `event`, `event_payload` (hex), `digest` (hex, for boot events)
/// and `version` (of runtime events; 1 if it is not there). Payloads of boot events are dropped: no digest covers them.
///
/// # Errors
/// [`EvidenceError::TooLarge`], [`EvidenceError::UnknownDigestVersion`] and [`EvidenceError::NotUpstream`].
pub fn event_log(json: &[u8]) -> Result<Vec<Event>, EvidenceError> {
    within(Part::Evidence, json.len(), MAX_EVIDENCE)?;
    let events: Vec<JsonEvent> = serde_json::from_slice(json).map_err(|e| not_upstream(&e))?;
    within(Part::EventLog, events.len(), cap::EVENTS)?;
    events.into_iter().map(JsonEvent::read).collect()
}

#[derive(Deserialize)]
struct JsonEvent {
    imr: u32,
    event_type: u32,
    event: String,
    event_payload: String,
    #[serde(default)]
    digest: String,
    #[serde(default = "first_version")]
    version: u8,
}

const fn first_version() -> u8 {
    1
}

impl JsonEvent {
    fn read(self) -> Result<Event, EvidenceError> {
        if is_boot(self.imr, self.event_type) {
            return boot_event(self.imr, self.event_type, &bytes("digest", &self.digest)?);
        }
        Ok(Event {
            register: self.imr,
            kind: self.event_type,
            digest_version: DigestVersion::try_from(self.version)?,
            name: self.event,
            payload: bytes("event_payload", &self.event_payload)?,
        })
    }
}

fn is_boot(register: u32, kind: u32) -> bool {
    register < RUNTIME_REGISTER && kind != RUNTIME_EVENT
}

fn boot_event(register: u32, kind: u32, digest: &[u8]) -> Result<Event, EvidenceError> {
    let digest = digest.try_into().map_err(|_| {
        not_upstream(&format_args!("a boot event has a digest of {} bytes, not 48", digest.len()))
    })?;
    Ok(Event::boot(register, kind, digest))
}

fn bytes(field: &str, hex: &str) -> Result<Vec<u8>, EvidenceError> {
    hex::decode(hex).map_err(|e| not_upstream(&format_args!("{field}: {e}")))
}

fn not_upstream(reason: &impl std::fmt::Display) -> EvidenceError {
    let reason = reason.to_string();
    EvidenceError::NotUpstream {
        reason: reason.chars().filter(|c| !c.is_control()).take(MAX_REASON).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOT: &str = r#"{"imr":0,"event_type":10,"digest":"DD","event":"","event_payload":"414350"}"#;
    const RUNTIME: &str =
        r#"{"imr":3,"event_type":134217729,"digest":"","event":"app-id","event_payload":"0a"}"#;

    fn log(events: &[String]) -> Result<Vec<Event>, EvidenceError> {
        event_log(format!("[{}]", events.join(",")).as_bytes())
    }

    #[test]
    fn boot_events_keep_their_digest_and_runtime_events_their_payload() {
        let events = log(&[BOOT.replace("DD", &"07".repeat(48)), RUNTIME.to_owned()]).unwrap();
        assert_eq!(events, [Event::boot(0, 10, [7; 48]), Event::runtime(DigestVersion::V1, "app-id", [10])]);
    }

    #[test]
    fn the_second_version_is_named_and_others_are_refused() {
        let version = |n: u8| log(&[RUNTIME.replace("\"event\"", &format!("\"version\":{n},\"event\""))]);
        assert_eq!(version(2).unwrap(), [Event::runtime(DigestVersion::V2, "app-id", [10])]);
        for n in [0, 3] {
            assert_eq!(version(n), Err(EvidenceError::UnknownDigestVersion { got: n }));
        }
    }

    /// Short hex is an error and never padded.
    #[test]
    fn odd_or_short_hex_is_refused() {
        for digest in ["0", "07", "zz", &"07".repeat(47), &"07".repeat(49)] {
            let refused = log(&[BOOT.replace("DD", digest)]);
            assert!(matches!(refused, Err(EvidenceError::NotUpstream { .. })), "{digest}: {refused:?}");
        }
        let odd = log(&[RUNTIME.replace("0a", "a")]);
        assert!(matches!(odd, Err(EvidenceError::NotUpstream { .. })));
    }

    #[test]
    fn logs_are_capped() {
        let many = |n| log(&vec![RUNTIME.to_owned(); n]);
        assert_eq!(many(cap::EVENTS).unwrap().len(), cap::EVENTS);
        assert!(matches!(many(cap::EVENTS + 1), Err(EvidenceError::TooLarge { part: Part::EventLog, .. })));
        let long = event_log(&vec![b' '; MAX_EVIDENCE + 1]);
        assert!(matches!(long, Err(EvidenceError::TooLarge { part: Part::Evidence, .. })));
    }
}
