// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From the newest header back to a block that we know, then forward again.

use alloy::rpc::types::Header;

use super::{BLOCKS_PER_STEP, FollowError, Follower, Progress, Step, Ticked, block_ref};

impl Follower {
    pub(super) async fn follow_head(
        &self,
        progress: &mut Progress,
        head: &Header,
        ticked: &mut Ticked,
    ) -> Result<(), FollowError> {
        if progress.finalized.is_some_and(|f| f.number > head.number) {
            // The endpoint lags behind what is final.
            return Ok(());
        }
        let (ancestor, new) = self.new_blocks(progress, head).await?;
        if let (Some(tip), Some(ancestor)) = (progress.head, ancestor)
            && ancestor < tip.number
        {
            if new.is_empty() {
                // The endpoint shows an older block of the same chain: it lags.
                return Ok(());
            }
            if tip.number - ancestor > self.bounds.reorg_window {
                return Err(FollowError::TooDeep { window: self.bounds.reorg_window });
            }
            self.roll_back(progress, tip.number, ancestor, head, ticked).await?;
        }
        for headers in new.chunks(BLOCKS_PER_STEP) {
            let logs = self.logs_of(headers).await?;
            let blocks = headers.iter().map(block_ref).collect();
            self.apply(Step { blocks, logs, ..Step::default() }, progress, None, ticked).await?;
        }
        Ok(())
    }

    /// The height of the newest block that stays, and the blocks above it, ascending.
    async fn new_blocks(
        &self,
        progress: &Progress,
        head: &Header,
    ) -> Result<(Option<u64>, Vec<Header>), FollowError> {
        let mut new = Vec::new();
        let mut header = head.clone();
        loop {
            let block = block_ref(&header);
            if self.knows(progress, block).await? {
                new.reverse();
                return Ok((Some(block.number), new));
            }
            if let Some(known) = progress.finalized.filter(|f| f.number >= block.number) {
                return Err(FollowError::Contradiction {
                    number: known.number,
                    known: known.hash,
                    found: block.hash,
                });
            }
            let parent = header.parent_hash;
            new.push(header);
            if block.number <= self.contracts.genesis_block {
                // Everything that was processed is gone: no reorganisation goes that deep.
                if progress.head.is_some_and(|tip| tip.hash != parent) {
                    return Err(FollowError::TooDeep { window: self.bounds.reorg_window });
                }
                new.reverse();
                return Ok((progress.head.map(|tip| tip.number), new));
            }
            // What catching up leaves to the head's way, and the deepest reorganisation below it.
            if new.len() as u64 > 2 * self.bounds.reorg_window + BLOCKS_PER_STEP as u64 {
                return Err(FollowError::TooDeep { window: self.bounds.reorg_window });
            }
            // Not asked for when it is the newest that we have, as it is for every block that just extends the chain.
            if let Some(tip) = progress.head.filter(|tip| tip.hash == parent) {
                new.reverse();
                return Ok((Some(tip.number), new));
            }
            header = self.reader.by_hash(parent).await?;
        }
    }
}
