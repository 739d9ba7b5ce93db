// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Any bytes as entries of a log: no panic, and what is hashed of a tile reads as the same entry over RFC 6962.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mandate_cli::ct::{
    entry::{Content, Entry},
    matching,
    watched::Watched,
};

fuzz_target!(|bytes: &[u8]| {
    let watched = Watched::new(["a.example.org".to_owned()]).unwrap();
    let leaf = Entry::from_rfc6962(bytes.to_vec(), bytes);
    assert_eq!(leaf.leaf, bytes);
    let _ = matching::find(&leaf, &watched);
    for content in [
        Content::Certificate(bytes.to_vec()),
        Content::Precertificate { tbs: bytes.to_vec(), beside: Some(bytes.to_vec()) },
    ] {
        let _ = matching::find(&Entry { leaf: Vec::new(), timestamp: 0, content }, &watched);
    }
    for width in 1..4 {
        for entry in Entry::from_tile(bytes, 0, width).unwrap_or_default() {
            let extra = match &entry.content {
                Content::Precertificate { beside: Some(der), .. } => {
                    [&(der.len() as u32).to_be_bytes()[1..], der].concat()
                }
                _ => Vec::new(),
            };
            let again = Entry::from_rfc6962(entry.leaf.clone(), &extra);
            assert_eq!(again.timestamp, entry.timestamp);
            if matches!(entry.content, Content::Precertificate { .. }) {
                assert_eq!(again, entry);
            }
        }
    }
});
