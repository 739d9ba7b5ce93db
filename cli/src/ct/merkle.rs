// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The right edge of a Merkle tree (RFC 6962, 2.1): all that is needed to append to it and to know its root.

use serde::{Deserialize, Serialize};
use tlog_tiles::tlog::{Hash, node_hash, record_hash};

/// A node of the tree.
pub type Node = [u8; 32];

/// The hash of a leaf.
pub fn leaf_hash(leaf: &[u8]) -> Node {
    record_hash(leaf).0
}

fn parent(left: Node, right: Node) -> Node {
    node_hash(Hash(left), Hash(right)).0
}

/// The roots of the perfect trees that a tree of `size` leaves is made of, from the largest to the smallest: one for each
/// bit of `size`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct Frontier {
    size: u64,
    nodes: Vec<Node>,
}

impl Frontier {
    /// The edge of a tree of `size` leaves; nothing when `nodes` are not as many as such a tree has.
    pub fn new(size: u64, nodes: Vec<Node>) -> Option<Self> {
        (size.count_ones() as usize == nodes.len()).then_some(Self { size, nodes })
    }

    /// How many leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf on the right.
    pub fn append(&mut self, leaf: Node) {
        let mut node = leaf;
        // Each 1 at the end of the size is a perfect tree that the new leaf completes to one twice as large.
        for _ in 0..self.size.trailing_ones() {
            let Some(left) = self.nodes.pop() else { break };
            node = parent(left, node);
        }
        self.nodes.push(node);
        self.size = self.size.saturating_add(1);
    }

    /// The root; that of the empty tree is SHA-256 of nothing.
    pub fn root(&self) -> Node {
        use sha2::{Digest, Sha256};
        let folded = self.nodes.iter().rev().copied().reduce(|right, left| parent(left, right));
        folded.unwrap_or_else(|| Sha256::digest([]).into())
    }
}

/// The root of a perfect tree over `leaves`, whose number is a power of two.
pub(crate) fn perfect(leaves: &[Node]) -> Option<Node> {
    let mut tree = Frontier::default();
    leaves.iter().for_each(|leaf| tree.append(*leaf));
    match tree.nodes.as_slice() {
        [root] => Some(*root),
        _ => None,
    }
}

/// As it is written to files.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    size: u64,
    nodes: Vec<alloy::primitives::B256>,
}

impl TryFrom<Stored> for Frontier {
    type Error = &'static str;

    fn try_from(stored: Stored) -> Result<Self, Self::Error> {
        let nodes = stored.nodes.into_iter().map(|node| node.0).collect();
        Self::new(stored.size, nodes).ok_or("a tree of that size has another number of nodes at its edge")
    }
}

impl From<Frontier> for Stored {
    fn from(frontier: Frontier) -> Self {
        Self { size: frontier.size, nodes: frontier.nodes.into_iter().map(Into::into).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sha2::{Digest, Sha256};

    /// RFC 6962, 2.1, word for word.
    fn naive(leaves: &[Vec<u8>]) -> Node {
        match leaves {
            [] => Sha256::digest([]).into(),
            [one] => Sha256::new().chain_update([0]).chain_update(one).finalize().into(),
            more => {
                let k = (more.len() as u64).next_power_of_two() as usize / 2;
                let (left, right) = more.split_at(k);
                Sha256::new()
                    .chain_update([1])
                    .chain_update(naive(left))
                    .chain_update(naive(right))
                    .finalize()
                    .into()
            }
        }
    }

    proptest! {
        #[test]
        fn root_is_that_of_the_naive_tree_at_every_size(leaves in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..8), 0..70)) {
            let mut frontier = Frontier::default();
            for (i, leaf) in leaves.iter().enumerate() {
                prop_assert_eq!(frontier.root(), naive(&leaves[..i]));
                frontier.append(leaf_hash(leaf));
            }
            prop_assert_eq!(frontier.root(), naive(&leaves));
            prop_assert_eq!(frontier.size(), leaves.len() as u64);
            let text = serde_json::to_string(&frontier).unwrap();
            prop_assert_eq!(serde_json::from_str::<Frontier>(&text).unwrap(), frontier);
        }

        #[test]
        fn another_leaf_anywhere_makes_another_root(n in 1usize..60, at in any::<prop::sample::Index>()) {
            let leaves: Vec<Vec<u8>> = (0..n).map(|i| vec![i as u8]).collect();
            let mut other = leaves.clone();
            other[at.index(n)].push(0);
            let root = |leaves: &[Vec<u8>]| {
                let mut frontier = Frontier::default();
                leaves.iter().for_each(|leaf| frontier.append(leaf_hash(leaf)));
                frontier.root()
            };
            prop_assert_ne!(root(&leaves), root(&other));
        }
    }

    #[test]
    fn edge_is_refused_when_it_has_another_number_of_nodes() {
        assert!(Frontier::new(3, vec![[0; 32]]).is_none());
        assert!(serde_json::from_str::<Frontier>(r#"{"size":3,"nodes":[]}"#).is_err());
    }
}
