// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The embedded issuer, for machines without `pebble`: a root made for this run that signs what it is asked to sign. It
//! checks no control of a name, as an ACME authority would.

use std::fmt;

use futures::future::{BoxFuture, FutureExt};
use mandate_acme::{
    issuer::{CertificateIssuer, CertificateRequest, IssueError, Issued},
    name::DomainName,
};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer};

use crate::error::{CliError, Result};

/// What CAA would name.
const NAME: &str = "embedded.invalid";

/// A root and its key.
pub(crate) struct EmbeddedIssuer {
    issuer: Issuer<'static, KeyPair>,
    root_pem: String,
}

impl fmt::Debug for EmbeddedIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EmbeddedIssuer")
    }
}

impl EmbeddedIssuer {
    /// A fresh root.
    pub(crate) fn new() -> Result<Self> {
        let key = KeyPair::generate().map_err(CliError::data)?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "Embedded demo root");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let root = params.self_signed(&key).map_err(CliError::data)?;
        Ok(Self { root_pem: root.pem(), issuer: Issuer::new(params, key) })
    }

    /// The root, for clients to trust.
    pub(crate) fn root_pem(&self) -> &str {
        &self.root_pem
    }

    fn sign(&self, request: &CertificateRequest) -> std::result::Result<Issued, IssueError> {
        let refused =
            |e: rcgen::Error| IssueError::Request { name: request.name().clone(), what: e.to_string() };
        let csr = CertificateSigningRequestDer::from(request.csr()?);
        let csr = CertificateSigningRequestParams::from_der(&csr).map_err(refused)?;
        let certificate = csr.signed_by(&self.issuer).map_err(refused)?;
        Ok(Issued { chain: vec![certificate.der().clone()], issuer: NAME.into(), account_uri: String::new() })
    }
}

impl CertificateIssuer for EmbeddedIssuer {
    fn issue<'a>(
        &'a self,
        request: &'a CertificateRequest,
    ) -> BoxFuture<'a, std::result::Result<Issued, IssueError>> {
        async move { self.sign(request) }.boxed()
    }

    /// Nobody asks this authority which certificates still hold: it lives as long as the demo.
    fn revoke<'a>(
        &'a self,
        _: &'a DomainName,
        _: &'a CertificateDer<'static>,
    ) -> BoxFuture<'a, std::result::Result<(), IssueError>> {
        async { Ok(()) }.boxed()
    }
}
