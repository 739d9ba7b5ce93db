// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Any bytes: no panic, and what decodes encodes to the bytes that were read; its witnesses likewise.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mandate_model::bundle::Bundle;
use mandate_witness::Witness;

fuzz_target!(|bytes: &[u8]| {
    let Ok(bundle) = Bundle::decode(bytes) else { return };
    assert_eq!(bundle.encode(), bytes);
    for witness in [&bundle.finalized, &bundle.head].into_iter().flatten() {
        if let Ok(decoded) = Witness::decode(witness) {
            assert_eq!(decoded.encode(), witness.as_ref());
        }
    }
});
