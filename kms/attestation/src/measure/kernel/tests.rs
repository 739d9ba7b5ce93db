// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A made-up bzImage. The expected values were computed from the same bytes by a second reading of the specifications, in
//! another language.

use alloy::hex;
use sha2::Sha256;

use super::*;

/// DOS header, PE header at 0x40, setup header from 0x1f1 on, headers end at 0x400; two sections in reversed order up to
/// 0x1000, and 0x200 bytes behind them.
fn kernel() -> Vec<u8> {
    let mut image: Vec<u8> = (0..0x1200usize).map(|i| u8::try_from((i * 11 + 3) % 256).unwrap()).collect();
    image[..0x400].fill(0);
    let mut put = |at: usize, bytes: &[u8]| image[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"MZ");
    put(0x3c, &[0x40]);
    put(0x40, b"PE\0\0\x64\x86\x02\0");
    put(0x44 + 16, &[240, 0, 0x06, 0x02, 0x0b, 0x02]);
    let optional = 0x44 + 20;
    put(optional + 60, &0x400u32.to_le_bytes());
    put(optional + 64, &0x1234_5678u32.to_le_bytes());
    put(optional + 108, &[6]);
    for (n, (start, size)) in [(0x900u32, 0x700u32), (0x400, 0x500)].into_iter().enumerate() {
        put(optional + 240 + 40 * n + 16, &size.to_le_bytes());
        put(optional + 240 + 40 * n + 20, &start.to_le_bytes());
    }
    put(0x1fe, &[0x55, 0xaa]);
    put(0x202, b"HdrS\x0f\x02");
    put(LOAD_FLAGS, &[LOADED_HIGH]);
    put(INITRD_MAX, &0x7fff_ffffu32.to_le_bytes());
    put(EXTENDED_FLAGS, &[0x3f]);
    image
}

const SECURITY: usize = 0x44 + 20 + 112 + 4 * 8;
const AS_IS: &str =
    "c54c01be827341ff555ec88a2064c289ac29878717ef9f3be6e4ab56ea4a75c88bb0e196190c871c125c1aa674204756";

fn digest(kernel: &[u8], handover: Handover) -> String {
    hex::encode(kernel_digest(kernel, handover).unwrap())
}

fn patched(initrd_len: u32, memory: u64) -> String {
    digest(&kernel(), Handover::Patched { initrd_len, memory })
}

#[test]
fn kernel_digest_is_that_of_a_second_reading() {
    assert_eq!(digest(&kernel(), Handover::AsIs), AS_IS);
    let at_2_gib =
        "16f4164031052aede22781fe8adbae3dfa32b60b1d350f8f28afbb2047925e504d774547946f5e09513dda36755413fd";
    assert_eq!(patched(0x12_3456, 2 << 30), at_2_gib);
    assert_eq!(patched(0x12_3456, 4 << 30), at_2_gib);
    assert_eq!(
        patched(0x12_3456, 1 << 30),
        "ed1d5e2dc0435c66e2e8fc79b7019bac46ec9d70ddd4f1c1b0fa4da6dc6544cf26fd0276d9dd8d0a80dc5404befabba5"
    );
    assert_eq!(
        patched(0, 2 << 30),
        "f4f24a121ca9874b9e7b897fbf64e91643bc58cc8160264ffdc8e64af09ccc846c6279c50616631368ab5b52b3891a9a"
    );
}

#[test]
fn checksum_and_signature_do_not_count_and_everything_else_does() {
    let mut image = kernel();
    image[0x44 + 20 + 64] ^= 1;
    assert_eq!(digest(&image, Handover::AsIs), AS_IS);
    for at in [0x400, 0x8ff, 0x900, 0xfff, 0x1000, 0x11ff] {
        let mut image = kernel();
        image[at] ^= 1;
        assert_ne!(digest(&image, Handover::AsIs), AS_IS, "{at:#x}");
    }
    let mut signed = kernel();
    signed[SECURITY..SECURITY + 8].copy_from_slice(&[0, 0x10, 0, 0, 0, 0x02, 0, 0]);
    let digest_of_signed = digest(&signed, Handover::AsIs);
    signed[0x1000..].fill(0);
    assert_eq!(digest(&signed, Handover::AsIs), digest_of_signed);
    let mut unsigned = kernel();
    unsigned.truncate(0x1000);
    assert_eq!(digest(&unsigned, Handover::AsIs), digest_of_signed);
}

#[test]
fn kernels_that_are_none_are_refused() {
    let refused = |image: &[u8], handover| assert!(kernel_digest(image, handover).is_err());
    let patched = Handover::Patched { initrd_len: 1 << 20, memory: 2 << 30 };
    refused(b"", Handover::AsIs);
    refused(&[0; 0x1000], Handover::AsIs);
    for (at, byte) in [(0x40, b'X'), (0x202, b'h'), (PROTOCOL + 1, 1), (LOAD_FLAGS, 0)] {
        let mut image = kernel();
        image[at] = byte;
        refused(&image, patched);
    }
    for initrd_len in [0x7fff_0000, u32::MAX] {
        refused(&kernel(), Handover::Patched { initrd_len, memory: 4 << 30 });
    }
    refused(&kernel(), Handover::Patched { initrd_len: 1, memory: 0x2_8000 });
}

#[test]
fn kernels_cut_or_changed_in_their_headers_are_read_without_panic() {
    let good = kernel();
    let patched = Handover::Patched { initrd_len: 1 << 20, memory: 2 << 30 };
    for length in 0..good.len() {
        let _ = (kernel_digest(&good[..length], Handover::AsIs), kernel_digest(&good[..length], patched));
    }
    for at in 0..0x268 {
        for byte in [0, 1, 0x7f, 0xff] {
            let mut image = good.clone();
            image[at] = byte;
            let _ = (kernel_digest(&image, Handover::AsIs), authenticode::<Sha256>(&image));
        }
    }
}
