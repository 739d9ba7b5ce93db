// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Keys and certificates: an instance's own, and those that the app's CA issues.

use mandate_attestation::{Evidence, x509};
use mandate_runtime::{Entropy, entropy};
use p256::pkcs8::{DecodePrivateKey, EncodePrivateKey, EncodePublicKey};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SerialNumber,
};
use rustls_pki_types::PrivatePkcs8KeyDer;
use sha2::{Digest, Sha256};
use thiserror::Error;
use time::OffsetDateTime;
use zeroize::Zeroizing;

/// Private arc of upstream's X.509 extensions.
const UPSTREAM: [u64; 9] = [1, 3, 6, 1, 4, 1, 62397, 1, 0];
const EXTENSION_QUOTE: u64 = 1;
const EXTENSION_EVENT_LOG: u64 = 2;
const EXTENSION_APP_ID: u64 = 3;

/// Seconds for which a certificate lasts that nobody trusts for its dates.
const SELF_SIGNED: u64 = 10 * 365 * 24 * 60 * 60;
/// Clocks differ a little.
const BACKDATED: u64 = 60 * 60;

/// Why there is no certificate.
#[derive(Debug, Error)]
pub enum CertificateError {
    /// A name or date that no certificate can hold.
    #[error("no certificate of that: {0}")]
    Refused(String),
    /// Key handling failed; the text names no key.
    #[error("key could not be made: {0}")]
    Key(String),
}

impl From<rcgen::Error> for CertificateError {
    fn from(error: rcgen::Error) -> Self {
        Self::Refused(error.to_string())
    }
}

/// A P-256 key in the forms in which it is used.
pub(crate) struct TlsKey {
    secret: p256::SecretKey,
    pair: KeyPair,
}

impl TlsKey {
    /// A fresh key.
    pub(crate) fn generate(entropy: &dyn Entropy) -> Result<Self, CertificateError> {
        loop {
            let bytes = Zeroizing::new(entropy::bytes::<32>(entropy));
            if let Ok(key) = Self::from_scalar(&bytes) {
                return Ok(key);
            }
        }
    }

    /// The key of a secret scalar.
    pub(crate) fn from_scalar(scalar: &[u8; 32]) -> Result<Self, CertificateError> {
        let failed = |what: &dyn ToString| CertificateError::Key(what.to_string());
        let secret = p256::SecretKey::from_slice(scalar).map_err(|_| failed(&"not a scalar of P-256"))?;
        let der = secret.to_pkcs8_der().map_err(|e| failed(&e))?;
        let der = PrivatePkcs8KeyDer::from(der.as_bytes());
        let pair = KeyPair::from_pkcs8_der_and_sign_algo(&der, &PKCS_ECDSA_P256_SHA256)?;
        Ok(Self { secret, pair })
    }

    /// DER of the public key.
    pub(crate) fn spki(&self) -> Result<Vec<u8>, CertificateError> {
        let der = self.secret.public_key().to_public_key_der();
        der.map(|der| der.into_vec()).map_err(|e| CertificateError::Key(e.to_string()))
    }

    /// PKCS#8 DER.
    pub(crate) fn pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, CertificateError> {
        let der = self.secret.to_pkcs8_der().map_err(|e| CertificateError::Key(e.to_string()))?;
        Ok(der.to_bytes())
    }

    /// PKCS#8 PEM.
    pub(crate) fn pem(&self) -> Result<Zeroizing<String>, CertificateError> {
        self.secret.to_pkcs8_pem(Default::default()).map_err(|e| CertificateError::Key(e.to_string()))
    }

    /// A certificate that the key signs itself: whoever checks it pins the key, and looks at no date.
    pub(crate) fn self_signed(&self, names: &[String], now: u64) -> Result<Vec<u8>, CertificateError> {
        let mut params = CertificateParams::new(names.to_vec())?;
        let common = names.first().map_or("mandate instance", String::as_str);
        params.distinguished_name.push(DnType::CommonName, common);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let wish = Wish { latest: now.saturating_add(SELF_SIGNED), ..Wish::default() };
        within(&mut params, &wish, now)?;
        serial(&mut params, &self.spki()?);
        Ok(params.self_signed(&self.pair)?.der().to_vec())
    }
}

impl TryFrom<&[u8]> for TlsKey {
    type Error = CertificateError;

    fn try_from(pkcs8: &[u8]) -> Result<Self, CertificateError> {
        let secret =
            p256::SecretKey::from_pkcs8_der(pkcs8).map_err(|e| CertificateError::Key(e.to_string()))?;
        let scalar = Zeroizing::new(<[u8; 32]>::from(secret.to_bytes()));
        Self::from_scalar(&scalar)
    }
}

