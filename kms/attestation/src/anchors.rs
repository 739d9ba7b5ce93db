// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is trusted at the root.

mod files;

use std::fmt;

use alloy::primitives::{B256, b256};
use dcap_qvl::{configs::RingConfig, verify::QuoteVerifier};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use sev::certs::snp::{Certificate, builtin};
use sha2::{Digest, Sha256};

use crate::{error::EvidenceError, snp::Product};

pub use files::{AnchorFileError, AnchorFiles};

/// SHA-256 of Intel's SGX root CA certificate (DER), which also signs for TDX.
const INTEL_ROOT_SHA256: B256 = b256!("44a0196b2b99f889b8e149e95b807a350e7424964399e885a7cbb8ccfab674d3");
/// SHA-256 of AMD's root key certificates (DER) as its key distribution service gives them: Milan, Genoa, Turin.
const AMD_ROOTS_SHA256: [B256; 3] = [
    b256!("69d063b45344d26a2e94e1f4210de49ef555308287d4c174445c95639a540bcd"),
    b256!("4c6598d19c18719c5dfd4a7d335f674e5bfe1d8f800cea2cf270c10d103db2f1"),
    b256!("1f084161a44bb6d93778a904877d4819cafa5d05ef4193b2ded9dd9c73dd3f6a"),
];

/// SHA-256 of AWS's root certificate for Nitro Enclaves, G1 (DER), as AWS's documentation gives it.
const AWS_ROOT_SHA256: B256 = b256!("641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b");
const AWS_ROOT_PEM: &[u8] = include_bytes!("anchors/aws_nitro_root_g1.pem");

/// The certificates that evidence must lead to.
///
/// Whether they are a development's is computed, never claimed: anything but the vendors' own roots is development.
#[derive(Clone, PartialEq, Eq)]
pub struct TrustAnchors {
    tdx: TdxRoot,
    /// In the order of [`Product::ALL`].
    snp: [Root; 3],
    nitro: Root,
}

#[derive(Clone, PartialEq, Eq)]
enum TdxRoot {
    Intel,
    Other(Vec<u8>),
}

/// A root certificate, DER.
#[derive(Clone, PartialEq, Eq)]
struct Root(Vec<u8>);

impl Root {
    fn fingerprint(&self) -> B256 {
        fingerprint(&self.0)
    }
}

impl TrustAnchors {
    /// The vendors' own roots.
    pub fn production() -> Self {
        // The library's own constants; a root that could not be read would be no certificate, and nothing leads to it.
        let der =
            |root: std::io::Result<Certificate>| Root(root.and_then(|c| c.to_der()).unwrap_or_default());
        let snp = [builtin::milan::ark(), builtin::genoa::ark(), builtin::turin::ark()].map(der);
        let nitro = CertificateDer::from_pem_slice(AWS_ROOT_PEM).map(|der| der.to_vec()).unwrap_or_default();
        Self { tdx: TdxRoot::Intel, snp, nitro: Root(nitro) }
    }

    /// Another root for TDX, or the vendor's own given as a file; the vendors' own for all else.
    ///
    /// # Errors
    /// [`EvidenceError::BadAnchor`] when `tdx_root_der` is not a DER certificate's outer shape.
    pub fn from_roots(tdx_root_der: Vec<u8>) -> Result<Self, EvidenceError> {
        Self::production().with_tdx_root(tdx_root_der)
    }

    /// The same with another root for TDX.
    ///
    /// # Errors
    /// [`EvidenceError::BadAnchor`] when it is not a DER certificate's outer shape.
    pub fn with_tdx_root(self, der: Vec<u8>) -> Result<Self, EvidenceError> {
        let Root(der) = root(der)?;
        let intel = fingerprint(&der) == INTEL_ROOT_SHA256;
        Ok(Self { tdx: if intel { TdxRoot::Intel } else { TdxRoot::Other(der) }, ..self })
    }

    /// The same with another root (ARK) for one line of AMD's processors.
    ///
    /// # Errors
    /// [`EvidenceError::BadAnchor`] when it is not a DER certificate's outer shape.
    pub fn with_snp_root(mut self, product: Product, der: Vec<u8>) -> Result<Self, EvidenceError> {
        let der = root(der)?;
        for (slot, of) in self.snp.iter_mut().zip(Product::ALL) {
            if of == product {
                slot.clone_from(&der);
            }
        }
        Ok(self)
    }

