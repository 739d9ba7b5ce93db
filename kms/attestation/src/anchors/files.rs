// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Anchors as services are configured with them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::TrustAnchors;
use crate::{error::EvidenceError, snp::Product};

/// The largest file that is read, in bytes.
const MAX_FILE: u64 = 64 * 1024;

/// Root certificates in files, DER, each in place of a vendor's own. For development.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AnchorFiles {
    /// For Intel TDX.
    pub tdx_root: Option<PathBuf>,
    /// For AMD SEV-SNP on Milan.
    pub snp_milan_root: Option<PathBuf>,
    /// For AMD SEV-SNP on Genoa, Bergamo and Siena.
    pub snp_genoa_root: Option<PathBuf>,
    /// For AMD SEV-SNP on Turin.
    pub snp_turin_root: Option<PathBuf>,
    /// For AWS Nitro Enclaves.
    pub nitro_root: Option<PathBuf>,
}

/// Why an anchor could not be had.
#[derive(Debug, thiserror::Error)]
pub enum AnchorFileError {
    /// The file cannot be read.
    #[error("trust anchor {}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is larger than any certificate.
    #[error("trust anchor {}: larger than {MAX_FILE} bytes", path.display())]
    TooLarge {
        /// Which.
        path: PathBuf,
    },
    /// The file holds no certificate.
    #[error("trust anchor {}: {source}", path.display())]
    Content {
        /// Which.
        path: PathBuf,
        /// Why.
        source: EvidenceError,
    },
}

type Put = fn(TrustAnchors, Vec<u8>) -> Result<TrustAnchors, EvidenceError>;

impl AnchorFiles {
    /// Reads them; the vendors' own roots stand where no file is named.
    ///
    /// # Errors
    /// [`AnchorFileError`], naming the file.
    pub fn load(&self) -> Result<TrustAnchors, AnchorFileError> {
        let files: [(&Option<PathBuf>, Put); 5] = [
            (&self.tdx_root, TrustAnchors::with_tdx_root),
            (&self.snp_milan_root, |anchors, der| anchors.with_snp_root(Product::Milan, der)),
            (&self.snp_genoa_root, |anchors, der| anchors.with_snp_root(Product::Genoa, der)),
            (&self.snp_turin_root, |anchors, der| anchors.with_snp_root(Product::Turin, der)),
            (&self.nitro_root, TrustAnchors::with_nitro_root),
        ];
        let mut anchors = TrustAnchors::production();
        for (path, put) in files {
            let Some(path) = path else { continue };
            let content = |source| AnchorFileError::Content { path: path.clone(), source };
            anchors = put(anchors, read(path)?).map_err(content)?;
        }
        Ok(anchors)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, AnchorFileError> {
    let io = |source| AnchorFileError::Io { path: path.to_owned(), source };
    if fs::metadata(path).map_err(io)?.len() > MAX_FILE {
        return Err(AnchorFileError::TooLarge { path: path.to_owned() });
    }
    fs::read(path).map_err(io)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_stand_in_for_the_roots_that_they_name_and_no_others() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("root.der");
        fs::write(&path, [0x30, 0x82, 0, 1, 7]).unwrap();
        let production = TrustAnchors::production();
        assert_eq!(AnchorFiles::default().load().unwrap(), production);
        let turin =
            AnchorFiles { snp_turin_root: Some(path.clone()), ..AnchorFiles::default() }.load().unwrap();
        let [milan, genoa, _] = production.snp_fingerprints();
        assert_eq!(turin.snp_fingerprints()[..2], [milan, genoa]);
        assert_ne!(turin.snp_fingerprints()[2], production.snp_fingerprints()[2]);
        let nitro = AnchorFiles { nitro_root: Some(path), ..AnchorFiles::default() }.load().unwrap();
        assert_ne!(nitro.nitro_fingerprint(), production.nitro_fingerprint());
        assert_eq!(nitro.tdx_fingerprint(), production.tdx_fingerprint());
    }

    #[test]
    fn files_that_hold_no_root_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("root.pem");
        let load =
            || AnchorFiles { nitro_root: Some(path.clone()), ..AnchorFiles::default() }.load().unwrap_err();
        assert!(matches!(load(), AnchorFileError::Io { .. }));
        fs::write(&path, "-----BEGIN CERTIFICATE-----").unwrap();
        assert!(load().to_string().contains("root.pem"), "{}", load());
        fs::write(&path, vec![0; 65 * 1024]).unwrap();
        assert!(matches!(load(), AnchorFileError::TooLarge { .. }));
    }
}
