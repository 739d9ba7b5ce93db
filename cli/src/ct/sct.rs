// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Signed certificate timestamps in a certificate (RFC 6962, 3.3): the word of logs that they took it. A timestamp is signed
//! over the certificate without its timestamps and over its issuer's key, so that none fits another certificate.

use std::collections::BTreeSet;

use rustls_pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use thiserror::Error;
use x509_cert::{
    TbsCertificate,
    der::{Decode, Encode},
};
use x509_parser::{
    extensions::{SignedCertificateTimestamp, parse_ct_signed_certificate_timestamp_list},
    prelude::{FromDer, X509Certificate},
};

use super::logs::Log;

/// The extension that holds them.
const SCT_LIST: &str = "1.3.6.1.4.1.11129.2.4.2";
/// More than any certificate has.
const MAX_SCTS: usize = 64;
/// How far clocks may be apart, in milliseconds.
const SKEW_MS: u64 = 5 * 60 * 1000;
const PRECERT_ENTRY: u16 = 1;

/// Whose word a certificate carries.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Vouched {
    /// The known logs that say that they took it, by URL.
    pub by: BTreeSet<String>,
    /// Timestamps of logs that are not known, or in a version that is not.
    pub unknown: usize,
}

/// Why the timestamps are no logs' word on the certificate.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SctError {
    /// It cannot be read.
    #[error("the certificate's timestamps cannot be read: {0}")]
    Unreadable(&'static str),
    /// The signature is another one's, or on another certificate.
    #[error("the timestamp of log {log} is not that log's word on this certificate")]
    Forged {
        /// The log that it names.
        log: String,
    },
    /// It says that it will be made.
    #[error("the timestamp of log {log} is from the future")]
    Future {
        /// The log that it names.
        log: String,
    },
    /// A timestamp names the issuer's key, which nobody told.
    #[error("the site does not show the certificate of its issuer, which the timestamps are about as well")]
    NoIssuer,
}

/// What the logs among `logs` say about `leaf`. `issuers` are certificates, of which those with the leaf's issuer name count,
/// and `keys` public keys (SPKI) of issuers that are known by other means. `now` is in Unix seconds.
///
/// # Errors
/// When one timestamp of a known log is not what it claims to be.
pub fn vouched(
    leaf: &[u8],
    issuers: &[CertificateDer<'_>],
    keys: &[Vec<u8>],
    logs: &[Log],
    now: u64,
) -> Result<Vouched, SctError> {
    let Ok(([], parsed)) = X509Certificate::from_der(leaf) else {
        return Err(SctError::Unreadable("it is no certificate"));
    };
    let mut lists = parsed.extensions().iter().filter(|e| e.oid.to_id_string() == SCT_LIST);
    let (list, more) = (lists.next(), lists.next());
    let Some(list) = list else { return Ok(Vouched::default()) };
    let scts = match parse_ct_signed_certificate_timestamp_list(list.value) {
        Ok(([], scts)) if more.is_none() && scts.len() <= MAX_SCTS => scts,
        _ => return Err(SctError::Unreadable("its extension is malformed")),
    };
    let logged = without_scts(parsed.tbs_certificate.as_ref())?;
    let mut keys: BTreeSet<[u8; 32]> = keys.iter().map(|spki| Sha256::digest(spki).into()).collect();
    for issuer in issuers {
        if let Ok((_, issuer)) = X509Certificate::from_der(issuer)
            && issuer.subject().as_raw() == parsed.issuer().as_raw()
        {
            keys.insert(Sha256::digest(issuer.public_key().raw).into());
        }
    }
    let mut vouched = Vouched::default();
    for sct in &scts {
        match logs.iter().find(|log| log.id == *sct.id.key_id && sct.version.0 == 0) {
            None => vouched.unknown += 1,
            Some(log) => {
                judge(sct, log, &keys, &logged, now)?;
                vouched.by.insert(log.url.clone());
            }
        }
    }
    Ok(vouched)
}

fn judge(
    sct: &SignedCertificateTimestamp<'_>,
    log: &Log,
    keys: &BTreeSet<[u8; 32]>,
    logged: &[u8],
    now: u64,
) -> Result<(), SctError> {
    if keys.is_empty() {
        return Err(SctError::NoIssuer);
    }
    if sct.timestamp > now.saturating_mul(1000).saturating_add(SKEW_MS) {
        return Err(SctError::Future { log: log.url.clone() });
    }
    let algorithms = (sct.signature.hash_alg_id, sct.signature.sign_alg_id);
    let signed = |key: &[u8; 32]| {
        let message = signed_words(sct.timestamp, key, logged, sct.extensions.0);
        message.is_some_and(|message| log.key.verifies(&message, algorithms, sct.signature.data))
    };
    if keys.iter().any(signed) { Ok(()) } else { Err(SctError::Forged { log: log.url.clone() }) }
}

/// What a log signs of a precertificate: version v1, type certificate_timestamp, and so on (RFC 6962, 3.2).
fn signed_words(timestamp: u64, issuer: &[u8; 32], tbs: &[u8], extensions: &[u8]) -> Option<Vec<u8>> {
    let length = u32::try_from(tbs.len()).ok()?.to_be_bytes();
    let [0, length @ ..] = length else { return None };
    let extended = u16::try_from(extensions.len()).ok()?.to_be_bytes();
    let entry = PRECERT_ENTRY.to_be_bytes();
    let parts: [&[u8]; 8] =
        [&[0, 0], &timestamp.to_be_bytes(), &entry, issuer, &length, tbs, &extended, extensions];
    Some(parts.concat())
}

/// The TBSCertificate as the log saw it. Written again it must be what it was, or the signature would be over other bytes.
fn without_scts(tbs: &[u8]) -> Result<Vec<u8>, SctError> {
    let unreadable = |_| SctError::Unreadable("its DER is not what it must be");
    let mut parsed = TbsCertificate::from_der(tbs).map_err(unreadable)?;
    if parsed.to_der().map_err(unreadable)? != tbs {
        return Err(SctError::Unreadable("its DER is not the one way to write it"));
    }
    if let Some(extensions) = &mut parsed.extensions {
        extensions.retain(|extension| extension.extn_id.to_string() != SCT_LIST);
    }
    if parsed.extensions.as_ref().is_some_and(Vec::is_empty) {
        parsed.extensions = None;
    }
    parsed.to_der().map_err(unreadable)
}

#[cfg(test)]
mod tests;
