// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Any bytes as an OS image manifest: no panic, and what is read can be written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mandate_attestation::OsImage;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(image) = OsImage::parse(bytes) {
        assert_eq!(OsImage::parse(&image.to_bytes()), Ok(image));
    }
});
