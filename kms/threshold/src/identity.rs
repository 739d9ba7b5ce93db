// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Encryption to an app before it ever ran: identity-based, under the group key that stands on the chain.
//!
//! A developer encrypts the environment to (app, generation); only who gets the group's signature over that app's
//! message can decrypt, so only an authorised instance. No node is asked.
//!
//! A ciphertext is a version byte, the identity-based encryption of a random seed, and the plaintext sealed
//! ([`crate::sealing`]) to the key that this seed makes.

use commonware_codec::{Copying, DecodeExt, Encode, FixedSize};
use commonware_cryptography::bls12381::{
    primitives::{group::G1, variant::MinPk},
    tle::{self, Block, Ciphertext},
};
use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng, SeedableRng},
};
use zeroize::Zeroizing;

use crate::{
    codec::DecodeError,
    derive::{APP_NAMESPACE, context},
    keys::SealingKey,
    polynomial::{GROUP_KEY_LENGTH, GroupSignature, group_point},
    sealing::{self, SealError},
};

const VERSION: u8 = 1;
const WRAPPED: usize = G1::SIZE + 2 * Block::SIZE;

/// Why something could not be encrypted to an app, or decrypted by it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The group key or the ciphertext is malformed.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The sealed part is too long, or does not open.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// A version that this build does not know.
    #[error("ciphertext of version {0}, this build reads version 1")]
    Version(u8),
    /// Encrypted to another app, generation or group key, or changed on the way.
    #[error("the ciphertext is not for this app, generation and group key, or was changed on the way")]
    NotForThisApp,
}

/// Encrypts `plaintext` to the app of `message` ([`crate::derive::app_message`]) under the group key.
/// `entropy` must be fresh.
///
/// # Errors
/// When the group key is no point of the group, or the plaintext too long.
pub fn encrypt_to_app(
    group_key: &[u8; GROUP_KEY_LENGTH],
    message: &[u8],
    plaintext: &[u8],
    entropy: [u8; 32],
) -> Result<Vec<u8>, IdentityError> {
    let key = group_point(group_key)?;
    let entropy = Zeroizing::new(entropy);
    let mut rng = ChaCha20Rng::from_seed(*entropy);
    let (mut seed, mut sealing) = (Zeroizing::new([0; 32]), [0; 32]);
    rng.fill_bytes(seed.as_mut_slice());
    rng.fill_bytes(&mut sealing);
    let wrapped = tle::encrypt::<_, MinPk>(&mut rng, key, (APP_NAMESPACE, message), &Block::new(*seed))
        .map_err(|e| DecodeError::malformed("group key", e))?
        .encode();
    let recipient = SealingKey::from_seed(*seed).public();
    let sealed = sealing::seal(&recipient, &info(message), &wrapped, plaintext, sealing)?;
    Ok([[VERSION].as_slice(), &wrapped, &sealed].concat())
}

/// Decrypts with the group's signature over the app's message.
///
/// # Errors
/// When it was made for anything else.
pub fn decrypt(
    signature: &GroupSignature,
    message: &[u8],
    ciphertext: &[u8],
) -> Result<Zeroizing<Vec<u8>>, IdentityError> {
    let short = || DecodeError::malformed("ciphertext", "too short");
    let (version, rest) = ciphertext.split_first().ok_or_else(short)?;
    if *version != VERSION {
        return Err(IdentityError::Version(*version));
    }
    let (wrapped, sealed) = rest.split_at_checked(WRAPPED).ok_or_else(short)?;
    let parsed =
        Ciphertext::<MinPk>::decode(Copying(wrapped)).map_err(|e| DecodeError::malformed("ciphertext", e))?;
    let block = tle::decrypt::<MinPk>(&signature.point()?, &parsed).ok_or(IdentityError::NotForThisApp)?;
    let mut seed = Zeroizing::new([0; 32]);
    seed.copy_from_slice(block.as_ref());
    sealing::open(&SealingKey::from_seed(*seed), &info(message), wrapped, sealed).map_err(|e| match e {
        SealError::DoesNotOpen => IdentityError::NotForThisApp,
        other => other.into(),
    })
}

fn info(message: &[u8]) -> Vec<u8> {
    context("identity", &[message])
}
