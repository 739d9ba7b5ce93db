// SPDX-License-Identifier: Apache-2.0 OR MIT
//! OS images that a verifier knows by their registers.
//!
//! A guest of ours carries its image's manifest, and the OS image hash is that manifest's. Upstream's guests carry none:
//! their hash is over a list of the image's files, no verifier can compute registers from it, and what their event log
//! says about it is the host's word. So the operator tells the verifier which registers an approved hash boots into, and
//! the quote's registers name the hash. Whoever can write this configuration decides what a hash means: it is to be
//! measured with the verifier, like the contracts' address.

use std::collections::HashMap;

use alloy::primitives::B256;
use serde::{Deserialize, Serialize};

use crate::{
    error::{EvidenceError, Part},
    evidence::{cap, within},
    image::{ImageMeasurements, MAX_ROWS, SnpMeasurement},
};

/// The file format that this build reads.
const VERSION: u32 = 1;
const MAX_REASON: usize = 160;

/// Registers of images that bring no manifest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnownImages {
    tdx: HashMap<ImageMeasurements, B256>,
    snp: HashMap<SnpMeasurement, B256>,
}

/// One image as a file tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownImage {
    /// Version of this format: 1.
    pub version: u32,
    /// The hash that is approved on chain.
    pub os_image_hash: B256,
    /// For people.
    pub name: String,
    /// TDX: one row per hardware shape.
    #[serde(default)]
    pub measurements: Vec<ImageMeasurements>,
    /// SEV-SNP: one row per number and kind of virtual CPUs.
    #[serde(default)]
    pub snp: Vec<SnpMeasurement>,
}

impl KnownImages {
    /// Adds an image.
    ///
    /// # Errors
    /// [`EvidenceError::AmbiguousImage`] when registers already stand for another hash, [`EvidenceError::BadImage`] for a
    /// version that is not known or no row at all, [`EvidenceError::TooLarge`]. Nothing is added then.
    pub fn add(&mut self, image: &KnownImage) -> Result<(), EvidenceError> {
        if image.version != VERSION {
            return Err(bad(&format!("version {} is not known, {VERSION} is", image.version)));
        }
        if image.measurements.is_empty() && image.snp.is_empty() {
            return Err(bad("it has no measurements"));
        }
        within(Part::ImageRows, image.measurements.len(), MAX_ROWS)?;
        within(Part::ImageRows, image.snp.len(), MAX_ROWS)?;
        let second = image.os_image_hash;
        let tdx = image.measurements.iter().filter_map(|row| self.tdx.get(row));
        let mut taken = tdx.chain(image.snp.iter().filter_map(|row| self.snp.get(row)));
        if let Some(first) = taken.find(|first| **first != second).copied() {
            return Err(EvidenceError::AmbiguousImage { first, second });
        }
        self.tdx.extend(image.measurements.iter().map(|row| (row.clone(), second)));
        self.snp.extend(image.snp.iter().map(|row| (row.clone(), second)));
        Ok(())
    }

    /// Adds the image of a JSON file: `version`, `os_image_hash`, `name` and `measurements` as in [`KnownImage`].
    ///
    /// # Errors
    /// As [`KnownImages::add`], and [`EvidenceError::BadImage`] for anything else.
    pub fn read(&mut self, json: &[u8]) -> Result<(), EvidenceError> {
        within(Part::Image, json.len(), cap::IMAGE)?;
        let image: KnownImage = serde_json::from_slice(json).map_err(|e| bad(&e.to_string()))?;
        self.add(&image)
    }

    /// The hash of the image that boots into these registers.
    pub(crate) fn hash_of(&self, booted: &ImageMeasurements) -> Option<B256> {
        self.tdx.get(booted).copied()
    }

    /// The hash of the image that launches into this measurement.
    pub(crate) fn hash_of_launch(&self, launched: &SnpMeasurement) -> Option<B256> {
        self.snp.get(launched).copied()
    }
}

