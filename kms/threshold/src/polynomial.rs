// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The public side of the shared key: verifies partials and combines them.

use std::{collections::BTreeMap, fmt};

use commonware_codec::{Copying, DecodeExt, Encode, FixedSize};
use commonware_cryptography::bls12381::primitives::{
    group::{G1, G2},
    ops::{self, threshold},
    sharing::Sharing,
    variant::MinPk,
};
use commonware_parallel::Sequential;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::{
    ceremony::{Output, quorum},
    codec::{DecodeError, encode_secret},
    share::{LibPartial, Partial},
};

/// Bytes of a group key: a compressed point of G1.
pub const GROUP_KEY_LENGTH: usize = G1::SIZE;

const SIGNATURE_LENGTH: usize = G2::SIZE;

/// Why no group signature came of the partials.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CombineError {
    /// Too few distinct valid partials.
    #[error("{valid} valid partial signatures, {needed} are needed{}", name_wrong(.wrong))]
    TooFew {
        /// How many are needed.
        needed: u32,
        /// How many distinct ones were right.
        valid: u32,
        /// The indices that wrong ones claimed.
        wrong: Vec<u32>,
    },
    /// The combination is not the group's signature. With verified partials this means that the polynomial does not
    /// belong to the group key.
    #[error(
        "the combined signature is not the group's: the public polynomial does not belong to the group key"
    )]
    NotTheGroups,
}

fn name_wrong(wrong: &[u32]) -> String {
    if wrong.is_empty() { String::new() } else { format!("; wrong ones came from index {wrong:?}") }
}

/// The committed polynomial of a ceremony's output: who has which verification key, and the group key.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicPolynomial {
    sharing: Sharing<MinPk>,
}

impl PublicPolynomial {
    pub(crate) fn of(output: &Output) -> Self {
        Self { sharing: output.sharing().clone() }
    }

    /// Reads what [`Output::polynomial`] wrote, for a committee of `n`.
    ///
    /// # Errors
    /// When it is malformed, for another number of nodes, or recoverable by another number than the quorum of `n`.
    pub fn decode(bytes: &[u8], n: usize) -> Result<Self, DecodeError> {
        let polynomial = Self::of(&Output::decode(bytes)?);
        let total = polynomial.nodes();
        if usize::try_from(total).ok() != Some(n) {
            return Err(DecodeError::malformed(
                "public polynomial",
                format!("made for {total} nodes, not {n}"),
            ));
        }
        Ok(polynomial)
    }

    /// For how many nodes.
    pub fn nodes(&self) -> u32 {
        self.sharing.total().get()
    }

    /// How many partials make a signature.
    pub fn quorum(&self) -> u32 {
        quorum(self.nodes())
    }

    /// The group key: 48 bytes, a compressed point of G1.
    pub fn group_key(&self) -> [u8; GROUP_KEY_LENGTH] {
        key_bytes(self.sharing.public())
    }

    /// Whether `partial` is what the node with its index had to sign.
    pub fn verify_partial(&self, namespace: &[u8], message: &[u8], partial: &Partial) -> bool {
        partial.point().is_ok_and(|point| self.verify_point(namespace, message, &point))
    }

    fn verify_point(&self, namespace: &[u8], message: &[u8], point: &LibPartial) -> bool {
        threshold::verify_message::<MinPk>(&self.sharing, namespace, message, point).is_ok()
    }

    /// Combines a quorum of the partials, whichever are right, and verifies the result against the group key. Wrong and
    /// repeated partials do no harm as long as enough right ones are left.
    ///
    /// # Errors
    /// When too few are right; the error names the indices of the wrong ones.
    pub fn combine(
        &self,
        namespace: &[u8],
        message: &[u8],
        partials: &[Partial],
    ) -> Result<GroupSignature, CombineError> {
        // Each check is a pairing. When all are right, which is the rule, the one of the result says so of all of them.
        if let Some(signature) = self.combine_trusting(namespace, message, partials) {
            return Ok(signature);
        }
        let (mut right, mut wrong) = (BTreeMap::new(), Vec::new());
        for partial in partials {
            match partial.point() {
                Ok(point) if self.verify_point(namespace, message, &point) => {
                    right.insert(partial.index(), point);
                }
                _ => wrong.push(partial.index()),
            }
        }
        let (needed, valid) = (self.quorum(), u32::try_from(right.len()).unwrap_or(u32::MAX));
        if valid < needed {
            wrong.sort_unstable();
            wrong.dedup();
            return Err(CombineError::TooFew { needed, valid, wrong });
        }
        self.recover(namespace, message, &right).ok_or(CombineError::NotTheGroups)
    }

