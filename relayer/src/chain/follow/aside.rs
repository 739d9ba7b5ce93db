// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What other endpoints show: blocks that are not (yet) of the followed chain are looked through for revocations, so that
//! whoever leads cannot hide one, and so that a latched or stuck relayer still passes them on (G-6, G-7). Nothing else
//! follows from such a block, and it is not kept.

use std::{
    collections::{BTreeSet, HashSet, VecDeque},
    sync::Arc,
};

use alloy::{primitives::B256, rpc::types::Header};

use super::{FollowError, Follower, Member, Progress, Step, Ticked, block_ref};
use crate::{
    effects::{self, Effect},
    metrics,
    store::StoreError,
};

/// How far below another endpoint's head is looked. Deeper blocks were near its head before, and were looked at then.
const DEPTH: usize = 64;
/// Blocks that are remembered, so that each is looked at once.
const REMEMBERED: usize = 4_096;

/// Blocks beside the followed chain that were looked through.
#[derive(Debug, Default)]
pub(super) struct Seen {
    hashes: HashSet<B256>,
    order: VecDeque<B256>,
}

impl Seen {
    fn contains(&self, hash: &B256) -> bool {
        self.hashes.contains(hash)
    }

    fn insert(&mut self, hash: B256) {
        if self.hashes.insert(hash) {
            self.order.push_back(hash);
        }
        while self.order.len() > REMEMBERED {
            if let Some(oldest) = self.order.pop_front() {
                self.hashes.remove(&oldest);
            }
        }
    }
}

impl Follower {
    pub(super) async fn look_aside(
        &mut self,
        tips: &[(Arc<Member>, Header)],
        ticked: &mut Ticked,
    ) -> Result<(), FollowError> {
        let progress = self.store.progress().await?;
        for (member, tip) in tips {
            let ours = progress.head.is_some_and(|head| head.hash == tip.hash);
            let old = progress.finalized.is_some_and(|f| tip.number <= f.number);
            if ours || old || self.seen.contains(&tip.hash) {
                continue;
            }
            match self.look_below(&progress, tip, ticked).await {
                Err(FollowError::Store(error)) => return Err(error.into()),
                Err(error) => {
                    tracing::debug!(endpoint = member.name(), %error, "cannot look at its head");
                }
                Ok(()) => {}
            }
        }
        Ok(())
    }

    async fn look_below(
        &mut self,
        progress: &Progress,
        tip: &Header,
        ticked: &mut Ticked,
    ) -> Result<(), FollowError> {
        let mut headers = vec![tip.clone()];
        while let Some(lowest) = headers.last() {
            let parent = lowest.parent_hash;
            let first = lowest.number <= self.contracts.genesis_block.max(1);
            let ours = progress.head.is_some_and(|head| head.hash == parent);
            if first || ours || headers.len() >= DEPTH || self.seen.contains(&parent) {
                break;
            }
            let header = self.reader.by_hash(parent).await?;
            if self.knows(progress, block_ref(&header)).await? {
                break;
            }
            headers.push(header);
        }
        headers.reverse();
        let logs = self.logs_of(&headers).await?;
        metrics::FOREIGN_BLOCKS.add(headers.len() as u64, []);
        let found = self.revocations_in(progress, logs).await?;
        if found > 0 {
            tracing::info!(effects = found, head = tip.number, "revocations beside the followed chain");
        }
        ticked.effects += found;
        headers.iter().for_each(|header| self.seen.insert(header.hash));
        Ok(())
    }

    async fn revocations_in(
        &self,
        progress: &Progress,
        logs: Vec<crate::store::StoredLog>,
    ) -> Result<u64, StoreError> {
        let apps = self.registrations(&logs).collect();
        let step = Step { logs, apps, ..Step::default() };
        let targets = self.targets(&step, None);
        let quiet = progress.quiet_until.unwrap_or(0);
        let born: BTreeSet<_> = self.births(&step.logs).collect();
        let loud = step
            .logs
            .iter()
            .filter(|log| log.block_number > quiet && !born.contains(&(log.address, log.tx_hash)));
        let found: Vec<_> = loud
            .flat_map(|log| effects::at_head(&self.contracts, &targets, log))
            .filter(|new| matches!(new.effect, Effect::RevocationPush { .. }))
            .collect();
        let count = found.len() as u64;
        if count > 0 {
            self.store.enqueue(found).await?;
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_of_blocks_aside_is_bounded() {
        let mut seen = Seen::default();
        for n in 0..2 * REMEMBERED {
            seen.insert(B256::left_padding_from(&n.to_be_bytes()));
            seen.insert(B256::left_padding_from(&n.to_be_bytes()));
        }
        assert_eq!((seen.hashes.len(), seen.order.len()), (REMEMBERED, REMEMBERED));
    }
}
