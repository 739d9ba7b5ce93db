// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The certificates that the gateway serves, checked before they count.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use alloy::primitives::{Address, B256};
use mandate_acme::{
    issuer::Issued,
    keys::{P256Key, certified_key},
    name::{DomainName, Subject},
};
use mandate_model::wire::gateway::IssuedCertificate;
use rustls::{
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use rustls_pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use thiserror::Error;
use tokio_util::sync::CancellationToken;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

mod keys;

pub use keys::{CERTIFICATE_KEYS, CertificateKeys, Parent};

/// Certificates in one chain that are accepted.
pub(crate) const MAX_CHAIN: usize = 8;
/// Bytes of one certificate that are accepted.
pub(crate) const MAX_DER: usize = 16 << 10;

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
        key: &P256Key,
        now: u64,
    ) -> Result<Self, CertificateError> {
        let chain = &issued.chain;
        if chain.is_empty() || chain.len() > MAX_CHAIN || chain.iter().any(|der| der.len() > MAX_DER) {
            return Err(CertificateError::Chain);
        }
        let leaf = chain.first().ok_or(CertificateError::Chain)?;
        let (not_before, not_after) = check_leaf(leaf, &subject, key, now)?;
        let key = certified_key(chain.clone(), key).map_err(|_| CertificateError::Key)?;
        // Compares the keys once more, as rustls understands them.
        key.keys_match().map_err(|_| CertificateError::Key)?;
        Ok(Self { subject, issued: Arc::new(issued), key: Arc::new(key), not_before, not_after })
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

    /// What the registry records of it when it serves `app`.
    pub fn record(&self, app: Address) -> IssuedCertificate {
        let leaf = self.issued.chain.first().map(|der| der.as_ref()).unwrap_or_default();
        let spki =
            X509Certificate::from_der(leaf).map(|(_, c)| sha256(c.public_key().raw)).unwrap_or_default();
        IssuedCertificate {
            name: self.name().to_string(),
            app,
            issuer: self.issued.issuer.clone(),
            account_uri: self.issued.account_uri.clone(),
            fingerprint: sha256(leaf),
            spki_hash: spki,
            not_after: self.not_after,
        }
    }
}

fn sha256(bytes: &[u8]) -> B256 {
    B256::from(<[u8; 32]>::from(Sha256::digest(bytes)))
}

fn check_leaf(
    leaf: &[u8],
    subject: &Subject,
    key: &P256Key,
    now: u64,
) -> Result<(u64, u64), CertificateError> {
    let (rest, parsed) = X509Certificate::from_der(leaf).map_err(|_| CertificateError::Malformed)?;
    if !rest.is_empty() {
        return Err(CertificateError::Malformed);
    }
    let names = parsed.subject_alternative_name().map_err(|_| CertificateError::Malformed)?;
    let names = names.map(|san| san.value.general_names.as_slice()).unwrap_or_default();
    if !are_exactly(names, &subject.dns_names()) {
        return Err(CertificateError::Names(subject.clone()));
    }
    if parsed.public_key().raw != key.spki() {
        return Err(CertificateError::Key);
    }
    let (not_before, not_after) =
        (parsed.validity().not_before.timestamp(), parsed.validity().not_after.timestamp());
    let dates = CertificateError::Dates { not_before, not_after, now };
    let (Ok(from), Ok(to)) = (u64::try_from(not_before), u64::try_from(not_after)) else { return Err(dates) };
    match from <= now && now < to {
        true => Ok((from, to)),
        false => Err(dates),
    }
}

/// Whether `names` are `expected`, each once and in whatever order, and nothing else.
fn are_exactly(names: &[GeneralName<'_>], expected: &[String]) -> bool {
    let is_there = |name: &String| names.iter().any(|n| matches!(n, GeneralName::DNSName(n) if n == name));
    names.len() == expected.len() && expected.iter().all(is_there)
}

/// A domain that is served.
#[derive(Debug, Clone)]
pub struct Served {
    /// The app that holds it.
    pub app: Address,
    /// Its certificate.
    pub certificate: Certificate,
    /// Cancelled when the domain is taken away; every connection to it ends with it.
    pub ended: CancellationToken,
}

/// What is served: domains, each with one certificate, and the gateway's own names.
#[derive(Debug, Default)]
pub struct Certificates {
    domains: RwLock<HashMap<DomainName, Served>>,
    base: RwLock<Option<Certificate>>,
}

impl Certificates {
    fn read(&self) -> RwLockReadGuard<'_, HashMap<DomainName, Served>> {
        self.domains.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<DomainName, Served>> {
        self.domains.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves it from now on. Connections go on when it merely follows another certificate of the same app, and end when
    /// the domain has changed hands.
    pub fn install(&self, app: Address, certificate: Certificate) {
        let mut served = self.write();
        let before = served.remove(certificate.name());
        let ended = match before {
            Some(before) if before.app == app => before.ended,
            before => {
                before.inspect(|b| b.ended.cancel());
                CancellationToken::new()
            }
        };
        served.insert(certificate.name().clone(), Served { app, certificate, ended });
        metrics::gauge!("mandate_gateway_certificates").set(served.len() as f64);
    }

    /// Serves the gateway's own names with it from now on.
    pub fn install_base(&self, certificate: Certificate) {
        *self.base.write().unwrap_or_else(PoisonError::into_inner) = Some(certificate);
    }

    /// The certificate of the gateway's own names, while it is valid at `now`.
    pub fn base(&self, now: u64) -> Option<Certificate> {
        let base = self.base.read().unwrap_or_else(PoisonError::into_inner);
        base.clone().filter(|certificate| !certificate.is_expired(now))
    }

    /// Stops serving a domain to `app` and ends its connections. False when it was not served to that app.
    pub fn remove(&self, name: &DomainName, app: Address) -> bool {
        let mut served = self.write();
        if served.get(name).is_none_or(|s| s.app != app) {
            return false;
        }
        let removed = served.remove(name).inspect(|s| s.ended.cancel());
        metrics::gauge!("mandate_gateway_certificates").set(served.len() as f64);
        removed.is_some()
    }

    /// The domain, while its certificate is valid at `now`.
    pub fn find(&self, name: &DomainName, now: u64) -> Option<Served> {
        self.read().get(name).filter(|s| !s.certificate.is_expired(now)).cloned()
    }

    /// Every domain, in the order of the names.
    pub fn all(&self) -> Vec<Served> {
        let mut all: Vec<_> = self.read().values().cloned().collect();
        all.sort_by(|a, b| a.certificate.name().cmp(b.certificate.name()));
        all
    }

    fn key_for(&self, name: &DomainName) -> Option<Arc<CertifiedKey>> {
        let base = self.base.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(certificate) = base.as_ref().filter(|base| name.is_within(base.name())) {
            return Some(Arc::clone(&certificate.key));
        }
        self.read().get(name).map(|served| Arc::clone(&served.certificate.key))
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.key_for(&DomainName::try_from(hello.server_name()?.to_ascii_lowercase().as_str()).ok()?)
    }
}

#[cfg(test)]
mod tests;
