// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is trusted at the root.

use std::fmt;

use alloy::primitives::{B256, b256};
use dcap_qvl::{configs::RingConfig, verify::QuoteVerifier};
use sha2::{Digest, Sha256};

use crate::error::EvidenceError;

/// SHA-256 of Intel's SGX root CA certificate (DER), which also signs for TDX.
const INTEL_ROOT_SHA256: B256 = b256!("44a0196b2b99f889b8e149e95b807a350e7424964399e885a7cbb8ccfab674d3");

/// The certificates that evidence must lead to.
///
/// Whether they are a development's is computed, never claimed: anything but the vendors' own roots is development.
#[derive(Clone, PartialEq, Eq)]
pub struct TrustAnchors {
    tdx: TdxRoot,
}

#[derive(Clone, PartialEq, Eq)]
enum TdxRoot {
    Intel,
    Other(Vec<u8>),
}

impl TrustAnchors {
    /// The vendors' own roots.
    pub fn production() -> Self {
        Self { tdx: TdxRoot::Intel }
    }

    /// Other roots, or the vendors' own given as files.
    ///
    /// # Errors
    /// [`EvidenceError::BadAnchor`] when `tdx_root_der` is not a DER certificate's outer shape.
    pub fn from_roots(tdx_root_der: Vec<u8>) -> Result<Self, EvidenceError> {
        if !is_one_der_sequence(&tdx_root_der) {
            return Err(EvidenceError::BadAnchor);
        }
        let intel = fingerprint(&tdx_root_der) == INTEL_ROOT_SHA256;
        Ok(Self { tdx: if intel { TdxRoot::Intel } else { TdxRoot::Other(tdx_root_der) } })
    }

    /// Whether evidence that verifies under these anchors proves nothing about real hardware. A service says so at every
    /// start and in every receipt.
    pub fn is_development(&self) -> bool {
        matches!(self.tdx, TdxRoot::Other(_))
    }

    /// SHA-256 of the TDX root certificate: names the anchors in logs and receipts.
    pub fn tdx_fingerprint(&self) -> B256 {
        match &self.tdx {
            TdxRoot::Intel => INTEL_ROOT_SHA256,
            TdxRoot::Other(der) => fingerprint(der),
        }
    }

    pub(crate) fn quote_verifier(&self) -> QuoteVerifier<RingConfig> {
        match &self.tdx {
            TdxRoot::Intel => QuoteVerifier::new_prod(),
            TdxRoot::Other(der) => QuoteVerifier::new(der.clone()),
        }
        .with_config::<RingConfig>()
    }
}

impl fmt::Debug for TrustAnchors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrustAnchors")
            .field("development", &self.is_development())
            .field("tdx", &self.tdx_fingerprint())
            .finish()
    }
}

fn fingerprint(der: &[u8]) -> B256 {
    B256::from(<[u8; 32]>::from(Sha256::digest(der)))
}

/// A cheap shape check, so that a PEM file or an empty one is refused where it is configured and not at the first quote.
fn is_one_der_sequence(der: &[u8]) -> bool {
    matches!(der, [0x30, 0x82, hi, lo, body @ ..] if body.len() == usize::from(u16::from_be_bytes([*hi, *lo])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anchors_refuse_what_is_no_certificate() {
        for bad in [&b""[..], b"-----BEGIN CERTIFICATE-----", &[0x30, 0x82, 0, 9, 1]] {
            assert_eq!(TrustAnchors::from_roots(bad.to_vec()), Err(EvidenceError::BadAnchor));
        }
    }

    #[test]
    fn anchors_are_development_unless_they_are_the_vendors() {
        assert!(!TrustAnchors::production().is_development());
        assert!(TrustAnchors::from_roots(vec![0x30, 0x82, 0, 1, 7]).unwrap().is_development());
    }
}
