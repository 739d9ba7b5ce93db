// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A certificate that was checked before it counts.

use std::{fmt, sync::Arc};

use rustls::sign::CertifiedKey;
use rustls_pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use thiserror::Error;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::{
    issuer::Issued,
    keys::P256Secret,
    name::{DomainName, Subject},
};

/// Certificates in one chain that are accepted.
pub const MAX_CHAIN: usize = 8;
/// Bytes of one certificate that are accepted.
pub const MAX_DER: usize = 16 << 10;

/// What is wrong with a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CertificateError {
    /// No certificate, too many, or too large ones.
    #[error("the chain has to hold 1 to {MAX_CHAIN} certificates of at most {MAX_DER} bytes")]
    Chain,
    /// Not X.509.
    #[error("the certificate cannot be parsed")]
    Malformed,
    /// For other names than those asked for.
    #[error("the certificate is not for {0} alone")]
    Names(Subject),
    /// For another key.
    #[error("the certificate is for another key than the gateway's")]
    Key,
    /// Before its time or after.
    #[error("the certificate is valid from {not_before} to {not_after} and it is {now}")]
    Dates {
        /// Start, Unix seconds.
        not_before: i64,
        /// End, Unix seconds.
        not_after: i64,
        /// Now, Unix seconds.
        now: u64,
    },
}

/// A certificate that was checked: for this subject alone, for the gateway's key, and valid at the time of the check.
#[derive(Clone)]
pub struct Certificate {
    subject: Subject,
    issued: Arc<Issued>,
    key: Arc<CertifiedKey>,
    spki_sha256: [u8; 32],
    not_before: u64,
    not_after: u64,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({} until {})", self.subject, self.not_after)
    }
}

impl Certificate {
    /// Checks what an issuer or a file gave.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn check(
        subject: Subject,
        issued: Issued,
        key: &P256Secret,
        now: u64,
    ) -> Result<Self, CertificateError> {
        let signing = |spki: &[u8]| key.signing_key(spki).map_err(|_| CertificateError::Key);
        let (Presented { spki_sha256, not_before, not_after, .. }, signing) =
            check_chain(&issued.chain, &subject, now, signing)?;
        let key = CertifiedKey::new(issued.chain.clone(), signing);
        // Compares the keys once more, as rustls understands them.
        key.keys_match().map_err(|_| CertificateError::Key)?;
        Ok(Self { subject, issued: Arc::new(issued), key: Arc::new(key), spki_sha256, not_before, not_after })
    }

    /// What it is for.
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// Its domain.
    pub fn name(&self) -> &DomainName {
        self.subject.domain()
    }

    /// As the issuer gave it.
    pub fn issued(&self) -> &Issued {
        &self.issued
    }

    /// The key with the chain, as rustls serves it.
    pub fn key(&self) -> &Arc<CertifiedKey> {
        &self.key
    }

    /// From when it is valid, Unix seconds.
    pub fn not_before(&self) -> u64 {
        self.not_before
    }

    /// Until when it is valid, Unix seconds.
    pub fn not_after(&self) -> u64 {
        self.not_after
    }

    /// The certificate itself, without those that lead to the root.
    pub fn leaf(&self) -> Option<&CertificateDer<'static>> {
        self.issued.chain.first()
    }

    /// Whether its time is over.
    pub fn is_expired(&self, now: u64) -> bool {
        now >= self.not_after
    }

    /// SHA-256 of the leaf's DER.
    pub fn fingerprint(&self) -> [u8; 32] {
        Sha256::digest(self.leaf().map(|der| der.as_ref()).unwrap_or_default()).into()
    }

    /// SHA-256 of the leaf's SubjectPublicKeyInfo.
    pub fn spki_sha256(&self) -> [u8; 32] {
        self.spki_sha256
    }
}

/// A certificate whose key somebody else holds: for one subject alone, and valid at the time of the check. Whether that is
/// the right key and whether anybody trusts who signed it is not said here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presented {
    /// SHA-256 of the leaf's DER.
    pub fingerprint: [u8; 32],
    /// SHA-256 of the leaf's SubjectPublicKeyInfo.
    pub spki_sha256: [u8; 32],
    /// From when it is valid, Unix seconds.
    pub not_before: u64,
    /// Until when it is valid, Unix seconds.
    pub not_after: u64,
}

impl Presented {
    /// Checks what somebody shows as his certificate for `subject`.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn check(
        subject: &Subject,
        chain: &[CertificateDer<'_>],
        now: u64,
    ) -> Result<Self, CertificateError> {
        Ok(check_chain(chain, subject, now, |_| Ok(()))?.0)
    }
}

/// With what `of_key` makes of the leaf's SubjectPublicKeyInfo.
fn check_chain<T>(
    chain: &[CertificateDer<'_>],
    subject: &Subject,
    now: u64,
    of_key: impl FnOnce(&[u8]) -> Result<T, CertificateError>,
) -> Result<(Presented, T), CertificateError> {
    if chain.len() > MAX_CHAIN || chain.iter().any(|der| der.len() > MAX_DER) {
        return Err(CertificateError::Chain);
    }
    let leaf = chain.first().ok_or(CertificateError::Chain)?;
    let (rest, parsed) = X509Certificate::from_der(leaf).map_err(|_| CertificateError::Malformed)?;
    if !rest.is_empty() {
        return Err(CertificateError::Malformed);
    }
    let names = parsed.subject_alternative_name().map_err(|_| CertificateError::Malformed)?;
    let names = names.map(|san| san.value.general_names.as_slice()).unwrap_or_default();
    if !are_exactly(names, &subject.dns_names()) {
        return Err(CertificateError::Names(subject.clone()));
    }
    let spki = parsed.public_key().raw;
    let key = of_key(spki)?;
    let (not_before, not_after) =
        (parsed.validity().not_before.timestamp(), parsed.validity().not_after.timestamp());
    let dates = CertificateError::Dates { not_before, not_after, now };
    let (Ok(from), Ok(to)) = (u64::try_from(not_before), u64::try_from(not_after)) else { return Err(dates) };
    if !(from..to).contains(&now) {
        return Err(dates);
    }
    let (fingerprint, spki_sha256) = (Sha256::digest(leaf).into(), Sha256::digest(spki).into());
    Ok((Presented { fingerprint, spki_sha256, not_before: from, not_after: to }, key))
}

/// Whether `names` are `expected`, each once and in whatever order, and nothing else.
fn are_exactly(names: &[GeneralName<'_>], expected: &[String]) -> bool {
    let is_there = |name: &String| names.iter().any(|n| matches!(n, GeneralName::DNSName(n) if n == name));
    names.len() == expected.len() && expected.iter().all(is_there)
}

#[cfg(test)]
mod tests;
