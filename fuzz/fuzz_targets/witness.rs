// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Any bytes: no panic, and what decodes encodes to the bytes that were read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mandate_witness::Witness;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(witness) = Witness::decode(bytes) {
        assert_eq!(witness.encode(), bytes);
    }
});
