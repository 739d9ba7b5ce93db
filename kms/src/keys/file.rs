// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The development key file: one seed in hex under a line that says what it is, mode 0600.

use std::{
    fs, io,
    io::{Read, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use mandate_attestation::snp::DerivedKeyError;
use mandate_runtime::Entropy;
use thiserror::Error;
use zeroize::Zeroizing;

use super::{KeyError, NodeKeys, fresh_seed};

const TITLE: &str = "mandate-kms development key file: not sealed by hardware, keep it secret";
const MAX_FILE: u64 = 4_096;

/// Why a key file was not accepted.
#[derive(Debug, Error)]
pub enum KeyFileError {
    /// It could not be read or written.
    #[error("key file {path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Others than its owner may read or write it.
    #[error("key file {path} has mode {mode:o}: it must be 0600 (chmod 600 {path})")]
    Mode {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It is no key file.
    #[error("key file {path} must hold the line {title:?} and hex digits, nothing else")]
    Format {
        /// Which file.
        path: PathBuf,
        /// Its first line.
        title: &'static str,
    },
    /// The platform gives no key to unseal it with.
    #[error("key file {path}: {source}")]
    Platform {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: DerivedKeyError,
    },
    /// It was sealed on another machine, or by other code.
    #[error(
        "key file {path} does not open with this machine's and this code's key: keep it, or move it away and have the \
         node join anew with another one"
    )]
    Sealed {
        /// Which file.
        path: PathBuf,
    },
    /// Its seed is unusable.
    #[error("key file {path}: {source}")]
    Key {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: KeyError,
    },
}

impl NodeKeys {
    /// Reads the key file at `path`, which must be there.
    pub fn load(path: &Path) -> Result<Self, KeyFileError> {
        let opened = fs::File::open(path);
        from_file(path, opened.map_err(|source| KeyFileError::Io { path: path.to_owned(), source })?)
    }

    /// Reads the key file at `path`, or makes one from `entropy` when there is none.
    pub fn load_or_create(path: &Path, entropy: &dyn Entropy) -> Result<Self, KeyFileError> {
        match fs::File::open(path) {
            Ok(file) => from_file(path, file),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Self::create_file(path, *fresh_seed(entropy)),
            Err(source) => Err(KeyFileError::Io { path: path.to_owned(), source }),
        }
    }

    /// Writes a new key file with `seed`; an existing file is left alone and is an error.
    pub fn create_file(path: &Path, seed: [u8; 32]) -> Result<Self, KeyFileError> {
        let seed = Zeroizing::new(seed);
        let keys =
            Self::from_seed(*seed).map_err(|source| KeyFileError::Key { path: path.to_owned(), source })?;
        write(path, TITLE, seed.as_slice())
            .map_err(|source| KeyFileError::Io { path: path.to_owned(), source })?;
        Ok(keys)
    }
}

/// What a kind of key file looks like.
#[derive(Debug, Clone, Copy)]
pub(super) struct FileKind {
    /// Its first line.
    pub(super) title: &'static str,
    /// How many bytes follow in hex, if that is fixed.
    pub(super) bytes: Option<usize>,
}

const KIND: FileKind = FileKind { title: TITLE, bytes: Some(32) };

pub(super) fn write(path: &Path, title: &str, content: &[u8]) -> io::Result<()> {
    let digits = Zeroizing::new(hex::encode(content));
    let text = Zeroizing::new(format!("{title}\n{}\n", digits.as_str()));
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// The content of a key file that nobody else can read.
pub(super) fn read(path: &Path, file: fs::File, kind: FileKind) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
    let io_error = |source| KeyFileError::Io { path: path.to_owned(), source };
    let mode = file.metadata().map_err(io_error)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeyFileError::Mode { path: path.to_owned(), mode });
    }
    let mut text = Zeroizing::new(String::new());
    file.take(MAX_FILE).read_to_string(&mut text).map_err(io_error)?;
    parse(&text, kind).ok_or_else(|| KeyFileError::Format { path: path.to_owned(), title: kind.title })
}

fn parse(text: &str, kind: FileKind) -> Option<Zeroizing<Vec<u8>>> {
    let digits = text.strip_prefix(kind.title)?.strip_prefix('\n')?.trim_end();
    let bytes = Zeroizing::new(hex::decode(digits).ok()?);
    kind.bytes.is_none_or(|length| length == bytes.len()).then_some(bytes)
}

fn from_file(path: &Path, file: fs::File) -> Result<NodeKeys, KeyFileError> {
    let seed = read(path, file, KIND)?;
    let format = || KeyFileError::Format { path: path.to_owned(), title: TITLE };
    let seed = Zeroizing::new(<[u8; 32]>::try_from(seed.as_slice()).map_err(|_| format())?);
    NodeKeys::from_seed(*seed).map_err(|source| KeyFileError::Key { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use mandate_runtime::entropy::SeededEntropy;

    use super::*;

    #[test]
    fn key_file_is_made_once_and_read_afterwards() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.key");
        let first = NodeKeys::load_or_create(&path, &SeededEntropy::from_u64(1)).unwrap();
        let again = NodeKeys::load_or_create(&path, &SeededEntropy::from_u64(2)).unwrap();
        assert_eq!(first.address(), again.address());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn g12_key_file_readable_by_others_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.key");
        NodeKeys::create_file(&path, [5; 32]).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let e = NodeKeys::load_or_create(&path, &SeededEntropy::from_u64(1)).unwrap_err();
        assert!(matches!(e, KeyFileError::Mode { mode: 0o640, .. }), "{e}");
    }

    #[test]
    fn damaged_key_file_is_an_error_and_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.key");
        fs::write(&path, "something else").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let e = NodeKeys::load_or_create(&path, &SeededEntropy::from_u64(1)).unwrap_err();
        assert!(matches!(e, KeyFileError::Format { .. }));
        assert_eq!(fs::read_to_string(&path).unwrap(), "something else");
    }

    #[test]
    fn g12_seed_is_in_no_error_text() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.key");
        let digits = hex::encode([6; 33]);
        fs::write(&path, format!("{TITLE}\n{digits}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let e = NodeKeys::load_or_create(&path, &SeededEntropy::from_u64(1)).unwrap_err();
        assert!(!format!("{e} {e:?}").contains(&digits));
    }
}
