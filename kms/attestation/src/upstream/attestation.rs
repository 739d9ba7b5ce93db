// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Upstream's attestation structure, as far as a TDX guest's quote and events need it.
//!
//! Version 0 is SCALE: 00 ‖ kind of quote (00: TDX) ‖ quote ‖ events ‖ fields that are not read. Version 1 is a MessagePack
//! map; it starts with a map marker, so the two cannot be confused.

use parity_scale_codec::Decode;
use serde::Deserialize;
use serde_bytes::ByteBuf;

use super::{UpstreamQuote, not_upstream};
use crate::{
    error::EvidenceError,
    event_log::{DigestVersion, Event, RUNTIME_EVENT, RUNTIME_REGISTER},
};

const VERSION_0: u8 = 0;
const TDX: u8 = 0;

pub(super) fn read(bytes: &[u8]) -> Result<UpstreamQuote, EvidenceError> {
    match bytes {
        [VERSION_0, TDX, rest @ ..] => version_0(rest),
        [VERSION_0, kind, ..] => {
            Err(not_upstream(&format_args!("attestations of kind {kind} are not of TDX")))
        }
        // fixmap, map 16, map 32
        [0x80..=0x8f | 0xde | 0xdf, ..] => version_1(bytes),
        _ => Err(not_upstream(&"not an attestation of version 0 or 1")),
    }
}

#[derive(Decode)]
struct ScaleEvent {
    imr: u32,
    event_type: u32,
    _digest: Vec<u8>,
    event: String,
    event_payload: Vec<u8>,
}

/// SCALE vectors are read only as far as there is input for them.
fn version_0(mut input: &[u8]) -> Result<UpstreamQuote, EvidenceError> {
    let (quote, events) = <(Vec<u8>, Vec<ScaleEvent>)>::decode(&mut input).map_err(|e| not_upstream(&e))?;
    let runtime = events.into_iter().filter(|e| is_runtime(e.imr, e.event_type));
    // This encoding has no field for the version: such guests log version 1 alone.
    let event_log = runtime.map(|e| Event::runtime(DigestVersion::V1, e.event, e.event_payload)).collect();
    Ok(UpstreamQuote { quote, event_log })
}

#[derive(Deserialize)]
struct Version1 {
    version: u64,
    platform: Platform,
}

#[derive(Deserialize)]
#[serde(tag = "kind", content = "data")]
enum Platform {
    #[serde(rename = "tdx")]
    Tdx { quote: ByteBuf, event_log: Vec<PackedEvent> },
}

#[derive(Deserialize)]
struct PackedEvent {
    imr: u32,
    event_type: u32,
    event: String,
    event_payload: ByteBuf,
    #[serde(default = "super::first_version")]
    version: u8,
}

fn version_1(bytes: &[u8]) -> Result<UpstreamQuote, EvidenceError> {
    let Version1 { version, platform: Platform::Tdx { quote, event_log } } =
        rmp_serde::from_slice(bytes).map_err(|e| not_upstream(&e))?;
    if version != 1 {
        return Err(not_upstream(&format_args!("attestation version {version} is not known")));
    }
    let runtime = event_log.into_iter().filter(|e| is_runtime(e.imr, e.event_type));
    let event = |e: PackedEvent| {
        let digest_version = DigestVersion::try_from(e.version)?;
        Ok(Event::runtime(digest_version, e.event, e.event_payload.into_vec()))
    };
    let event_log = runtime.map(event).collect::<Result<_, EvidenceError>>()?;
    Ok(UpstreamQuote { quote: quote.into_vec(), event_log })
}

fn is_runtime(register: u32, kind: u32) -> bool {
    register == RUNTIME_REGISTER && kind == RUNTIME_EVENT
}

#[cfg(test)]
mod tests {
    use parity_scale_codec::Encode;
    use serde::Serialize;

    use super::*;

    type Tuple<'a> = (u32, u32, &'a [u8], &'a str, &'a [u8]);

    const EVENTS: [Tuple<'_>; 2] =
        [(0, 10, &[1; 48], "acpi-loader", b"ACPI DATA"), (3, RUNTIME_EVENT, &[], "app-id", &[9; 20])];

    fn scale() -> Vec<u8> {
        let mut bytes = vec![VERSION_0, TDX];
        (&[7u8; 5][..], &EVENTS[..]).encode_to(&mut bytes);
        bytes.extend([0; 70]);
        bytes
    }

    fn packed(version: u64, kind: &str) -> Vec<u8> {
        #[derive(Serialize)]
        struct Whole<'a> {
            version: u64,
            platform: Kind<'a>,
            stack: &'a str,
        }
        #[derive(Serialize)]
        struct Kind<'a> {
            kind: &'a str,
            data: Data<'a>,
        }
        #[derive(Serialize)]
        struct Data<'a> {
            quote: &'a [u8],
            event_log: Vec<Logged<'a>>,
        }
        #[derive(Serialize)]
        struct Logged<'a> {
            imr: u32,
            event_type: u32,
            digest: &'a serde_bytes::Bytes,
            event: &'a str,
            event_payload: &'a serde_bytes::Bytes,
            version: u8,
        }
        let event_log = EVENTS.iter().map(|(imr, event_type, digest, event, payload)| Logged {
            imr: *imr,
            event_type: *event_type,
            digest: serde_bytes::Bytes::new(digest),
            event,
            event_payload: serde_bytes::Bytes::new(payload),
            version: 2,
        });
        let data = Data { quote: &[7; 5], event_log: event_log.collect() };
        rmp_serde::to_vec_named(&Whole { version, platform: Kind { kind, data }, stack: "not read" }).unwrap()
    }

    #[test]
    fn both_versions_give_the_quote_and_the_runtime_events() {
        for (bytes, version) in [(scale(), DigestVersion::V1), (packed(1, "tdx"), DigestVersion::V2)] {
            let read = read(&bytes).unwrap();
            assert_eq!(read.quote, [7; 5]);
            assert_eq!(read.event_log, [Event::runtime(version, "app-id", [9; 20])]);
        }
    }

    #[test]
    fn other_versions_and_kinds_are_refused() {
        for bytes in [&[][..], &[0], &[0, 3, 1], &[1, 0], &packed(2, "tdx"), &packed(1, "sev-snp")] {
            assert!(matches!(read(bytes), Err(EvidenceError::NotUpstream { .. })), "{bytes:?}");
        }
    }

    #[test]
    fn attestations_cut_at_any_length_are_read_without_panic() {
        for whole in [scale(), packed(1, "tdx")] {
            for length in 0..whole.len() {
                let _ = read(&whole[..length]);
            }
        }
    }

    /// A length of two thousand million costs nothing: there is no input behind it.
    #[test]
    fn promised_lengths_are_not_believed() {
        assert!(read(&[0, 0, 0xfe, 0xff, 0xff, 0xff]).is_err());
        assert!(read(&[0, 0, 0x03, 0xff, 0xff, 0xff, 0x7f]).is_err());
    }
}
