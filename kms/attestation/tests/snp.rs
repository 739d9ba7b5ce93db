// SPDX-License-Identifier: Apache-2.0 OR MIT
//! SEV-SNP evidence that is right, and every way of being wrong.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod common;

use std::sync::LazyLock;

use alloy::primitives::{Address, B256};
use common::{NOW, REPORT_DATA};
use mandate_attestation::{
    Evidence, EvidenceError, KnownImage, KnownImages, SnpError, SnpEvidence, SnpMeasurement, Tee,
    TrustAnchors, Verified, Verifier,
    dev_pki::{DevSnpGuest, DevSnpPki, DevSnpTcb, SnpDefect},
    snp::{Endorser, KeyKind, Product, verify_report},
    verify,
};
use proptest::{prelude::*, sample::Index};

static PKI: LazyLock<DevSnpPki> = LazyLock::new(|| DevSnpPki::from_seed([0x31; 32]));
static ANCHORS: LazyLock<TrustAnchors> = LazyLock::new(|| PKI.trust_anchors());
static GOOD: LazyLock<SnpEvidence> = LazyLock::new(|| minted(&guest()));

fn guest() -> DevSnpGuest {
    DevSnpGuest::new(Address::repeat_byte(0xaa), B256::repeat_byte(0xcc))
}

fn minted(guest: &DevSnpGuest) -> SnpEvidence {
    snp(PKI.evidence(guest, REPORT_DATA, NOW))
}

fn snp(evidence: Evidence) -> SnpEvidence {
    match evidence {
        Evidence::Snp(snp) => *snp,
        other => panic!("not SEV-SNP: {other:?}"),
    }
}

fn check(evidence: SnpEvidence) -> Result<Verified, EvidenceError> {
    verify(&Evidence::Snp(Box::new(evidence)), &ANCHORS, NOW, &REPORT_DATA)
}

fn assert_facts(verified: &Verified, guest: &DevSnpGuest) {
    assert_eq!(verified.app_id(), guest.app_id);
    assert_eq!(verified.compose_hash(), guest.compose_hash);
    assert_eq!(verified.launch_ticket(), guest.launch_ticket);
    assert_eq!(verified.os_image_hash(), guest.os_image_hash());
    assert_eq!(verified.instance_id(), guest.instance_id);
    assert_eq!(verified.device_id(), guest.device_id());
    assert_eq!(verified.mr_aggregated(), guest.mr_aggregated());
    assert_eq!(verified.mr_system(), guest.mr_system());
    assert_eq!(verified.tee(), Tee::Snp);
    assert!(verified.is_development());
}

