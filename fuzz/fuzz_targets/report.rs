// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Good SEV-SNP evidence, one part of which is overwritten from an offset on: refused, or the same facts; never a panic.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use mandate_attestation::{
    Evidence, SnpEvidence, Verified, Verifier,
    dev_pki::{DevSnpGuest, DevSnpPki},
};

const NOW: u64 = 1_795_392_000;
const REPORT_DATA: [u8; 64] = [0x42; 64];

static GOOD: LazyLock<(SnpEvidence, Verifier, Verified)> = LazyLock::new(|| {
    let pki = DevSnpPki::from_seed([0x31; 32]);
    let evidence = pki.evidence(&DevSnpGuest::default(), REPORT_DATA, NOW);
    let verifier = Verifier::new(pki.trust_anchors());
    let facts = verifier.verify(&evidence, NOW, &REPORT_DATA).expect("good evidence verifies");
    match evidence {
        Evidence::Snp(snp) => (*snp, verifier, facts),
        _ => unreachable!("this PKI mints SEV-SNP"),
    }
});

fuzz_target!(|input: (u8, u16, &[u8])| {
    let (part, offset, bytes) = input;
    let (mut evidence, verifier, facts) = GOOD.clone();
    let target = match part % 5 {
        0 => &mut evidence.report,
        1 => &mut evidence.endorsement.key,
        2 => &mut evidence.endorsement.authority,
        3 => &mut evidence.endorsement.crl,
        _ => &mut evidence.config,
    };
    let good = target.clone();
    target.truncate(usize::from(offset));
    target.extend_from_slice(bytes);
    target.extend_from_slice(good.get(target.len()..).unwrap_or_default());
    if let Ok(got) = verifier.verify(&Evidence::Snp(Box::new(evidence)), NOW, &REPORT_DATA) {
        assert_eq!(got, facts);
    }
});