/// What an app wants of a certificate.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wish {
    pub(crate) subject: String,
    pub(crate) alt_names: Vec<String>,
    pub(crate) server: bool,
    pub(crate) client: bool,
    pub(crate) not_before: Option<u64>,
    pub(crate) not_after: Option<u64>,
    /// The certificate ends at this time at the latest.
    pub(crate) latest: u64,
    /// Evidence for the key, as upstream's verifiers look for it: quote and event log.
    pub(crate) quote: Option<(Vec<u8>, String)>,
    /// The same evidence, whole.
    pub(crate) evidence: Option<Evidence>,
    pub(crate) app_id: Option<Vec<u8>>,
}

/// The app's certificate authority: the same key in every instance of the app's generation.
pub(crate) struct Authority {
    key: TlsKey,
    certificate: rcgen::Certificate,
    issuer: CertificateParams,
}

impl Authority {
    /// The CA of `key`, named after the app.
    pub(crate) fn new(key: &[u8; 32], app: &str) -> Result<Self, CertificateError> {
        let key = TlsKey::from_scalar(key)?;
        let mut issuer = CertificateParams::new(Vec::new())?;
        issuer.distinguished_name.push(DnType::CommonName, format!("App CA of {app}"));
        issuer.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        issuer.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        // Fixed dates, so that every instance makes the same certificate but for the signature.
        issuer.not_before = rcgen::date_time_ymd(2025, 1, 1);
        issuer.not_after = rcgen::date_time_ymd(2125, 1, 1);
        serial(&mut issuer, &key.spki()?);
        let certificate = issuer.clone().self_signed(&key.pair)?;
        Ok(Self { key, certificate, issuer })
    }

    /// The CA's certificate in PEM.
    pub(crate) fn pem(&self) -> String {
        self.certificate.pem()
    }

    /// Issues a certificate for `key`, in PEM.
    pub(crate) fn issue(&self, key: &TlsKey, wish: &Wish, now: u64) -> Result<String, CertificateError> {
        let mut params = CertificateParams::new(wish.alt_names.clone())?;
        if !wish.subject.is_empty() {
            params.distinguished_name.push(DnType::CommonName, wish.subject.as_str());
        }
        for (wanted, usage) in [
            (wish.server, ExtendedKeyUsagePurpose::ServerAuth),
            (wish.client, ExtendedKeyUsagePurpose::ClientAuth),
        ] {
            if wanted {
                params.extended_key_usages.push(usage);
            }
        }
        within(&mut params, wish, now)?;
        serial(&mut params, &key.spki()?);
        if let Some((quote, event_log)) = &wish.quote {
            params.custom_extensions.push(extension(EXTENSION_QUOTE, quote));
            params.custom_extensions.push(extension(EXTENSION_EVENT_LOG, event_log.as_bytes()));
        }
        if let Some(evidence) = &wish.evidence {
            let value = x509::extension(evidence);
            params.custom_extensions.push(CustomExtension::from_oid_content(&x509::CMW_OID, value));
        }
        if let Some(app) = &wish.app_id {
            params.custom_extensions.push(extension(EXTENSION_APP_ID, app));
        }
        let issuer = Issuer::from_params(&self.issuer, &self.key.pair);
        Ok(params.signed_by(&key.pair, &issuer)?.pem())
    }
}

/// The extension's value is an OCTET STRING of the content, as upstream writes it.
fn extension(number: u64, content: &[u8]) -> CustomExtension {
    let mut oid = UPSTREAM;
    if let Some(last) = oid.last_mut() {
        *last = number;
    }
    CustomExtension::from_oid_content(&oid, yasna::construct_der(|w| w.write_bytes(content)))
}

fn within(params: &mut CertificateParams, wish: &Wish, now: u64) -> Result<(), CertificateError> {
    let from = wish.not_before.unwrap_or(now.saturating_sub(BACKDATED));
    let to = wish.not_after.unwrap_or(wish.latest).min(wish.latest);
    if from >= to {
        return Err(CertificateError::Refused(format!("it would end ({to}) before it begins ({from})")));
    }
    (params.not_before, params.not_after) = (date(from)?, date(to)?);
    Ok(())
}

/// X.509 knows no year above 9999.
fn date(unix: u64) -> Result<OffsetDateTime, CertificateError> {
    let date = i64::try_from(unix).ok().and_then(|unix| OffsetDateTime::from_unix_timestamp(unix).ok());
    date.ok_or_else(|| CertificateError::Refused(format!("{unix} is no date of a certificate")))
}

/// A positive serial that follows from the key.
fn serial(params: &mut CertificateParams, spki: &[u8]) {
    let mut digest: [u8; 32] = Sha256::digest(spki).into();
    if let Some(first) = digest.first_mut() {
        *first = (*first & 0x7f) | 0x40;
    }
    params.serial_number = Some(SerialNumber::from_slice(digest.get(..16).unwrap_or(&digest)));
}
