// SPDX-License-Identifier: Apache-2.0 OR MIT
//! RSA and P-384 keys from a seed, with reproducible signatures.

use p384::ecdsa::{Signature as EcSignature, SigningKey, signature::Signer};
use rand_chacha_03::{ChaCha20Rng, rand_core::SeedableRng};
use rsa::{
    RsaPrivateKey,
    pss::{Signature, SigningKey as PssKey},
    signature::{Keypair, RandomizedSigner, SignatureEncoding},
};
use sha2::{Digest, Sha256, Sha384};
use x509_cert::{
    der::Decode,
    spki::{
        AlgorithmIdentifierOwned, DynSignatureAlgorithmIdentifier, EncodePublicKey, SubjectPublicKeyInfoOwned,
    },
};

/// Encoders refuse keys for reasons that keys made here rule out.
const FIXED: &str = "a key that was just made is whole";

/// A key that signs certificates and CRLs.
pub(super) struct RsaKey {
    secret: RsaPrivateKey,
    salt: [u8; 32],
}

impl RsaKey {
    /// The key of a label.
    pub(super) fn derive(seed: &[u8; 32], label: &str, bits: usize) -> Self {
        let mut rng = ChaCha20Rng::from_seed(digest(seed, label, 0));
        let secret = RsaPrivateKey::new(&mut rng, bits).expect("that many bits are enough for an RSA key");
        Self { secret, salt: digest(seed, label, 1) }
    }

    /// RSASSA-PSS with SHA-384.
    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        let key = PssKey::<Sha384>::new(self.secret.clone());
        let signature: Signature = key.sign_with_rng(&mut self.salt_for(message), message);
        signature.to_vec()
    }

    /// RSASSA-PSS with SHA-256, which AMD does not use.
    pub(super) fn sign_sha256(&self, message: &[u8]) -> Vec<u8> {
        let key = PssKey::<Sha256>::new(self.secret.clone());
        let signature: Signature = key.sign_with_rng(&mut self.salt_for(message), message);
        signature.to_vec()
    }

    pub(super) fn algorithm(&self) -> AlgorithmIdentifierOwned {
        PssKey::<Sha384>::new(self.secret.clone()).signature_algorithm_identifier().expect(FIXED)
    }

    pub(super) fn algorithm_sha256(&self) -> AlgorithmIdentifierOwned {
        PssKey::<Sha256>::new(self.secret.clone()).signature_algorithm_identifier().expect(FIXED)
    }

    pub(super) fn public(&self) -> SubjectPublicKeyInfoOwned {
        let key = PssKey::<Sha384>::new(self.secret.clone()).verifying_key();
        info(&key)
    }

    fn salt_for(&self, message: &[u8]) -> ChaCha20Rng {
        ChaCha20Rng::from_seed(Sha256::new().chain_update(self.salt).chain_update(message).finalize().into())
    }
}

/// A key that signs reports.
pub(super) struct EcKey(SigningKey);

impl EcKey {
    /// The key of a label.
    pub(super) fn derive(seed: &[u8; 32], label: &str) -> Self {
        let secret = (0u32..).find_map(|attempt| {
            let wide = Sha384::new()
                .chain_update(b"mandate-dev-snp-v1")
                .chain_update(seed)
                .chain_update(attempt.to_be_bytes())
                .chain_update(label)
                .finalize();
            SigningKey::from_bytes(&wide).ok()
        });
        Self(secret.expect("nearly every digest is a scalar of P-384"))
    }

    /// r and s, little-endian, each in 72 bytes.
    pub(super) fn sign(&self, message: &[u8]) -> [u8; 144] {
        let signature: EcSignature = self.0.sign(message);
        let (r, s) = signature.split_bytes();
        let mut out = [0; 144];
        let (low, high) = out.split_at_mut(72);
        for (half, scalar) in [(low, r), (high, s)] {
            half.iter_mut().zip(scalar.iter().rev()).for_each(|(to, from)| *to = *from);
        }
        out
    }

    pub(super) fn public(&self) -> SubjectPublicKeyInfoOwned {
        info(&p384::PublicKey::from(self.0.verifying_key()))
    }
}

fn info(key: &impl EncodePublicKey) -> SubjectPublicKeyInfoOwned {
    let der = key.to_public_key_der().expect(FIXED);
    SubjectPublicKeyInfoOwned::from_der(der.as_bytes()).expect(FIXED)
}

fn digest(seed: &[u8; 32], label: &str, use_: u8) -> [u8; 32] {
    Sha256::new()
        .chain_update(b"mandate-dev-snp-v1")
        .chain_update(seed)
        .chain_update([use_])
        .chain_update(label)
        .finalize()
        .into()
}
