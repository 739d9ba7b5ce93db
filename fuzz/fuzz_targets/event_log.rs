// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Any bytes as upstream's event log, attestation or answer of GetQuote: no panic, and nothing above the caps. What is read
//! replays to one value.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mandate_attestation::{
    event_log::replay,
    upstream::{UpstreamQuote, event_log},
};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(events) = event_log(bytes) {
        assert!(events.len() <= 256);
        assert_eq!(replay(&events), replay(&events.clone()));
    }
    for read in [UpstreamQuote::from_attestation(bytes), UpstreamQuote::from_get_quote(bytes)] {
        if let Ok(read) = read {
            assert!(read.event_log.len() <= 256 && read.quote.len() <= 16 * 1024);
        }
    }
});
