// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Who signs certificates, behind one trait: an ACME authority in earnest, something smaller where there is none.

use std::{fmt, sync::Arc};

use futures::future::BoxFuture;
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use rustls_pki_types::CertificateDer;
use thiserror::Error;

use crate::{
    keys::P256Key,
    name::{DomainName, Subject},
};

/// What is to be certified: that `key` belongs to `subject`.
#[derive(Debug, Clone)]
pub struct CertificateRequest {
    subject: Subject,
    key: Arc<P256Key>,
}

impl CertificateRequest {
    /// A request for one subject.
    pub fn new(subject: Subject, key: Arc<P256Key>) -> Self {
        Self { subject, key }
    }

    /// What it is for.
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// Its domain.
    pub fn name(&self) -> &DomainName {
        self.subject.domain()
    }

    /// The key pair, of which the issuer sees the public half.
    pub fn key(&self) -> &P256Key {
        &self.key
    }

    /// DER of a signing request (PKCS#10) for exactly these names and this key.
    ///
    /// # Errors
    /// [`IssueError::Request`] when it cannot be made.
    pub fn csr(&self) -> Result<Vec<u8>, IssueError> {
        let unmade = |e: rcgen::Error| IssueError::Request { name: self.name().clone(), what: e.to_string() };
        let mut params = CertificateParams::new(self.subject.dns_names()).map_err(unmade)?;
        // Authorities look at the alternative names alone, and rcgen would put a name of its own into the subject.
        params.distinguished_name = DistinguishedName::new();
        let key = signing_key(&self.key).map_err(unmade)?;
        Ok(params.serialize_request(&key).map_err(unmade)?.der().to_vec())
    }
}

/// `key` as rcgen holds it.
///
/// # Errors
/// When rcgen does not take it.
pub fn signing_key(key: &P256Key) -> Result<KeyPair, rcgen::Error> {
    KeyPair::from_pkcs8_der_and_sign_algo(&key.pkcs8(), &rcgen::PKCS_ECDSA_P256_SHA256)
}

/// What came of a request. Nothing in it is believed before it was checked against the request.
#[derive(Debug, Clone)]
pub struct Issued {
    /// The certificate, and those that lead from it to the root.
    pub chain: Vec<CertificateDer<'static>>,
    /// The issuer's domain name, as CAA names it.
    pub issuer: String,
    /// The ACME account's URI, as CAA pins it (RFC 8657); empty when the issuer has no accounts.
    pub account_uri: String,
}

/// Signs certificates.
pub trait CertificateIssuer: Send + Sync + fmt::Debug {
    /// Obtains a certificate. Calling it again obtains another one.
    fn issue<'a>(&'a self, request: &'a CertificateRequest) -> BoxFuture<'a, Result<Issued, IssueError>>;

    /// Ends a certificate that it issued for `name` before its time. That it has ended already is no error.
    fn revoke<'a>(
        &'a self,
        name: &'a DomainName,
        leaf: &'a CertificateDer<'static>,
    ) -> BoxFuture<'a, Result<(), IssueError>>;
}

/// Why there is no certificate.
#[derive(Debug, Error)]
pub enum IssueError {
    /// The request itself could not be made.
    #[error("certificate request for {name}: {what}")]
    Request {
        /// For which name.
        name: DomainName,
        /// What is wrong.
        what: String,
    },
    /// Nobody was reached, or the conversation broke.
    #[error("{issuer}: {what}")]
    Unreachable {
        /// Who.
        issuer: String,
        /// How it failed.
        what: String,
    },
    /// The issuer said no.
    #[error("{issuer} refused {name}: {what}")]
    Refused {
        /// Who.
        issuer: String,
        /// For which name.
        name: DomainName,
        /// Its own words.
        what: String,
    },
    /// The issuer offers no way to validate that this gateway knows.
    #[error("{issuer} offers no tls-alpn-01 challenge for {name}")]
    NoChallenge {
        /// Who.
        issuer: String,
        /// For which name.
        name: DomainName,
    },
    /// It took too long.
    #[error("{issuer}: no certificate for {name} in time")]
    Timeout {
        /// Who.
        issuer: String,
        /// For which name.
        name: DomainName,
    },
    /// The gateway's own keys are not to be had.
    #[error(transparent)]
    Key(#[from] crate::keys::KeyError),
}
