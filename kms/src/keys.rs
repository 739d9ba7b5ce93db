// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The node's own keys, all derived from one 32-byte seed.
//!
//! The seed lies in a file of mode 0600: sealed by the platform where it gives a key for that ([`PlatformKey`]), in the clear, and
//! named so, in development. Everything else that is secret passes through [`KeySealing`] before it reaches the store (G-12).

use std::fmt;

use alloy::{
    primitives::{Address, B256},
    signers::{SignerSync, local::PrivateKeySigner},
    sol_types::{Eip712Domain, SolStruct},
};
use hkdf::Hkdf;
use mandate_runtime::{Entropy, entropy};
use mandate_threshold::{DealingKey, SealingKey};
use sha2::Sha256;
use thiserror::Error;
use zeroize::Zeroizing;

mod file;
mod sealed;

pub use file::KeyFileError;
pub use sealed::{PlatformKey, SnpKey};

/// Why a key could not be used.
#[derive(Debug, Error)]
pub enum KeyError {
    /// The derived scalar is zero or above the group's order; another seed must be drawn (never seen in practice).
    #[error("the seed gives no valid secp256k1 key; make a new key file")]
    BadSeed,
    /// Signing failed inside the library.
    #[error("the node key could not sign")]
    Sign,
    /// What was sealed does not open: another node's data directory, or a damaged one.
    #[error("sealed {what} does not open with this node's keys; is the data directory another node's?")]
    Unseal {
        /// Which record.
        what: &'static str,
    },
    /// The sealing itself failed.
    #[error("{what} could not be sealed")]
    Seal {
        /// Which record.
        what: &'static str,
    },
}

/// Seals what must survive a restart and must not be readable on disk. `what` and `context` are bound: a record that is
/// moved to another place does not open.
pub trait KeySealing: Send + Sync + fmt::Debug {
    /// Seals `secret`.
    fn seal(
        &self,
        what: &'static str,
        context: &[u8],
        secret: &[u8],
        entropy: [u8; 32],
    ) -> Result<Vec<u8>, KeyError>;

    /// Opens what [`KeySealing::seal`] made with the same `what` and `context`.
    fn unseal(
        &self,
        what: &'static str,
        context: &[u8],
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, KeyError>;
}

/// The keys of one node.
pub struct NodeKeys {
    node: PrivateKeySigner,
    dealing: DealingKey,
    sealing: SealingKey,
    storage: SealingKey,
}

impl NodeKeys {
    /// Derives every key from `seed`: HKDF-SHA256 with one label per key.
    pub fn from_seed(seed: [u8; 32]) -> Result<Self, KeyError> {
        let seed = Zeroizing::new(seed);
        let node = derive(&seed, "node");
        Ok(Self {
            node: PrivateKeySigner::from_slice(node.as_slice()).map_err(|_| KeyError::BadSeed)?,
            dealing: DealingKey::from_seed(*derive(&seed, "dealing")),
            sealing: SealingKey::from_seed(*derive(&seed, "sealing")),
            storage: SealingKey::from_seed(*derive(&seed, "storage")),
        })
    }

    /// The address by which the committee knows the node.
    pub fn address(&self) -> Address {
        self.node.address()
    }

    /// Ed25519, for `IKmsCommittee.Node.dealingKey`.
    pub fn dealing_public(&self) -> B256 {
        self.dealing.public().into()
    }

    /// X25519, for `IKmsCommittee.Node.sealingKey`.
    pub fn sealing_public(&self) -> B256 {
        self.sealing.public().into()
    }

    /// Signs an EIP-712 message: 65 bytes, `r ‖ s ‖ v`.
    pub fn sign<T: SolStruct>(&self, message: &T, domain: &Eip712Domain) -> Result<Vec<u8>, KeyError> {
        let hash = message.eip712_signing_hash(domain);
        let signature = self.node.sign_hash_sync(&hash).map_err(|_| KeyError::Sign)?;
        Ok(signature.as_bytes().to_vec())
    }

    pub(crate) fn dealing(&self) -> &DealingKey {
        &self.dealing
    }

    pub(crate) fn sealing(&self) -> &SealingKey {
        &self.sealing
    }
}

impl fmt::Debug for NodeKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeKeys").field("address", &self.address()).finish_non_exhaustive()
    }
}

impl KeySealing for NodeKeys {
    fn seal(
        &self,
        what: &'static str,
        context: &[u8],
        secret: &[u8],
        entropy: [u8; 32],
    ) -> Result<Vec<u8>, KeyError> {
        mandate_threshold::seal(&self.storage.public(), &storage_info(what), context, secret, entropy)
            .map_err(|_| KeyError::Seal { what })
    }

    fn unseal(
        &self,
        what: &'static str,
        context: &[u8],
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        mandate_threshold::open(&self.storage, &storage_info(what), context, sealed)
            .map_err(|_| KeyError::Unseal { what })
    }
}

fn storage_info(what: &str) -> Vec<u8> {
    [b"mandate-kms-storage-v1/".as_slice(), what.as_bytes()].concat()
}

/// One labelled key of the seed; the label's length goes first, so that no two labels share an input.
pub(crate) fn derive(seed: &[u8; 32], label: &str) -> Zeroizing<[u8; 32]> {
    let mut out = Zeroizing::new([0; 32]);
    let length = (label.len() as u64).to_be_bytes();
    let info: [&[u8]; 2] = [&length, label.as_bytes()];
    let expanded =
        Hkdf::<Sha256>::new(Some(b"mandate-kms-node-v1"), seed).expand_multi_info(&info, out.as_mut());
    debug_assert!(expanded.is_ok(), "32 bytes are within HKDF's limit");
    out
}

/// A fresh seed.
pub(crate) fn fresh_seed(source: &dyn Entropy) -> Zeroizing<[u8; 32]> {
    Zeroizing::new(entropy::bytes(source))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_the_same_for_the_same_seed_and_differ_by_seed() {
        let a = NodeKeys::from_seed([1; 32]).unwrap();
        let b = NodeKeys::from_seed([1; 32]).unwrap();
        let c = NodeKeys::from_seed([2; 32]).unwrap();
        assert_eq!(
            (a.address(), a.dealing_public(), a.sealing_public()),
            (b.address(), b.dealing_public(), b.sealing_public())
        );
        assert_ne!(a.address(), c.address());
        assert_ne!(a.dealing_public(), c.dealing_public());
        assert_ne!(a.sealing_public(), c.sealing_public());
    }

    #[test]
    fn g12_debug_shows_only_the_address() {
        let keys = NodeKeys::from_seed([7; 32]).unwrap();
        let text = format!("{keys:?}");
        assert!(text.contains("address"));
        assert!(!text.contains(&hex::encode(derive(&[7; 32], "node").as_slice())));
    }

    #[test]
    fn sealed_records_open_only_in_their_own_place() {
        let keys = NodeKeys::from_seed([3; 32]).unwrap();
        let sealed = keys.seal("share", b"round 1", b"secret", [9; 32]).unwrap();
        assert_eq!(keys.unseal("share", b"round 1", &sealed).unwrap().as_slice(), b"secret");
        assert!(keys.unseal("share", b"round 2", &sealed).is_err());
        assert!(keys.unseal("seed", b"round 1", &sealed).is_err());
        let other = NodeKeys::from_seed([4; 32]).unwrap();
        assert!(other.unseal("share", b"round 1", &sealed).is_err());
    }
}
