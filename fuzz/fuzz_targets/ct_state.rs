// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Any bytes as the monitor's state and as a list of logs: no panic, and a state that is read can be written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mandate_cli::ct::{logs, state::State};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(state) = State::parse(bytes) {
        let written = serde_json::to_vec(&state).unwrap();
        assert_eq!(State::parse(&written), Ok(state));
    }
    for purpose in [logs::Purpose::Follow, logs::Purpose::Vouch] {
        let _ = logs::parse(bytes, purpose, 0);
    }
});
