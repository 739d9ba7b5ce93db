// SPDX-License-Identifier: Apache-2.0 OR MIT
//! OS images: what ties an image's hash to the registers that booting it leaves.
//!
//! RTMR3 only repeats what the booted OS says about itself. An OS of an attacker's making, in a perfectly genuine TD, can
//! extend the hash of an approved image there. What it cannot do is boot into that image's MRTD and RTMR0-2. So the OS
//! image hash that is approved on chain is the SHA-256 of a manifest which lists these registers for every hardware
//! shape that the image supports, the evidence carries the manifest, and the quote's registers must be one of its rows.
//! Other kinds of TEE have rows of their own in the same manifest.

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
    /// TDX: one row per hardware shape.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub measurements: Vec<ImageMeasurements>,
    /// SEV-SNP: one row per number and kind of virtual CPUs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub snp: Vec<SnpMeasurement>,
    /// Nitro Enclaves: one row per enclave image file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nitro: Vec<NitroMeasurement>,
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

/// What launching the image on one shape of virtual machine leaves.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnpMeasurement {
    /// The launch digest, MEASUREMENT: firmware, kernel, initrd, command line and virtual CPUs.
    pub measurement: FixedBytes<48>,
}

/// What starting the image as an enclave leaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NitroMeasurement {
    /// The enclave image file.
    pub pcr0: FixedBytes<48>,
    /// Its kernel and boot ramdisk.
    pub pcr1: FixedBytes<48>,
    /// The rest of it.
    pub pcr2: FixedBytes<48>,
}

impl OsImage {
    /// A manifest of these rows for TDX.
    pub fn new(name: impl Into<String>, measurements: Vec<ImageMeasurements>) -> Self {
        Self { version: VERSION, name: name.into(), measurements, snp: Vec::new(), nitro: Vec::new() }
    }

    /// The same image for SEV-SNP too.
    #[must_use]
    pub fn with_snp(self, snp: Vec<SnpMeasurement>) -> Self {
        Self { snp, ..self }
    }

    /// The same image for Nitro Enclaves too.
    #[must_use]
    pub fn with_nitro(self, nitro: Vec<NitroMeasurement>) -> Self {
        Self { nitro, ..self }
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
        within(Part::ImageRows, image.snp.len(), MAX_ROWS)?;
        within(Part::ImageRows, image.nitro.len(), MAX_ROWS)?;
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

/// The hash of the image whose manifest this is, when it lists the launch digest. Nothing else names the image here: which
/// hashes are images is for the contracts to say.
pub(crate) fn prove_snp(manifest: &[u8], measurement: FixedBytes<48>) -> Result<B256, EvidenceError> {
    let image = OsImage::parse(manifest)?;
    match image.snp.iter().any(|row| row.measurement == measurement) {
        true => Ok(OsImage::hash(manifest)),
        false => Err(EvidenceError::ImageNotBooted),
    }
}

/// The same for an enclave's registers.
pub(crate) fn prove_nitro(manifest: &[u8], measured: &NitroMeasurement) -> Result<B256, EvidenceError> {
    match OsImage::parse(manifest)?.nitro.contains(measured) {
        true => Ok(OsImage::hash(manifest)),
        false => Err(EvidenceError::ImageNotBooted),
    }
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
    fn g1_a_launch_digest_proves_the_image_that_lists_it() {
        let row = |byte| SnpMeasurement { measurement: FixedBytes::repeat_byte(byte) };
        let manifest = OsImage::new("two shapes", vec![]).with_snp(vec![row(1), row(2)]).to_bytes();
        let hash = Ok(OsImage::hash(&manifest));
        assert_eq!(prove_snp(&manifest, FixedBytes::repeat_byte(1)), hash);
        assert_eq!(prove_snp(&manifest, FixedBytes::repeat_byte(2)), hash);
        assert_eq!(prove_snp(&manifest, FixedBytes::repeat_byte(3)), Err(EvidenceError::ImageNotBooted));
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
        let snp = SnpMeasurement { measurement: FixedBytes::ZERO };
        let with = |rows| OsImage::new("x", Vec::new()).with_snp(vec![snp.clone(); rows]).to_bytes();
        assert!(OsImage::parse(&with(MAX_ROWS)).is_ok());
        let refused = OsImage::parse(&with(MAX_ROWS + 1));
        assert!(matches!(refused, Err(EvidenceError::TooLarge { part: Part::ImageRows, .. })));
    }
}
