// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Following head and finality.
//!
//! ```text
//! catch up: old blocks in ranges that adapt to what the endpoint gives      (too deep to be reorganised away)
//! head:     from the newest header back by parent hash to a block we know   (above it: rolled back, applied anew)
//! finality: when it advances, the effects of what is final now
//! ```
//! Each step is one transaction of the store; a crash between two of them repeats nothing and skips nothing (G-10).

use std::sync::Arc;

use alloy::{primitives::B256, rpc::types::Header};
use mandate_model::wire::BlockRef;
use mandate_runtime::Clock;
use thiserror::Error;

use super::{ChainReader, ChainView, Contracts, ReadError};
use crate::{
    effects::Plan,
    store::{Lock, Progress, Step, Store, StoreError},
};

mod step;

/// Blocks per step near the head, so that one step stays small.
const BLOCKS_PER_STEP: usize = 64;

/// Why following stopped for now. Nothing is lost: the next tick starts from the same place.
#[derive(Debug, Error)]
pub enum FollowError {
    /// The endpoint.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A finalised block was replaced: the endpoint lies, or the chain broke its promise. An operator must look.
    #[error(
        "finalised block {number} was {known} and is now {found}: replace the endpoint or start with a new database"
    )]
    Contradiction {
        /// Height.
        number: u64,
        /// What was finalised.
        known: B256,
        /// What is said now.
        found: B256,
    },
    /// More blocks were replaced than are followed.
    #[error("no known block within {window} blocks below the head: raise chain.reorg_window")]
    TooDeep {
        /// The configured bound.
        window: u64,
    },
    /// Head and finalised header come from different chains.
    #[error("the endpoint's finalised block {0} is not an ancestor of its head")]
    Inconsistent(u64),
}

/// The bounds of following.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// The deepest reorganisation.
    pub reorg_window: u64,
    /// Blocks per range, at most.
    pub max_range: u64,
}

/// What a tick did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ticked {
    /// Blocks that were processed.
    pub blocks: u64,
    /// Blocks that were rolled back.
    pub rolled_back: u64,
    /// Effects that were enqueued (or were there already).
    pub effects: u64,
    /// Timestamp of the newest header.
    pub head_time: u64,
}

/// Follows one chain into one store.
pub struct Follower {
    contracts: Contracts,
    reader: ChainReader,
    store: Arc<dyn Store>,
    view: ChainView,
    clock: Arc<dyn Clock>,
    plan: Arc<Plan>,
    bounds: Bounds,
    range: u64,
    loaded: bool,
    /// The head of the database when this relayer stood by.
    seen: Option<BlockRef>,
}

impl Follower {
    /// A follower that starts where the store ends.
    pub fn new(
        contracts: Contracts,
        reader: ChainReader,
        store: Arc<dyn Store>,
        view: ChainView,
        clock: Arc<dyn Clock>,
        gateways: impl IntoIterator<Item = String>,
        bounds: Bounds,
    ) -> Self {
        let plan = Arc::new(Plan { gateways: gateways.into_iter().collect(), ..Plan::default() });
        let range = bounds.max_range;
        Self { contracts, reader, store, view, clock, plan, bounds, range, loaded: false, seen: None }
    }

    /// Follows by this plan, its gateways included.
    #[must_use]
    pub fn planning(self, plan: Plan) -> Self {
        Self { plan: Arc::new(plan), ..self }
    }

    /// Lets another relayer follow at once.
    pub(crate) async fn stand_down(&self) -> Result<(), StoreError> {
        self.store.let_go(Lock::Follow).await
    }

    /// Another relayer follows into the same database: what is kept in memory is read from there.
    async fn stand_by(&mut self, head: &Header) -> Result<Ticked, FollowError> {
        let progress = self.store.progress().await?;
        if progress.head != self.seen {
            self.load(head).await?;
            self.seen = progress.head;
        }
        self.loaded = false;
        Ok(Ticked { head_time: head.timestamp, ..Ticked::default() })
    }

