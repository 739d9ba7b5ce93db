// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The certificates that the gateway serves.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use alloy::primitives::Address;
use mandate_acme::name::DomainName;
use mandate_model::wire::gateway::IssuedCertificate;
use rustls::{
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio_util::sync::CancellationToken;

mod keys;

pub use keys::{CERTIFICATE_KEYS, CertificateKeys, Parent};
pub use mandate_acme::certificate::{Certificate, CertificateError, MAX_CHAIN, MAX_DER};

/// What the registry records of `certificate` when it serves `app`.
pub(crate) fn record(certificate: &Certificate, app: Address) -> IssuedCertificate {
    let issued = certificate.issued();
    IssuedCertificate {
        name: certificate.name().to_string(),
        app,
        issuer: issued.issuer.clone(),
        account_uri: issued.account_uri.clone(),
        fingerprint: certificate.fingerprint().into(),
        spki_hash: certificate.spki_sha256().into(),
        not_after: certificate.not_after(),
    }
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

impl Served {
    /// What the registry records of it.
    pub fn record(&self) -> IssuedCertificate {
        record(&self.certificate, self.app)
    }
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
            return Some(Arc::clone(certificate.key()));
        }
        self.read().get(name).map(|served| Arc::clone(served.certificate.key()))
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.key_for(&DomainName::try_from(hello.server_name()?.to_ascii_lowercase().as_str()).ok()?)
    }
}

#[cfg(test)]
mod tests;
