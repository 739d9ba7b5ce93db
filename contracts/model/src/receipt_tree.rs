// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The Merkle tree over a node's receipts, as `ReceiptAnchor` verifies it (G-8).
//!
//! A leaf is the receipt's hash, hashed twice; an inner node hashes its two children in ascending order (OpenZeppelin's
//! `MerkleProof`). The tree is that of RFC 6962: of n leaves, the left part has the largest power of two below n. So a log
//! grows by keeping the roots of its full subtrees, one per bit of its length.

use alloy::primitives::{B256, keccak256};
use serde::{Deserialize, Serialize};

/// The tree over the receipts so far, in a form that can only grow.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReceiptTree {
    count: u64,
    /// Roots of the full subtrees, the largest first.
    peaks: Vec<B256>,
}

impl ReceiptTree {
    /// How many receipts it covers.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Adds the next receipt by its EIP-712 hash.
    pub fn push(&mut self, receipt_hash: B256) {
        let mut peak = leaf(receipt_hash);
        // Each set bit at the low end is a full subtree as large as what has come together.
        for _ in 0..self.count.trailing_ones() {
            let Some(left) = self.peaks.pop() else { break };
            peak = parent(left, peak);
        }
        self.peaks.push(peak);
        self.count += 1;
    }

    /// The root; zero for no receipts.
    pub fn root(&self) -> B256 {
        let mut peaks = self.peaks.iter().rev().copied();
        let last = peaks.next().unwrap_or_default();
        peaks.fold(last, |right, left| parent(left, right))
    }
}

impl FromIterator<B256> for ReceiptTree {
    fn from_iter<I: IntoIterator<Item = B256>>(hashes: I) -> Self {
        let mut tree = Self::default();
        hashes.into_iter().for_each(|hash| tree.push(hash));
        tree
    }
}

/// The siblings on the way from receipt `index` to the root over all of `hashes`, for `ReceiptAnchor.verify`. Nothing when
/// there is no such receipt.
pub fn proof(hashes: &[B256], index: usize) -> Option<Vec<B256>> {
    if index >= hashes.len() {
        return None;
    }
    let (mut part, mut at, mut siblings) = (hashes, index, Vec::new());
    while part.len() > 1 {
        // The largest power of two below the length.
        let (left, right) = part.split_at(part.len().div_ceil(2).next_power_of_two());
        let (other, rest) = if at < left.len() { (right, left) } else { (left, right) };
        at -= if at < left.len() { 0 } else { left.len() };
        siblings.push(other.iter().copied().collect::<ReceiptTree>().root());
        part = rest;
    }
    siblings.reverse();
    Some(siblings)
}

fn leaf(receipt_hash: B256) -> B256 {
    keccak256(keccak256(receipt_hash))
}

fn parent(a: B256, b: B256) -> B256 {
    let (low, high) = if a < b { (a, b) } else { (b, a) };
    keccak256([low, high].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hashes(n: u8) -> Vec<B256> {
        (0..n).map(B256::repeat_byte).collect()
    }

    fn processed(hash: B256, proof: &[B256]) -> B256 {
        proof.iter().fold(leaf(hash), |node, sibling| parent(node, *sibling))
    }

    #[test]
    fn every_receipt_of_every_length_is_proven_against_the_root() {
        for n in 1..=33 {
            let all = hashes(n);
            let root = all.iter().copied().collect::<ReceiptTree>().root();
            for (index, hash) in all.iter().enumerate() {
                let siblings = proof(&all, index).unwrap();
                assert_eq!(processed(*hash, &siblings), root, "{index} of {n}");
                assert_ne!(processed(B256::repeat_byte(0xee), &siblings), root);
            }
            assert_eq!(proof(&all, usize::from(n)), None);
        }
    }

    #[test]
    fn root_depends_on_every_receipt_and_their_number() {
        let roots: std::collections::BTreeSet<B256> =
            (0..20).map(|n| hashes(n).into_iter().collect::<ReceiptTree>().root()).collect();
        assert_eq!(roots.len(), 20);
        let mut changed = hashes(19);
        changed[7] = B256::repeat_byte(0xee);
        assert!(!roots.contains(&changed.into_iter().collect::<ReceiptTree>().root()));
    }

    #[test]
    fn a_tree_that_was_kept_grows_like_one_that_was_not() {
        let all = hashes(21);
        let mut tree: ReceiptTree = all[..13].iter().copied().collect();
        tree = serde_json::from_str(&serde_json::to_string(&tree).unwrap()).unwrap();
        all[13..].iter().for_each(|hash| tree.push(*hash));
        assert_eq!(tree, all.into_iter().collect());
        assert_eq!(ReceiptTree::default().root(), B256::ZERO);
    }
}
