// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The encoding: one value, one encoding; caps before parsing; no panic on any bytes.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod common;

use common::{check, guest, minted};
use mandate_attestation::{
    Collateral, DigestVersion, Event, Evidence, EvidenceError, MAX_EVIDENCE, Part, TdxEvidence,
};
use proptest::{collection::vec, prelude::*};

fn encoded() -> Vec<u8> {
    Evidence::Tdx(Box::new(minted(&guest()))).encode()
}

#[test]
fn evidence_survives_its_encoding() {
    let evidence = Evidence::Tdx(Box::new(minted(&guest())));
    assert_eq!(Evidence::decode(&evidence.encode()), Ok(evidence));
}

#[test]
fn evidence_cut_at_any_length_is_refused() {
    let bytes = encoded();
    for length in 0..bytes.len() {
        assert!(
            matches!(Evidence::decode(&bytes[..length]), Err(EvidenceError::Truncated { .. })),
            "{length}"
        );
    }
}

#[test]
fn evidence_ends_where_it_ends() {
    let mut bytes = encoded();
    bytes.push(0);
    assert_eq!(Evidence::decode(&bytes), Err(EvidenceError::TrailingBytes { extra: 1 }));
}

#[test]
fn only_this_encoding_is_read() {
    let with = |index: usize, byte: u8| {
        let mut bytes = encoded();
        bytes[index] = byte;
        Evidence::decode(&bytes)
    };
    assert_eq!(with(0, b'X'), Err(EvidenceError::NotEvidence));
    assert_eq!(with(4, 2), Err(EvidenceError::UnknownEncoding { got: 2, known: 1 }));
    for tee in [0, 4, 255] {
        assert_eq!(with(5, tee), Err(EvidenceError::UnsupportedTee { got: tee }));
    }
}

#[test]
fn oversized_evidence_is_refused_unread() {
    let got = MAX_EVIDENCE + 1;
    let refused = EvidenceError::TooLarge { part: Part::Evidence, got, max: MAX_EVIDENCE };
    assert_eq!(Evidence::decode(&vec![0xff; got]), Err(refused));
}

/// A length field that promises more than the cap costs nothing: it is refused before anything is allocated.
#[test]
fn a_promised_length_is_checked_before_it_is_believed() {
    let mut bytes = encoded();
    bytes[6..10].copy_from_slice(&u32::MAX.to_be_bytes());
    assert!(matches!(Evidence::decode(&bytes), Err(EvidenceError::TooLarge { part: Part::Quote, .. })));
}

/// Makes a part `length` bytes or entries long.
type Grow = fn(&mut TdxEvidence, usize);

/// Each part with its cap.
const CAPS: [(Part, usize, Grow); 14] = [
    (Part::Quote, 16 * 1024, |e, n| e.quote.resize(n, 0)),
    (Part::EventLog, 256, |e, n| e.event_log.resize(n, event(0, 0))),
    (Part::EventName, 128, |e, n| e.event_log = vec![event(n, 0)]),
    (Part::EventPayload, 4096, |e, n| e.event_log = vec![event(0, n)]),
    (Part::Image, 64 * 1024, |e, n| e.image.resize(n, 0)),
    (Part::CertificateChain, 16 * 1024, |e, n| e.collateral.pck_crl_issuer_chain = text(n)),
    (Part::CertificateChain, 16 * 1024, |e, n| e.collateral.tcb_info_issuer_chain = text(n)),
    (Part::CertificateChain, 16 * 1024, |e, n| e.collateral.qe_identity_issuer_chain = text(n)),
    (Part::CertificateChain, 16 * 1024, |e, n| e.collateral.pck_certificate_chain = text(n)),
    (Part::Crl, 64 * 1024, |e, n| e.collateral.root_ca_crl.resize(n, 0)),
    (Part::Crl, 64 * 1024, |e, n| e.collateral.pck_crl.resize(n, 0)),
    (Part::TcbInfo, 64 * 1024, |e, n| e.collateral.tcb_info = text(n)),
    (Part::QeIdentity, 16 * 1024, |e, n| e.collateral.qe_identity = text(n)),
    (Part::Signature, 64, |e, n| e.collateral.tcb_info_signature.resize(n, 0)),
];

fn text(length: usize) -> String {
    "x".repeat(length)
}

fn event(name: usize, payload: usize) -> Event {
    Event::runtime(DigestVersion::V1, text(name), vec![0; payload])
}

/// At its cap a part is read, and refused for what it holds; one above, it is refused for its length.
#[test]
fn every_part_has_a_cap_on_the_wire_and_in_memory() {
    for (part, cap, grow) in CAPS {
        for length in [cap, cap + 1] {
            let mut evidence = minted(&guest());
            grow(&mut evidence, length);
            let decoded = Evidence::decode(&Evidence::Tdx(Box::new(evidence.clone())).encode());
            for refused in [decoded.map(|_| ()), check(evidence).map(|_| ())] {
                let too_large = matches!(refused, Err(EvidenceError::TooLarge { part: p, got, max })
                    if (p, got, max) == (part, cap + 1, cap));
                assert_eq!(too_large, length > cap, "{part} of {length}: {refused:?}");
            }
        }
    }
}

fn any_event() -> impl Strategy<Value = Event> {
    (any::<u32>(), any::<u32>(), 0..3u8, ".{0,30}", vec(any::<u8>(), 0..64)).prop_map(
        |(register, kind, form, name, payload)| {
            let digest_version = match form {
                0 => DigestVersion::Boot([kind.to_be_bytes()[3]; 48]),
                1 => DigestVersion::V1,
                _ => DigestVersion::V2,
            };
            Event { register, kind, digest_version, name, payload }
        },
    )
}

fn any_collateral() -> impl Strategy<Value = Collateral> {
    let bytes = || vec(any::<u8>(), 0..40);
    let (texts, blobs) = (vec(".{0,20}", 6), (bytes(), bytes(), bytes(), bytes()));
    (texts, blobs).prop_map(|(texts, (root_ca_crl, pck_crl, tcb_info_signature, qe_identity_signature))| {
        Collateral {
            pck_crl_issuer_chain: texts[0].clone(),
            root_ca_crl,
            pck_crl,
            tcb_info_issuer_chain: texts[1].clone(),
            tcb_info: texts[2].clone(),
            tcb_info_signature,
            qe_identity_issuer_chain: texts[3].clone(),
            qe_identity: texts[4].clone(),
            qe_identity_signature,
            pck_certificate_chain: texts[5].clone(),
        }
    })
}

proptest! {
    #[test]
    fn any_evidence_survives_its_encoding(
        quote in vec(any::<u8>(), 0..200),
        event_log in vec(any_event(), 0..8),
        image in vec(any::<u8>(), 0..100),
        collateral in any_collateral(),
    ) {
        let evidence = Evidence::Tdx(Box::new(TdxEvidence { quote, event_log, image, collateral }));
        let bytes = evidence.encode();
        prop_assert_eq!(Evidence::decode(&bytes), Ok(evidence));
    }

    /// What decodes at all encodes to the very bytes that were read: nobody can vary evidence without changing it.
    #[test]
    fn a_value_has_one_encoding(index in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = encoded();
        let index = index.index(bytes.len());
        bytes[index] = byte;
        if let Ok(evidence) = Evidence::decode(&bytes) {
            prop_assert_eq!(evidence.encode(), bytes);
        }
    }

    #[test]
    fn any_bytes_are_read_without_panic(tail in vec(any::<u8>(), 0..400)) {
        let mut bytes = b"MNDE\x01\x01".to_vec();
        bytes.extend(tail);
        let _ = Evidence::decode(&bytes);
    }
}
