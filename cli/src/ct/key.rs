// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What logs sign with: ECDSA on P-256 or RSA, with SHA-256 (RFC 6962, 2.1.4).

use std::fmt;

use rustls_pki_types::SignatureVerificationAlgorithm;
use webpki::ring::{ECDSA_P256_SHA256, RSA_PKCS1_2048_8192_SHA256};
use x509_parser::{
    der_parser::asn1_rs::{Oid, oid},
    prelude::FromDer,
    public_key::PublicKey,
    x509::SubjectPublicKeyInfo,
};

/// How `SignatureAndHashAlgorithm` numbers them (RFC 5246, 7.4.1.4.1).
const SHA256: u8 = 4;
const RSA: u8 = 1;
const ECDSA: u8 = 3;
/// What the verifier takes.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    P256,
    Rsa,
}

/// A log's public key.
#[derive(Clone, PartialEq, Eq)]
pub struct LogKey {
    kind: Kind,
    /// The point or the modulus and exponent, as SubjectPublicKeyInfo holds them.
    public: Vec<u8>,
}

impl fmt::Debug for LogKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogKey({:?})", self.kind)
    }
}

impl LogKey {
    /// Reads a SubjectPublicKeyInfo in DER.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn from_spki(der: &[u8]) -> Result<Self, String> {
        let Ok(([], spki)) = SubjectPublicKeyInfo::from_der(der) else {
            return Err("not a public key in DER".to_owned());
        };
        let kind = match spki.parsed() {
            Ok(PublicKey::EC(point)) if is_p256(&spki) && point.key_size() == 256 => Kind::P256,
            Ok(PublicKey::RSA(key)) if RSA_BITS.contains(&key.key_size()) => Kind::Rsa,
            Ok(PublicKey::RSA(key)) => {
                let (least, most) = (RSA_BITS.start(), RSA_BITS.end());
                return Err(format!("an RSA key of {} bits: {least} to {most} are read", key.key_size()));
            }
            _ => {
                return Err("neither a P-256 nor an RSA key, which are the two that logs may have".to_owned());
            }
        };
        Ok(Self { kind, public: spki.subject_public_key.data.to_vec() })
    }

    /// Whether `signed`, a `DigitallySigned` of TLS 1.2, is this key's signature of `message`.
    pub(crate) fn signed(&self, message: &[u8], signed: &[u8]) -> bool {
        let Some(([hash, algorithm], rest)) = signed.split_first_chunk::<2>() else { return false };
        let Some((length, signature)) = rest.split_first_chunk::<2>() else { return false };
        usize::from(u16::from_be_bytes(*length)) == signature.len()
            && self.verifies(message, (*hash, *algorithm), signature)
    }

    /// Whether `signature` is this key's, by the algorithms that are named.
    pub(crate) fn verifies(&self, message: &[u8], (hash, algorithm): (u8, u8), signature: &[u8]) -> bool {
        let (number, verifier): (_, &dyn SignatureVerificationAlgorithm) = match self.kind {
            Kind::P256 => (ECDSA, ECDSA_P256_SHA256),
            Kind::Rsa => (RSA, RSA_PKCS1_2048_8192_SHA256),
        };
        (hash, algorithm) == (SHA256, number)
            && verifier.verify_signature(&self.public, message, signature).is_ok()
    }
}

fn is_p256(spki: &SubjectPublicKeyInfo<'_>) -> bool {
    const P256: Oid<'static> = oid!(1.2.840.10045.3.1.7);
    let curve = spki.algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok());
    curve == Some(P256)
}

#[cfg(test)]
mod tests {
    use super::*;
    use p256::{
        ecdsa::{Signature, SigningKey, signature::Signer as _},
        pkcs8::EncodePublicKey,
    };

    /// RSA keys of `openssl genrsa`, and of the first one `openssl dgst -sha256 -sign` of `tree head`.
    const RSA_2048: &str = include_str!("testdata/rsa-2048.b64");
    const RSA_1024: &str = include_str!("testdata/rsa-1024.b64");
    const SIGNATURE: &str = include_str!("testdata/rsa-2048-signature.b64");
    const MESSAGE: &[u8] = b"tree head";

    fn decoded(text: &str) -> Vec<u8> {
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        STANDARD.decode(text.split_whitespace().collect::<String>()).unwrap()
    }

    fn digitally_signed(algorithm: u8, signature: &[u8]) -> Vec<u8> {
        [&[4, algorithm][..], &(signature.len() as u16).to_be_bytes(), signature].concat()
    }

    #[test]
    fn signature_of_an_rsa_log_is_verified() {
        let key = LogKey::from_spki(&decoded(RSA_2048)).unwrap();
        let signature = decoded(SIGNATURE);
        assert!(key.signed(MESSAGE, &digitally_signed(RSA, &signature)));
        assert!(!key.signed(b"tree heap", &digitally_signed(RSA, &signature)));
        assert!(!key.signed(MESSAGE, &digitally_signed(ECDSA, &signature)));
        let mut other = signature;
        other[100] ^= 1;
        assert!(!key.signed(MESSAGE, &digitally_signed(RSA, &other)));
    }

    #[test]
    fn signature_of_a_p256_log_is_verified() {
        let signing = SigningKey::from_slice(&[7; 32]).unwrap();
        let key = signing.verifying_key().to_public_key_der().unwrap();
        let key = LogKey::from_spki(key.as_bytes()).unwrap();
        let signature: Signature = signing.sign(MESSAGE);
        let signed = digitally_signed(ECDSA, signature.to_der().as_bytes());
        assert!(key.signed(MESSAGE, &signed));
        assert!(!key.signed(b"tree heap", &signed));
        assert!(!key.signed(MESSAGE, &[&signed[..], &[0]].concat()), "bytes follow");
        assert!((0..signed.len()).all(|cut| !key.signed(MESSAGE, &signed[..cut])));
    }

    #[test]
    fn key_is_refused_with_the_reason_when_logs_may_not_have_it() {
        let p384 = p384::ecdsa::SigningKey::from_slice(&[7; 48]).unwrap();
        let p384 = p384.verifying_key().to_public_key_der().unwrap();
        for (der, why) in [
            (p384.as_bytes().to_vec(), "neither a P-256 nor an RSA key"),
            (decoded(RSA_1024), "an RSA key of 1024 bits"),
            ([decoded(RSA_2048), vec![0]].concat(), "not a public key"),
            (vec![], "not a public key"),
        ] {
            let refused = LogKey::from_spki(&der).unwrap_err();
            assert!(refused.contains(why), "{refused}");
        }
    }
}
