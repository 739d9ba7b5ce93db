// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Readings that are not our own: another library's of a minted quote, and ours of real quotes.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod common;

use std::{path::PathBuf, process::Command};

use common::{guest, minted, pki};
use mandate_attestation::{Collateral, QuoteError, TrustAnchors, dev_pki::Defect, tdx::verify_quote};
use serde_json::Value;

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

/// `dcap-qvl` ships real quotes with the collateral of their day in its package. They are read from where cargo keeps
/// the package; nothing of them is kept here.
struct Samples(PathBuf);

impl Samples {
    fn of_the_package() -> Self {
        let host =
            Command::new(std::env::var_os("RUSTC").unwrap_or("rustc".into())).arg("-vV").output().unwrap();
        let host = String::from_utf8(host.stdout).unwrap();
        let host = host.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
        let metadata = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()))
            .args(["metadata", "--format-version", "1", "--locked", "--filter-platform", host])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap();
        assert!(metadata.status.success(), "{}", String::from_utf8_lossy(&metadata.stderr));
        let metadata: Value = serde_json::from_slice(&metadata.stdout).unwrap();
        let packages = metadata["packages"].as_array().unwrap();
        let package = packages.iter().find(|package| package["name"] == "dcap-qvl").unwrap();
        let manifest = PathBuf::from(package["manifest_path"].as_str().unwrap());
        Self(manifest.parent().unwrap().join("sample"))
    }

    fn quote(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.0.join(name)).unwrap()
    }

    fn collateral(&self, name: &str) -> Collateral {
        let text = std::fs::read(self.0.join(format!("{name}_collateral.json"))).unwrap();
        Collateral::from(serde_json::from_slice::<dcap_qvl::QuoteCollateralV3>(&text).unwrap())
    }

    fn verify(&self, name: &str, anchors: &TrustAnchors, now: u64) -> Result<String, QuoteError> {
        let verified = verify_quote(&self.quote(name), &self.collateral(name), anchors, now)?;
        Ok(verified.tcb_status().to_owned())
    }
}

/// 1 July 2025 and 23 October 2026: inside the collateral's validity.
const REAL: [(&str, u64); 2] = [("tdx_quote", 1_751_328_000), ("tdx_quote_td15ex", 1_792_713_600)];

#[test]
fn g1_real_quotes_verify_under_the_vendors_root_in_their_time() {
    let (samples, production) = (Samples::of_the_package(), TrustAnchors::production());
    for (name, then) in REAL {
        assert_eq!(samples.verify(name, &production, then), Ok("UpToDate".to_owned()), "{name}");
    }
}

#[test]
fn g1_real_quotes_are_refused_at_other_times_and_under_other_roots() {
    let samples = Samples::of_the_package();
    for (name, then) in REAL {
        let late = samples.verify(name, &TrustAnchors::production(), then + 120 * 86_400);
        assert!(matches!(late, Err(QuoteError::Expired(_))), "{name}: {late:?}");
        let elsewhere = samples.verify(name, &pki().trust_anchors(), then);
        assert!(matches!(elsewhere, Err(QuoteError::Untrusted(_))), "{name}: {elsewhere:?}");
    }
}

#[test]
fn an_sgx_quote_is_not_taken_for_a_td() {
    let samples = Samples::of_the_package();
    let refused = samples.verify("sgx_quote", &TrustAnchors::production(), REAL[0].1);
    assert_eq!(refused, Err(QuoteError::Version(3)));
}

#[test]
fn the_vendors_root_given_as_a_file_is_no_development_root() {
    let samples = Samples::of_the_package();
    let root = std::fs::read(samples.0.join("../src/TrustedRootCA.der")).unwrap();
    let anchors = TrustAnchors::from_roots(root).unwrap();
    assert_eq!(anchors, TrustAnchors::production());
    assert!(!anchors.is_development());
}
