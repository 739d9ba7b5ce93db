// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A good certificate overwritten from an offset on, or any bytes: refused, or the same key and facts; never a panic.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use mandate_attestation::{
    Verifier,
    dev_pki::{DevGuest, DevPki},
    x509::{AttestedKey, upstream, verify_certificate},
};

const NOW: u64 = 1_795_392_000;

static GOOD: LazyLock<(Vec<u8>, Verifier, AttestedKey)> = LazyLock::new(|| {
    let pki = DevPki::from_seed([0x31; 32]);
    let (der, verifier) = (pki.certificate(&DevGuest::default(), NOW), Verifier::new(pki.trust_anchors()));
    let key = verify_certificate(&der, &verifier, NOW).expect("a good certificate verifies");
    (der, verifier, key)
});

fuzz_target!(|input: (u16, &[u8])| {
    let (offset, bytes) = input;
    let (good, verifier, key) = &*GOOD;
    let mut der = good.clone();
    for (to, from) in der.iter_mut().skip(usize::from(offset)).zip(bytes) {
        *to = *from;
    }
    for der in [&der[..], bytes] {
        if let Ok(got) = verify_certificate(der, verifier, NOW) {
            assert_eq!(got, *key);
        }
        let _ = upstream::read(der, NOW);
    }
});
