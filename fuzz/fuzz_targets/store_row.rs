// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A row of the gateway's store as anybody may have written it: refused, or the certificates that stand in it; never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mandate_gateway::store::{Row, digest_of, split};

fuzz_target!(|input: (&str, &[u8], &[u8], (i64, Option<i64>, Option<i64>))| {
    let (subject, app, chain, (obtained_at, renew_at, ask_at)) = input;
    let digest = split(chain).map(|chain| digest_of(&chain).to_vec()).unwrap_or_default();
    let row = Row {
        generation: vec![0; 16],
        subject: subject.to_owned(),
        app: app.to_vec(),
        chain: chain.to_vec(),
        digest,
        issuer: subject.to_owned(),
        account_uri: subject.to_owned(),
        obtained_at,
        renew_at,
        ask_at,
    };
    match row.parse() {
        Ok(record) => {
            assert_eq!(record.slot.subject.to_string(), subject);
            let kept: Vec<u8> = record.issued.chain.iter().flat_map(|der| der.as_ref()).copied().collect();
            assert_eq!(kept, chain);
        }
        // Whoever reads the message may paste its statement into a shell.
        Err(damaged) => assert!(!damaged.subject.contains(['\'', '\n'])),
    }
});
