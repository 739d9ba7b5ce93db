// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Certificates across restarts: one file for each domain, without its key, which derives from the app's secret.
//!
//! A file that cannot be read is an error and not a missing certificate: whoever damaged it should not make the agent order
//! a new one without anybody noticing.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use alloy::primitives::Bytes;
use mandate_acme::{issuer::Issued, name::DomainName};
use rustls_pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;

const MAX_FILE: u64 = 256 << 10;
const LONGEST_IN_CLEAR: usize = 200;

/// Why a certificate cannot be kept or read.
#[derive(Debug, Error)]
pub(super) enum DiskError {
    /// The file system said no.
    #[error("{}: {source}", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The content is not what was written.
    #[error("{}: damaged ({what}); restore it, or remove it to have the certificate ordered anew", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Entry {
    issuer: String,
    account_uri: String,
    chain: Vec<Bytes>,
}

fn path_of(dir: &Path, name: &DomainName) -> PathBuf {
    let name = name.as_str();
    match name.len() > LONGEST_IN_CLEAR {
        // A name can be longer than a file's may be, its digest cannot.
        true => dir.join(hex::encode(Sha256::digest(name))).with_extension("json"),
        false => dir.join(format!("{name}.json")),
    }
}

/// What is kept for `name`, if anything. Nothing in it is believed before it was checked.
pub(super) fn read(dir: &Path, name: &DomainName) -> Result<Option<Issued>, DiskError> {
    let path = path_of(dir, name);
    let damaged = |what: String| DiskError::Damaged { path: path.clone(), what };
    let mut text = String::new();
    match File::open(&path).and_then(|file| file.take(MAX_FILE).read_to_string(&mut text)) {
        Ok(_) => {}
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) if e.kind() == io::ErrorKind::InvalidData => return Err(damaged(e.to_string())),
        Err(source) => return Err(DiskError::Io { path, source }),
    }
    parse_kept(&text).map(Some).map_err(|e| damaged(e.to_string()))
}

/// Reads what a file says. Nothing in it is believed before it was checked.
///
/// # Errors
/// When it is not what [`write_kept`] writes.
pub fn parse_kept(text: &str) -> Result<Issued, serde_json::Error> {
    let Entry { issuer, account_uri, chain } = serde_json::from_str(text)?;
    let chain = chain.into_iter().map(|der| CertificateDer::from(der.to_vec())).collect();
    Ok(Issued { chain, issuer, account_uri })
}

/// What a file is to say.
///
/// # Errors
/// Never in practice: when JSON cannot be written.
pub fn write_kept(issued: &Issued) -> Result<String, serde_json::Error> {
    serde_json::to_string_pretty(&Entry {
        issuer: issued.issuer.clone(),
        account_uri: issued.account_uri.clone(),
        chain: issued.chain.iter().map(|der| Bytes::copy_from_slice(der)).collect(),
    })
}

/// Keeps it in place of what was there, whole or not at all.
pub(super) fn keep(dir: &Path, name: &DomainName, issued: &Issued) -> Result<(), DiskError> {
    let path = path_of(dir, name);
    let fresh = path.with_extension("new");
    let write = || {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        file.write_all(write_kept(issued)?.as_bytes())?;
        file.sync_all()?;
        fs::rename(&fresh, &path)?;
        File::open(dir)?.sync_all()
    };
    write().map_err(|source| DiskError::Io { path: path.clone(), source })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn issued() -> Issued {
        let chain = vec![vec![0x30, 1, 2].into(), vec![0x30, 3].into()];
        Issued { chain, issuer: "ca.test".to_owned(), account_uri: "https://ca.test/1".to_owned() }
    }

    fn name(text: &str) -> DomainName {
        text.parse().unwrap()
    }

    #[test]
    fn kept_is_read_back_and_nobody_else_may_look() {
        let dir = tempfile::tempdir().unwrap();
        let made = dir.path().join("a/b");
        let longest =
            format!("{}.org", ["a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(57)].join("."));
        assert_eq!(longest.len(), 253);
        for name in [name("app.example.org"), name(&longest)] {
            assert!(read(&made, &name).unwrap().is_none());
            // What a write left that was cut short is no part of the next one.
            let path = path_of(&made, &name);
            fs::create_dir_all(&made).unwrap();
            fs::write(path.with_extension("new"), "x".repeat(10_000)).unwrap();
            fs::set_permissions(path.with_extension("new"), fs::Permissions::from_mode(0o600)).unwrap();
            keep(&made, &name, &issued()).unwrap();
            let got = read(&made, &name).unwrap().unwrap();
            assert_eq!((got.chain, got.issuer, got.account_uri), {
                let Issued { chain, issuer, account_uri } = issued();
                (chain, issuer, account_uri)
            });
            assert!(!path.with_extension("new").exists());
        }
        let fresh = dir.path().join("c");
        keep(&fresh, &name("app.example.org"), &issued()).unwrap();
        for path in [fresh.clone(), path_of(&fresh, &name("app.example.org"))] {
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o077, 0, "{}", path.display());
        }
    }

    #[test]
    fn attack_file_that_is_too_long_or_no_text_is_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let name = name("app.example.org");
        let long = format!("{}{}", " ".repeat(300 << 10), write_kept(&issued()).unwrap());
        for content in [long.as_bytes(), b"\xff\xfe"] {
            fs::write(path_of(dir.path(), &name), content).unwrap();
            assert!(matches!(read(dir.path(), &name), Err(DiskError::Damaged { .. })));
        }
        // A directory is no missing certificate either.
        fs::remove_file(path_of(dir.path(), &name)).unwrap();
        fs::create_dir(path_of(dir.path(), &name)).unwrap();
        assert!(matches!(read(dir.path(), &name), Err(DiskError::Io { .. })));
    }
}