    /// Processes what is new, or stands by while another relayer does.
    ///
    /// # Errors
    /// When endpoint or store fail, or the chain contradicts itself. The next tick tries again.
    pub async fn tick(&mut self) -> Result<Ticked, FollowError> {
        let (head, finalized) =
            futures::future::try_join(self.reader.head(), self.reader.finalized()).await?;
        if !self.store.hold(Lock::Follow).await? {
            return self.stand_by(&head).await;
        }
        let mut progress = self.store.progress().await?;
        let finalized = finalized.map(|header| block_ref(&header)).filter(|f| f.number <= head.number);
        self.check_finalized(&progress, finalized).await?;
        if !self.loaded {
            self.load(&head).await?;
            self.loaded = true;
        }
        let mut ticked = Ticked { head_time: head.timestamp, ..Ticked::default() };
        if progress.quiet_until.is_none() {
            let quiet_until = finalized.map_or(0, |f| f.number);
            self.store.apply(Step { quiet_until: Some(quiet_until), ..Step::default() }).await?;
            progress.quiet_until = Some(quiet_until);
        }
        self.catch_up(&mut progress, &head, finalized, &mut ticked).await?;
        self.follow_head(&mut progress, &head, finalized, &mut ticked).await?;
        Ok(ticked)
    }

    /// Two different finalised blocks at one height: stop here until an operator acts.
    async fn check_finalized(&self, progress: &Progress, said: Option<BlockRef>) -> Result<(), FollowError> {
        let (Some(known), Some(said)) = (progress.finalized, said) else { return Ok(()) };
        match known.number == said.number && known.hash != said.hash {
            true => {
                Err(FollowError::Contradiction { number: known.number, known: known.hash, found: said.hash })
            }
            false => Ok(()),
        }
    }

    /// What is kept in memory: apps from the store, nodes from the chain.
    async fn load(&self, head: &Header) -> Result<(), FollowError> {
        self.reload_apps().await?;
        let nodes = self.reader.nodes(self.contracts.committee, head.hash).await?;
        self.view.set_nodes(nodes, self.clock.monotonic());
        Ok(())
    }

    async fn reload_apps(&self) -> Result<(), FollowError> {
        let apps = self.store.apps().await?;
        self.view.set_apps(apps.into_iter().map(|record| record.app).collect());
        if self.plan.discover {
            self.view.set_owners(self.stored_owners().await?);
        }
        Ok(())
    }

    /// Blocks that are final or deeper than any reorganisation that is followed, by ranges.
    async fn catch_up(
        &mut self,
        progress: &mut Progress,
        head: &Header,
        finalized: Option<BlockRef>,
        ticked: &mut Ticked,
    ) -> Result<(), FollowError> {
        let deep = head.number.saturating_sub(self.bounds.reorg_window);
        let target = finalized.map_or(deep, |f| f.number.max(deep));
        loop {
            let from = progress.head.map_or(self.contracts.genesis_block, |tip| tip.number + 1);
            // A handful of blocks is done as well by the head's way, which needs no check of where we stand.
            if from.saturating_add(BLOCKS_PER_STEP as u64) > target {
                return Ok(());
            }
            if self.leave_dead_branch(progress, ticked).await? {
                continue;
            }
            // A range ends where finality does, so that the finalised block is one that we know.
            let until = finalized.map(|f| f.number).filter(|f| *f >= from).unwrap_or(target);
            let to = until.min(from.saturating_add(self.range - 1));
            let end = block_ref(&self.reader.at(to).await?);
            let logs = match self.logs_between(from, to).await {
                Err(error) if error.is_refusal() && self.range > 1 => {
                    self.range = (self.range / 2).max(1);
                    tracing::debug!(blocks = self.range, "smaller ranges");
                    continue;
                }
                logs => logs?,
            };
            self.range = self.range.saturating_mul(2).min(self.bounds.max_range);
            let now_final = finalized.filter(|f| to <= f.number).map(|_| end);
            let step = Step { blocks: vec![end], logs, ..Step::default() };
            self.apply(step, progress, now_final, ticked).await?;
            ticked.blocks += to - from;
        }
    }

