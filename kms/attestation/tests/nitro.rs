// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Nitro evidence that is right, and every way of being wrong.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod common;

use std::sync::LazyLock;

use alloy::primitives::{Address, B256};
use common::{NOW, REPORT_DATA};
use mandate_attestation::{
    Evidence, EvidenceError, NitroError, NitroEvidence, Tee, TrustAnchors, Verified,
    dev_pki::{DevEnclave, DevNitroPki, NitroDefect},
    nitro::verify_document,
    verify,
};
use proptest::{prelude::*, sample::Index};

static PKI: LazyLock<DevNitroPki> = LazyLock::new(|| DevNitroPki::from_seed([0x31; 32]));
static ANCHORS: LazyLock<TrustAnchors> = LazyLock::new(|| PKI.trust_anchors());
static GOOD: LazyLock<NitroEvidence> = LazyLock::new(|| minted(&enclave()));

fn enclave() -> DevEnclave {
    DevEnclave::new(Address::repeat_byte(0xaa), B256::repeat_byte(0xcc))
}

fn minted(enclave: &DevEnclave) -> NitroEvidence {
    match PKI.evidence(enclave, REPORT_DATA, NOW) {
        Evidence::Nitro(nitro) => *nitro,
        other => panic!("not Nitro: {other:?}"),
    }
}

fn check(evidence: NitroEvidence) -> Result<Verified, EvidenceError> {
    verify(&Evidence::Nitro(Box::new(evidence)), &ANCHORS, NOW, &REPORT_DATA)
}

#[test]
fn g1_every_fact_is_the_enclaves() {
    let enclave = DevEnclave {
        os_image: "another image".to_owned(),
        launch_ticket: Some(B256::repeat_byte(0x71)),
        ..enclave()
    };
    let verified = check(minted(&enclave)).unwrap();
    assert_eq!(verified.app_id(), enclave.app_id);
    assert_eq!(verified.compose_hash(), enclave.compose_hash);
    assert_eq!(verified.launch_ticket(), enclave.launch_ticket);
    assert_eq!(verified.os_image_hash(), enclave.os_image_hash());
    assert_eq!(verified.instance_id(), enclave.instance_id);
    assert_eq!(verified.device_id(), enclave.device_id());
    assert_eq!(verified.mr_aggregated(), enclave.mr_aggregated());
    assert_eq!(verified.mr_system(), enclave.mr_system());
    assert_eq!((verified.tee(), verified.tcb_status()), (Tee::Nitro, "UpToDate"));
    assert!(verified.advisories().is_empty() && verified.is_development());
}

#[test]
fn evidence_is_the_same_for_the_same_seed_enclave_and_time() {
    let evidence = |seed| DevNitroPki::from_seed([seed; 32]).evidence(&enclave(), REPORT_DATA, NOW).encode();
    assert_eq!(evidence(1), evidence(1));
    assert_ne!(evidence(1), evidence(2));
}

#[test]
fn g1_development_evidence_is_worthless_under_the_vendors_root() {
    let evidence = PKI.evidence(&enclave(), REPORT_DATA, NOW);
    let refused = verify(&evidence, &TrustAnchors::production(), NOW, &REPORT_DATA);
    assert!(matches!(refused, Err(EvidenceError::Nitro(NitroError::Untrusted(_)))), "{refused:?}");
}

#[test]
fn g1_documents_age_within_hours() {
    let evidence = PKI.evidence(&enclave(), REPORT_DATA, NOW);
    let at = |now| verify(&evidence, &ANCHORS, now, &REPORT_DATA);
    assert!(at(NOW + 3_600).is_ok());
    for now in [0, NOW - 7_200, NOW + 10_800] {
        let refused = at(now);
        assert!(matches!(refused, Err(EvidenceError::Nitro(NitroError::Expired(_)))), "{now}: {refused:?}");
    }
}

/// Each defect and whether a refusal names it: the compiler misses none.
fn is_named(defect: NitroDefect, refused: &EvidenceError) -> bool {
    use NitroDefect as D;
    use NitroError as E;
    let field = |name: &str| matches!(refused, EvidenceError::Nitro(E::Field { field, .. }) if field == name);
    match defect {
        D::TamperedDocument | D::TamperedSignature => *refused == E::Signature.into(),
        D::TruncatedDocument | D::TrailingDocument | D::TrailingPayload | D::Tagged => {
            matches!(refused, EvidenceError::Nitro(E::Malformed(_)))
        }
        D::OtherAlgorithm | D::ExtraHeader => *refused == E::Algorithm.into(),
        D::OtherRoot | D::MissingIntermediate => matches!(refused, EvidenceError::Nitro(E::Untrusted(_))),
        D::ExpiredLeaf | D::FutureLeaf => matches!(refused, EvidenceError::Nitro(E::Expired(_))),
        D::OtherDigest | D::DoubleField => field("digest"),
        D::UnknownField => field("signature"),
        D::MissingField => field("module_id"),
        D::LongNonce => field("nonce"),
        D::DoubleRegister | D::RegisterOutOfRange | D::ShortRegister => field("pcrs"),
        D::Debug => *refused == E::Debug.into(),
        D::UnlockedImage => *refused == E::NotLocked(1).into(),
        D::UnlockedConfig => *refused == E::NotLocked(16).into(),
        D::NoInstance => *refused == E::NoDevice.into(),
        D::NoUserData | D::OtherReportData | D::LongerUserData => {
            *refused == EvidenceError::ReportDataMismatch
        }
        D::OtherConfig => *refused == EvidenceError::ConfigPcrMismatch,
        D::ConfigNoJson => matches!(refused, EvidenceError::BadConfig { .. }),
        D::OtherOsStarted => *refused == EvidenceError::ImageNotBooted,
        D::ManifestNoJson => matches!(refused, EvidenceError::BadImage { .. }),
    }
}

