// SPDX-License-Identifier: Apache-2.0 OR MIT
//! P-384 keys from a seed, with deterministic signatures.

use p384::{
    ecdsa::{Signature, SigningKey, signature::Signer},
    elliptic_curve::sec1::ToEncodedPoint,
};
use rcgen::{PKCS_ECDSA_P384_SHA384, PublicKeyData, SignatureAlgorithm};
use sha2::{Digest, Sha384};

/// A key that signs by RFC 6979.
pub(super) struct Key {
    secret: SigningKey,
    public: Vec<u8>,
}

impl Key {
    /// The key of a label.
    pub(super) fn derive(seed: &[u8; 32], label: &str) -> Self {
        let secret = (0u32..).find_map(|attempt| {
            let candidate = Sha384::new()
                .chain_update(b"mandate-dev-nitro-v1")
                .chain_update(seed)
                .chain_update(attempt.to_be_bytes())
                .chain_update(label)
                .finalize();
            SigningKey::from_bytes(&candidate).ok()
        });
        let secret = secret.expect("nearly every digest is a scalar of P-384");
        let public = secret.verifying_key().as_affine().to_encoded_point(false).as_bytes().to_vec();
        Self { secret, public }
    }

    /// r ‖ s.
    pub(super) fn sign_raw(&self, message: &[u8]) -> Vec<u8> {
        let signature: Signature = self.secret.sign(message);
        signature.to_bytes().to_vec()
    }
}

impl PublicKeyData for Key {
    fn der_bytes(&self) -> &[u8] {
        &self.public
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P384_SHA384
    }
}

impl rcgen::SigningKey for Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let signature: Signature = self.secret.sign(message);
        Ok(signature.to_der().as_bytes().to_vec())
    }
}
