// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A good Nitro document that is overwritten from an offset on, or any bytes: refused, or the same facts; never a panic.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use mandate_attestation::{
    Evidence, NitroEvidence, TrustAnchors, Verified,
    dev_pki::{DevEnclave, DevNitroPki},
    verify,
};

const NOW: u64 = 1_795_392_000;
const REPORT_DATA: [u8; 64] = [0x42; 64];

static GOOD: LazyLock<(NitroEvidence, TrustAnchors, Verified)> = LazyLock::new(|| {
    let pki = DevNitroPki::from_seed([0x31; 32]);
    let evidence = pki.evidence(&DevEnclave::default(), REPORT_DATA, NOW);
    let facts = verify(&evidence, &pki.trust_anchors(), NOW, &REPORT_DATA).expect("good evidence verifies");
    match evidence {
        Evidence::Nitro(nitro) => (*nitro, pki.trust_anchors(), facts),
        _ => unreachable!("this PKI mints Nitro documents"),
    }
});

fuzz_target!(|input: (Option<u16>, &[u8])| {
    let (offset, bytes) = input;
    let (mut evidence, anchors, facts) = GOOD.clone();
    match offset {
        None => evidence.document = bytes.to_vec(),
        Some(offset) => {
            evidence.document.truncate(usize::from(offset));
            evidence.document.extend_from_slice(bytes);
            let rest = GOOD.0.document.get(evidence.document.len()..).unwrap_or_default();
            evidence.document.extend_from_slice(rest);
        }
    }
    if let Ok(got) = verify(&Evidence::Nitro(Box::new(evidence)), &anchors, NOW, &REPORT_DATA) {
        assert_eq!(got, facts);
    }
});
