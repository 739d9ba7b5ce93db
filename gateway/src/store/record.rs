// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From rows to certificates and back. Whoever can write to the database is believed in nothing.

use std::fmt;

use alloy::primitives::{Address, B256};
use mandate_acme::{
    issuer::Issued,
    name::{DomainName, Subject},
};
use rustls_pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use thiserror::Error;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{Generation, Mark, Plan, Slot};
use crate::certificates::{MAX_CHAIN, MAX_DER};

/// Bytes of an issuer's name or an account's URI that are accepted.
const MAX_TEXT: usize = 2 << 10;

/// A row is not what was written. It stands for no missing certificate: until somebody has looked at it, nothing is ordered in
/// its place.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "the certificate of {row} in the store is damaged ({what}); restore table `certificates` from a backup, or have it \
     ordered anew: DELETE FROM certificates WHERE subject = '{subject}'"
)]
pub struct Damaged {
    /// Whose it is, if that can be read.
    pub slot: Option<Box<Slot>>,
    /// The same for people, as far as that can be told.
    pub row: String,
    /// Its subject as it stands in the table.
    pub subject: String,
    /// What is wrong.
    pub what: String,
}

impl Damaged {
    /// What stands in `slot` is wrong.
    pub fn of(slot: &Slot, what: impl fmt::Display) -> Self {
        let (row, subject) = (slot.to_string(), slot.subject.to_string());
        Self { slot: Some(Box::new(slot.clone())), row, subject, what: what.to_string() }
    }
}

/// A row as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)] // The columns; see the migrations.
pub struct Row {
    pub generation: Vec<u8>,
    pub subject: String,
    pub app: Vec<u8>,
    pub chain: Vec<u8>,
    pub digest: Vec<u8>,
    pub issuer: String,
    pub account_uri: String,
    pub obtained_at: i64,
    pub renew_at: Option<i64>,
    pub ask_at: Option<i64>,
}

/// A certificate as it is kept. Nothing in it is believed before it was checked against the derived key.
#[derive(Debug, Clone)]
pub struct Record {
    /// Whose.
    pub slot: Slot,
    /// What the issuer gave.
    pub issued: Issued,
    /// When, Unix seconds.
    pub obtained_at: u64,
    /// When it is to be renewed, once that was decided.
    pub plan: Option<Plan>,
}

impl Record {
    /// SHA-256 of the chain.
    pub fn digest(&self) -> B256 {
        digest_of(&self.issued.chain)
    }
}

/// SHA-256 of the certificates, one after the other.
pub fn digest_of(chain: &[CertificateDer<'_>]) -> B256 {
    let mut hash = Sha256::new();
    chain.iter().for_each(|der| hash.update(der));
    B256::from(<[u8; 32]>::from(hash.finalize()))
}

impl Row {
    /// Its generation, if it has one.
    pub fn generation(&self) -> Option<Generation> {
        self.generation.as_slice().try_into().ok().map(Generation)
    }

    /// What it says.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn parse(&self) -> Result<Record, Damaged> {
        let slot = slot(&self.subject, &self.app).map_err(|e| damaged(&self.subject, &self.app, e))?;
        let damaged = |what: &dyn fmt::Display| Damaged::of(&slot, what);
        self.generation().ok_or_else(|| damaged(&"a generation has 16 bytes"))?;
        let chain = split(&self.chain).map_err(|e| damaged(&e))?;
        if digest_of(&chain).as_slice() != self.digest.as_slice() {
            return Err(damaged(&"the chain is not what its digest says"));
        }
        if self.issuer.len() > MAX_TEXT || self.account_uri.len() > MAX_TEXT {
            return Err(damaged(&format!("issuer and account have at most {MAX_TEXT} bytes")));
        }
        let obtained_at = u64::try_from(self.obtained_at).map_err(|e| damaged(&e))?;
        let plan = plan(self.renew_at, self.ask_at).map_err(|e| damaged(&e))?;
        let issued = Issued { chain, issuer: self.issuer.clone(), account_uri: self.account_uri.clone() };
        Ok(Record { slot, issued, obtained_at, plan })
    }
}

