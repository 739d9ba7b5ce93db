// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Lookup in a Merkle-Patricia trie of which only some nodes are at hand.
//!
//! Nodes are found by their hash, beginning at a root that is trusted; so what is found is what the root commits to, and
//! nobody can slip in anything else. Absence is proven as well: by the node at which the key's path ends.

use std::collections::{HashMap, HashSet};

use alloy::{
    primitives::{B256, Bytes, keccak256},
    rlp::Decodable,
};
use alloy_trie::{
    EMPTY_ROOT_HASH,
    nodes::{BranchNode, RlpNode, TrieNode},
};

/// No path is longer: a key is 64 nibbles, and every step but the last consumes at least one.
const MAX_STEPS: usize = 65;

/// Trie nodes by hash, and which of them were needed.
#[derive(Debug, Default)]
pub(crate) struct Nodes {
    by_hash: HashMap<B256, Bytes>,
    used: HashSet<B256>,
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
    pub(crate) fn insert(&mut self, node: Bytes) {
        self.by_hash.insert(keccak256(&node), node);
    }

    /// The nodes that lookups went through.
    pub(crate) fn used(&self) -> impl Iterator<Item = &Bytes> {
        self.used.iter().filter_map(|hash| self.by_hash.get(hash))
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
        let bytes = self.by_hash.get(&hash).ok_or(LookupError::Missing)?;
        self.used.insert(hash);
        decode(bytes)
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
        TrieNode::Branch(branch) => match rest.first().and_then(|n| child(branch, *n)) {
            Some(child) => Step::Down(child, 1),
            None => Step::Absent,
        },
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