#[test]
fn g1_every_defect_is_refused_by_its_name_in_one_line() {
    for defect in NitroDefect::ALL.iter().copied() {
        let refused = check(minted(&enclave().with_defect(defect)));
        assert!(refused.as_ref().is_err_and(|e| is_named(defect, e)), "{defect:?}: {refused:?}");
        let text = refused.unwrap_err().to_string();
        assert!(!text.contains('\n') && (10..400).contains(&text.len()), "{defect:?}: {text}");
    }
}

#[test]
fn g1_no_byte_of_a_document_can_change_a_fact_and_no_piece_of_it_verifies() {
    let facts = check(GOOD.clone()).unwrap();
    let mut evidence = GOOD.clone();
    for index in (0..evidence.document.len()).step_by(3) {
        evidence.document[index] ^= 1;
        if let Ok(got) = check(evidence.clone()) {
            assert_eq!(got, facts, "byte {index}");
        }
        evidence.document[index] ^= 1;
    }
    for length in 0..evidence.document.len() {
        assert!(verify_document(&evidence.document[..length], &ANCHORS, NOW).is_err(), "{length}");
    }
}

#[test]
fn evidence_survives_its_encoding_and_no_piece_of_it_does() {
    let evidence = Evidence::Nitro(Box::new(GOOD.clone()));
    let bytes = evidence.encode();
    assert_eq!(Evidence::decode(&bytes).as_ref(), Ok(&evidence));
    for length in 0..bytes.len() {
        let cut = Evidence::decode(&bytes[..length]);
        assert!(matches!(cut, Err(EvidenceError::Truncated { .. })), "{length}");
    }
}

#[test]
fn every_part_has_a_cap_on_the_wire_and_in_memory() {
    type Part = fn(&mut NitroEvidence) -> &mut Vec<u8>;
    let parts: [(Part, usize); 3] =
        [(|e| &mut e.document, 16 * 1024), (|e| &mut e.config, 16 * 1024), (|e| &mut e.image, 64 * 1024)];
    for (part, cap) in parts {
        let sized = |length| {
            let mut evidence = GOOD.clone();
            part(&mut evidence).resize(length, 0);
            let bytes = Evidence::Nitro(Box::new(evidence.clone())).encode();
            [Evidence::decode(&bytes).map(|_| ()), check(evidence).map(|_| ())]
        };
        let too_large = |result: &Result<(), EvidenceError>| matches!(result, Err(EvidenceError::TooLarge { got, max, .. }) if *max == cap && *got == cap + 1);
        let [decoded, verified] = sized(cap);
        assert!(decoded.is_ok() && !too_large(&verified), "{cap}");
        assert!(sized(cap + 1).iter().all(too_large), "{cap}");
    }
}

proptest! {
    /// The payload is CBOR of anybody's making until its signature is checked.
    #[test]
    fn any_bytes_as_a_document_are_refused_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        prop_assert!(verify_document(&bytes, &ANCHORS, NOW).is_err());
        let mut framed = vec![0x84, 0x44, 0xa1, 0x01, 0x38, 0x22, 0xa0, 0x59];
        framed.extend(u16::try_from(bytes.len()).unwrap().to_be_bytes());
        framed.extend(&bytes);
        framed.extend([0x58, 96]);
        framed.extend([1; 96]);
        prop_assert!(verify_document(&framed, &ANCHORS, NOW).is_err());
    }

    #[test]
    fn g1_tampering_with_the_encoding_never_changes_a_fact(at: Index, flip in 1..=u8::MAX) {
        static FACTS: LazyLock<Verified> = LazyLock::new(|| check(GOOD.clone()).unwrap());
        let mut bytes = Evidence::Nitro(Box::new(GOOD.clone())).encode();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        if let Ok(evidence) = Evidence::decode(&bytes) {
            prop_assert_eq!(evidence.encode(), bytes);
            if let Ok(facts) = verify(&evidence, &ANCHORS, NOW, &REPORT_DATA) {
                // Another manifest is another image: its hash is a fact, and the contracts know it not.
                match &evidence {
                    Evidence::Nitro(nitro) if nitro.image == GOOD.image => prop_assert_eq!(&facts, &*FACTS),
                    _ => prop_assert_ne!(facts.os_image_hash(), FACTS.os_image_hash()),
                }
            }
        }
    }
}
