// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Any bytes as what a log answers, over both APIs: no panic, and no head that its key did not sign.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mandate_cli::ct::{
    head,
    logs::{Log, Purpose, parse},
    rfc6962, static_ct,
};

/// A real log, so that a checkpoint's lines name its key.
const LIST: &str = r#"{"operators": [{
    "tiled_logs": [{
        "key": "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEbNmWXyYsF2pohGOAiNELea6UL4/XioI3w6ChE5Udlos0HUqM7KOHIP9qBuWCVs6VAdtDXrvanmxKq52Whh2+2w==",
        "monitoring_url": "https://mon.example", "submission_url": "https://willow.ct.letsencrypt.org/2025h1b"}],
    "logs": [{
        "key": "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEbNmWXyYsF2pohGOAiNELea6UL4/XioI3w6ChE5Udlos0HUqM7KOHIP9qBuWCVs6VAdtDXrvanmxKq52Whh2+2w==",
        "url": "https://willow.ct.letsencrypt.org/2025h1b"}]}]}"#;
const SIGNED: &str = "willow.ct.letsencrypt.org/2025h1b\n1237717073\npT/KC9MSHoRK2rHkeyfTSXfxolR2ja4JqhdymK9pnlo=\n";
const SIGNATURE: &str = "\n\u{2014} willow.ct.letsencrypt.org/2025h1b GYcbuAAAAZSU2PMJBAMASDBGAiEAhNc5t31Sx4HmBDN4bh366ApPb1Ag1S1zn1XN02ibJNYCIQCKGun1fU1tcgMpWPu3918Rk6OBuoSjt7wdBag1cKsQ+g==\n";

fuzz_target!(|bytes: &[u8]| {
    let logs: Vec<Log> = parse(LIST.as_bytes(), Purpose::Vouch, 0).unwrap();
    let signed = [bytes, SIGNATURE.as_bytes()].concat();
    for log in &logs {
        for body in [bytes, &signed] {
            if head::size(log, body).is_ok() {
                assert!(body.starts_with(SIGNED.as_bytes()), "a head that nobody signed");
            }
        }
    }
    for most in [1, 256] {
        if let Ok(entries) = rfc6962::parse_entries("", most, bytes) {
            assert!((1..=most).contains(&(entries.len() as u64)));
        }
    }
    for last in [0, 1, 299] {
        if let Ok(frontier) = rfc6962::parse_proof("", last, bytes) {
            assert_eq!(frontier.size(), last);
        }
    }
    for width in [1, 2, 256] {
        if let Ok(entries) = static_ct::parse_entries("", 0, width, bytes.to_vec().into()) {
            assert_eq!(entries.len() as u64, width);
        }
        if let Some(nodes) = static_ct::edge(bytes, width) {
            assert_eq!(nodes.len() as u32, width.count_ones());
        }
    }
});
