// SPDX-License-Identifier: Apache-2.0 OR MIT
//! When finality advances: only by agreement, only to a block that was processed, and only while nothing is latched.

use std::{collections::BTreeSet, time::Duration};

use alloy::primitives::B256;
use mandate_model::wire::BlockRef;
use mandate_witness::HeaderError;
use tokio::task::JoinHandle;

use super::{FollowError, Follower, LatchKind, Progress, Step, StoreError, Ticked};
use crate::{
    metrics,
    store::{EventQuery, StoredLog},
};

/// Ticks for which what is final may be missing from our blocks: endpoints may differ for a moment.
const PATIENCE: u32 = 3;
/// Stored logs that become final in one step, and at most one block beyond: a step stays small however much waits.
const LOGS_PER_STEP: u32 = 1_000;
/// How long a tick waits for what is final.
const WAIT: Duration = Duration::from_millis(500);

/// Stored logs that become final with a step, and the block that is final then.
pub(super) struct Due {
    pub(super) end: BlockRef,
    pub(super) logs: Vec<StoredLog>,
    /// Whether others wait for the next step.
    pub(super) more: bool,
}

/// A question under way, and the heads at which it was asked.
pub(super) type Asking = (BTreeSet<B256>, JoinHandle<Result<BlockRef, HeaderError>>);

impl Follower {
    /// Enqueues the effects of what is final now.
    ///
    /// # Errors
    /// When the store fails, or what is final is not among our blocks.
    pub async fn tick_finality(&mut self, ticked: &mut Ticked) -> Result<(), FollowError> {
        if self.standing_by {
            return Ok(());
        }
        self.ask_finality().await?;
        let mut progress = self.store.progress().await?;
        let lag = self
            .agreed
            .map_or(0, |f| f.number.saturating_sub(progress.finalized.map_or(0, |known| known.number)));
        metrics::LAG.set(lag as f64, ["finalized"]);
        metrics::FINALIZED.set(progress.finalized.map_or(0, |f| f.number) as f64, []);
        let Some(agreed) = self.agreed else { return Ok(()) };
        if let Some(known) = progress.finalized {
            if known.number == agreed.number && known.hash != agreed.hash {
                let error = FollowError::Contradiction {
                    number: known.number,
                    known: known.hash,
                    found: agreed.hash,
                };
                self.latch(LatchKind::Finality, &error.to_string(), Some(known)).await?;
                return Err(error);
            }
            if agreed.number <= known.number {
                return Ok(());
            }
        }
        // Blocks before the deployment's first are not ours to know.
        let known = |head: BlockRef| (self.contracts.genesis_block..=head.number).contains(&agreed.number);
        if self.latches.hold_grants() || !progress.head.is_some_and(known) {
            return Ok(());
        }
        self.connect(agreed).await?;
        self.apply(Step::default(), &mut progress, Some(agreed), ticked).await?;
        let reached = progress.finalized.map_or(0, |f| f.number);
        ticked.finalized = true;
        ticked.unfinished = reached < agreed.number;
        metrics::FINALIZED.set(reached as f64, []);
        metrics::LAG.set(agreed.number.saturating_sub(reached) as f64, ["finalized"]);
        Ok(())
    }

    /// What is stored and becomes final, as much as one step takes: after a latch or a long outage there may be more than
    /// fits into memory. A block is taken whole, so that a step ends where a block does. The steps before the last end at a
    /// block with a log of ours; it is an ancestor of `finalized`, which is one of our blocks.
    pub(super) async fn due(&self, progress: &Progress, finalized: BlockRef) -> Result<Due, StoreError> {
        let mut query = EventQuery {
            after: progress.finalized.map(|old| (old.number, u64::MAX)),
            until: Some(finalized.number),
            limit: LOGS_PER_STEP,
            ..EventQuery::default()
        };
        let mut logs: Vec<StoredLog> = Vec::new();
        loop {
            let page = self.store.events(query.clone()).await?;
            let full = page.len() == LOGS_PER_STEP as usize;
            logs.extend(page);
            let Some(last) = logs.last().filter(|_| full) else {
                return Ok(Due { end: finalized, logs, more: false });
            };
            let whole = logs.partition_point(|log| log.block_number < last.block_number);
            query.after = Some((last.block_number, last.log_index));
            logs.truncate(if whole > 0 { whole } else { logs.len() });
            if let Some(end) = logs.last().filter(|_| whole > 0) {
                let end = BlockRef { number: end.block_number, hash: end.block_hash };
                return Ok(Due { end, logs, more: true });
            }
        }
    }

