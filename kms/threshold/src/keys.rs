// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The two keys of a node besides its secp256k1 key: one to deal and acknowledge with, one to be sealed to.

use std::fmt;

use commonware_codec::{Copying, DecodeExt};
use commonware_cryptography::{Signer, ed25519};
use commonware_math::algebra::Random;
use hpke::{Kem, Serializable, kem::X25519HkdfSha256};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use zeroize::Zeroizing;

use crate::ceremony::CeremonyError;

/// The Ed25519 key under which a node deals and acknowledges.
#[derive(Clone)]
pub struct DealingKey(pub(crate) ed25519::PrivateKey);

impl DealingKey {
    /// The key that ChaCha20, seeded with this 32-byte secret, draws.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        let seed = Zeroizing::new(seed);
        Self(ed25519::PrivateKey::random(ChaCha20Rng::from_seed(*seed)))
    }

    /// Its public half, as registered in `KmsCommittee`.
    pub fn public(&self) -> [u8; 32] {
        public_bytes(&self.0.public_key())
    }
}

impl fmt::Debug for DealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DealingKey({})", hex::encode(self.public()))
    }
}

/// The X25519 key to which messages for a node, or a guest's partials, are sealed.
#[derive(Clone)]
pub struct SealingKey {
    pub(crate) secret: <X25519HkdfSha256 as Kem>::PrivateKey,
    public: [u8; 32],
}

impl SealingKey {
    /// The key that RFC 9180's `DeriveKeyPair` makes of this 32-byte secret.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        let seed = Zeroizing::new(seed);
        let (secret, public) = X25519HkdfSha256::derive_keypair(seed.as_slice());
        Self { secret, public: public.to_bytes().into() }
    }

    /// Its public half.
    pub fn public(&self) -> [u8; 32] {
        self.public
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealingKey({})", hex::encode(self.public))
    }
}

/// The 32 bytes of an Ed25519 public key.
pub(crate) fn public_bytes(key: &ed25519::PublicKey) -> [u8; 32] {
    let mut out = [0; 32];
    for (to, from) in out.iter_mut().zip(key.as_ref()) {
        *to = *from;
    }
    out
}

/// The library's key of these bytes.
pub(crate) fn public_key(bytes: &[u8; 32]) -> Result<ed25519::PublicKey, CeremonyError> {
    ed25519::PublicKey::decode(Copying(bytes))
        .map_err(|_| CeremonyError::BadPublicKey { key: hex::encode(bytes) })
}
