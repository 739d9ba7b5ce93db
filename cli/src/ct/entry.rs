// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Log entries, as RFC 6962 (3.4) and the static CT API (`TileLeaf`) encode them.
//!
//! What is read of a certificate is always a part of the bytes that were hashed. Only the precertificate beside a leaf is
//! not: logs commit to its TBSCertificate alone.

use thiserror::Error;

/// `entry_type`s.
const X509_ENTRY: u16 = 0;
const PRECERT_ENTRY: u16 = 1;
/// The static CT API's extension that tells an entry's index, in 5 bytes.
const LEAF_INDEX: u8 = 0;

/// Why bytes are no entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum EntryError {
    /// They end too early.
    #[error("it is cut off")]
    CutOff,
    /// Something follows.
    #[error("bytes follow its end")]
    Trailing,
    /// A version or type that RFC 6962 does not have.
    #[error("it is of an unknown version or type")]
    UnknownType,
    /// The static CT API wants the entry's index in it.
    #[error("it does not hold its own index")]
    NoIndex,
}

/// What a log entry is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A certificate.
    Certificate(Vec<u8>),
    /// What a CA said that it would issue.
    Precertificate {
        /// The TBSCertificate without its poison, which the log commits to.
        tbs: Vec<u8>,
        /// The precertificate as the log serves it beside; not committed to.
        beside: Option<Vec<u8>>,
    },
    /// Nothing that this version can read.
    Unknown,
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// `MerkleTreeLeaf`: what is hashed.
    pub leaf: Vec<u8>,
    /// When the log took it, in milliseconds.
    pub timestamp: u64,
    /// What it is about.
    pub content: Content,
}

impl Entry {
    /// Reads `leaf_input` and `extra_data` of RFC 6962's get-entries. A leaf that cannot be read is [`Content::Unknown`]: it
    /// is part of the tree all the same.
    pub fn from_rfc6962(leaf: Vec<u8>, extra: &[u8]) -> Self {
        match leaf_content(&leaf, extra) {
            Ok((timestamp, content)) => Self { leaf, timestamp, content },
            Err(_) => Self { leaf, timestamp: 0, content: Content::Unknown },
        }
    }

    /// Reads the `width` entries of a data tile, the first of which has index `first`.
    ///
    /// # Errors
    /// When the tile does not hold exactly these.
    pub fn from_tile(tile: &[u8], first: u64, width: u64) -> Result<Vec<Self>, EntryError> {
        let mut reader = Reader(tile);
        let entries = (0..width).map(|i| tile_leaf(&mut reader, first.saturating_add(i))).collect();
        match reader.0 {
            [] => entries,
            _ => entries.and(Err(EntryError::Trailing)),
        }
    }
}

struct Timestamped<'a> {
    timestamp: u64,
    precertificate: bool,
    certificate: &'a [u8],
    extensions: &'a [u8],
}

fn leaf_content(leaf: &[u8], extra: &[u8]) -> Result<(u64, Content), EntryError> {
    let mut reader = Reader(leaf);
    if reader.take(2)? != [0, 0] {
        return Err(EntryError::UnknownType);
    }
    let entry = timestamped(&mut reader)?;
    if !reader.0.is_empty() {
        return Err(EntryError::Trailing);
    }
    // PrecertChainEntry begins with the precertificate.
    let beside = Reader(extra).vector(3).ok().map(<[u8]>::to_vec);
    Ok((entry.timestamp, content(&entry, beside)))
}

fn tile_leaf(reader: &mut Reader<'_>, index: u64) -> Result<Entry, EntryError> {
    let start = reader.0;
    let entry = timestamped(reader)?;
    let hashed = start.get(..start.len() - reader.0.len()).ok_or(EntryError::CutOff)?;
    let beside = if entry.precertificate { Some(reader.vector(3)?.to_vec()) } else { None };
    let chain = reader.vector(2)?;
    if chain.len() % 32 != 0 {
        return Err(EntryError::CutOff);
    }
    if leaf_index(entry.extensions)? != index {
        return Err(EntryError::NoIndex);
    }
    let leaf = [&[0, 0], hashed].concat();
    Ok(Entry { leaf, timestamp: entry.timestamp, content: content(&entry, beside) })
}

fn content(entry: &Timestamped<'_>, beside: Option<Vec<u8>>) -> Content {
    let certificate = entry.certificate.to_vec();
    match entry.precertificate {
        true => Content::Precertificate { tbs: certificate, beside },
        false => Content::Certificate(certificate),
    }
}

