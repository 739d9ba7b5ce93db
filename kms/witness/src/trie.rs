// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Lookup in a Merkle-Patricia trie of which only some nodes are at hand.
//!
//! Nodes are found by their hash, beginning at a root that is trusted; so what is found is what the root commits to, and
//! nobody can slip in anything else. Absence is proven as well: by the node at which the key's path ends.

use std::collections::HashMap;

use alloy::{
    primitives::{B256, Bytes, keccak256},
    rlp::Decodable,
};
use alloy_trie::{
    EMPTY_ROOT_HASH,
    nodes::{BranchNode, RlpNode, TrieNode},
};

use crate::known::Known;

/// No path is longer: a key is 64 nibbles, and every step but the last consumes at least one.
const MAX_STEPS: usize = 65;

/// Trie nodes by hash, and which of them were needed. Those that came with the witness count before those that are known
/// already, so that a witness may repeat what is known.
#[derive(Debug, Default)]
pub(crate) struct Nodes {
    given: HashMap<B256, Bytes>,
    known: Known,
    used: HashMap<B256, Bytes>,
}

/// Why a lookup ended without an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LookupError {
    /// A node on the path is not at hand.
    Missing,
    /// A node is there, but is not what a trie of this kind holds.
    Malformed(String),
}

impl Nodes {
    pub(crate) fn new(known: Known) -> Self {
        Self { known, ..Self::default() }
    }

    pub(crate) fn insert(&mut self, node: Bytes) {
        self.given.insert(keccak256(&node), node);
    }

    /// The nodes that lookups went through.
    pub(crate) fn used(&self) -> &HashMap<B256, Bytes> {
        &self.used
    }

    /// One that was given and that no lookup needed.
    pub(crate) fn superfluous(&self) -> Option<B256> {
        self.given.keys().find(|hash| !self.used.contains_key(*hash)).copied()
    }

    pub(crate) fn forget_use(&mut self) {
        self.used.clear();
    }

    /// The value under `keccak256(key)` in the trie with this root, or that there is none.
    pub(crate) fn get(&mut self, root: B256, key: &[u8]) -> Result<Option<Vec<u8>>, LookupError> {
        if root == EMPTY_ROOT_HASH {
            return Ok(None);
        }
        let path = nibbles(keccak256(key));
        let mut rest = path.as_slice();
        let mut node = self.load(root)?;
        for _ in 0..MAX_STEPS {
            match step(node, rest)? {
                Step::Found(value) => return Ok(Some(value)),
                Step::Absent => return Ok(None),
                Step::Down(child, consumed) => {
                    rest = rest.get(consumed..).unwrap_or_default();
                    node = self.resolve(&child)?;
                }
            }
        }
        Err(LookupError::Malformed("the path is longer than any key".into()))
    }

    fn load(&mut self, hash: B256) -> Result<TrieNode, LookupError> {
        let bytes = self.given.get(&hash).or_else(|| self.known.get(&hash)).ok_or(LookupError::Missing)?;
        let node = decode(bytes);
        self.used.insert(hash, bytes.clone());
        node
    }

    /// Children shorter than a hash are embedded in their parent.
    fn resolve(&mut self, child: &RlpNode) -> Result<TrieNode, LookupError> {
        match child.as_hash() {
            Some(hash) => self.load(hash),
            None => decode(child.as_slice()),
        }
    }
}

enum Step {
    Found(Vec<u8>),
    Absent,
    Down(RlpNode, usize),
}

fn step(node: TrieNode, rest: &[u8]) -> Result<Step, LookupError> {
    Ok(match node {
        TrieNode::EmptyRoot => return Err(LookupError::Malformed("an empty node inside a trie".into())),
        TrieNode::Leaf(leaf) if leaf.key.to_vec() == rest => Step::Found(leaf.value),
        TrieNode::Leaf(_) => Step::Absent,
        TrieNode::Extension(extension) => {
            let prefix = extension.key.to_vec();
            if prefix.is_empty() {
                return Err(LookupError::Malformed("an extension without a key".into()));
            }
            if rest.starts_with(&prefix) { Step::Down(extension.child, prefix.len()) } else { Step::Absent }
        }
        TrieNode::Branch(branch) => {
            let Some(nibble) = rest.first() else {
                return Err(LookupError::Malformed("a branch where every key has ended".into()));
            };
            child(branch, *nibble).map_or(Step::Absent, |child| Step::Down(child, 1))
        }
    })
}

