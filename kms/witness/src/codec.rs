// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a witness is made of, and its bytes: `01 ‖ RLP([header, [node …], [code …]])`.
//!
//! Nodes and codes are sorted and there are no duplicates, so one witness has one encoding. Nodes and codes that the verifier
//! has already may be left out: both are known by their hash, so what is left out is missed and never mistaken.

use alloy::{
    primitives::{B256, Bytes, keccak256},
    rlp::{Decodable, Encodable, Header as RlpHeader},
};
use thiserror::Error;

/// The largest encoded witness, in bytes.
pub const MAX_WITNESS: usize = 2 << 20;
/// The largest header: about 700 bytes today.
pub const MAX_HEADER: usize = 2 << 10;
/// Most trie nodes in one witness.
pub const MAX_NODES: usize = 8192;
/// The largest trie node: a full branch has 532 bytes.
pub const MAX_NODE: usize = 640;
/// Most contracts in one witness.
pub const MAX_CODES: usize = 64;
/// The largest contract: EIP-170 allows 24 KiB, later rules 32 KiB.
pub const MAX_CODE: usize = 64 << 10;

const VERSION: u8 = 1;

/// Everything that one call needs at one block: the header, the trie nodes on the paths to what it touches, each once,
/// and the codes that it runs. Says nothing about the call itself: the verifier knows what it asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witness {
    header: Bytes,
    nodes: Vec<Bytes>,
    codes: Vec<Bytes>,
}

/// Why bytes are no witness.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CodecError {
    /// More bytes than any witness has.
    #[error("a witness of {0} bytes: the limit is {MAX_WITNESS}")]
    TooLong(usize),
    /// Another format.
    #[error("witness version {0:?} is not known here: this build reads version {VERSION}")]
    Version(Option<u8>),
    /// No RLP, or bytes after it.
    #[error("the witness is no RLP: {0}")]
    Rlp(String),
    /// A part exceeds its cap.
    #[error("{given} {what}: the limit is {max}")]
    Cap {
        /// Of what.
        what: &'static str,
        /// How much there is.
        given: usize,
        /// How much may be.
        max: usize,
    },
    /// Nodes or codes are not sorted, or there twice.
    #[error("the {0} are not in strictly ascending order")]
    Order(&'static str),
}

impl From<alloy::rlp::Error> for CodecError {
    fn from(error: alloy::rlp::Error) -> Self {
        Self::Rlp(error.to_string())
    }
}

impl Witness {
    /// Puts a witness together: sorts, drops duplicates, checks the caps.
    pub fn new(header: Bytes, mut nodes: Vec<Bytes>, mut codes: Vec<Bytes>) -> Result<Self, CodecError> {
        for list in [&mut nodes, &mut codes] {
            list.sort_unstable();
            list.dedup();
        }
        let witness = Self { header, nodes, codes };
        witness.check()?;
        match witness.encoded_length() {
            n if n > MAX_WITNESS => Err(CodecError::TooLong(n)),
            _ => Ok(witness),
        }
    }

    /// The same without the nodes and codes with these hashes, which must be in ascending order.
    #[must_use]
    pub fn without(&self, known: &[B256]) -> Self {
        let unknown = |part: &&Bytes| known.binary_search(&keccak256(part)).is_err();
        let rest = |parts: &[Bytes]| parts.iter().filter(unknown).cloned().collect();
        Self { header: self.header.clone(), nodes: rest(&self.nodes), codes: rest(&self.codes) }
    }

    /// Without any code, for whoever keeps those elsewhere.
    #[must_use]
    pub fn without_codes(&self) -> Self {
        Self { header: self.header.clone(), nodes: self.nodes.clone(), codes: Vec::new() }
    }

    /// The header, RLP.
    pub fn header(&self) -> &Bytes {
        &self.header
    }

    /// The trie nodes, RLP.
    pub fn nodes(&self) -> &[Bytes] {
        &self.nodes
    }

    /// The codes.
    pub fn codes(&self) -> &[Bytes] {
        &self.codes
    }