#[test]
fn g1_every_fact_is_the_guests_on_every_line_by_every_key() {
    for product in Product::ALL {
        for (report_version, key) in
            [(2, KeyKind::Vcek), (3, KeyKind::Vlek), (4, KeyKind::Vcek), (5, KeyKind::Vlek)]
        {
            let guest = DevSnpGuest {
                product,
                report_version,
                key,
                os_image: "another image".to_owned(),
                launch_ticket: Some(B256::repeat_byte(0x71)),
                ..guest()
            };
            let verified =
                check(minted(&guest)).unwrap_or_else(|e| panic!("{product} {report_version} {key}: {e}"));
            assert_facts(&verified, &guest);
            assert_eq!(verified.key_provider(), br#"{"name":"kms","id":"646576656c6f706d656e74"}"#);
        }
    }
}

#[test]
fn g1_tcb_status_is_what_the_signed_report_shows() {
    let even = DevSnpTcb::even(24);
    let cases = [
        (even, "UpToDate"),
        (DevSnpTcb { committed: 23, ..even }, "ConfigurationNeeded"),
        (DevSnpTcb { reported: 23, ..even }, "OutOfDate"),
        (DevSnpTcb { launched: 23, ..even }, "OutOfDate"),
        (DevSnpTcb { reported: 22, committed: 23, ..even }, "OutOfDateConfigurationNeeded"),
    ];
    for product in [Product::Milan, Product::Turin] {
        for (tcb, status) in cases {
            let guest = DevSnpGuest { product, tcb, ..guest() };
            let verified = check(minted(&guest)).unwrap();
            assert_eq!((verified.tcb_status(), verified.advisories().len()), (status, 0), "{tcb:?}");
        }
    }
}

#[test]
fn g1_a_platform_that_looked_for_no_aliases_has_an_advisory() {
    let verified = check(minted(&DevSnpGuest { aliases_checked: false, ..guest() })).unwrap();
    assert_eq!(verified.advisories(), ["AMD-SB-3015"]);
    assert_eq!(verified.tcb_status(), "UpToDate");
}

#[test]
fn evidence_is_the_same_for_the_same_seed_guest_and_time() {
    let evidence = |seed| DevSnpPki::from_seed([seed; 32]).evidence(&guest(), REPORT_DATA, NOW).encode();
    assert_eq!(evidence(0x31), PKI.evidence(&guest(), REPORT_DATA, NOW).encode());
    assert_ne!(evidence(2), evidence(0x31));
}

#[test]
fn g1_development_evidence_is_worthless_under_the_vendors_roots() {
    let evidence = PKI.evidence(&guest(), REPORT_DATA, NOW);
    let refused = verify(&evidence, &TrustAnchors::production(), NOW, &REPORT_DATA);
    assert!(matches!(refused, Err(EvidenceError::Snp(SnpError::Untrusted(_)))), "{refused:?}");
}

#[test]
fn g8_evidence_made_for_another_request_is_refused() {
    let mut other = REPORT_DATA;
    other[63] ^= 1;
    let refused = verify(&PKI.evidence(&guest(), REPORT_DATA, NOW), &ANCHORS, NOW, &other);
    assert_eq!(refused, Err(EvidenceError::ReportDataMismatch));
}

#[test]
fn g1_evidence_ages_in_a_warm_verifier_too() {
    let (evidence, verifier) = (PKI.evidence(&guest(), REPORT_DATA, NOW), Verifier::new(ANCHORS.clone()));
    let at = |now| {
        let (cold, warm) =
            (verify(&evidence, &ANCHORS, now, &REPORT_DATA), verifier.verify(&evidence, now, &REPORT_DATA));
        assert_eq!(cold, warm);
        cold
    };
    assert!(at(NOW).is_ok() && at(NOW + 29 * 86_400).is_ok());
    for now in [0, NOW - 2 * 86_400, NOW + 31 * 86_400, u64::MAX / 2] {
        let refused = at(now);
        assert!(matches!(refused, Err(EvidenceError::Snp(SnpError::Expired(_)))), "{now}: {refused:?}");
    }
    assert!(at(NOW).is_ok());
}

type Expected = fn(&EvidenceError) -> bool;

macro_rules! is {
    ($pattern:pat) => {
        |e| matches!(e, $pattern)
    };
    (snp $pattern:pat) => {
        |e| matches!(e, EvidenceError::Snp($pattern))
    };
}

/// Each defect and the variant that names it: the compiler misses none.
fn expected(defect: SnpDefect) -> Expected {
    use SnpDefect::*;
    match defect {
        TamperedReport | TamperedSignature => is!(snp SnpError::Signature(_)),
        TruncatedReport | ReservedByte => is!(snp SnpError::Malformed(_)),
        OldReportVersion => is!(snp SnpError::Version(1)),
        FutureReportVersion => is!(snp SnpError::Version(6)),
        Debug => is!(snp SnpError::Debug),
        MigrationAgentAllowed | MigrationAgentBound => is!(snp SnpError::Migratable),
        ReservedPolicy => is!(snp SnpError::ReservedPolicy(0x100_0003_0000)),
        LessPrivileged => is!(snp SnpError::Vmpl(2)),
        SignatureAlgorithm => is!(snp SnpError::Algorithm(2)),
        Unsigned | UnknownSigningKey => is!(snp SnpError::Unsigned),
        OtherKeyKind => is!(snp SnpError::KeyKind { report: KeyKind::Vlek, certificate: KeyKind::Vcek }),
        MaskedChip => is!(snp SnpError::ChipMasked),
        OtherProcessor => is!(snp SnpError::Product(Product::Milan)),
        ClaimedBootLoader => is!(snp SnpError::Tcb { component: "boot loader", certificate: 24, report: 25 }),
        ClaimedTee => is!(snp SnpError::Tcb { component: "TEE", .. }),
        ClaimedFirmware => is!(snp SnpError::Tcb { component: "SNP firmware", .. }),
        ClaimedMicrocode => is!(snp SnpError::Tcb { component: "microcode", .. }),
        ClaimedFmc => is!(snp SnpError::Tcb { component: "FMC", .. }),
        OtherChip => is!(snp SnpError::Chip),
        OtherRoot | AuthorityOfAnotherRoot | AuthorityOfNobody | TamperedKey => {
            is!(snp SnpError::Untrusted(_))
        }
        AuthorityOfTheOtherKind | AuthorityNoCa => {
            is!(snp SnpError::Certificate { of: Endorser::Authority, .. })
        }
        OtherKeyName
        | OtherKeyIssuer
        | KeyIsCa
        | ChipExtension
        | NoBootLoaderExtension
        | FmcExtension
        | DoubleExtension
        | TrailingKey => is!(snp SnpError::Certificate { of: Endorser::Key, .. }),
        ExpiredAuthority => is!(snp SnpError::Expired(Endorser::Authority)),
        ExpiredKey | FutureKey => is!(snp SnpError::Expired(Endorser::Key)),
        ExpiredCrl | FutureCrl => is!(snp SnpError::Expired(Endorser::Crl)),
        EndlessCrl | CriticalCrlExtension | TruncatedCrl | NoCrl => {
            is!(snp SnpError::Certificate { of: Endorser::Crl, .. })
        }
        CrlOfAnotherRoot | CrlOfAnotherName | CrlOfAnotherHash => is!(snp SnpError::ForeignCrl(_)),
        RevokedRoot => is!(snp SnpError::Revoked(Endorser::Root)),
        RevokedAuthority => is!(snp SnpError::Revoked(Endorser::Authority)),
        OtherReportData => is!(EvidenceError::ReportDataMismatch),
        OtherConfig => is!(EvidenceError::HostDataMismatch),
        ConfigNoJson | ConfigWithoutApp | ConfigWithoutInstance => is!(EvidenceError::BadConfig { .. }),
        OtherOsLaunched => is!(EvidenceError::ImageNotBooted),
        ManifestNoJson => is!(EvidenceError::BadImage { .. }),
    }
}

/// A guest that can have the defect.
fn with(defect: SnpDefect) -> DevSnpGuest {
    let product = if defect == SnpDefect::ClaimedFmc { Product::Turin } else { Product::Milan };
    DevSnpGuest { product, ..guest() }.with_defect(defect)
}

/// Cold, and in a verifier that has seen good evidence of the same chains, each defect meets the same refusal.
#[test]
fn g1_every_defect_is_refused_by_its_name_cold_and_warm() {
    let verifier = Verifier::new(ANCHORS.clone());
    for product in Product::ALL {
        let good = PKI.evidence(&DevSnpGuest { product, ..guest() }, REPORT_DATA, NOW);
        verifier.verify(&good, NOW, &REPORT_DATA).unwrap();
    }
    for defect in SnpDefect::ALL.iter().copied() {
        let evidence = PKI.evidence(&with(defect), REPORT_DATA, NOW);
        let cold = verify(&evidence, &ANCHORS, NOW, &REPORT_DATA);
        assert!(cold.as_ref().is_err_and(expected(defect)), "{defect:?}: {cold:?}");
        for _ in 0..2 {
            assert_eq!(verifier.verify(&evidence, NOW, &REPORT_DATA), cold, "{defect:?}");
        }
    }
}

#[test]
fn refusals_say_what_was_refused_in_one_line() {
    for defect in SnpDefect::ALL.iter().copied() {
        let text = check(minted(&with(defect))).unwrap_err().to_string();
        assert!(!text.contains('\n') && (10..400).contains(&text.len()), "{defect:?}: {text}");
    }
}

#[test]
fn g1_a_vlek_speaks_for_no_chip_and_a_vcek_for_one() {
    let provider = DevSnpGuest { key: KeyKind::Vlek, ..guest() };
    let elsewhere = DevSnpGuest { chip: [0x77; 64], ..provider.clone() };
    let mixed = SnpEvidence { endorsement: minted(&provider).endorsement, ..minted(&elsewhere) };
    assert_facts(&check(mixed).unwrap(), &elsewhere);
    let neighbour = DevSnpGuest { chip: [0x77; 64], ..guest() };
    let mixed = SnpEvidence { endorsement: GOOD.endorsement.clone(), ..minted(&neighbour) };
    assert_eq!(check(mixed), Err(SnpError::Chip.into()));
}

/// Guests of unmodified upstream bring no manifest: the verifier's own list says what a launch digest stands for.
#[test]
fn g1_an_image_without_manifest_is_known_by_its_launch_digest_or_not_at_all() {
    let mut evidence = minted(&guest());
    evidence.image.clear();
    assert_eq!(check(evidence.clone()), Err(EvidenceError::UnknownImage));
    let measurement =
        verify_report(&evidence.report, &evidence.endorsement, &ANCHORS, NOW).unwrap().measurement();
    let mut known = KnownImages::default();
    let os_image_hash = B256::repeat_byte(0x55);
    let image = |snp| KnownImage {
        version: 1,
        os_image_hash,
        name: "upstream".to_owned(),
        measurements: vec![],
        snp,
    };
    known.add(&image(vec![SnpMeasurement { measurement }])).unwrap();
    let verifier = Verifier::new(ANCHORS.clone()).with_images(known);
    let evidence = Evidence::Snp(Box::new(evidence));
    assert_eq!(verifier.verify(&evidence, NOW, &REPORT_DATA).unwrap().os_image_hash(), os_image_hash);
    let other = PKI.evidence(&guest().with_defect(SnpDefect::OtherOsLaunched), REPORT_DATA, NOW);
    let other = Evidence::Snp(Box::new(SnpEvidence { image: vec![], ..snp(other) }));
    assert_eq!(verifier.verify(&other, NOW, &REPORT_DATA), Err(EvidenceError::UnknownImage));
}

/// The attack: one line's key, certified below another line's root of the same development.
#[test]
fn g1_a_chain_of_another_line_is_refused() {
    let genoa = DevSnpGuest { product: Product::Genoa, ..guest() };
    for report_version in [2, 3] {
        let turin = minted(&DevSnpGuest { product: Product::Turin, report_version, ..guest() });
        let mixed = SnpEvidence { endorsement: minted(&genoa).endorsement, ..turin };
        assert_eq!(check(mixed), Err(SnpError::Product(Product::Genoa).into()));
    }
}

#[test]
fn g1_no_byte_of_the_signed_report_can_change() {
    let verifier = Verifier::new(ANCHORS.clone());
    let mut evidence = GOOD.clone();
    for index in 0..evidence.report.len() {
        evidence.report[index] ^= 1;
        let tampered = Evidence::Snp(Box::new(evidence.clone()));
        assert!(verifier.verify(&tampered, NOW, &REPORT_DATA).is_err(), "byte {index}");
        evidence.report[index] ^= 1;
    }
}

#[test]
fn a_report_certificate_or_crl_cut_at_any_length_is_refused_without_panic() {
    let good = &*GOOD;
    let refused = |evidence: &SnpEvidence| {
        verify_report(&evidence.report, &evidence.endorsement, &ANCHORS, NOW).is_err()
    };
    for length in 0..good.report.len() {
        assert!(refused(&SnpEvidence { report: good.report[..length].to_vec(), ..good.clone() }), "{length}");
    }
    let mut cut = good.clone();
    for length in 0..good.endorsement.key.len() {
        cut.endorsement.key = good.endorsement.key[..length].to_vec();
        assert!(refused(&cut), "key {length}");
    }
    cut = good.clone();
    for length in 0..good.endorsement.crl.len() {
        cut.endorsement.crl = good.endorsement.crl[..length].to_vec();
        assert!(refused(&cut), "CRL {length}");
    }
}

#[test]
fn evidence_survives_its_encoding_and_no_piece_of_it_does() {
    let evidence = Evidence::Snp(Box::new(GOOD.clone()));
    let bytes = evidence.encode();
    assert_eq!(Evidence::decode(&bytes).as_ref(), Ok(&evidence));
    for length in 0..bytes.len() {
        let cut = Evidence::decode(&bytes[..length]);
        assert!(matches!(cut, Err(EvidenceError::Truncated { .. })), "{length}");
    }
    assert_eq!(
        Evidence::decode(&[&bytes[..], &[0]].concat()),
        Err(EvidenceError::TrailingBytes { extra: 1 })
    );
}

/// Lengths as they are documented: at the cap a part is read, one byte above it nothing is.
#[test]
fn every_part_has_a_cap_on_the_wire_and_in_memory() {
    type Part = fn(&mut SnpEvidence) -> &mut Vec<u8>;
    let parts: [(Part, usize); 6] = [
        (|e| &mut e.report, 2 * 1024),
        (|e| &mut e.endorsement.key, 8 * 1024),
        (|e| &mut e.endorsement.authority, 8 * 1024),
        (|e| &mut e.endorsement.crl, 64 * 1024),
        (|e| &mut e.config, 16 * 1024),
        (|e| &mut e.image, 64 * 1024),
    ];
    for (part, cap) in parts {
        let sized = |length| {
            let mut evidence = GOOD.clone();
            part(&mut evidence).resize(length, 0);
            (
                Evidence::decode(&Evidence::Snp(Box::new(evidence.clone())).encode()).map(|_| ()),
                check(evidence).map(|_| ()),
            )
        };
        let too_large = |result: &Result<(), EvidenceError>| matches!(result, Err(EvidenceError::TooLarge { got, max, .. }) if *max == cap && *got == cap + 1);
        let (decoded, verified) = sized(cap);
        assert!(decoded.is_ok() && !matches!(verified, Err(EvidenceError::TooLarge { .. })), "{cap}");
        let (decoded, verified) = sized(cap + 1);
        assert!(too_large(&decoded) && too_large(&verified), "{cap}: {decoded:?} {verified:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever byte of whatever part changes: refused, or exactly the same facts.
    #[test]
    fn g1_tampering_never_changes_a_fact(at: Index, flip in 1..=u8::MAX) {
        static WARM: LazyLock<(Verifier, Verified)> = LazyLock::new(|| {
            let verifier = Verifier::new(ANCHORS.clone());
            let facts = verifier.verify(&Evidence::Snp(Box::new(GOOD.clone())), NOW, &REPORT_DATA).unwrap();
            (verifier, facts)
        });
        let mut bytes = Evidence::Snp(Box::new(GOOD.clone())).encode();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        if let Ok(evidence) = Evidence::decode(&bytes) {
            prop_assert_eq!(evidence.encode(), bytes);
            if let Ok(facts) = WARM.0.verify(&evidence, NOW, &REPORT_DATA) {
                // Another manifest is another image: its hash is a fact, and the contracts know it not.
                match &evidence {
                    Evidence::Snp(snp) if snp.image == GOOD.image => prop_assert_eq!(&facts, &WARM.1),
                    _ => prop_assert_ne!(facts.os_image_hash(), WARM.1.os_image_hash()),
                }
            }
        }
    }
}
