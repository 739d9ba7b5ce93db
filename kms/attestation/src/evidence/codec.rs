// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The encoding of evidence.
//!
//! ```text
//! "MNDE" ‖ version (1) ‖ TEE kind (1) ‖ the kind's own fields
//! TDX = quote ‖ number of events (u32) ‖ events ‖ image ‖ the ten collateral fields
//! event = register (u32) ‖ type (u32) ‖ digest version (u8) [‖ digest (48), for version 0] ‖ name ‖ payload
//! ```
//! Integers are big-endian; every byte string is preceded by its length as u32. Lengths are checked against their cap
//! before anything is allocated, and a value has exactly one encoding.

use super::{Collateral, Evidence, MAX_EVIDENCE, TdxEvidence, cap, within};
use crate::{
    error::{EvidenceError, Part},
    event_log::{DigestVersion, Event},
    verified::Tee,
};

const MAGIC: [u8; 4] = *b"MNDE";
const VERSION: u8 = 1;

pub(super) fn encode(evidence: &Evidence) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.push(VERSION);
    out.push(evidence.tee().code());
    evidence.put(&mut out);
    out
}

pub(crate) fn put_tdx(out: &mut Vec<u8>, tdx: &TdxEvidence) {
    put(out, &tdx.quote);
    put_u32(out, tdx.event_log.len());
    for event in &tdx.event_log {
        out.extend_from_slice(&event.register.to_be_bytes());
        out.extend_from_slice(&event.kind.to_be_bytes());
        out.push(event.digest_version.code());
        if let DigestVersion::Boot(digest) = event.digest_version {
            out.extend_from_slice(&digest);
        }
        put(out, event.name.as_bytes());
        put(out, &event.payload);
    }
    put(out, &tdx.image);
    let c = &tdx.collateral;
    put(out, c.pck_crl_issuer_chain.as_bytes());
    put(out, &c.root_ca_crl);
    put(out, &c.pck_crl);
    put(out, c.tcb_info_issuer_chain.as_bytes());
    put(out, c.tcb_info.as_bytes());
    put(out, &c.tcb_info_signature);
    put(out, c.qe_identity_issuer_chain.as_bytes());
    put(out, c.qe_identity.as_bytes());
    put(out, &c.qe_identity_signature);
    put(out, c.pck_certificate_chain.as_bytes());
}

/// Bytes preceded by their number.
pub(crate) fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    put_u32(out, bytes.len());
    out.extend_from_slice(bytes);
}

/// A length above u32 saturates: such a value is far above every cap, and decoding refuses it.
fn put_u32(out: &mut Vec<u8>, value: usize) {
    out.extend_from_slice(&u32::try_from(value).unwrap_or(u32::MAX).to_be_bytes());
}

pub(super) fn decode(bytes: &[u8]) -> Result<Evidence, EvidenceError> {
    within(Part::Evidence, bytes.len(), MAX_EVIDENCE)?;
    let mut input = Reader(bytes);
    if input.array::<4>(Part::Preamble)? != MAGIC {
        return Err(EvidenceError::NotEvidence);
    }
    let [version, tee] = input.array(Part::Preamble)?;
    if version != VERSION {
        return Err(EvidenceError::UnknownEncoding { got: version, known: VERSION });
    }
    let evidence = Evidence::take(Tee::try_from(tee)?, &mut input)?;
    match input.0.len() {
        0 => Ok(evidence),
        extra => Err(EvidenceError::TrailingBytes { extra }),
    }
}

pub(crate) fn take_tdx(input: &mut Reader<'_>) -> Result<TdxEvidence, EvidenceError> {
    Ok(TdxEvidence {
        quote: input.bytes(Part::Quote, cap::QUOTE)?,
        event_log: take_events(input)?,
        image: input.bytes(Part::Image, cap::IMAGE)?,
        collateral: Collateral {
            pck_crl_issuer_chain: input.text(Part::CertificateChain, cap::CHAIN)?,
            root_ca_crl: input.bytes(Part::Crl, cap::CRL)?,
            pck_crl: input.bytes(Part::Crl, cap::CRL)?,
            tcb_info_issuer_chain: input.text(Part::CertificateChain, cap::CHAIN)?,
            tcb_info: input.text(Part::TcbInfo, cap::TCB_INFO)?,
            tcb_info_signature: input.bytes(Part::Signature, cap::SIGNATURE)?,
            qe_identity_issuer_chain: input.text(Part::CertificateChain, cap::CHAIN)?,
            qe_identity: input.text(Part::QeIdentity, cap::QE_IDENTITY)?,
            qe_identity_signature: input.bytes(Part::Signature, cap::SIGNATURE)?,
            pck_certificate_chain: input.text(Part::CertificateChain, cap::CHAIN)?,
        },
    })
}

fn take_events(input: &mut Reader<'_>) -> Result<Vec<Event>, EvidenceError> {
    let count = input.length(Part::EventLog, cap::EVENTS)?;
    (0..count).map(|_| take_event(input)).collect()
}

fn take_event(input: &mut Reader<'_>) -> Result<Event, EvidenceError> {
    Ok(Event {
        register: u32::from_be_bytes(input.array(Part::EventLog)?),
        kind: u32::from_be_bytes(input.array(Part::EventLog)?),
        digest_version: match u8::from_be_bytes(input.array(Part::EventLog)?) {
            0 => DigestVersion::Boot(input.array(Part::EventLog)?),
            version => DigestVersion::try_from(version)?,
        },
        name: input.text(Part::EventName, cap::EVENT_NAME)?,
        payload: input.bytes(Part::EventPayload, cap::EVENT_PAYLOAD)?,
    })
}

/// What is left to read.
pub(crate) struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    pub(crate) fn array<const N: usize>(&mut self, part: Part) -> Result<[u8; N], EvidenceError> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(EvidenceError::Truncated { part })?;
        self.0 = rest;
        Ok(*head)
    }

    pub(crate) fn length(&mut self, part: Part, max: usize) -> Result<usize, EvidenceError> {
        let got = usize::try_from(u32::from_be_bytes(self.array(part)?)).unwrap_or(usize::MAX);
        within(part, got, max)?;
        Ok(got)
    }

    pub(crate) fn bytes(&mut self, part: Part, max: usize) -> Result<Vec<u8>, EvidenceError> {
        let length = self.length(part, max)?;
        let (head, rest) = self.0.split_at_checked(length).ok_or(EvidenceError::Truncated { part })?;
        self.0 = rest;
        Ok(head.to_vec())
    }

    pub(crate) fn text(&mut self, part: Part, max: usize) -> Result<String, EvidenceError> {
        String::from_utf8(self.bytes(part, max)?).map_err(|_| EvidenceError::NotText { part })
    }
}
