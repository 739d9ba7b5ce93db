// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Evidence in X.509 certificates, and TLS that believes it.
//!
//! The certificate's extension id-pe-cmw (1.3.6.1.5.5.7.1.35) holds a conceptual message wrapper: the OCTET STRING of a
//! CBOR record [media type, evidence]. The quote's report data is SHA-512("ratls-cert:" ‖ SubjectPublicKeyInfo), so
//! evidence speaks for one key and a copy of it in another certificate for none. Who signed the certificate says nothing
//! here, and neither do its names: the facts do. [`verify_certificate`] judges one certificate, [`AttestedPeers`] does so
//! in a TLS handshake, where the peer also proves that it holds the key.
//!
//! Certificates of upstream dstack are read by [`upstream::read`].

mod cmw;
mod tls;
pub mod upstream;

use sha2::{Digest, Sha512};
use x509_parser::{
    certificate::X509Certificate,
    oid_registry::{Oid, asn1_rs::oid},
    prelude::FromDer,
    time::ASN1Time,
};

pub use tls::{AttestedPeers, Policy};

use crate::{error::EvidenceError, evidence::Evidence, verified::Verified, verifier::Verifier};

/// id-pe-cmw.
pub const CMW_OID: [u64; 9] = [1, 3, 6, 1, 5, 5, 7, 1, 35];
/// The largest certificate that is read; TLS has room for no larger one.
pub const MAX_CERTIFICATE: usize = 64 * 1024;

const CMW: Oid<'static> = oid!(1.3.6.1.5.5.7.1.35);
const REPORT_DATA_TAG: &[u8] = b"ratls-cert:";

/// Why a certificate proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// More than is read.
    #[error("the certificate is {got} bytes long, at most {max} are read")]
    TooLarge {
        /// Its length.
        got: usize,
        /// The cap.
        max: usize,
    },
    /// Not one certificate.
    #[error("not an X.509 certificate: {0}")]
    Malformed(String),
    /// Not yet or no more.
    #[error("the certificate is not valid at this time")]
    Expired,
    /// No evidence in it.
    #[error("the certificate carries no evidence (extension {0} is missing)")]
    NoEvidence(String),
    /// Evidence twice: which one counts?
    #[error("the certificate has extension {0} twice")]
    Duplicate(String),
    /// The extension is something else.
    #[error("extension {oid} holds no evidence: {what}")]
    Extension {
        /// Which.
        oid: String,
        /// What is wrong with it.
        what: String,
    },
    /// The evidence is refused.
    #[error(transparent)]
    Evidence(#[from] EvidenceError),
}

/// A key that a TEE vouched for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttestedKey {
    spki: Vec<u8>,
    facts: Verified,
}

impl AttestedKey {
    /// DER of the SubjectPublicKeyInfo.
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// What the evidence proves about whoever holds the key.
    pub fn facts(&self) -> &Verified {
        &self.facts
    }
}

/// What evidence for a TLS key binds: SHA-512("ratls-cert:" ‖ DER of its SubjectPublicKeyInfo).
pub fn report_data(spki: &[u8]) -> [u8; 64] {
    Sha512::new().chain_update(REPORT_DATA_TAG).chain_update(spki).finalize().into()
}

/// The extension's value for `evidence`, to be put into a certificate under [`CMW_OID`], not critical: clients that know
/// nothing of evidence need not refuse the certificate.
pub fn extension(evidence: &Evidence) -> Vec<u8> {
    cmw::wrap(&evidence.encode())
}

/// Verifies a certificate's evidence at `now_unix`, and that it was made for the certificate's key.
///
/// # Errors
/// As [`CertificateError`] lists.
pub fn verify_certificate(
    der: &[u8],
    verifier: &Verifier,
    now_unix: u64,
) -> Result<AttestedKey, CertificateError> {
    let certificate = parse(der, now_unix)?;
    let extension = extension_value(&certificate, &CMW)?
        .ok_or_else(|| CertificateError::NoEvidence(CMW.to_id_string()))?;
    let evidence = Evidence::decode(&cmw::unwrap(extension)?)?;
    let spki = certificate.public_key().raw.to_vec();
    let facts = verifier.verify(&evidence, now_unix, &report_data(&spki))?;
    Ok(AttestedKey { spki, facts })
}

fn parse(der: &[u8], now_unix: u64) -> Result<X509Certificate<'_>, CertificateError> {
    if der.len() > MAX_CERTIFICATE {
        return Err(CertificateError::TooLarge { got: der.len(), max: MAX_CERTIFICATE });
    }
    let malformed = |what: &str| CertificateError::Malformed(what.to_owned());
    let (rest, certificate) = X509Certificate::from_der(der).map_err(|e| malformed(&e.to_string()))?;
    if !rest.is_empty() {
        return Err(malformed("bytes follow it"));
    }
    let now = i64::try_from(now_unix).ok().and_then(|now| ASN1Time::from_timestamp(now).ok());
    match now.is_some_and(|now| certificate.validity().is_valid_at(now)) {
        true => Ok(certificate),
        false => Err(CertificateError::Expired),
    }
}

/// The value of the one extension with this OID, if there is one.
fn extension_value<'a>(
    certificate: &'a X509Certificate<'_>,
    oid: &Oid<'_>,
) -> Result<Option<&'a [u8]>, CertificateError> {
    let mut found = certificate.extensions().iter().filter(|extension| extension.oid == *oid);
    match (found.next(), found.next()) {
        (Some(extension), None) => Ok(Some(extension.value)),
        (None, _) => Ok(None),
        (Some(_), Some(_)) => Err(CertificateError::Duplicate(oid.to_id_string())),
    }
}
