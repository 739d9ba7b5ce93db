// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Every way of being wrong that the development PKI knows, and the error that names it; by a cold and by a warm verifier.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod common;

use common::{NOW, REPORT_DATA, check, guest, minted, pki};
use mandate_attestation::{
    Evidence, EvidenceError, QuoteError, TrustAnchors, Verifier,
    dev_pki::{Defect, DevGuest, QuoteVersion},
};

/// Whether `refused` names `defect`. There is no wildcard: a new defect does not compile until it has its line.
fn names(defect: Defect, refused: &EvidenceError) -> bool {
    use Defect as D;
    use EvidenceError as E;
    use QuoteError as Q;
    let quote = match refused {
        E::Quote(quote) => Some(quote),
        _ => None,
    };
    match defect {
        D::TamperedQuote
        | D::TamperedQeReport
        | D::OtherAttestationKey
        | D::ShortQeAuthData
        | D::TamperedTcbInfo
        | D::TamperedQeIdentity
        | D::ShortTcbSignature => matches!(quote, Some(Q::Signature(_))),
        D::TruncatedQuote | D::QuoteVersion(5) | D::OtherKeyType => matches!(quote, Some(Q::Malformed(_))),
        D::QuoteVersion(version) => quote == Some(&Q::Version(version)),
        D::SgxQuote => quote == Some(&Q::NotTdx(0)),
        D::OtherRoot | D::OtherPlatformCa | D::IndirectTcbSigner | D::ForgedRootCrl | D::ForgedPckCrl => {
            matches!(quote, Some(Q::Untrusted(_)))
        }
        D::TudBit(bit) => quote == Some(&Q::Debug(1 << bit)),
        D::Migratable => quote == Some(&Q::Migratable),
        D::SeptVeEnabled => quote == Some(&Q::SeptVeEnabled),
        D::ServiceTd | D::ServiceTdLater | D::ServiceTdAttribute => quote == Some(&Q::ServiceTd),
        D::ReservedAttribute => quote == Some(&Q::ReservedAttributes(1 << 40)),
        D::SeamSigner | D::ListedSeamSigner => quote == Some(&Q::SeamSigner),
        D::SeamAttributes => quote == Some(&Q::SeamAttributes(1)),
        D::OtherListedSeamSigner | D::UnlistedModule | D::OldModule => matches!(quote, Some(Q::TdxModule(_))),
        D::RevokedModule | D::RevokedQuotingEnclave | D::TcbRevoked => quote == Some(&Q::TcbRevoked),
        D::OldQuotingEnclave
        | D::ForeignQuotingEnclave
        | D::OtherQeProduct
        | D::DebugQuotingEnclave
        | D::OtherQeVendor => matches!(quote, Some(Q::QuotingEnclave(_))),
        D::RevokedPck | D::RevokedPlatformCa | D::RevokedTcbSigner | D::RevokedRoot => {
            matches!(quote, Some(Q::CertificateRevoked(_)))
        }
        D::ExpiredPck
        | D::FuturePck
        | D::ExpiredTcbSigner
        | D::ExpiredCollateral
        | D::FutureCollateral
        | D::ExpiredTcbInfo
        | D::ExpiredQeIdentity
        | D::ExpiredRootCrl
        | D::ExpiredPckCrl => matches!(quote, Some(Q::Expired(_))),
        D::NoPpid => quote == Some(&Q::NoDevice),
        D::OtherPlatformsCollateral | D::SgxTcbInfo | D::SgxQeIdentity => {
            matches!(quote, Some(Q::WrongCollateral(_)))
        }
        D::TcbBelowEveryLevel => matches!(quote, Some(Q::TcbUnlisted(_))),
        D::OtherReportData => *refused == E::ReportDataMismatch,
        D::OtherConfigId | D::OtherConfigIdApp => *refused == E::ConfigIdMismatch,
        D::ForgedLog | D::ShortenedLog => *refused == E::LogMismatch,
        D::ForgedBootLog => *refused == E::BootLogMismatch { register: 0 },
        D::DuplicateEvent => matches!(refused, E::DuplicateEvent { .. }),
        D::EventOrder => matches!(refused, E::EventOrder { .. }),
        D::NoSystemReady => *refused == E::MissingEvent { name: "system-ready" },
        D::ShortComposeHash => *refused == E::PayloadLength { name: "compose-hash", got: 31, expected: 32 },
        D::AmbiguousName => *refused == E::AmbiguousName { index: 3 },
        D::ForeignEvent => matches!(refused, E::ForeignEvent { index: 0, register: 0, .. }),
        D::OtherOsBooted => *refused == E::ImageNotBooted,
        D::OtherManifest => *refused == E::ImageHashMismatch,
        D::NoManifest => *refused == E::UnknownImage,
        D::NoImageHash => *refused == E::MissingEvent { name: "os-image-hash" },
    }
}

