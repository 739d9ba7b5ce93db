// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Any bytes as an answer of DNS, and answers with one record out of any bytes: read or refused, never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mandate_acme::dns::parse_answer;

const NAME: &str = "app.example.org";

/// An answer of one record about [`NAME`], as RFC 1035 writes it.
fn answer(kind: u16, data: &[u8]) -> Vec<u8> {
    let name = b"\x03app\x07example\x03org\x00";
    let mut message = b"\x12\x34\x84\x00\x00\x01\x00\x01\x00\x00\x00\x00".to_vec();
    message.extend_from_slice(name);
    message.extend_from_slice(&[0x01, 0x01, 0, 1]);
    message.extend_from_slice(b"\xc0\x0c");
    message.extend_from_slice(&kind.to_be_bytes());
    message.extend_from_slice(&[0, 1, 0, 0, 0, 60]);
    message.extend_from_slice(&u16::try_from(data.len()).unwrap_or(u16::MAX).to_be_bytes());
    message.extend_from_slice(data);
    message
}

fuzz_target!(|input: (u8, &[u8])| {
    let (kind, bytes) = input;
    let _ = parse_answer(NAME, bytes);
    // CAA, TXT, CNAME, and whatever else there is.
    let kind = [257, 16, 5, u16::from(kind)][usize::from(kind % 4)];
    let read = parse_answer(NAME, &answer(kind, bytes));
    assert!(kind == 257 || read.unwrap_or(0) == 0, "a record of type {kind} is none of CAA");
    assert!(read.unwrap_or(0) <= 1);
});