fn child(branch: BranchNode, nibble: u8) -> Option<RlpNode> {
    if !branch.state_mask.is_bit_set(nibble) {
        return None;
    }
    // Only children that exist are on the stack, in order of their nibble.
    let position = (0..nibble).filter(|n| branch.state_mask.is_bit_set(*n)).count();
    branch.stack.into_iter().nth(position)
}

fn decode(mut bytes: &[u8]) -> Result<TrieNode, LookupError> {
    let node = TrieNode::decode(&mut bytes).map_err(|e| LookupError::Malformed(e.to_string()))?;
    if bytes.is_empty() { Ok(node) } else { Err(LookupError::Malformed("bytes after a node".into())) }
}

fn nibbles(hash: B256) -> Vec<u8> {
    hash.iter().flat_map(|b| [b >> 4, b & 0x0f]).collect()
}

#[cfg(test)]
mod tests {
    use alloy::rlp::Encodable;
    use alloy_trie::{
        Nibbles,
        nodes::{ExtensionNode, LeafNode},
    };

    use super::*;

    const KEY: &[u8] = b"key";

    fn put(nodes: &mut Nodes, node: TrieNode) -> B256 {
        let mut rlp = Vec::new();
        node.encode(&mut rlp);
        let hash = keccak256(&rlp);
        nodes.insert(rlp.into());
        hash
    }

    fn branch(nibble: u8, child: B256) -> TrieNode {
        let mut branch = BranchNode::default();
        branch.state_mask.set_bit(nibble);
        branch.stack.push(RlpNode::word_rlp(&child));
        TrieNode::Branch(branch)
    }

    /// A trie with one branch for every nibble of the key, and `more` below its end.
    fn chain(more: usize) -> (Nodes, B256) {
        let mut nodes = Nodes::default();
        let path = nibbles(keccak256(KEY));
        let mut root = put(&mut nodes, TrieNode::Leaf(LeafNode::new(Nibbles::default(), vec![7; 40])));
        for _ in 0..more {
            root = put(&mut nodes, branch(0, root));
        }
        for nibble in path.iter().rev() {
            root = put(&mut nodes, branch(*nibble, root));
        }
        (nodes, root)
    }

    #[test]
    fn lookup_goes_as_deep_as_a_key_and_no_deeper() {
        let (mut nodes, root) = chain(0);
        assert_eq!(nodes.get(root, KEY), Ok(Some(vec![7; 40])));
        assert_eq!(nodes.superfluous(), None);
        for more in [1, 1000] {
            let (mut nodes, root) = chain(more);
            assert!(matches!(nodes.get(root, KEY), Err(LookupError::Malformed(_))));
            assert!(nodes.used().len() <= MAX_STEPS);
        }
    }

    #[test]
    fn extension_that_consumes_nothing_is_refused() {
        let mut nodes = Nodes::default();
        let leaf =
            put(&mut nodes, TrieNode::Leaf(LeafNode::new(Nibbles::unpack(keccak256(KEY)), vec![7; 40])));
        let empty = ExtensionNode::new(Nibbles::default(), RlpNode::word_rlp(&leaf));
        let root = put(&mut nodes, TrieNode::Extension(empty));
        assert!(matches!(nodes.get(root, KEY), Err(LookupError::Malformed(_))));
    }

    #[test]
    fn known_node_is_found_like_a_given_one() {
        let (given, root) = chain(0);
        let parts: Vec<Bytes> = given.given.into_values().collect();
        let mut nodes = Nodes::new(Known::new(parts, Vec::new()));
        assert_eq!(nodes.get(root, KEY), Ok(Some(vec![7; 40])));
        assert_eq!((nodes.used().len(), nodes.superfluous()), (65, None));
        nodes.insert(Bytes::from_static(b"nothing leads here"));
        assert!(nodes.superfluous().is_some());
    }
}
