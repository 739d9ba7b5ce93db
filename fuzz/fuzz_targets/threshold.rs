// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Any bytes as anything that nodes send each other, put on chain or answer guests with: no panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mandate_threshold::{Partial, PublicPolynomial, Share, ceremony::Output};

fuzz_target!(|bytes: &[u8]| {
    let _ = Partial::decode(bytes);
    let _ = Share::decode(bytes);
    let _ = Output::decode(bytes);
    for nodes in [0, 1, 4, 7, usize::MAX] {
        let _ = PublicPolynomial::decode(bytes, nodes);
    }
});
