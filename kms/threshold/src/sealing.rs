// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Public-key encryption of single messages: HPKE (RFC 9180), base mode, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256,
//! ChaCha20-Poly1305. A sealed message is the encapsulated key, 32 bytes, and then the ciphertext with its tag.
//!
//! Base mode says nothing about the sender. Whoever needs that signs the letter or binds the sender in `aad`.

use hpke::{
    Deserializable, Kem, OpModeR, OpModeS, Serializable, aead::ChaCha20Poly1305, kdf::HkdfSha256,
    kem::X25519HkdfSha256,
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use zeroize::Zeroizing;

use crate::keys::SealingKey;

/// The longest message that is sealed or opened, sealed.
pub const MAX_SEALED: usize = 256 * 1024;

/// What sealing adds: the encapsulated key and the tag.
pub const OVERHEAD: usize = ENCAPSULATED + 16;

const ENCAPSULATED: usize = 32;

/// Why a message could not be sealed or opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The recipient's key is no point that can be sealed to.
    #[error("{} is not an X25519 key that can be sealed to", hex::encode(.0))]
    BadRecipient([u8; 32]),
    /// Outside the accepted lengths.
    #[error("a sealed message has {least} to {max} bytes, not {given}", least = OVERHEAD, max = MAX_SEALED)]
    BadLength {
        /// What it has, or would have.
        given: usize,
    },
    /// Not sealed to this key, or under other information, or changed on the way.
    #[error(
        "the message does not open: sealed to another key, bound to something else, or changed on the way"
    )]
    DoesNotOpen,
}

/// Seals `plaintext` to the X25519 key `recipient`. `entropy` must be fresh: the same entropy gives the same message,
/// and must never be used for two different ones.
///
/// # Errors
/// When the recipient's key is a low-order point or the message is too long.
pub fn seal(
    recipient: &[u8; 32],
    info: &[u8],
    aad: &[u8],
    plaintext: &[u8],
    entropy: [u8; 32],
) -> Result<Vec<u8>, SealError> {
    let given = plaintext.len().saturating_add(OVERHEAD);
    if given > MAX_SEALED {
        return Err(SealError::BadLength { given });
    }
    let entropy = Zeroizing::new(entropy);
    let mut rng = ChaCha20Rng::from_seed(*entropy);
    let bad = |_| SealError::BadRecipient(*recipient);
    let key = <X25519HkdfSha256 as Kem>::PublicKey::from_bytes(recipient).map_err(bad)?;
    let (encapsulated, mut context) = hpke::setup_sender_with_rng::<
        ChaCha20Poly1305,
        HkdfSha256,
        X25519HkdfSha256,
    >(&OpModeS::Base, &key, info, &mut rng)
    .map_err(bad)?;
    let ciphertext = context.seal(plaintext, aad).map_err(bad)?;
    Ok([encapsulated.to_bytes().as_slice(), &ciphertext].concat())
}

/// Opens what [`seal`] made for `key` with the same `info` and `aad`.
///
/// # Errors
/// [`SealError::DoesNotOpen`] for everything that was not made exactly so.
pub fn open(
    key: &SealingKey,
    info: &[u8],
    aad: &[u8],
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let wrong = SealError::BadLength { given: sealed.len() };
    if sealed.len() > MAX_SEALED || sealed.len() < OVERHEAD {
        return Err(wrong);
    }
    let (encapsulated, ciphertext) = sealed.split_at_checked(ENCAPSULATED).ok_or(wrong)?;
    let fails = |_| SealError::DoesNotOpen;
    let encapsulated = <X25519HkdfSha256 as Kem>::EncappedKey::from_bytes(encapsulated).map_err(fails)?;
    let mut context = hpke::setup_receiver::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
        &OpModeR::Base,
        &key.secret,
        &encapsulated,
        info,
    )
    .map_err(fails)?;
    context.open(ciphertext, aad).map(Zeroizing::new).map_err(fails)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sealed() -> (SealingKey, Vec<u8>) {
        let key = SealingKey::from_seed([7; 32]);
        let sealed = seal(&key.public(), b"info", b"aad", b"a share", [9; 32]).unwrap();
        (key, sealed)
    }

    #[test]
    fn opens_what_was_sealed() {
        let (key, sealed) = sealed();
        assert_eq!(open(&key, b"info", b"aad", &sealed).unwrap().as_slice(), b"a share");
    }

    #[test]
    fn same_entropy_gives_the_same_message_and_other_entropy_another() {
        let (key, first) = sealed();
        assert_eq!(first, seal(&key.public(), b"info", b"aad", b"a share", [9; 32]).unwrap());
        assert_ne!(first, seal(&key.public(), b"info", b"aad", b"a share", [10; 32]).unwrap());
    }

    #[test]
    fn does_not_open_under_another_key_info_or_binding() {
        let (key, sealed) = sealed();
        let other = SealingKey::from_seed([8; 32]);
        assert_eq!(open(&other, b"info", b"aad", &sealed), Err(SealError::DoesNotOpen));
        assert_eq!(open(&key, b"infO", b"aad", &sealed), Err(SealError::DoesNotOpen));
        assert_eq!(open(&key, b"info", b"aaD", &sealed), Err(SealError::DoesNotOpen));
    }

    #[test]
    fn refuses_low_order_recipients_and_long_messages() {
        assert_eq!(seal(&[0; 32], b"", b"", b"x", [1; 32]), Err(SealError::BadRecipient([0; 32])));
        let key = SealingKey::from_seed([7; 32]);
        let long = vec![0; MAX_SEALED];
        assert!(matches!(seal(&key.public(), b"", b"", &long, [1; 32]), Err(SealError::BadLength { .. })));
        assert!(matches!(open(&key, b"", b"", &[0; MAX_SEALED + 1]), Err(SealError::BadLength { .. })));
        assert!(matches!(open(&key, b"", b"", &[0; OVERHEAD - 1]), Err(SealError::BadLength { .. })));
    }

    #[test]
    fn g12_debug_of_keys_shows_public_halves_only() {
        let text = format!("{:?}", SealingKey::from_seed([7; 32]));
        assert!(!text.contains(&hex::encode([7; 32])));
        assert_eq!(text, format!("SealingKey({})", hex::encode(SealingKey::from_seed([7; 32]).public())));
    }

    proptest! {
        #[test]
        fn any_change_of_any_byte_is_noticed(at in 0usize..55, flip in 1u8..) {
            let (key, mut sealed) = sealed();
            sealed[at] ^= flip;
            // The top bit of an X25519 point is ignored by the curve but bound by the KEM's context.
            prop_assert_eq!(open(&key, b"info", b"aad", &sealed), Err(SealError::DoesNotOpen));
        }

        #[test]
        fn hostile_bytes_never_open(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(open(&SealingKey::from_seed([7; 32]), b"info", b"aad", &bytes).is_err());
        }
    }
}