fn timestamped<'a>(reader: &mut Reader<'a>) -> Result<Timestamped<'a>, EntryError> {
    let timestamp = reader.number(8)?;
    let precertificate = match reader.number(2)? as u16 {
        X509_ENTRY => false,
        PRECERT_ENTRY => true,
        _ => return Err(EntryError::UnknownType),
    };
    if precertificate {
        let _issuer_key_hash = reader.take(32)?;
    }
    let certificate = reader.vector(3)?;
    let extensions = reader.vector(2)?;
    Ok(Timestamped { timestamp, precertificate, certificate, extensions })
}

fn leaf_index(extensions: &[u8]) -> Result<u64, EntryError> {
    let mut reader = Reader(extensions);
    while !reader.0.is_empty() {
        let kind = reader.number(1)? as u8;
        let data = reader.vector(2)?;
        if kind == LEAF_INDEX && data.len() == 5 {
            return Reader(data).number(5);
        }
    }
    Err(EntryError::NoIndex)
}

/// TLS presentation language (RFC 8446, 3).
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], EntryError> {
        let (taken, rest) = self.0.split_at_checked(n).ok_or(EntryError::CutOff)?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self, bytes: usize) -> Result<u64, EntryError> {
        Ok(self.take(bytes)?.iter().fold(0, |n, byte| n << 8 | u64::from(*byte)))
    }

    /// As many bytes as the `length_bytes` before say.
    fn vector(&mut self, length_bytes: usize) -> Result<&'a [u8], EntryError> {
        let length = self.number(length_bytes)?;
        self.take(usize::try_from(length).map_err(|_| EntryError::CutOff)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn vector(length_bytes: usize, data: &[u8]) -> Vec<u8> {
        [&(data.len() as u64).to_be_bytes()[8 - length_bytes..], data].concat()
    }

    fn timestamped(precertificate: bool, certificate: &[u8], index: u64) -> Vec<u8> {
        let mut bytes = 1_700_000_000_000u64.to_be_bytes().to_vec();
        bytes.extend(u16::from(precertificate).to_be_bytes());
        if precertificate {
            bytes.extend([7; 32]);
        }
        bytes.extend(vector(3, certificate));
        let extension = [&[0u8][..], &vector(2, &index.to_be_bytes()[3..])].concat();
        bytes.extend(vector(2, &extension));
        bytes
    }

    fn in_tile(precertificate: bool, certificate: &[u8], index: u64) -> Vec<u8> {
        let mut bytes = timestamped(precertificate, certificate, index);
        if precertificate {
            bytes.extend(vector(3, b"precertificate"));
        }
        bytes.extend(vector(2, &[9; 64]));
        bytes
    }

    #[test]
    fn tile_and_leaf_of_one_entry_hash_the_same_bytes() {
        for (precertificate, index) in [(false, 300), (true, 301)] {
            let tile = in_tile(precertificate, b"certificate", index);
            let of_tile = Entry::from_tile(&tile, index, 1).unwrap().remove(0);
            let leaf = [&[0, 0][..], &timestamped(precertificate, b"certificate", index)].concat();
            let extra = vector(3, b"precertificate");
            assert_eq!(of_tile, Entry::from_rfc6962(leaf, &extra));
            assert_eq!(of_tile.timestamp, 1_700_000_000_000);
        }
    }

    #[test]
    fn tile_is_refused_when_an_entry_is_missing_moved_or_more() {
        let tile = [in_tile(false, b"a", 5), in_tile(true, b"b", 6)].concat();
        assert_eq!(Entry::from_tile(&tile, 5, 2).unwrap().len(), 2);
        assert_eq!(Entry::from_tile(&tile, 5, 1), Err(EntryError::Trailing));
        assert_eq!(Entry::from_tile(&tile, 5, 3), Err(EntryError::CutOff));
        assert_eq!(Entry::from_tile(&tile, 4, 2), Err(EntryError::NoIndex));
    }

    #[test]
    fn leaf_of_an_unknown_type_is_kept_for_its_hash() {
        let entry = Entry::from_rfc6962(vec![0, 0, 1], &[]);
        assert_eq!((entry.content, entry.leaf), (Content::Unknown, vec![0, 0, 1]));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), width in 0u64..4) {
            let _ = Entry::from_tile(&bytes, 0, width);
            prop_assert_eq!(&Entry::from_rfc6962(bytes.clone(), &bytes).leaf, &bytes);
        }
    }
}
