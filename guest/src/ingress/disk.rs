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
    let entry: Entry = serde_json::from_str(&text).map_err(|e| damaged(e.to_string()))?;
    let chain = entry.chain.into_iter().map(|der| CertificateDer::from(der.to_vec())).collect();
    Ok(Some(Issued { chain, issuer: entry.issuer, account_uri: entry.account_uri }))
}

/// Keeps it in place of what was there, whole or not at all.
pub(super) fn keep(dir: &Path, name: &DomainName, issued: &Issued) -> Result<(), DiskError> {
    let path = path_of(dir, name);
    let entry = Entry {
        issuer: issued.issuer.clone(),
        account_uri: issued.account_uri.clone(),
        chain: issued.chain.iter().map(|der| Bytes::copy_from_slice(der)).collect(),
    };
    let fresh = path.with_extension("new");
    let write = || {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        file.write_all(serde_json::to_string_pretty(&entry)?.as_bytes())?;
        file.sync_all()?;
        fs::rename(&fresh, &path)?;
        File::open(dir)?.sync_all()
    };
    write().map_err(|source| DiskError::Io { path: path.clone(), source })
}
