// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a kind of TEE consists of.

use crate::{
    error::EvidenceError,
    evidence::Reader,
    verified::{Tee, Verified},
    verifier::Trust,
};

/// One kind of TEE: how its evidence is written, and what makes it true.
///
/// A new kind is a module with one implementation, a variant of [`crate::Evidence`], a number in [`Tee`] and, where
/// its root is another vendor's, a field of [`crate::TrustAnchors`].
pub(crate) trait Kind: Sized {
    /// Its number on chain and in the encoding.
    const TEE: Tee;

    /// Writes the fields, in one way only.
    fn put(&self, out: &mut Vec<u8>);

    /// Reads what [`Kind::put`] wrote, and nothing longer than [`Kind::check_caps`] allows.
    fn take(input: &mut Reader<'_>) -> Result<Self, EvidenceError>;

    /// Refuses evidence that was built too large: it was never decoded.
    fn check_caps(&self) -> Result<(), EvidenceError>;

    /// Every fact of [`Verified`], each of them signed for by hardware that the anchors vouch for, or else the first
    /// reason why not. Fetches nothing, and knows no clock but `now_unix`.
    fn verify(
        &self,
        trust: &Trust<'_>,
        now_unix: u64,
        expected_report_data: &[u8; 64],
    ) -> Result<Verified, EvidenceError>;
}