    /// The bytes that [`Witness::decode`] reads.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.encoded_length());
        out.push(VERSION);
        RlpHeader { list: true, payload_length: self.payload_length() }.encode(&mut out);
        self.header.encode(&mut out);
        self.nodes.encode(&mut out);
        self.codes.encode(&mut out);
        out
    }

    /// Reads a witness; every cap is checked before anything is allocated for it.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        if bytes.len() > MAX_WITNESS {
            return Err(CodecError::TooLong(bytes.len()));
        }
        let Some((&VERSION, mut rest)) = bytes.split_first() else {
            return Err(CodecError::Version(bytes.first().copied()));
        };
        let mut payload = RlpHeader::decode_bytes(&mut rest, true)?;
        let header = Bytes::decode(&mut payload)?;
        let nodes = decode_list(&mut payload, "trie nodes", MAX_NODES)?;
        let codes = decode_list(&mut payload, "codes", MAX_CODES)?;
        if !payload.is_empty() || !rest.is_empty() {
            return Err(CodecError::Rlp("bytes after the end".into()));
        }
        let witness = Self { header, nodes, codes };
        witness.check()?;
        Ok(witness)
    }

    fn check(&self) -> Result<(), CodecError> {
        cap("bytes of header", self.header.len(), MAX_HEADER)?;
        cap("trie nodes", self.nodes.len(), MAX_NODES)?;
        cap("codes", self.codes.len(), MAX_CODES)?;
        cap("bytes in one trie node", longest(&self.nodes), MAX_NODE)?;
        cap("bytes in one code", longest(&self.codes), MAX_CODE)?;
        ascending("trie nodes", &self.nodes)?;
        ascending("codes", &self.codes)
    }

    fn payload_length(&self) -> usize {
        self.header.length() + self.nodes.length() + self.codes.length()
    }

    fn encoded_length(&self) -> usize {
        let payload_length = self.payload_length();
        1 + RlpHeader { list: true, payload_length }.length() + payload_length
    }
}

fn decode_list(payload: &mut &[u8], what: &'static str, max: usize) -> Result<Vec<Bytes>, CodecError> {
    let mut items = RlpHeader::decode_bytes(payload, true)?;
    let mut list = Vec::new();
    while !items.is_empty() {
        cap(what, list.len() + 1, max)?;
        list.push(Bytes::decode(&mut items)?);
    }
    Ok(list)
}

fn cap(what: &'static str, given: usize, max: usize) -> Result<(), CodecError> {
    if given > max { Err(CodecError::Cap { what, given, max }) } else { Ok(()) }
}

fn longest(list: &[Bytes]) -> usize {
    list.iter().map(|b| b.len()).max().unwrap_or(0)
}

fn ascending(what: &'static str, list: &[Bytes]) -> Result<(), CodecError> {
    if list.is_sorted_by(|a, b| a < b) { Ok(()) } else { Err(CodecError::Order(what)) }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn part(max: usize) -> impl Strategy<Value = Bytes> {
        vec(any::<u8>(), 0..max).prop_map(Bytes::from)
    }

    proptest! {
        #[test]
        fn codec_roundtrips(header in part(700), nodes in vec(part(100), 0..20), codes in vec(part(300), 0..5)) {
            let witness = Witness::new(header, nodes, codes).unwrap();
            let bytes = witness.encode();
            prop_assert_eq!(bytes.len(), witness.encoded_length());
            prop_assert_eq!(Witness::decode(&bytes), Ok(witness));
        }

        #[test]
        fn decode_never_panics_and_is_canonical(bytes in vec(any::<u8>(), 0..300)) {
            for input in [bytes.clone(), [vec![VERSION], bytes].concat()] {
                if let Ok(witness) = Witness::decode(&input) {
                    prop_assert_eq!(witness.encode(), input);
                }
            }
        }
    }

    fn raw(nodes: &[Bytes], codes: &[Bytes]) -> Vec<u8> {
        Witness { header: Bytes::new(), nodes: nodes.to_vec(), codes: codes.to_vec() }.encode()
    }

    #[test]
    fn decode_refuses_when_a_cap_is_exceeded() {
        let long = Bytes::from(vec![0; MAX_NODE + 1]);
        assert!(matches!(Witness::decode(&raw(&[long], &[])), Err(CodecError::Cap { max: MAX_NODE, .. })));
        let long = Bytes::from(vec![0; MAX_CODE + 1]);
        assert!(matches!(Witness::decode(&raw(&[], &[long])), Err(CodecError::Cap { max: MAX_CODE, .. })));
        let many: Vec<Bytes> = (0..=MAX_CODES as u8).map(|i| Bytes::from(vec![1, i])).collect();
        assert!(matches!(Witness::decode(&raw(&[], &many)), Err(CodecError::Cap { max: MAX_CODES, .. })));
        assert_eq!(
            Witness::decode(&vec![VERSION; MAX_WITNESS + 1]),
            Err(CodecError::TooLong(MAX_WITNESS + 1))
        );
    }

    #[test]
    fn decode_refuses_duplicates_other_versions_and_trailing_bytes() {
        let node = Bytes::from_static(&[1, 2, 3]);
        assert_eq!(
            Witness::decode(&raw(&[node.clone(), node.clone()], &[])),
            Err(CodecError::Order("trie nodes"))
        );
        let mut bytes = raw(&[node], &[]);
        bytes.push(0);
        assert!(matches!(Witness::decode(&bytes), Err(CodecError::Rlp(_))));
        assert_eq!(Witness::decode(&[]), Err(CodecError::Version(None)));
        assert_eq!(Witness::decode(&[2, 0xc0]), Err(CodecError::Version(Some(2))));
    }
}