fn bad(reason: &str) -> EvidenceError {
    EvidenceError::BadImage { reason: reason.chars().take(MAX_REASON).collect() }
}

#[cfg(test)]
mod tests {
    use alloy::primitives::FixedBytes;

    use super::*;

    fn row(n: u8) -> ImageMeasurements {
        let register = FixedBytes::repeat_byte;
        ImageMeasurements { mrtd: register(n), rtmr0: register(1), rtmr1: register(2), rtmr2: register(3) }
    }

    fn image(hash: u8, rows: &[u8]) -> KnownImage {
        KnownImage {
            version: VERSION,
            os_image_hash: B256::repeat_byte(hash),
            name: "upstream".to_owned(),
            measurements: rows.iter().map(|n| row(*n)).collect(),
            snp: Vec::new(),
        }
    }

    #[test]
    fn registers_name_the_image_and_nothing_else_does() {
        let mut known = KnownImages::default();
        known.add(&image(1, &[1, 2])).unwrap();
        known.read(&serde_json::to_vec(&image(2, &[3])).unwrap()).unwrap();
        let hashes = [1, 2, 3, 4].map(|n| known.hash_of(&row(n)));
        let hash = |n| Some(B256::repeat_byte(n));
        assert_eq!(hashes, [hash(1), hash(1), hash(2), None]);
        let almost = ImageMeasurements { rtmr2: FixedBytes::ZERO, ..row(1) };
        assert_eq!(known.hash_of(&almost), None);
    }

    #[test]
    fn launch_digests_name_the_image_too_and_only_one() {
        let launched = |n| SnpMeasurement { measurement: FixedBytes::repeat_byte(n) };
        let image = |hash, rows: &[u8]| KnownImage {
            snp: rows.iter().map(|n| launched(*n)).collect(),
            ..image(hash, &[])
        };
        let mut known = KnownImages::default();
        known.add(&image(1, &[7, 8])).unwrap();
        assert_eq!(known.hash_of_launch(&launched(8)), Some(B256::repeat_byte(1)));
        assert_eq!(known.hash_of_launch(&launched(9)), None);
        assert!(matches!(known.add(&image(2, &[9, 7])), Err(EvidenceError::AmbiguousImage { .. })));
        assert_eq!(known.hash_of_launch(&launched(9)), None);
    }

    #[test]
    fn registers_stand_for_one_hash() {
        let mut known = KnownImages::default();
        known.add(&image(1, &[1])).unwrap();
        known.add(&image(1, &[1])).unwrap();
        let (first, second) = (B256::repeat_byte(1), B256::repeat_byte(2));
        let refused = known.add(&image(2, &[9, 1]));
        assert_eq!(refused, Err(EvidenceError::AmbiguousImage { first, second }));
        assert_eq!(known.hash_of(&row(9)), None);
    }

    #[test]
    fn files_are_read_strictly_and_capped() {
        let mut known = KnownImages::default();
        let mut refused = |image: KnownImage| known.add(&image).unwrap_err();
        assert!(matches!(
            refused(KnownImage { version: 2, ..image(1, &[1]) }),
            EvidenceError::BadImage { .. }
        ));
        assert!(matches!(refused(image(1, &[])), EvidenceError::BadImage { .. }));
        let rows = refused(image(1, &[1; MAX_ROWS + 1]));
        assert!(matches!(rows, EvidenceError::TooLarge { part: Part::ImageRows, .. }), "{rows}");
        assert!(known.add(&image(1, &[1; MAX_ROWS])).is_ok());
        let long = known.read(&vec![b' '; cap::IMAGE + 1]).unwrap_err();
        assert!(matches!(long, EvidenceError::TooLarge { part: Part::Image, .. }));
        for text in ["", "{}", r#"{"version":1,"os_image_hash":"0x12","name":"","measurements":[]}"#] {
            assert!(matches!(known.read(text.as_bytes()), Err(EvidenceError::BadImage { .. })), "{text}");
        }
    }
}
