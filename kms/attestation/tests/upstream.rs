// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Real guests of unmodified upstream dstack, verified down to Intel's root.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod common;

use alloy::primitives::{B256, address, b256};
use common::samples::{IN_TIME_2026_02, IN_TIME_2026_10, Samples};
use mandate_attestation::{
    DigestVersion, Evidence, EvidenceError, KnownImage, KnownImages, QuoteError, TrustAnchors, Verifier,
    tdx::VerifiedQuote, upstream::UpstreamQuote,
};

const GETQUOTE_0_5: &[u8] = include_bytes!("fixtures/dstack/getquote-0.5.json");
const GETQUOTE_0_6: &[u8] = include_bytes!("fixtures/dstack/getquote-0.6.json");
const ATTESTATION_V0: &[u8] = include_bytes!("fixtures/dstack/attestation-v0.bin");

/// The hash that the guest's host names for the image: what a DAO would approve.
const IMAGE: B256 = b256!("14ad42d0270b444eaeb53918a5a94d9b17eec7a817cd336173b17c5327541c67");

fn known(quote: &VerifiedQuote) -> KnownImages {
    let mut known = KnownImages::default();
    let measurements = vec![quote.image_measurements()];
    let image =
        KnownImage { version: 1, os_image_hash: IMAGE, name: "dstack".to_owned(), measurements, snp: vec![] };
    known.add(&image).unwrap();
    known
}

/// Verifies as an operator would who has measured the image.
fn verified(of: UpstreamQuote, sample: &str, now: u64) -> (Evidence, Verifier, [u8; 64]) {
    let collateral = Samples::of_the_package().collateral(sample);
    let verifier = Verifier::new(TrustAnchors::production());
    let quote = verifier.verify_quote(&of.quote, &collateral, now).unwrap();
    let report_data = *quote.report_data();
    (of.with_collateral(collateral), verifier.with_images(known(&quote)), report_data)
}

#[test]
fn g1_a_real_upstream_guest_is_verified_with_its_whole_log() {
    let read = UpstreamQuote::from_get_quote(GETQUOTE_0_5).unwrap();
    let boot = read.event_log.iter().filter(|e| matches!(e.digest_version, DigestVersion::Boot(_)));
    assert_eq!(boot.count(), 20);
    let (evidence, verifier, report_data) = verified(read, "tdx_quote_outdated", IN_TIME_2026_02);
    assert_eq!(&report_data[..2], [0x12, 0x34]);
    let facts = verifier.verify(&evidence, IN_TIME_2026_02, &report_data).unwrap();
    assert_eq!(facts.app_id(), address!("3763bc34552cf3a27ff71ad5f7a90471562a1a2d"));
    assert_eq!(&facts.compose_hash()[..20], facts.app_id().as_slice());
    assert_eq!(facts.instance_id(), address!("c3714eb66990eace777b4e664c16e09375dec4c9"));
    assert_eq!(facts.os_image_hash(), IMAGE);
    assert!(facts.key_provider().starts_with(br#"{"name":"local-sgx""#));
    assert!(!facts.is_development() && facts.launch_ticket().is_none());
}

/// The attestation that upstream's simulator hands out: its log is a real one, but the report of its quoting enclave is not
/// what the platform's certificate signed. A verifier that looked at the quote's own signature alone would believe it.
#[test]
fn g1_the_simulators_attestation_is_read_and_refused() {
    let read = UpstreamQuote::from_attestation(ATTESTATION_V0).unwrap();
    let names: Vec<_> = read.event_log.iter().map(|event| event.name.as_str()).collect();
    assert!(names.starts_with(&["system-preparing", "app-id", "compose-hash"]), "{names:?}");
    let collateral = Samples::of_the_package().collateral("tdx_quote_td15ex");
    let verifier = Verifier::new(TrustAnchors::production());
    let refused = verifier.verify_quote(&read.quote, &collateral, IN_TIME_2026_10);
    assert!(matches!(&refused, Err(QuoteError::Signature(why)) if why.contains("qe_report")), "{refused:?}");
}

/// Its registers are all that says which image booted: what its host wrote into the log counts nothing.
#[test]
fn g1_an_upstream_guest_of_an_unknown_image_is_refused() {
    let read = UpstreamQuote::from_get_quote(GETQUOTE_0_5).unwrap();
    let (evidence, _, report_data) = verified(read, "tdx_quote_outdated", IN_TIME_2026_02);
    let stranger = Verifier::new(TrustAnchors::production());
    let refused = stranger.verify(&evidence, IN_TIME_2026_02, &report_data);
    assert_eq!(refused, Err(EvidenceError::UnknownImage));
}

#[test]
fn g1_a_real_log_that_was_changed_is_refused() {
    let change = |what: &dyn Fn(&mut UpstreamQuote)| {
        let mut read = UpstreamQuote::from_get_quote(GETQUOTE_0_5).unwrap();
        what(&mut read);
        let (evidence, verifier, report_data) = verified(read, "tdx_quote_outdated", IN_TIME_2026_02);
        verifier.verify(&evidence, IN_TIME_2026_02, &report_data).unwrap_err()
    };
    let boot = change(&|read| drop(read.event_log.remove(3)));
    assert_eq!(boot, EvidenceError::BootLogMismatch { register: 0 });
    let kernel = change(&|read| read.event_log[11].digest_version = DigestVersion::Boot([0; 48]));
    assert_eq!(kernel, EvidenceError::BootLogMismatch { register: 1 });
    let last = change(&|read| drop(read.event_log.pop()));
    assert_eq!(last, EvidenceError::LogMismatch);
}

/// Another guest's log under a quote that is not its own.
#[test]
fn g1_a_real_log_proves_nothing_about_another_guest() {
    let mut read = UpstreamQuote::from_get_quote(GETQUOTE_0_5).unwrap();
    read.event_log = UpstreamQuote::from_get_quote(GETQUOTE_0_6).unwrap().event_log;
    let (evidence, verifier, report_data) = verified(read, "tdx_quote_outdated", IN_TIME_2026_02);
    let refused = verifier.verify(&evidence, IN_TIME_2026_02, &report_data);
    assert_eq!(refused, Err(EvidenceError::BootLogMismatch { register: 0 }));
}

/// The newer sample's certificate is younger than the collateral that is at hand.
#[test]
fn g1_a_platform_certificate_of_the_future_is_refused() {
    let read = UpstreamQuote::from_get_quote(GETQUOTE_0_6).unwrap();
    let collateral = Samples::of_the_package().collateral("tdx_quote_outdated");
    let verifier = Verifier::new(TrustAnchors::production());
    let refused = verifier.verify_quote(&read.quote, &collateral, IN_TIME_2026_02);
    assert!(matches!(refused, Err(QuoteError::Expired(_))), "{refused:?}");
}

#[test]
fn upstream_forms_cut_at_any_length_are_refused_without_panic() {
    for length in (0..GETQUOTE_0_6.len() - 1).step_by(5) {
        let _ = UpstreamQuote::from_get_quote(&GETQUOTE_0_6[..length]);
    }
    for length in 0..ATTESTATION_V0.len() {
        let _ = UpstreamQuote::from_attestation(&ATTESTATION_V0[..length]);
    }
}
