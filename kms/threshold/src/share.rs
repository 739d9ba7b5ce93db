// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A node's share of the root key, and what it signs with it.

use std::fmt;

use commonware_codec::FixedSize;
use commonware_cryptography::bls12381::primitives::{
    group,
    ops::threshold,
    variant::{MinPk, PartialSignature},
};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::codec::{DecodeError, decode, encode_secret};

pub(crate) type LibPartial = PartialSignature<MinPk>;

const MAX_INDEX: usize = 5;
const SHARE_LENGTH: usize = MAX_INDEX + 32;
const PARTIAL_LENGTH: usize = MAX_INDEX + group::G2::SIZE;

/// A share of the root key. Zeroized when dropped; never printed.
#[derive(Clone)]
pub struct Share(pub(crate) group::Share);

impl Share {
    /// The place of the holder among the players of the ceremony, from 0.
    pub fn index(&self) -> u32 {
        self.0.index.get()
    }

    /// Signs `message` in `namespace`: one of the `t` parts of the group's signature.
    pub fn sign(&self, namespace: &[u8], message: &[u8]) -> Partial {
        Partial::of(&threshold::sign_message::<MinPk>(&self.0, namespace, message))
    }

    /// The encoding, to be sealed by the caller before it is written anywhere.
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        encode_secret(&[&self.0])
    }

    /// Reads what [`Share::encode`] wrote.
    ///
    /// # Errors
    /// When it is nothing of the kind; the error repeats no byte of it.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        decode("share", bytes, SHARE_LENGTH, &()).map(Self)
    }
}

impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Share {{ index: {}, .. }}", self.index())
    }
}

/// One node's part of a group signature. `t` of them over an app's message are the app's secret, so it is handled as
/// one: zeroized when dropped, compared in constant time, never printed.
#[derive(Clone)]
pub struct Partial {
    index: u32,
    encoded: Zeroizing<Vec<u8>>,
}

impl Partial {
    fn of(partial: &LibPartial) -> Self {
        Self { index: partial.index.get(), encoded: encode_secret(&[partial]) }
    }

    /// Who signed: the place among the players of the ceremony, from 0. Only a claim until the partial is verified.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// The encoding, to be sealed to the guest that may have it.
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        self.encoded.clone()
    }

    /// Reads what [`Partial::encode`] wrote; checks that the point is in the group, not that the signature is right.
    ///
    /// # Errors
    /// When it is nothing of the kind.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        Ok(Self::of(&decode::<LibPartial>("partial signature", bytes, PARTIAL_LENGTH, &())?))
    }

    pub(crate) fn point(&self) -> Result<LibPartial, DecodeError> {
        decode("partial signature", &self.encoded, PARTIAL_LENGTH, &())
    }
}

impl PartialEq for Partial {
    fn eq(&self, other: &Self) -> bool {
        self.index == other.index && bool::from(self.encoded.ct_eq(&other.encoded))
    }
}

impl Eq for Partial {}

impl fmt::Debug for Partial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Partial {{ index: {}, .. }}", self.index)
    }
}
