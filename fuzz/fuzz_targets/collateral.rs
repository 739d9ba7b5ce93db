// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Good evidence with one part of its collateral overwritten from an offset on: a cold verifier and a warm one say the same,
//! refuse it or find the same facts; never a panic.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use mandate_attestation::{
    Collateral, Evidence, TdxEvidence, TrustAnchors, Verified, Verifier,
    dev_pki::{DevGuest, DevPki},
    verify,
};

const NOW: u64 = 1_795_392_000;
const REPORT_DATA: [u8; 64] = [0x42; 64];

struct Good {
    evidence: TdxEvidence,
    anchors: TrustAnchors,
    facts: Verified,
    warm: Verifier,
}

static GOOD: LazyLock<Good> = LazyLock::new(|| {
    let pki = DevPki::from_seed([0x31; 32]);
    let evidence = pki.evidence(&DevGuest::default(), REPORT_DATA, NOW);
    let (anchors, warm) = (pki.trust_anchors(), Verifier::new(pki.trust_anchors()));
    let facts = warm.verify(&evidence, NOW, &REPORT_DATA).expect("good evidence verifies");
    match evidence {
        Evidence::Tdx(tdx) => Good { evidence: *tdx, anchors, facts, warm },
        _ => unreachable!("the development PKI mints TDX"),
    }
});

fuzz_target!(|input: (u8, u16, &[u8])| {
    let (part, offset, bytes) = input;
    let mut evidence = GOOD.evidence.clone();
    overwrite(&mut evidence.collateral, part, usize::from(offset), bytes);
    let evidence = Evidence::Tdx(Box::new(evidence));
    let cold = verify(&evidence, &GOOD.anchors, NOW, &REPORT_DATA);
    if let Ok(facts) = &cold {
        assert_eq!(facts, &GOOD.facts);
    }
    assert_eq!(GOOD.warm.verify(&evidence, NOW, &REPORT_DATA), cold);
});

fn overwrite(of: &mut Collateral, part: u8, offset: usize, bytes: &[u8]) {
    match part % 9 {
        0 => blob(&mut of.root_ca_crl, offset, bytes),
        1 => blob(&mut of.pck_crl, offset, bytes),
        2 => blob(&mut of.tcb_info_signature, offset, bytes),
        3 => blob(&mut of.qe_identity_signature, offset, bytes),
        4 => text(&mut of.tcb_info, offset, bytes),
        5 => text(&mut of.qe_identity, offset, bytes),
        6 => text(&mut of.tcb_info_issuer_chain, offset, bytes),
        7 => text(&mut of.qe_identity_issuer_chain, offset, bytes),
        _ => text(&mut of.pck_certificate_chain, offset, bytes),
    }
}

fn blob(of: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    for (to, from) in of.iter_mut().skip(offset).zip(bytes) {
        *to = *from;
    }
    if offset >= of.len() {
        of.extend_from_slice(bytes);
    }
}

fn text(of: &mut String, offset: usize, bytes: &[u8]) {
    let mut changed = of.clone().into_bytes();
    blob(&mut changed, offset, bytes);
    *of = String::from_utf8_lossy(&changed).into_owned();
}