/// What stands in the row of this key is wrong. Whoever reads the message may paste its statement into a shell.
pub(crate) fn damaged(subject: &str, app: &[u8], what: impl fmt::Display) -> Damaged {
    if let Ok(slot) = slot(subject, app) {
        return Damaged::of(&slot, what);
    }
    let subject: String = subject.chars().filter(|c| !c.is_control() && *c != '\'').take(300).collect();
    let app = alloy::hex::encode_prefixed(app.get(..20).unwrap_or(app));
    Damaged { slot: None, row: format!("{subject:?} (app {app})"), subject, what: what.to_string() }
}

/// Whose certificate a row is.
fn slot(subject: &str, app: &[u8]) -> Result<Slot, String> {
    let (name, is_wildcard) = match subject.strip_prefix("*.") {
        Some(name) => (name, true),
        None => (subject, false),
    };
    let name = DomainName::try_from(name).map_err(|e| e.to_string())?;
    match (is_wildcard, app.is_empty()) {
        (true, true) => Ok(Slot { subject: Subject::Wildcard(name), app: None }),
        (false, false) => {
            let app = Address::try_from(app).map_err(|e| e.to_string())?;
            Ok(Slot { subject: Subject::Domain(name), app: Some(app) })
        }
        _ => Err("a domain has an app, and a wildcard has none".to_owned()),
    }
}

/// Which certificate a row holds.
///
/// # Errors
/// The first thing that is wrong with it.
pub(crate) fn mark(
    subject: &str,
    app: &[u8],
    digest: &[u8],
    renew_at: Option<i64>,
    ask_at: Option<i64>,
) -> Result<Mark, Damaged> {
    let slot = slot(subject, app).map_err(|e| damaged(subject, app, e))?;
    let digest = B256::try_from(digest).map_err(|_| Damaged::of(&slot, "a digest has 32 bytes"))?;
    let plan = plan(renew_at, ask_at).map_err(|e| Damaged::of(&slot, e))?;
    Ok(Mark { slot, digest, plan })
}

pub(crate) fn app_bytes(slot: &Slot) -> &[u8] {
    slot.app.as_ref().map_or(&[], |app| app.as_slice())
}

fn plan(renew_at: Option<i64>, ask_at: Option<i64>) -> Result<Option<Plan>, String> {
    let (renew_at, ask_at) = match (renew_at, ask_at) {
        (None, None) => return Ok(None),
        (Some(renew_at), Some(ask_at)) => (renew_at, ask_at),
        _ => return Err("renew_at and ask_at go together".to_owned()),
    };
    let seconds = |n: i64| u64::try_from(n).map_err(|e| e.to_string());
    Ok(Some(Plan { renew_at: seconds(renew_at)?, ask_at: seconds(ask_at)? }))
}

/// Certificates that stand one after the other.
///
/// # Errors
/// When they are none, too many, too large, or something else is among them.
pub fn split(mut bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let mut chain = Vec::new();
    while !bytes.is_empty() {
        let number = chain.len() + 1;
        if number > MAX_CHAIN {
            return Err(format!("more than {MAX_CHAIN} certificates"));
        }
        let (rest, _) = X509Certificate::from_der(bytes)
            .map_err(|e| format!("certificate {number} of the chain: {e}"))?;
        let der = bytes.get(..bytes.len() - rest.len()).unwrap_or_default();
        if der.len() > MAX_DER {
            return Err(format!("certificate {number} of the chain has more than {MAX_DER} bytes"));
        }
        chain.push(CertificateDer::from(der.to_vec()));
        bytes = rest;
    }
    if chain.is_empty() { Err("no certificate".to_owned()) } else { Ok(chain) }
}
