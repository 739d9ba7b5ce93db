// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Who believes evidence: roots, known images, and what was found right before.

use std::sync::Arc;

use alloy::primitives::B256;

use crate::{
    anchors::TrustAnchors,
    error::{EvidenceError, QuoteError},
    evidence::{Collateral, Evidence},
    image::{ImageMeasurements, SnpMeasurement},
    known_images::KnownImages,
    snp::Chains,
    tdx::{self, VerifiedQuote, memory::SignatureMemory},
    verified::Verified,
};

/// What one verification relies on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trust<'a> {
    pub(crate) anchors: &'a TrustAnchors,
    images: Option<&'a KnownImages>,
    pub(crate) signatures: Option<&'a Arc<SignatureMemory>>,
    pub(crate) chains: Option<&'a Chains>,
}

impl<'a> Trust<'a> {
    /// The roots alone: nothing is known or remembered.
    pub(crate) fn cold(anchors: &'a TrustAnchors) -> Self {
        Self { anchors, images: None, signatures: None, chains: None }
    }

    /// The hash of the known image that boots into these registers.
    pub(crate) fn image_of(&self, booted: &ImageMeasurements) -> Option<B256> {
        self.images?.hash_of(booted)
    }

    /// The hash of the known image that launches into this measurement.
    pub(crate) fn image_of_launch(&self, launched: &SnpMeasurement) -> Option<B256> {
        self.images?.hash_of_launch(launched)
    }
}

/// Verifies evidence again and again: it remembers which signatures and chains were right, so that what many quotes or
/// reports share is checked once. It accepts exactly what [`crate::verify`] accepts, at any time and in any order. Clones share the memory.
#[derive(Debug, Clone)]
pub struct Verifier {
    anchors: TrustAnchors,
    images: Arc<KnownImages>,
    signatures: Arc<SignatureMemory>,
    chains: Arc<Chains>,
}

impl Verifier {
    /// A verifier that believes these roots and knows no image.
    pub fn new(anchors: TrustAnchors) -> Self {
        Self { anchors, images: Arc::default(), signatures: SignatureMemory::new(), chains: Arc::default() }
    }

    /// The same verifier, which also knows the images of guests that bring no manifest.
    #[must_use]
    pub fn with_images(self, images: KnownImages) -> Self {
        Self { images: Arc::new(images), ..self }
    }

    /// The roots.
    pub fn anchors(&self) -> &TrustAnchors {
        &self.anchors
    }

    /// How many signatures are remembered.
    pub fn remembered(&self) -> usize {
        self.signatures.len()
    }

    /// Verifies evidence at `now_unix`, and that it was made for `expected_report_data`.
    ///
    /// # Errors
    /// One [`EvidenceError`] variant per defect; whoever presents refused evidence gets nothing.
    pub fn verify(
        &self,
        evidence: &Evidence,
        now_unix: u64,
        expected_report_data: &[u8; 64],
    ) -> Result<Verified, EvidenceError> {
        evidence.verify(&self.trust(), now_unix, expected_report_data)
    }

    /// Verifies a quote alone: see [`tdx::verify_quote`].
    ///
    /// # Errors
    /// [`QuoteError`], for whatever makes a quote worthless under every policy.
    pub fn verify_quote(
        &self,
        quote: &[u8],
        collateral: &Collateral,
        now_unix: u64,
    ) -> Result<VerifiedQuote, QuoteError> {
        tdx::quote_under(&self.trust(), quote, collateral, now_unix)
    }

    fn trust(&self) -> Trust<'_> {
        Trust {
            anchors: &self.anchors,
            images: Some(&self.images),
            signatures: Some(&self.signatures),
            chains: Some(&self.chains),
        }
    }
}

impl From<TrustAnchors> for Verifier {
    fn from(anchors: TrustAnchors) -> Self {
        Self::new(anchors)
    }
}
