// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Answers of DNS providers' APIs, JSON and XML, out of any bytes: read or refused, never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mandate_acme::dns::parse_provider_answer;

fuzz_target!(|input: &[u8]| {
    let _ = parse_provider_answer(input);
});