    /// A finalised block that is not one of ours: either we follow a branch that is dead, which the next ticks leave, or
    /// blocks are missing between ours and it. Effects of finality are never derived across such a gap.
    async fn connect(&mut self, agreed: BlockRef) -> Result<(), FollowError> {
        if self.store.block_hash(agreed.number).await? == Some(agreed.hash) {
            self.unconnected = 0;
            return Ok(());
        }
        self.unconnected += 1;
        if let Some(leader) = self.leading().filter(|_| self.unconnected > 1) {
            leader.health.distrust("its head does not descend from what is final");
        }
        let error = FollowError::Inconsistent(agreed.number);
        if self.unconnected >= PATIENCE {
            let detail = format!("{error}, whose hash is {}", agreed.hash);
            self.latch(LatchKind::Gap, &detail, Some(agreed)).await?;
        }
        Err(error)
    }

    fn leading(&self) -> Option<&std::sync::Arc<super::Member>> {
        let leader = self.leader.as_deref()?;
        self.reader.endpoints().members().iter().find(|member| member.name() == leader)
    }

    /// Asks k endpoints what is final, when a head changed since that was last asked, or nothing came of it. Slow ones are
    /// not waited for, since revocations would wait as well: the answer is taken by a later tick.
    pub(super) async fn ask_finality(&mut self) -> Result<(), StoreError> {
        let tips: BTreeSet<B256> = self.tips().into_iter().map(|(_, tip)| tip.hash).collect();
        if self.asking.is_none() && tips == self.asked_at {
            return Ok(());
        }
        let (tips, mut task) = self.asking.take().unwrap_or_else(|| {
            let endpoints = self.reader.endpoints().clone();
            (tips, tokio::spawn(async move { endpoints.finalized().await }))
        });
        match tokio::time::timeout(WAIT, &mut task).await {
            Ok(Ok(answer)) => self.take_finality(answer, tips).await,
            // It panicked, or the runtime ends.
            Ok(Err(_)) => Ok(()),
            Err(_) => {
                self.asking = Some((tips, task));
                Ok(())
            }
        }
    }

    async fn take_finality(
        &mut self,
        answer: Result<BlockRef, HeaderError>,
        tips: BTreeSet<B256>,
    ) -> Result<(), StoreError> {
        match answer {
            Ok(block) => {
                self.agreed = Some(block);
                self.asked_at = tips;
            }
            Err(HeaderError::Latched(contradiction)) => {
                let block = BlockRef { number: contradiction.height, hash: contradiction.first };
                let detail = contradiction.to_string();
                self.latch(LatchKind::Contradiction, &detail, Some(block)).await?;
            }
            // Undecided: nothing new is final, and nothing is wrong.
            Err(error) => tracing::debug!(%error, "no agreement on what is final"),
        }
        Ok(())
    }

    /// Takes over what an operator did to the latches. One that was cleared is forgotten where it was noticed as well, so
    /// that it is set again only when its cause is still there.
    pub(super) async fn note_cleared_latches(&mut self) -> Result<(), StoreError> {
        let before: Vec<String> = self.latches.list().into_iter().map(|(name, _)| name).collect();
        self.latches.reload(&*self.store).await?;
        let cleared = before.iter().filter(|name| !self.latches.list().iter().any(|(set, _)| set == *name));
        let cleared: Vec<&String> = cleared.collect();
        if cleared.is_empty() {
            return Ok(());
        }
        tracing::warn!(latches = ?cleared, "an operator cleared them");
        let known = self.store.progress().await?.finalized;
        self.reader.endpoints().clear_contradiction(known);
        self.reader.endpoints().forgive();
        self.unconnected = 0;
        self.agreed = None;
        self.asking = None;
        self.asked_at.clear();
        Ok(())
    }
}