    /// From the first quorum of distinct partials, if they happen to be right.
    fn combine_trusting(
        &self,
        namespace: &[u8],
        message: &[u8],
        partials: &[Partial],
    ) -> Option<GroupSignature> {
        let mut distinct = BTreeMap::new();
        for partial in partials {
            if distinct.len() < self.quorum() as usize {
                distinct.entry(partial.index()).or_insert(partial.point().ok()?);
            }
        }
        if distinct.len() < self.quorum() as usize {
            return None;
        }
        self.recover(namespace, message, &distinct)
    }

    /// The group's signature that these make, if they make it.
    fn recover(
        &self,
        namespace: &[u8],
        message: &[u8],
        partials: &BTreeMap<u32, LibPartial>,
    ) -> Option<GroupSignature> {
        let signature = threshold::recover::<MinPk, _>(&self.sharing, partials.values(), &Sequential).ok()?;
        ops::verify_message::<MinPk>(self.sharing.public(), namespace, message, &signature).ok()?;
        Some(GroupSignature::of(&signature))
    }
}

impl fmt::Debug for PublicPolynomial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "PublicPolynomial {{ nodes: {}, quorum: {}, group_key: {} }}",
            self.nodes(),
            self.quorum(),
            hex::encode(self.group_key())
        )
    }
}

/// The group's signature over one message. Over an app's message it is the root of the app's secret: zeroized when
/// dropped, compared in constant time, never printed.
#[derive(Clone)]
pub struct GroupSignature(Zeroizing<Vec<u8>>);

impl GroupSignature {
    fn of(point: &G2) -> Self {
        Self(encode_secret(&[point]))
    }

    /// Reads the 96 bytes of a signature and verifies it under the group key.
    ///
    /// # Errors
    /// When either is malformed or the signature is another key's, message's or namespace's.
    pub fn decode_verified(
        group_key: &[u8; GROUP_KEY_LENGTH],
        namespace: &[u8],
        message: &[u8],
        bytes: &[u8],
    ) -> Result<Self, DecodeError> {
        let key = group_point(group_key)?;
        let point = G2::decode(Copying(bytes)).map_err(|e| DecodeError::malformed("group signature", e))?;
        ops::verify_message::<MinPk>(&key, namespace, message, &point).map_err(|_| {
            DecodeError::malformed("group signature", "it does not verify under the group key")
        })?;
        Ok(Self::of(&point))
    }

    /// The 96 bytes of the compressed point. Public only where the message is a statement.
    pub fn as_bytes(&self) -> &[u8] {
        debug_assert_eq!(self.0.len(), SIGNATURE_LENGTH);
        &self.0
    }

    pub(crate) fn point(&self) -> Result<G2, DecodeError> {
        G2::decode(Copying(&self.0)).map_err(|e| DecodeError::malformed("group signature", e))
    }
}

impl PartialEq for GroupSignature {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for GroupSignature {}

impl fmt::Debug for GroupSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GroupSignature(..)")
    }
}

/// The point of a group key; the identity and points outside the group are refused.
pub(crate) fn group_point(key: &[u8; GROUP_KEY_LENGTH]) -> Result<G1, DecodeError> {
    G1::decode(Copying(key)).map_err(|e| DecodeError::malformed("group key", e))
}

pub(crate) fn key_bytes(point: &G1) -> [u8; GROUP_KEY_LENGTH] {
    let mut out = [0; GROUP_KEY_LENGTH];
    for (to, from) in out.iter_mut().zip(point.encode().iter()) {
        *to = *from;
    }
    out
}
