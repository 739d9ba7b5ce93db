// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the integration tests share.
#![allow(dead_code, unreachable_pub)]

pub mod samples;

use alloy::primitives::{Address, B256};
use mandate_attestation::{
    Evidence, EvidenceError, TdxEvidence, TrustAnchors, Verified,
    dev_pki::{DevGuest, DevPki},
    verify,
};

/// 23 November 2026.
pub const NOW: u64 = 1_795_392_000;
pub const REPORT_DATA: [u8; 64] = [0x42; 64];

pub fn pki() -> DevPki {
    DevPki::from_seed([0x31; 32])
}

pub fn guest() -> DevGuest {
    DevGuest::new(Address::repeat_byte(0xaa), B256::repeat_byte(0xcc))
}

pub fn minted(guest: &DevGuest) -> TdxEvidence {
    tdx(pki().evidence(guest, REPORT_DATA, NOW))
}

pub fn tdx(evidence: Evidence) -> TdxEvidence {
    match evidence {
        Evidence::Tdx(tdx) => *tdx,
        other => panic!("the development PKI mints TDX, not {other:?}"),
    }
}

pub fn check(tdx: TdxEvidence) -> Result<Verified, EvidenceError> {
    check_under(tdx, &pki().trust_anchors())
}

pub fn check_under(tdx: TdxEvidence, anchors: &TrustAnchors) -> Result<Verified, EvidenceError> {
    verify(&Evidence::Tdx(Box::new(tdx)), anchors, NOW, &REPORT_DATA)
}
