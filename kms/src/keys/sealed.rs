// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The key file where the platform gives a key of its own: the same seed, sealed to that key. Another machine, or another
//! measurement, cannot open it; such a node makes a new one and joins anew.

use std::{fmt::Debug, fs, io, path::Path};

use hkdf::Hkdf;
use mandate_attestation::snp::{DerivedKeyError, derived_key};
use mandate_runtime::{Entropy, entropy};
use mandate_threshold::SealingKey;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::{
    KeyFileError, NodeKeys,
    file::{FileKind, read, write},
    fresh_seed,
};

const TITLE: &str = "mandate-kms key file, sealed by the platform";

/// Of a seed that is sealed to the platform's key.
const INFO: &[u8] = b"mandate-kms-platform-v1";

/// A key that the hardware gives to this code on this machine, and to nobody else.
pub trait PlatformKey: Send + Sync + Debug {
    /// The key: the same each time.
    ///
    /// # Errors
    /// Where there is no such hardware.
    fn derive(&self) -> Result<Zeroizing<[u8; 32]>, DerivedKeyError>;
}

/// That of the AMD Secure Processor.
#[derive(Debug, Clone, Copy, Default)]
pub struct SnpKey {
    /// The VMPL that the key is for.
    pub vmpl: u32,
}

impl PlatformKey for SnpKey {
    fn derive(&self) -> Result<Zeroizing<[u8; 32]>, DerivedKeyError> {
        derived_key(self.vmpl).map(Zeroizing::new)
    }
}

impl NodeKeys {
    /// Reads the sealed key file at `path`, which must be there.
    ///
    /// # Errors
    /// Also when the file was sealed on another machine or by other code.
    pub fn load_sealed(path: &Path, platform: &dyn PlatformKey) -> Result<Self, KeyFileError> {
        let file =
            fs::File::open(path).map_err(|source| KeyFileError::Io { path: path.to_owned(), source })?;
        let sealed = read(path, file, FileKind { title: TITLE, bytes: None })?;
        let key = sealing_key(path, platform)?;
        let unsealed = || KeyFileError::Sealed { path: path.to_owned() };
        let opened = mandate_threshold::open(&key, INFO, &[], &sealed).map_err(|_| unsealed())?;
        let seed = Zeroizing::new(<[u8; 32]>::try_from(opened.as_slice()).map_err(|_| unsealed())?);
        Self::from_seed(*seed).map_err(|source| KeyFileError::Key { path: path.to_owned(), source })
    }

    /// The same, or makes one from `source` when there is none.
    ///
    /// # Errors
    /// As [`NodeKeys::load_sealed`].
    pub fn load_or_create_sealed(
        path: &Path,
        platform: &dyn PlatformKey,
        source: &dyn Entropy,
    ) -> Result<Self, KeyFileError> {
        if path.try_exists().map_err(|source| KeyFileError::Io { path: path.to_owned(), source })? {
            return Self::load_sealed(path, platform);
        }
        let seed = fresh_seed(source);
        let keys =
            Self::from_seed(*seed).map_err(|source| KeyFileError::Key { path: path.to_owned(), source })?;
        let to = sealing_key(path, platform)?.public();
        let sealed = mandate_threshold::seal(&to, INFO, &[], seed.as_slice(), entropy::bytes(source));
        let io_error = |source| KeyFileError::Io { path: path.to_owned(), source };
        let sealed = sealed.map_err(|error| io_error(io::Error::other(error.to_string())))?;
        write(path, TITLE, &sealed).map_err(io_error)?;
        Ok(keys)
    }
}

fn sealing_key(path: &Path, platform: &dyn PlatformKey) -> Result<SealingKey, KeyFileError> {
    let platform_key =
        platform.derive().map_err(|source| KeyFileError::Platform { path: path.to_owned(), source })?;
    let mut seed = Zeroizing::new([0; 32]);
    let expanded = Hkdf::<Sha256>::new(Some(INFO), platform_key.as_slice()).expand(b"seed", seed.as_mut());
    debug_assert!(expanded.is_ok(), "32 bytes are within HKDF's limit");
    Ok(SealingKey::from_seed(*seed))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use mandate_runtime::entropy::SeededEntropy;

    use super::*;

    /// Stands for a processor.
    #[derive(Debug)]
    struct Chip(u8);

    impl PlatformKey for Chip {
        fn derive(&self) -> Result<Zeroizing<[u8; 32]>, DerivedKeyError> {
            Ok(Zeroizing::new([self.0; 32]))
        }
    }

    #[test]
    fn g12_seed_is_sealed_to_the_platform_and_opens_there_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sealed.key");
        let entropy = SeededEntropy::from_u64(1);
        let first = NodeKeys::load_or_create_sealed(&path, &Chip(1), &entropy).unwrap();
        let again = NodeKeys::load_or_create_sealed(&path, &Chip(1), &entropy).unwrap();
        assert_eq!(first.address(), again.address());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        // The seed is the first that this entropy gives.
        let seed = hex::encode(*fresh_seed(&SeededEntropy::from_u64(1)));
        assert!(!fs::read_to_string(&path).unwrap().contains(&seed));
        let stolen = NodeKeys::load_or_create_sealed(&path, &Chip(2), &entropy).unwrap_err();
        assert!(matches!(stolen, KeyFileError::Sealed { .. }), "{stolen}");
        assert!(NodeKeys::load(&path).is_err(), "it is no development key file");
    }

    #[test]
    fn damaged_file_is_an_error_and_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sealed.key");
        let entropy = SeededEntropy::from_u64(1);
        NodeKeys::load_or_create_sealed(&path, &Chip(1), &entropy).unwrap();
        let whole = fs::read_to_string(&path).unwrap();
        for damaged in [whole.replace("platform", "nobody"), whole[..whole.len() - 5].to_owned()] {
            fs::write(&path, &damaged).unwrap();
            assert!(NodeKeys::load_or_create_sealed(&path, &Chip(1), &entropy).is_err());
            assert_eq!(fs::read_to_string(&path).unwrap(), damaged);
        }
    }

    #[test]
    fn machine_without_such_hardware_makes_no_file() {
        if Path::new("/dev/sev-guest").exists() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sealed.key");
        let error = NodeKeys::load_or_create_sealed(&path, &SnpKey::default(), &SeededEntropy::from_u64(1));
        assert!(matches!(error, Err(KeyFileError::Platform { .. })));
        assert!(!path.exists());
    }
}
