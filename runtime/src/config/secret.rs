// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Secrets in configuration: never shown, wiped when dropped.

use std::{
    fmt,
    fs::File,
    io::Read,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use serde::{
    Deserialize, Deserializer,
    de::{Error, Visitor},
};
use subtle::ConstantTimeEq;
use thiserror::Error;
use zeroize::Zeroizing;

/// The largest secret file that is read.
const MAX_SECRET: u64 = 64 << 10;

/// A text that is never shown (G-12).
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text over.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text itself, for use and not for show.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// Takes the same time for every text of the same length.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_string(SecretVisitor)
    }
}

/// serde's own messages quote a value of the wrong type; these do not.
struct SecretVisitor;

fn not_a_string<E: Error>() -> E {
    E::custom("a secret must be a string")
}

impl Visitor<'_> for SecretVisitor {
    type Value = Secret;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: Error>(self, v: &str) -> Result<Secret, E> {
        Ok(Secret::new(v.to_owned()))
    }

    fn visit_string<E: Error>(self, v: String) -> Result<Secret, E> {
        Ok(Secret::new(v))
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Secret, E> {
        Err(not_a_string())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Secret, E> {
        Err(not_a_string())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Secret, E> {
        Err(not_a_string())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Secret, E> {
        Err(not_a_string())
    }
}

/// Why a secret file was not read.
#[derive(Debug, Error)]
pub enum SecretFileError {
    /// It is not there or not readable.
    #[error("{}: cannot be read: {source}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Others than its owner may read it.
    #[error("{}: mode is {mode:03o}, so others can read it: chmod 600 it", path.display())]
    TooOpen {
        /// Which file.
        path: PathBuf,
        /// Permission bits.
        mode: u32,
    },
    /// It is too large to be a secret.
    #[error("{}: larger than {MAX_SECRET} bytes", path.display())]
    TooLarge {
        /// Which file.
        path: PathBuf,
    },
}

/// Reads a file that only its owner can read (0600 or 0400), without surrounding white space.
///
/// # Errors
/// When it cannot be read, is larger than 64 KiB or is open to others.
pub fn secret_file(path: &Path) -> Result<Zeroizing<String>, SecretFileError> {
    let unreadable = |source| SecretFileError::Unreadable { path: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(SecretFileError::TooOpen { path: path.to_owned(), mode });
    }
    if metadata.len() > MAX_SECRET {
        return Err(SecretFileError::TooLarge { path: path.to_owned() });
    }
    // Room for all of it at once: a buffer that grows leaves copies behind.
    let mut text = Zeroizing::new(String::with_capacity(MAX_SECRET as usize));
    file.take(MAX_SECRET).read_to_string(&mut text).map_err(unreadable)?;
    Ok(Zeroizing::new(text.trim().to_owned()))
}
