// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Who signs certificates, behind one trait: an ACME authority in earnest, something smaller where there is none.

use std::{fmt, sync::Arc, time::Duration};

use futures::future::{BoxFuture, FutureExt};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use rustls_pki_types::CertificateDer;
use thiserror::Error;

use crate::{
    dns::DnsError,
    keys::P256Key,
    name::{DomainName, Subject},
};

/// What is to be certified: that `key` belongs to `subject`.
#[derive(Debug, Clone)]
pub struct CertificateRequest {
    subject: Subject,
    key: Arc<P256Key>,
    predecessor: Option<CertificateDer<'static>>,
}

impl CertificateRequest {
    /// A request for one subject.
    pub fn new(subject: Subject, key: Arc<P256Key>) -> Self {
        Self { subject, key, predecessor: None }
    }

    /// For the renewal of `leaf`: the authority is told so (RFC 9773, section 5) when it knows renewals.
    #[must_use]
    pub fn replacing(self, leaf: Option<CertificateDer<'static>>) -> Self {
        Self { predecessor: leaf, ..self }
    }

    /// The certificate that this one is to follow.
    pub fn predecessor(&self) -> Option<&CertificateDer<'static>> {
        self.predecessor.as_ref()
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

    /// When the issuer would like this certificate, which it issued, to be renewed. `None` when it has no opinion.
    fn renewal<'a>(
        &'a self,
        leaf: &'a CertificateDer<'static>,
    ) -> BoxFuture<'a, Result<Option<RenewalWindow>, IssueError>> {
        let _ = leaf;
        futures::future::ready(Ok(None)).boxed()
    }

    /// Makes sure of a certificate that somebody else says this issuer gave for `name` to the same account: nothing is
    /// believed of it but what leads to a trusted root. Whether it is for the right key is for the caller to check.
    fn recognise<'a>(
        &'a self,
        name: &'a DomainName,
        chain: Vec<CertificateDer<'static>>,
    ) -> BoxFuture<'a, Result<Issued, IssueError>> {
        drop(chain);
        let refused = IssueError::Refused {
            issuer: format!("{self:?}"),
            name: name.clone(),
            what: "it knows no certificates that others bring".to_owned(),
        };
        futures::future::ready(Err(refused)).boxed()
    }

    /// Whether what DNS says about who may issue for `subject` still is what it should be, mended where that is possible.
    /// For issuers to whom nobody's DNS matters there is nothing to look at.
    fn check<'a>(&'a self, subject: &'a Subject) -> BoxFuture<'a, Result<(), IssueError>> {
        let _ = subject;
        futures::future::ready(Ok(())).boxed()
    }
}

/// When an issuer suggests to renew a certificate (RFC 9773, section 4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RenewalWindow {
    /// Not before, Unix seconds.
    pub start: u64,
    /// Not after, Unix seconds.
    pub end: u64,
    /// When to ask again, from now.
    pub again_after: Duration,
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
    #[error("{issuer} offers no {kind} challenge for {name}")]
    NoChallenge {
        /// Who.
        issuer: String,
        /// For which name.
        name: DomainName,
        /// Which way was looked for.
        kind: &'static str,
    },
    /// What DNS says about who may issue for the name is not what it has to be.
    #[error("CAA of {name}: {what}")]
    Caa {
        /// For which name.
        name: DomainName,
        /// What is wrong, and what has to be published.
        what: String,
    },
    /// DNS could not be asked or changed; nothing is known about the name.
    #[error("DNS for {name}: {what}")]
    Dns {
        /// For which name.
        name: DomainName,
        /// How it failed.
        what: String,
    },
    /// The issuer wants to be left alone for a while.
    #[error("{issuer} takes no order for {name} for another {}s: {what}", after.as_secs())]
    RateLimited {
        /// Who.
        issuer: String,
        /// For which name.
        name: DomainName,
        /// How long to wait.
        after: Duration,
        /// Its own words.
        what: String,
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

impl IssueError {
    /// That a DNS provider had enough is told as such, so that it is left alone for as long as it wants.
    pub(crate) fn of_dns(name: &DomainName, error: DnsError) -> Self {
        let (name, what) = (name.clone(), error.to_string());
        match error {
            DnsError::RateLimited { provider, after } => {
                Self::RateLimited { issuer: provider.to_owned(), name, after, what }
            }
            _ => Self::Dns { name, what },
        }
    }
}
