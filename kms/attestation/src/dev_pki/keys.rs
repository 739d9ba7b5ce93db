// SPDX-License-Identifier: Apache-2.0 OR MIT
//! P-256 keys from a seed, with deterministic signatures.

use p256::{
    ecdsa::{Signature, SigningKey, signature::Signer},
    elliptic_curve::sec1::ToEncodedPoint,
};
use rcgen::{PKCS_ECDSA_P256_SHA256, PublicKeyData, SignatureAlgorithm};
use sha2::{Digest, Sha256};

/// A key that signs by RFC 6979: `rcgen`'s own keys sign at random and would make every run's certificates differ.
#[derive(Clone)]
pub(super) struct DevKey {
    secret: SigningKey,
    public: Vec<u8>,
}

impl DevKey {
    /// The key of a label.
    pub(super) fn derive(seed: &[u8; 32], label: &str) -> Self {
        let secret = (0u32..).find_map(|attempt| {
            let candidate = Sha256::new()
                .chain_update(b"mandate-dev-pki-v1")
                .chain_update(seed)
                .chain_update(attempt.to_be_bytes())
                .chain_update(label)
                .finalize();
            SigningKey::from_bytes(&candidate).ok()
        });
        let secret = secret.expect("all but one in 2^32 digests are scalars of P-256");
        let public = secret.verifying_key().as_affine().to_encoded_point(false).as_bytes().to_vec();
        Self { secret, public }
    }

    /// DER of the SubjectPublicKeyInfo.
    #[cfg(feature = "x509")]
    pub(super) fn spki(&self) -> Vec<u8> {
        self.subject_public_key_info()
    }

    /// x ‖ y.
    pub(super) fn public_point(&self) -> [u8; 64] {
        match self.public.as_slice() {
            [_, point @ ..] if point.len() == 64 => point.try_into().unwrap_or([0; 64]),
            _ => [0; 64],
        }
    }

    /// r ‖ s.
    pub(super) fn sign_raw(&self, message: &[u8]) -> [u8; 64] {
        let signature: Signature = self.secret.sign(message);
        signature.to_bytes().into()
    }
}

impl PublicKeyData for DevKey {
    fn der_bytes(&self) -> &[u8] {
        &self.public
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

impl rcgen::SigningKey for DevKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let signature: Signature = self.secret.sign(message);
        Ok(signature.to_der().as_bytes().to_vec())
    }
}
