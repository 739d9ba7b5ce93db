// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Certificates of upstream dstack, for reading.
//!
//! | 1.3.6.1.4.1.62397.1. | what | |
//! |---|---|---|
//! | 8 | attestation | preferred |
//! | 1, 2 | quote, event log in JSON | where there is no attestation |
//! | 3, 4, 9 | app id, usage, app info | the issuer's word, not the TEE's |
//!
//! Each value is an OCTET STRING. Upstream's certificates carry no collateral, so whoever verifies brings it.

use x509_parser::{
    asn1_rs::{FromDer, OctetString},
    certificate::X509Certificate,
    oid_registry::{Oid, asn1_rs::oid},
};

use super::{AttestedKey, CertificateError, extension_value, parse, report_data};
use crate::{evidence::Collateral, upstream::UpstreamQuote, verifier::Verifier};

const QUOTE: Oid<'static> = oid!(1.3.6.1.4.1.62397.1.1);
const EVENT_LOG: Oid<'static> = oid!(1.3.6.1.4.1.62397.1.2);
const APP_ID: Oid<'static> = oid!(1.3.6.1.4.1.62397.1.3);
const USAGE: Oid<'static> = oid!(1.3.6.1.4.1.62397.1.4);
const ATTESTATION: Oid<'static> = oid!(1.3.6.1.4.1.62397.1.8);
const APP_INFO: Oid<'static> = oid!(1.3.6.1.4.1.62397.1.9);

/// An upstream certificate, read and not verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamCertificate {
    spki: Vec<u8>,
    quote: UpstreamQuote,
    claims: IssuerClaims,
}

/// What the issuer of a certificate says; evidence does not. It counts only after the certificate's chain was verified.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IssuerClaims {
    /// The app's id.
    pub app_id: Option<Vec<u8>>,
    /// What the certificate is for, such as `app:custom` or `kms:rpc`.
    pub usage: Option<Vec<u8>>,
    /// The app's measurements in upstream's own encoding.
    pub app_info: Option<Vec<u8>>,
}

/// Reads a certificate that is valid at `now_unix`.
///
/// # Errors
/// As [`CertificateError`] lists, but for what only verification finds.
pub fn read(der: &[u8], now_unix: u64) -> Result<UpstreamCertificate, CertificateError> {
    let certificate = parse(der, now_unix)?;
    let quote = match octets(&certificate, &ATTESTATION)? {
        Some(attestation) => UpstreamQuote::from_attestation(&attestation)?,
        None => {
            let missing = |oid: &Oid<'_>| CertificateError::NoEvidence(oid.to_id_string());
            let quote = octets(&certificate, &QUOTE)?.ok_or_else(|| missing(&QUOTE))?;
            let log = octets(&certificate, &EVENT_LOG)?.ok_or_else(|| missing(&EVENT_LOG))?;
            UpstreamQuote::from_parts(quote, &log)?
        }
    };
    let claims = IssuerClaims {
        app_id: octets(&certificate, &APP_ID)?,
        usage: octets(&certificate, &USAGE)?,
        app_info: octets(&certificate, &APP_INFO)?,
    };
    Ok(UpstreamCertificate { spki: certificate.public_key().raw.to_vec(), quote, claims })
}

impl UpstreamCertificate {
    /// What to fetch collateral for.
    pub fn quote(&self) -> &[u8] {
        &self.quote.quote
    }

    /// The issuer's word.
    pub fn claims(&self) -> &IssuerClaims {
        &self.claims
    }

    /// Verifies the evidence with this collateral at `now_unix`, and that it was made for the certificate's key.
    ///
    /// # Errors
    /// As [`CertificateError`] lists.
    pub fn verify(
        self,
        collateral: Collateral,
        verifier: &Verifier,
        now_unix: u64,
    ) -> Result<AttestedKey, CertificateError> {
        let evidence = self.quote.with_collateral(collateral);
        let facts = verifier.verify(&evidence, now_unix, &report_data(&self.spki))?;
        Ok(AttestedKey { spki: self.spki, facts })
    }
}

fn octets(certificate: &X509Certificate<'_>, oid: &Oid<'_>) -> Result<Option<Vec<u8>>, CertificateError> {
    let Some(value) = extension_value(certificate, oid)? else { return Ok(None) };
    match OctetString::from_der(value) {
        Ok(([], octets)) => Ok(Some(octets.into_cow().into_owned())),
        _ => Err(CertificateError::Extension {
            oid: oid.to_id_string(),
            what: "not one OCTET STRING".to_owned(),
        }),
    }
}
