// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Good evidence whose quote is overwritten from an offset on: refused, or the same facts; never a panic.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use mandate_attestation::{
    Evidence, TdxEvidence, TrustAnchors, Verified,
    dev_pki::{DevGuest, DevPki},
    verify,
};

const NOW: u64 = 1_795_392_000;
const REPORT_DATA: [u8; 64] = [0x42; 64];

static GOOD: LazyLock<(TdxEvidence, TrustAnchors, Verified)> = LazyLock::new(|| {
    let pki = DevPki::from_seed([0x31; 32]);
    let evidence = pki.evidence(&DevGuest::default(), REPORT_DATA, NOW);
    let facts = verify(&evidence, &pki.trust_anchors(), NOW, &REPORT_DATA).expect("good evidence verifies");
    match evidence {
        Evidence::Tdx(tdx) => (*tdx, pki.trust_anchors(), facts),
        _ => unreachable!("the development PKI mints TDX"),
    }
});

fuzz_target!(|input: (u16, &[u8])| {
    let (offset, bytes) = input;
    let (mut evidence, anchors, facts) = GOOD.clone();
    evidence.quote.truncate(usize::from(offset));
    evidence.quote.extend_from_slice(bytes);
    let rest = GOOD.0.quote.get(evidence.quote.len()..).unwrap_or_default();
    evidence.quote.extend_from_slice(rest);
    if let Ok(got) = verify(&Evidence::Tdx(Box::new(evidence)), &anchors, NOW, &REPORT_DATA) {
        assert_eq!(got, facts);
    }
});
