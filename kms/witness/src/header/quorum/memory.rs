// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a quorum remembers between questions. Pure.

use std::collections::BTreeMap;

use alloy::primitives::B256;
use mandate_model::wire::BlockRef;

use super::super::{Contradiction, HeaderError};

/// Finalised heights that are remembered, to notice a contradiction later.
const REMEMBERED: usize = 1024;

#[derive(Debug, Default)]
pub(super) struct Memory {
    finalized: Option<BlockRef>,
    head: Option<BlockRef>,
    /// Who said first that this hash is final at this height.
    seen: BTreeMap<u64, (B256, String)>,
    pub(super) latched: Option<Contradiction>,
}

impl Memory {
    pub(super) fn starting_at(newest: Option<BlockRef>) -> Self {
        let seen = newest.iter().map(|b| (b.number, (b.hash, "the operator".to_owned()))).collect();
        Self { finalized: newest, head: None, seen, latched: None }
    }

    pub(super) fn check_latch(&self) -> Result<(), HeaderError> {
        self.latched.clone().map_or(Ok(()), |c| Err(HeaderError::Latched(c)))
    }

    /// Notes that somebody called `block` final; latches when somebody called another one of its height final before.
    pub(super) fn note_final(&mut self, block: BlockRef, from: &str) -> Result<(), HeaderError> {
        match self.known(block.number) {
            Some((first, first_from)) if first != block.hash => {
                let (height, second, second_from) = (block.number, block.hash, from.to_owned());
                self.latched = Some(Contradiction { height, first, first_from, second, second_from });
            }
            Some(_) => {}
            None => {
                self.seen.insert(block.number, (block.hash, from.to_owned()));
                if self.seen.len() > REMEMBERED {
                    self.seen.pop_first();
                }
            }
        }
        self.check_latch()
    }

    /// What was called final at `height`. What was handed out is known even when the rest was forgotten.
    fn known(&self, height: u64) -> Option<(B256, String)> {
        let handed_out =
            self.finalized.filter(|b| b.number == height).map(|b| (b.hash, "the quorum".to_owned()));
        self.seen.get(&height).cloned().or(handed_out)
    }

    /// The newer of `block` and what was handed out before.
    pub(super) fn advance_finalized(&mut self, block: BlockRef) -> BlockRef {
        let newest = self.finalized.filter(|b| b.number > block.number).unwrap_or(block);
        self.finalized = Some(newest);
        newest
    }

    /// Likewise; of two heads of one height the later one counts, and a head is never older than finality.
    pub(super) fn advance_head(&mut self, block: BlockRef) -> BlockRef {
        let newest = self.head.filter(|b| b.number > block.number).unwrap_or(block);
        let newest = self.finalized.filter(|b| b.number > newest.number).unwrap_or(newest);
        self.head = Some(newest);
        newest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(number: u64, fork: u8) -> BlockRef {
        BlockRef { number, hash: B256::repeat_byte(fork) }
    }

    #[test]
    fn g5_two_finalised_hashes_at_one_height_latch() {
        let mut memory = Memory::default();
        assert_eq!(memory.note_final(at(5, 1), "a"), Ok(()));
        assert_eq!(memory.note_final(at(6, 1), "a"), Ok(()));
        let latched = memory.note_final(at(5, 2), "b");
        assert!(matches!(&latched, Err(HeaderError::Latched(c)) if c.height == 5 && c.second_from == "b"));
        assert_eq!(memory.note_final(at(7, 1), "a"), latched);
        memory = Memory::starting_at(Some(at(6, 1)));
        assert_eq!(memory.check_latch(), Ok(()));
        assert!(memory.note_final(at(6, 2), "a").is_err());
    }

    #[test]
    fn nothing_older_than_the_newest_is_handed_out() {
        let mut memory = Memory::default();
        assert_eq!(memory.advance_finalized(at(5, 1)), at(5, 1));
        assert_eq!(memory.advance_finalized(at(4, 1)), at(5, 1));
        assert_eq!(memory.advance_head(at(3, 1)), at(5, 1));
        assert_eq!(memory.advance_head(at(8, 1)), at(8, 1));
        assert_eq!(memory.advance_head(at(7, 1)), at(8, 1));
        assert_eq!(memory.advance_head(at(8, 2)), at(8, 2));
    }

    #[test]
    fn memory_is_bounded() {
        let mut memory = Memory::default();
        (0..2 * REMEMBERED as u64).for_each(|n| memory.note_final(at(n, 1), "a").unwrap());
        assert_eq!(memory.seen.len(), REMEMBERED);
    }

    /// One endpoint that names ever higher blocks can push the others' claims out, but not what was handed out.
    #[test]
    fn g5_what_was_handed_out_is_never_forgotten() {
        let mut memory = Memory::default();
        memory.note_final(at(5, 1), "a").unwrap();
        memory.advance_finalized(at(5, 1));
        (1000..1000 + 2 * REMEMBERED as u64).for_each(|n| memory.note_final(at(n, 1), "liar").unwrap());
        assert!(memory.note_final(at(5, 2), "b").is_err());
    }
}
