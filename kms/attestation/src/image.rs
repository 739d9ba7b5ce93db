// SPDX-License-Identifier: Apache-2.0 OR MIT
//! OS images: what ties an image's hash to the registers that booting it leaves.
//!
//! RTMR3 only repeats what the booted OS says about itself. An OS of an attacker's making, in a perfectly genuine TD, can
//! extend the hash of an approved image there. What it cannot do is boot into that image's MRTD and RTMR0-2. So the OS
//! image hash that is approved on chain is the SHA-256 of a manifest which lists these registers for every hardware
//! shape that the image supports, the evidence carries the manifest, and the quote's registers must be one of its rows.

use alloy::primitives::{B256, FixedBytes};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    error::{EvidenceError, Part},
    evidence::{cap, within},
};

/// Most rows of a manifest.
pub const MAX_ROWS: usize = 128;
/// The manifest format that this build reads.
const VERSION: u32 = 1;
const MAX_REASON: usize = 160;

/// The manifest of an OS image. Its hash is over the exact bytes, so nobody needs to agree on a canonical form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OsImage {
    /// Version of this format: 1.
    pub version: u32,
    /// For people.
    pub name: String,
    /// One row per hardware shape.
    pub measurements: Vec<ImageMeasurements>,
}

/// What booting the image on one hardware shape leaves.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageMeasurements {
    /// Firmware.
    pub mrtd: FixedBytes<48>,
    /// Hardware configuration.
    pub rtmr0: FixedBytes<48>,
    /// Kernel.
    pub rtmr1: FixedBytes<48>,
    /// Command line, initrd and root file system.
    pub rtmr2: FixedBytes<48>,
}

impl OsImage {
    /// A manifest of these rows.
    pub fn new(name: impl Into<String>, measurements: Vec<ImageMeasurements>) -> Self {
        Self { version: VERSION, name: name.into(), measurements }
    }

    /// The bytes that evidence carries.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Strings, integers and sequences of them: there is nothing here that JSON cannot say.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The OS image hash of a manifest's bytes.
    pub fn hash(manifest: &[u8]) -> B256 {
        B256::from(<[u8; 32]>::from(Sha256::digest(manifest)))
    }

    /// Reads a manifest.
    ///
    /// # Errors
    /// [`EvidenceError::TooLarge`] or [`EvidenceError::BadImage`].
    pub fn parse(manifest: &[u8]) -> Result<Self, EvidenceError> {
        within(Part::Image, manifest.len(), cap::IMAGE)?;
        let image: Self = serde_json::from_slice(manifest).map_err(|e| bad(&e.to_string()))?;
        if image.version != VERSION {
            return Err(bad(&format!("version {} is not known, {VERSION} is", image.version)));
        }
        within(Part::ImageRows, image.measurements.len(), MAX_ROWS)?;
        Ok(image)
    }
}

/// Proves that the booted registers are those of the image named by `hash`.
pub(crate) fn prove(manifest: &[u8], hash: B256, booted: &ImageMeasurements) -> Result<(), EvidenceError> {
    if OsImage::hash(manifest) != hash {
        return Err(EvidenceError::ImageHashMismatch);
    }
    if !OsImage::parse(manifest)?.measurements.contains(booted) {
        return Err(EvidenceError::ImageNotBooted);
    }
    Ok(())
}

fn bad(reason: &str) -> EvidenceError {
    EvidenceError::BadImage { reason: reason.chars().take(MAX_REASON).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(n: u8) -> ImageMeasurements {
        let register = FixedBytes::repeat_byte;
        ImageMeasurements {
            mrtd: register(n),
            rtmr0: register(n + 1),
            rtmr1: register(n + 2),
            rtmr2: register(n + 3),
        }
    }

    #[test]
    fn image_is_proven_by_any_of_its_rows() {
        let manifest = OsImage::new("two shapes", vec![row(1), row(9)]).to_bytes();
        let hash = OsImage::hash(&manifest);
        assert_eq!(prove(&manifest, hash, &row(1)), Ok(()));
        assert_eq!(prove(&manifest, hash, &row(9)), Ok(()));
    }

    #[test]
    fn g1_a_foreign_os_cannot_name_an_approved_image() {
        let manifest = OsImage::new("approved", vec![row(1)]).to_bytes();
        let hash = OsImage::hash(&manifest);
        let mixed = ImageMeasurements { rtmr2: FixedBytes::ZERO, ..row(1) };
        assert_eq!(prove(&manifest, hash, &mixed), Err(EvidenceError::ImageNotBooted));
        let own = OsImage::new("approved", vec![mixed.clone()]).to_bytes();
        assert_eq!(prove(&own, hash, &mixed), Err(EvidenceError::ImageHashMismatch));
    }

    #[test]
    fn manifests_are_read_strictly() {
        let reject = |text: &str| {
            assert!(matches!(OsImage::parse(text.as_bytes()), Err(EvidenceError::BadImage { .. })))
        };
        reject("");
        reject(r#"{"version":2,"name":"x","measurements":[]}"#);
        reject(r#"{"version":1,"name":"x","measurements":[],"more":1}"#);
        reject(r#"{"version":1,"name":"x","measurements":[{"mrtd":"00","rtmr0":"","rtmr1":"","rtmr2":""}]}"#);
    }

    #[test]
    fn manifests_are_capped() {
        let long = vec![b' '; cap::IMAGE + 1];
        assert!(matches!(OsImage::parse(&long), Err(EvidenceError::TooLarge { part: Part::Image, .. })));
        let rows = OsImage::new("x", vec![row(1); MAX_ROWS + 1]).to_bytes();
        assert!(matches!(OsImage::parse(&rows), Err(EvidenceError::TooLarge { part: Part::ImageRows, .. })));
    }
}