    /// The same with another root for Nitro Enclaves.
    ///
    /// # Errors
    /// [`EvidenceError::BadAnchor`] when it is not a DER certificate's outer shape.
    pub fn with_nitro_root(self, der: Vec<u8>) -> Result<Self, EvidenceError> {
        Ok(Self { nitro: root(der)?, ..self })
    }

    /// Whether evidence that verifies under these anchors proves nothing about real hardware. A service says so at every
    /// start and in every receipt.
    pub fn is_development(&self) -> bool {
        let amd = self.snp.iter().map(Root::fingerprint).eq(AMD_ROOTS_SHA256);
        matches!(self.tdx, TdxRoot::Other(_)) || !amd || self.nitro_fingerprint() != AWS_ROOT_SHA256
    }

    /// SHA-256 of the TDX root certificate: names the anchors in logs and receipts.
    pub fn tdx_fingerprint(&self) -> B256 {
        match &self.tdx {
            TdxRoot::Intel => INTEL_ROOT_SHA256,
            TdxRoot::Other(der) => fingerprint(der),
        }
    }

    /// SHA-256 of each root certificate for AMD's processors, in the order of [`Product::ALL`].
    pub fn snp_fingerprints(&self) -> [B256; 3] {
        self.snp.each_ref().map(Root::fingerprint)
    }

    /// SHA-256 of the root certificate for Nitro Enclaves.
    pub fn nitro_fingerprint(&self) -> B256 {
        self.nitro.fingerprint()
    }

    pub(crate) fn quote_verifier(&self) -> QuoteVerifier<RingConfig> {
        match &self.tdx {
            TdxRoot::Intel => QuoteVerifier::new_prod(),
            TdxRoot::Other(der) => QuoteVerifier::new(der.clone()),
        }
        .with_config::<RingConfig>()
    }

    /// The root for Nitro Enclaves, DER.
    pub(crate) fn nitro_root(&self) -> &[u8] {
        &self.nitro.0
    }

    /// The roots for AMD's processors, each with its line.
    pub(crate) fn snp_roots(&self) -> impl Iterator<Item = (Product, &[u8])> {
        Product::ALL.into_iter().zip(self.snp.iter().map(|root| root.0.as_slice()))
    }
}

impl fmt::Debug for TrustAnchors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrustAnchors")
            .field("development", &self.is_development())
            .field("tdx", &self.tdx_fingerprint())
            .field("snp", &self.snp_fingerprints())
            .field("nitro", &self.nitro_fingerprint())
            .finish()
    }
}

fn fingerprint(der: &[u8]) -> B256 {
    B256::from(<[u8; 32]>::from(Sha256::digest(der)))
}

fn root(der: Vec<u8>) -> Result<Root, EvidenceError> {
    if is_one_der_sequence(&der) { Ok(Root(der)) } else { Err(EvidenceError::BadAnchor) }
}

/// A cheap shape check, so that a PEM file or an empty one is refused where it is configured and not at the first quote.
fn is_one_der_sequence(der: &[u8]) -> bool {
    matches!(der, [0x30, 0x82, hi, lo, body @ ..] if body.len() == usize::from(u16::from_be_bytes([*hi, *lo])))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_CERTIFICATE: [&[u8]; 3] = [b"", b"-----BEGIN CERTIFICATE-----", &[0x30, 0x82, 0, 9, 1]];
    const SHAPE: [u8; 5] = [0x30, 0x82, 0, 1, 7];

    #[test]
    fn anchors_refuse_what_is_no_certificate() {
        for bad in NO_CERTIFICATE {
            assert_eq!(TrustAnchors::from_roots(bad.to_vec()), Err(EvidenceError::BadAnchor));
            let snp = TrustAnchors::production().with_snp_root(Product::Milan, bad.to_vec());
            assert_eq!(snp, Err(EvidenceError::BadAnchor));
        }
    }

    #[test]
    fn anchors_are_development_unless_all_are_the_vendors() {
        let production = TrustAnchors::production;
        assert!(!production().is_development());
        assert!(TrustAnchors::from_roots(SHAPE.to_vec()).unwrap().is_development());
        for product in Product::ALL {
            assert!(
                production().with_snp_root(product, SHAPE.to_vec()).unwrap().is_development(),
                "{product}"
            );
        }
    }

    #[test]
    fn the_vendors_roots_given_as_files_are_the_vendors() {
        let mut anchors = TrustAnchors::production();
        let roots: Vec<_> = anchors.snp_roots().map(|(product, der)| (product, der.to_vec())).collect();
        for (product, der) in roots {
            anchors = anchors.with_snp_root(product, der).unwrap();
        }
        assert_eq!(anchors, TrustAnchors::production());
    }
}