    /// When the chain was reorganised while nobody looked: back to the newest block that is still there.
    async fn leave_dead_branch(
        &self,
        progress: &mut Progress,
        ticked: &mut Ticked,
    ) -> Result<bool, FollowError> {
        let Some(tip) = progress.head else { return Ok(false) };
        let lowest = tip.number.saturating_sub(self.bounds.reorg_window);
        let lowest = progress.finalized.map_or(lowest, |f| f.number.max(lowest));
        for number in (lowest..=tip.number).rev() {
            let Some(ours) = self.store.block_hash(number).await? else { continue };
            let header = self.reader.at(number).await?;
            if header.hash == ours {
                if number < tip.number {
                    self.roll_back(progress, tip.number, number, &header, ticked).await?;
                }
                return Ok(number < tip.number);
            }
            if let Some(known) = progress.finalized.filter(|f| f.number == number) {
                return Err(FollowError::Contradiction { number, known: known.hash, found: header.hash });
            }
        }
        Err(FollowError::TooDeep { window: self.bounds.reorg_window })
    }

    async fn roll_back(
        &self,
        progress: &mut Progress,
        from: u64,
        to: u64,
        head: &Header,
        ticked: &mut Ticked,
    ) -> Result<(), FollowError> {
        tracing::warn!(from, to, "reorganisation");
        metrics::counter!("mandate_relayer_reorgs_total").increment(1);
        ticked.rolled_back += from - to;
        self.store.apply(Step { rollback_to: Some(to), ..Step::default() }).await?;
        self.load(head).await?;
        *progress = self.store.progress().await?;
        Ok(())
    }

    /// From the newest header back to a block that we know, then forward again.
    async fn follow_head(
        &mut self,
        progress: &mut Progress,
        head: &Header,
        finalized: Option<BlockRef>,
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
            self.roll_back(progress, tip.number, ancestor, head, ticked).await?;
        }
        for blocks in new.chunks(BLOCKS_PER_STEP) {
            let logs = self.logs_of(blocks).await?;
            let end = blocks.last().map_or(0, |b| b.number);
            let step = Step { blocks: blocks.to_vec(), logs, ..Step::default() };
            let now_final = finalized.filter(|f| f.number <= end);
            self.apply(step, progress, now_final, ticked).await?;
        }
        match finalized.filter(|f| progress.head.is_some_and(|head| f.number <= head.number)) {
            Some(f) if new.is_empty() => self.apply(Step::default(), progress, Some(f), ticked).await,
            _ => Ok(()),
        }
    }

    /// The height of the newest block that stays, and the blocks above it, ascending.
    async fn new_blocks(
        &self,
        progress: &Progress,
        head: &Header,
    ) -> Result<(Option<u64>, Vec<BlockRef>), FollowError> {
        let mut new = Vec::new();
        let (mut block, mut parent) = (block_ref(head), head.parent_hash);
        loop {
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
            new.push(block);
            if progress.head.is_none() && block.number <= self.contracts.genesis_block {
                new.reverse();
                return Ok((None, new));
            }
            let below = BlockRef { number: block.number.saturating_sub(1), hash: parent };
            if self.knows(progress, below).await? {
                new.reverse();
                return Ok((Some(below.number), new));
            }
            // What catching up leaves to the head's way, and the deepest reorganisation below it.
            if new.len() as u64 > 2 * self.bounds.reorg_window + BLOCKS_PER_STEP as u64 {
                return Err(FollowError::TooDeep { window: self.bounds.reorg_window });
            }
            let header = self.reader.by_hash(parent).await?;
            (block, parent) = (block_ref(&header), header.parent_hash);
        }
    }

    async fn knows(&self, progress: &Progress, block: BlockRef) -> Result<bool, StoreError> {
        match progress.head {
            Some(tip) if block.number <= tip.number => {
                Ok(self.store.block_hash(block.number).await? == Some(block.hash))
            }
            _ => Ok(false),
        }
    }
}

fn block_ref(header: &Header) -> BlockRef {
    BlockRef { number: header.number, hash: header.hash }
}
