// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Any bytes as the file in which the guest agent keeps a certificate: refused, or a chain that is written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mandate_guest::ingress::{parse_kept, write_kept};

fuzz_target!(|bytes: &[u8]| {
    let Ok(issued) =
        std::str::from_utf8(bytes).map_err(|_| ()).and_then(|text| parse_kept(text).map_err(|_| ()))
    else {
        return;
    };
    let written = write_kept(&issued).expect("it was read");
    let again = parse_kept(&written).expect("it was written");
    assert_eq!(
        (again.chain, again.issuer, again.account_uri),
        (issued.chain, issued.issuer, issued.account_uri)
    );
});