fn refusal(defect: Defect) -> EvidenceError {
    let verdict = check(minted(&guest().with_defect(defect)));
    verdict.map(|_| ()).expect_err(&format!("{defect:?} is believed"))
}

#[test]
fn g1_every_defect_is_refused_by_its_name() {
    let all = Defect::all();
    assert!(all.len() > 70, "{}", all.len());
    for defect in all {
        let refused = refusal(defect);
        assert!(names(defect, &refused), "{defect:?}: {refused:?}");
    }
}

#[test]
fn refusals_say_what_was_refused_in_one_line() {
    for defect in Defect::all() {
        let text = refusal(defect).to_string();
        assert!(!text.contains('\n') && (10..400).contains(&text.len()), "{defect:?}: {text}");
    }
}

fn whole(guest: &DevGuest) -> Evidence {
    pki().evidence(guest, REPORT_DATA, NOW)
}

/// A verifier that has seen everything right there is to see, of every format.
fn warm() -> Verifier {
    let verifier = Verifier::new(pki().trust_anchors());
    for quote_version in QuoteVersion::ALL {
        let good = whole(&DevGuest { quote_version, ..guest() });
        assert!(verifier.verify(&good, NOW, &REPORT_DATA).is_ok());
    }
    verifier
}

/// The attack: let a verifier see good evidence first, in the hope that what is shared with bad evidence covers for it. Each
/// defect comes three times, since the second time its own right signatures are remembered too.
#[test]
fn g1_a_warm_verifier_refuses_every_defect_with_the_cold_ones_words() {
    let warm = warm();
    for defect in Defect::all() {
        let bad = whole(&guest().with_defect(defect));
        let cold = mandate_attestation::verify(&bad, &pki().trust_anchors(), NOW, &REPORT_DATA);
        assert!(cold.is_err(), "{defect:?}");
        for time in 1..=3 {
            assert_eq!(warm.verify(&bad, NOW, &REPORT_DATA), cold, "{defect:?}, time {time}");
        }
    }
    assert!(warm.verify(&whole(&guest()), NOW, &REPORT_DATA).is_ok());
}

#[test]
fn a_warm_verifier_remembers_what_quotes_share_and_not_the_quotes() {
    let (warm, good) = (warm(), whole(&guest()));
    let before = warm.remembered();
    // Root CRL, PCK CRL, signer's certificate, TCB info, QE identity, platform CA, PCK certificate, quoting enclave's report.
    assert_eq!(before, 8);
    for byte in 0..10 {
        let report_data = [byte; 64];
        let evidence = pki().evidence(&guest(), report_data, NOW);
        assert!(warm.verify(&evidence, NOW, &report_data).is_ok());
    }
    assert!(warm.clone().verify(&good, NOW, &REPORT_DATA).is_ok());
    assert_eq!(warm.remembered(), before);
}

#[test]
fn g1_time_passes_for_a_warm_verifier_too() {
    let (warm, good) = (warm(), whole(&guest()));
    for now in [NOW, NOW + 29 * 86_400, NOW + 31 * 86_400, NOW - 2 * 86_400, 0, u64::MAX / 2] {
        let cold = mandate_attestation::verify(&good, &pki().trust_anchors(), now, &REPORT_DATA);
        assert_eq!(warm.verify(&good, now, &REPORT_DATA), cold, "{now}");
    }
}

/// A certificate that was good is revoked by a newer CRL.
#[test]
fn g1_a_revocation_reaches_a_warm_verifier() {
    let warm = warm();
    let refused = warm.verify(&whole(&guest().with_defect(Defect::RevokedPck)), NOW, &REPORT_DATA);
    assert!(matches!(refused, Err(EvidenceError::Quote(QuoteError::CertificateRevoked(_)))), "{refused:?}");
}

#[test]
fn g1_a_warm_memory_is_worth_nothing_under_another_root() {
    let (warm, good) = (warm(), whole(&guest()));
    assert!(warm.verify(&good, NOW, &REPORT_DATA).is_ok());
    let vendors = Verifier::new(TrustAnchors::production());
    assert!(vendors.verify(&good, NOW, &REPORT_DATA).is_err());
    assert_eq!(vendors.remembered(), 0);
}
