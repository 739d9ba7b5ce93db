// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Readings that are not our own: another library's of a minted quote, and ours of real quotes.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod common;

use std::collections::BTreeSet;

use common::{
    guest, minted, pki,
    samples::{IN_TIME_2025_07, IN_TIME_2026_02, IN_TIME_2026_10, Samples},
};
use mandate_attestation::{
    QuoteError, TrustAnchors, Verifier,
    dev_pki::Defect,
    tdx::{VerifiedQuote, verify_quote},
    upstream::UpstreamQuote,
};

/// Below this length, or with another version, the other library panics.
const SHORTEST_FOR_TDX_QUOTE: usize = 636;

fn read_by_tdx_quote(quote: &[u8]) -> Result<tdx_quote::Quote, tdx_quote::QuoteParseError> {
    assert!(quote.len() >= SHORTEST_FOR_TDX_QUOTE && quote.starts_with(&[4, 0]));
    tdx_quote::Quote::from_bytes(quote)
}

#[test]
fn another_library_accepts_the_minted_signature_and_reads_the_same_registers() {
    let evidence = minted(&guest());
    let ours =
        verify_quote(&evidence.quote, &evidence.collateral, &pki().trust_anchors(), common::NOW).unwrap();
    let theirs = read_by_tdx_quote(&evidence.quote).unwrap();
    assert_eq!(&theirs.report_input_data(), ours.report_data());
    assert_eq!(&theirs.rtmr3(), ours.rtmr3());
    let registers = ours.image_measurements();
    assert_eq!(theirs.mrtd(), registers.mrtd.0);
    assert_eq!(
        [theirs.rtmr0(), theirs.rtmr1(), theirs.rtmr2()],
        [registers.rtmr0.0, registers.rtmr1.0, registers.rtmr2.0]
    );
}

#[test]
fn another_library_refuses_the_tampered_quote_too() {
    let evidence = minted(&guest().with_defect(Defect::TamperedQuote));
    assert!(read_by_tdx_quote(&evidence.quote).is_err());
}

#[test]
fn another_library_accepts_every_real_version_4_quote() {
    let samples = Samples::of_the_package();
    let upstream = [
        UpstreamQuote::from_get_quote(include_bytes!("fixtures/dstack/getquote-0.5.json")),
        UpstreamQuote::from_get_quote(include_bytes!("fixtures/dstack/getquote-0.6.json")),
        UpstreamQuote::from_attestation(include_bytes!("fixtures/dstack/attestation-v0.bin")),
    ];
    let mut quotes: Vec<_> = upstream.into_iter().map(|read| read.unwrap().quote).collect();
    quotes.extend(["tdx_quote", "quote-from-tappd.hex", "tdx-quote.hex"].map(|name| samples.quote(name)));
    for (index, quote) in quotes.iter().enumerate() {
        assert!(read_by_tdx_quote(quote).is_ok(), "{index}");
        let mut tampered = quote.clone();
        tampered[600] ^= 1;
        assert!(read_by_tdx_quote(&tampered).is_err(), "{index}");
    }
}

/// What a sample must come to.
type Expected = fn(&Result<VerifiedQuote, QuoteError>) -> bool;

/// Every quote of the package, the collateral that goes with it, a time that is the collateral's, and what it comes to. The
/// two in hex have no collateral of their own and take that of a sample of their platform family, which is a year younger
/// and no longer lists their TCB.
const SAMPLES: [(&str, &str, u64, Expected); 6] = [
    ("tdx_quote", "tdx_quote", IN_TIME_2025_07, |r| is_rated(r, "UpToDate")),
    ("tdx_quote_td15ex", "tdx_quote_td15ex", IN_TIME_2026_10, |r| is_rated(r, "UpToDate")),
    // Below every level of its TCB info, as the package's own tests say.
    ("tdx_quote_outdated", "tdx_quote_outdated", IN_TIME_2026_02, is_below_every_level),
    ("quote-from-tappd.hex", "tdx_quote", IN_TIME_2025_07, is_below_every_level),
    ("tdx-quote.hex", "tdx_quote", IN_TIME_2025_07, is_below_every_level),
    // An enclave's, not a TD's.
    ("sgx_quote", "sgx_quote", IN_TIME_2025_07, |r| *r == Err(QuoteError::Version(3))),
];

fn is_below_every_level(verified: &Result<VerifiedQuote, QuoteError>) -> bool {
    matches!(verified, Err(QuoteError::TcbUnlisted(_)))
}

fn is_rated(verified: &Result<VerifiedQuote, QuoteError>, status: &str) -> bool {
    verified.as_ref().is_ok_and(|quote| quote.tcb_status() == status)
}

#[test]
fn g1_every_real_sample_verifies_or_fails_for_the_known_reason_in_its_time() {
    let samples = Samples::of_the_package();
    let warm = Verifier::new(TrustAnchors::production());
    for (name, collateral, then, expected) in SAMPLES {
        let (quote, collateral) = (samples.quote(name), samples.collateral(collateral));
        let cold = verify_quote(&quote, &collateral, &TrustAnchors::production(), then);
        assert!(expected(&cold), "{name}: {cold:?}");
        for _ in 0..2 {
            assert_eq!(warm.verify_quote(&quote, &collateral, then), cold, "{name}");
        }
    }
}

#[test]
fn every_file_of_the_samples_is_among_those() {
    let listed = SAMPLES
        .iter()
        .flat_map(|(name, collateral, ..)| [(*name).to_owned(), format!("{collateral}_collateral.json")]);
    let listed: BTreeSet<_> = listed.collect();
    assert_eq!(Samples::of_the_package().names().into_iter().collect::<BTreeSet<_>>(), listed);
}

#[test]
fn g1_real_quotes_are_refused_at_other_times_and_under_other_roots() {
    let samples = Samples::of_the_package();
    for (name, collateral, then, _) in SAMPLES.into_iter().filter(|(name, ..)| *name != "sgx_quote") {
        let (quote, collateral) = (samples.quote(name), samples.collateral(collateral));
        for now in [then + 120 * 86_400, then - 120 * 86_400] {
            let refused = verify_quote(&quote, &collateral, &TrustAnchors::production(), now);
            assert!(matches!(refused, Err(QuoteError::Expired(_))), "{name}: {refused:?}");
        }
        let elsewhere = verify_quote(&quote, &collateral, &pki().trust_anchors(), then);
        assert!(matches!(elsewhere, Err(QuoteError::Untrusted(_))), "{name}: {elsewhere:?}");
    }
}

#[test]
fn the_vendors_root_given_as_a_file_is_no_development_root() {
    let anchors = TrustAnchors::from_roots(Samples::of_the_package().intel_root()).unwrap();
    assert_eq!(anchors, TrustAnchors::production());
    assert!(!anchors.is_development());
}
