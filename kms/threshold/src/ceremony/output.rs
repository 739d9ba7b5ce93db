// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a ceremony makes for all to see.

use std::fmt;

use commonware_codec::Encode;
use commonware_cryptography::bls12381::{
    dkg::feldman_desmedt as dkg,
    primitives::{
        sharing::{ModeVersion, Sharing},
        variant::MinPk,
    },
};

use super::{MAX_NODES_U32, Public, quorum};
use crate::{
    codec::{DecodeError, decode},
    keys::public_bytes,
    polynomial::{GROUP_KEY_LENGTH, PublicPolynomial, key_bytes},
};

type LibOutput = dkg::Output<MinPk, Public>;

/// The public output of a ceremony: the group key, the polynomial against which partials are verified, who dealt, who
/// plays, and whose shares may have become public. All parties compute the same bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Output(pub(crate) LibOutput);

impl Output {
    /// The encoding; the same as [`Output::polynomial`].
    pub fn encode(&self) -> Vec<u8> {
        self.0.encode().to_vec()
    }

    /// Reads what [`Output::encode`] wrote.
    ///
    /// # Errors
    /// When it is malformed, or contradicts itself.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let max = LibOutput::max_encode_size(MAX_NODES_U32);
        let output: LibOutput = decode("ceremony output", bytes, max, &(MAX_NODES_U32, ModeVersion::v0()))?;
        let total = output.public().total().get();
        if u32::try_from(output.players().len()) != Ok(total) || output.public().required() != quorum(total) {
            return Err(DecodeError::malformed("ceremony output", "its polynomial does not fit its players"));
        }
        if output.revealed().iter().any(|key| output.players().position(key).is_none()) {
            return Err(DecodeError::malformed("ceremony output", "a revealed key is no player's"));
        }
        Ok(Self(output))
    }

    /// The group key: 48 bytes, a compressed point of G1.
    pub fn group_key(&self) -> [u8; GROUP_KEY_LENGTH] {
        key_bytes(self.0.public().public())
    }

    /// What is published on chain beside the group key. It is the whole output, so that a node which joins later needs
    /// nothing else to take part in a resharing.
    pub fn polynomial(&self) -> Vec<u8> {
        self.encode()
    }

    /// The same, ready to verify partials.
    pub fn public(&self) -> PublicPolynomial {
        PublicPolynomial::of(self)
    }

    /// How many partials make a signature.
    pub fn quorum(&self) -> u32 {
        quorum(self.0.public().total().get())
    }

    /// Dealing keys of those who hold shares, in the order of their indices.
    pub fn players(&self) -> Vec<[u8; 32]> {
        self.0.players().iter().map(public_bytes).collect()
    }

    /// Players whose shares can be read from the published logs, because too many dealers had to reveal them.
    pub fn revealed(&self) -> Vec<[u8; 32]> {
        self.0.revealed().iter().map(public_bytes).collect()
    }

    pub(crate) fn sharing(&self) -> &Sharing<MinPk> {
        self.0.public()
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (players, key) = (self.0.players().len(), hex::encode(self.group_key()));
        write!(f, "Output {{ players: {players}, quorum: {}, group_key: {key} }}", self.quorum())
    }
}
