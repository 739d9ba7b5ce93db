// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Every real SEV-SNP sample that the `sev` package ships: a Milan report with its VCEK, and a Turin VCEK. AMD's CRL is in no
//! package, so these are followed to AMD's roots without one; with the CRL missing the whole evidence is refused.

use sev::certs::snp::{Certificate, builtin};

use super::{
    certificate::{Parsed, Tcb},
    endorsement::{trace, verify},
    *,
};

/// 23 November 2026.
const NOW: u64 = 1_795_392_000;

fn sample(name: &str) -> Vec<u8> {
    std::fs::read(crate::sev_package::tests().join("certs_data").join(name)).unwrap()
}

fn der(of: std::io::Result<Certificate>) -> Vec<u8> {
    of.unwrap().to_der().unwrap()
}

fn milan() -> (Vec<u8>, Endorsement) {
    let report = hex::decode(sample("report_milan.hex").trim_ascii()).unwrap();
    let authority = der(builtin::milan::ask());
    (report, Endorsement { key: sample("vcek_milan.der"), authority, crl: Vec::new() })
}

fn anytime() -> Window {
    Window { of: Endorser::Crl, from: 0, until: u64::MAX }
}

#[test]
fn a_real_milan_report_leads_to_amds_root_and_is_its_chips() {
    let (bytes, endorsement) = milan();
    let report = report::parse(&bytes).unwrap();
    let endorsed = trace(&endorsement, &TrustAnchors::production()).unwrap().endorsed(anytime()).unwrap();
    assert_eq!(report::key_kind(&report), Ok(KeyKind::Vcek));
    assert_eq!(endorsed.check(&report, KeyKind::Vcek), Ok(()));
    assert_eq!(endorsed.check_dates(NOW), Ok(()));
    // 3 April 2030, the day after which its VCEK has run out.
    assert_eq!(endorsed.check_dates(1_901_500_000), Err(SnpError::Expired(Endorser::Key)));
    assert_eq!((report::tcb_status(&report), report::advisories(&report).len()), ("UpToDate", 1));
}

#[test]
fn a_real_report_without_crl_is_no_evidence() {
    let (report, endorsement) = milan();
    let refused = verify_report(&report, &endorsement, &TrustAnchors::production(), NOW);
    assert!(matches!(refused, Err(SnpError::Certificate { of: Endorser::Crl, .. })), "{refused:?}");
    assert!(matches!(verify(&endorsement, &TrustAnchors::production()), Err(SnpError::Certificate { .. })));
}

#[test]
fn no_byte_of_a_real_report_can_change() {
    let (bytes, endorsement) = milan();
    let endorsed = trace(&endorsement, &TrustAnchors::production()).unwrap().endorsed(anytime()).unwrap();
    for index in 0..bytes.len() {
        let mut tampered = bytes.clone();
        tampered[index] ^= 1;
        let accepted =
            report::parse(&tampered).is_ok_and(|report| endorsed.check(&report, KeyKind::Vcek).is_ok());
        assert!(!accepted, "byte {index}");
    }
}

/// Its TCB has an FMC, and its chip id is eight bare bytes.
#[test]
fn a_real_turin_key_leads_to_amds_root() {
    let authority = der(builtin::turin::ask());
    let key = sample("vcek_turin.der");
    let parsed = Parsed::read(Endorser::Key, &key).unwrap();
    let tcb = Tcb { boot_loader: 0, tee: 0, snp: 0, microcode: 9, fmc: Some(0) };
    assert_eq!(parsed.tcb(), Ok(tcb));
    assert_eq!(parsed.chip_id().unwrap().unwrap().len(), 8);
    let endorsement = Endorsement { key, authority, crl: Vec::new() };
    let endorsed = trace(&endorsement, &TrustAnchors::production()).unwrap().endorsed(anytime()).unwrap();
    assert_eq!(endorsed.check_dates(NOW), Ok(()));
}

/// The vendor's own chains, one of them for each line.
#[test]
fn a_real_key_of_one_line_is_refused_under_another_lines_authority() {
    let (_, endorsement) = milan();
    for authority in [der(builtin::genoa::ask()), der(builtin::turin::ask())] {
        let mixed = Endorsement { authority, ..endorsement.clone() };
        let refused = trace(&mixed, &TrustAnchors::production()).map(|_| ());
        assert!(matches!(refused, Err(SnpError::Certificate { of: Endorser::Key, .. })), "{refused:?}");
    }
}
