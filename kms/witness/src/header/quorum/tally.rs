// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Counting who names which hash at which height. Pure.

use std::collections::BTreeMap;

use alloy::primitives::B256;
use mandate_model::wire::BlockRef;

/// How far below the lowest useful tip a fork at the head is followed.
const FORK_DEPTH: u64 = 8;

/// What the endpoints, known by their index, said.
#[derive(Debug, Default)]
pub(super) struct Claims {
    by_endpoint: BTreeMap<usize, BTreeMap<u64, B256>>,
}

impl Claims {
    pub(super) fn add(&mut self, endpoint: usize, block: BlockRef) {
        self.by_endpoint.entry(endpoint).or_default().insert(block.number, block.hash);
    }

    pub(super) fn has(&self, endpoint: usize, height: u64) -> bool {
        self.by_endpoint.get(&endpoint).is_some_and(|blocks| blocks.contains_key(&height))
    }

    /// Everything that was said.
    pub(super) fn all(&self) -> impl Iterator<Item = (usize, BlockRef)> {
        self.by_endpoint
            .iter()
            .flat_map(|(index, blocks)| blocks.iter().map(|(n, h)| (*index, block(*n, *h))))
    }

    /// Each endpoint's highest block.
    pub(super) fn tips(&self) -> Vec<(usize, BlockRef)> {
        let tip = |(i, blocks): (&usize, &BTreeMap<u64, B256>)| {
            blocks.last_key_value().map(|(n, h)| (*i, block(*n, *h)))
        };
        self.by_endpoint.iter().filter_map(tip).collect()
    }

    /// The hash that most endpoints name at `height`, and how many do.
    pub(super) fn largest(&self, height: u64) -> (usize, Option<B256>) {
        let mut counts: BTreeMap<B256, usize> = BTreeMap::new();
        for hash in self.by_endpoint.values().filter_map(|blocks| blocks.get(&height)) {
            *counts.entry(*hash).or_default() += 1;
        }
        counts.into_iter().map(|(hash, n)| (n, Some(hash))).max().unwrap_or((0, None))
    }
}

fn block(number: u64, hash: B256) -> BlockRef {
    BlockRef { number, hash }
}

/// The heights at which k endpoints can agree, best first: that of the k-th highest tip, the lower tips, and some below.
pub(super) fn candidates(tips: &[(usize, BlockRef)], k: usize) -> Vec<u64> {
    let mut heights: Vec<u64> = tips.iter().map(|(_, b)| b.number).collect();
    heights.sort_unstable_by(|a, b| b.cmp(a));
    let mut out: Vec<u64> = heights.get(k.saturating_sub(1)..).unwrap_or_default().to_vec();
    out.dedup();
    if let Some(lowest) = out.last().copied() {
        out.extend((1..=FORK_DEPTH).map_while(|depth| lowest.checked_sub(depth)));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(number: u64, fork: u8) -> BlockRef {
        block(number, B256::repeat_byte(fork))
    }

    #[test]
    fn candidates_start_at_the_kth_highest_tip() {
        let tips = [(0, at(100, 1)), (1, at(103, 1)), (2, at(101, 1)), (3, at(101, 1))];
        assert_eq!(candidates(&tips, 2)[..2], [101, 100]);
        assert_eq!(candidates(&tips, 1)[..3], [103, 101, 100]);
        assert_eq!(candidates(&tips, 4)[0], 100);
        assert!(candidates(&tips, 5).is_empty());
        assert_eq!(candidates(&[(0, at(1, 1))], 1), [1, 0]);
    }

    #[test]
    fn largest_counts_equal_hashes_at_one_height() {
        let mut claims = Claims::default();
        claims.add(0, at(10, 1));
        claims.add(1, at(10, 2));
        claims.add(2, at(10, 2));
        claims.add(3, at(11, 1));
        assert_eq!(claims.largest(10), (2, Some(B256::repeat_byte(2))));
        assert_eq!(claims.largest(12), (0, None));
        assert_eq!(claims.tips().len(), 4);
    }
}
