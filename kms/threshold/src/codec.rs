// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From and to the library's encoding; the only place where outside bytes become its types.

use commonware_codec::{Copying, Decode, EncodeSize, Write};
use zeroize::Zeroizing;

/// Why outside bytes were refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Longer than anything honest.
    #[error("{what}: {given} bytes, at most {max} are accepted")]
    TooLong {
        /// What was to be decoded.
        what: &'static str,
        /// Its length.
        given: usize,
        /// The cap.
        max: usize,
    },
    /// Not an encoding.
    #[error("{what} is malformed: {why}")]
    Malformed {
        /// What was to be decoded.
        what: &'static str,
        /// What the decoder said.
        why: String,
    },
}

impl DecodeError {
    pub(crate) fn malformed(what: &'static str, why: impl ToString) -> Self {
        Self::Malformed { what, why: why.to_string() }
    }
}

/// Decodes all of `bytes`, at most `max` of them.
pub(crate) fn decode<T: Decode>(
    what: &'static str,
    bytes: &[u8],
    max: usize,
    cfg: &T::Cfg,
) -> Result<T, DecodeError> {
    if bytes.len() > max {
        return Err(DecodeError::TooLong { what, given: bytes.len(), max });
    }
    T::decode_cfg(Copying(bytes), cfg).map_err(|e| DecodeError::malformed(what, e))
}

/// Encodes into a buffer of the exact size, so that no copy of a secret stays behind.
pub(crate) fn encode_secret(parts: &[&dyn EncodeInto]) -> Zeroizing<Vec<u8>> {
    let mut out = Zeroizing::new(Vec::with_capacity(parts.iter().map(|p| p.size()).sum()));
    for part in parts {
        part.append(&mut out);
    }
    out
}

/// The object-safe part of the library's encoding traits.
pub(crate) trait EncodeInto {
    fn size(&self) -> usize;
    fn append(&self, out: &mut Vec<u8>);
}

impl<T: Write + EncodeSize> EncodeInto for T {
    fn size(&self) -> usize {
        self.encode_size()
    }

    fn append(&self, out: &mut Vec<u8>) {
        self.write(out);
    }
}
