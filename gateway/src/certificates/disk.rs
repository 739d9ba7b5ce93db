// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Certificates in files, one each, mode 0600. The keys are not there: they are derived again.
//!
//! A file that cannot be read is an error and not a missing certificate: whoever damaged it should not make the gateway
//! order a new one without anybody noticing.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use alloy::primitives::{Address, Bytes};
use rustls_pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::Certificate;
use mandate_acme::{issuer::Issued, name::DomainName};

const MAX_FILE: u64 = 1 << 20;
const SUFFIX: &str = "json";

/// Why certificates cannot be kept or read.
#[derive(Debug, Error)]
pub enum DiskError {
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
    name: String,
    app: Address,
    issuer: String,
    account_uri: String,
    chain: Vec<Bytes>,
}

/// A certificate as it was kept. Nothing in it is believed before it was checked again.
#[derive(Debug, Clone)]
pub struct Kept {
    /// The domain.
    pub name: DomainName,
    /// The app that held it.
    pub app: Address,
    /// What the issuer gave.
    pub issued: Issued,
}

impl TryFrom<Entry> for Kept {
    type Error = String;

    fn try_from(entry: Entry) -> Result<Self, String> {
        let name = DomainName::try_from(entry.name.as_str()).map_err(|e| e.to_string())?;
        let chain = entry.chain.into_iter().map(|der| CertificateDer::from(der.to_vec())).collect();
        let issued = Issued { chain, issuer: entry.issuer, account_uri: entry.account_uri };
        Ok(Self { name, app: entry.app, issued })
    }
}

/// Keeps `certificate` in `dir`, in place of what was there for the same name, whole or not at all.
///
/// # Errors
/// The file system's.
pub(crate) fn keep(dir: &Path, app: Address, certificate: &Certificate) -> Result<(), DiskError> {
    let path = path_of(dir, certificate.name());
    let failed = |source| DiskError::Io { path: path.clone(), source };
    let entry = Entry {
        name: certificate.name().to_string(),
        app,
        issuer: certificate.issued.issuer.clone(),
        account_uri: certificate.issued.account_uri.clone(),
        chain: certificate.issued.chain.iter().map(|der| Bytes::copy_from_slice(der)).collect(),
    };
    let text = serde_json::to_vec_pretty(&entry).map_err(|e| failed(e.into()))?;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
    let fresh = path.with_extension("new");
    let write = || {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(&fresh, &path)?;
        File::open(dir)?.sync_all()
    };
    write().map_err(failed)
}

/// Forgets the certificate of `name`.
///
/// # Errors
/// The file system's; that there is none is no error.
pub(crate) fn forget(dir: &Path, name: &DomainName) -> Result<(), DiskError> {
    let path = path_of(dir, name);
    match fs::remove_file(&path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(DiskError::Io { path, source: e }),
        _ => Ok(()),
    }
}

/// Everything that is kept in `dir`.
///
/// # Errors
/// When a file cannot be read or is damaged.
pub(crate) fn all(dir: &Path) -> Result<Vec<Kept>, DiskError> {
    let failed = |source| DiskError::Io { path: dir.to_owned(), source };
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(failed(e)),
    };
    let mut paths = entries.map(|e| e.map(|e| e.path())).collect::<Result<Vec<_>, _>>().map_err(failed)?;
    paths.retain(|path| path.extension().is_some_and(|e| e == SUFFIX));
    paths.sort();
    paths.iter().map(|path| read(path)).collect()
}

fn read(path: &Path) -> Result<Kept, DiskError> {
    let damaged = |what: String| DiskError::Damaged { path: path.to_owned(), what };
    let mut text = Vec::new();
    let read = File::open(path).and_then(|f| f.take(MAX_FILE).read_to_end(&mut text));
    read.map_err(|source| DiskError::Io { path: path.to_owned(), source })?;
    let entry: Entry = serde_json::from_slice(&text).map_err(|e| damaged(e.to_string()))?;
    Kept::try_from(entry).map_err(damaged)
}

/// A name can be longer than a file name may be, its digest cannot.
fn path_of(dir: &Path, name: &DomainName) -> PathBuf {
    dir.join(hex::encode(Sha256::digest(name.as_str()))).with_extension(SUFFIX)
}
