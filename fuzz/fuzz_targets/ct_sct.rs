// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Any bytes as a site's certificate, as its issuer's, and as a log's key: no panic, and no log vouches for it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mandate_cli::ct::{
    key::LogKey,
    logs::{Purpose, parse},
    sct,
};

const LIST: &str = r#"{"operators": [{"logs": [{
    "key": "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEbNmWXyYsF2pohGOAiNELea6UL4/XioI3w6ChE5Udlos0HUqM7KOHIP9qBuWCVs6VAdtDXrvanmxKq52Whh2+2w==",
    "url": "https://willow.ct.letsencrypt.org/2025h1b"}]}]}"#;

fuzz_target!(|bytes: &[u8]| {
    let logs = parse(LIST.as_bytes(), Purpose::Vouch, 0).unwrap();
    if let Ok(vouched) = sct::vouched(bytes, &[bytes.into()], &[bytes.to_vec()], &logs, u64::MAX) {
        assert!(vouched.by.is_empty());
    }
    let _ = LogKey::from_spki(bytes);
});
