// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Following head and finality.
//!
//! ```text
//! catch up: final blocks in ranges that adapt to what the endpoint gives    (cannot be reorganised away)
//! head:     from the newest header back by parent hash to a block we know   (above it: rolled back, applied anew)
//! finality: when it advances, the effects of what is final now
//! ```
//! Each step is one transaction of the store; a crash between two of them repeats nothing and skips nothing (G-10).

use std::{collections::BTreeSet, sync::Arc};

use alloy::{
    primitives::{Address, B256},
    rpc::types::Header,
    sol_types::SolEvent,
};
use futures::stream::{self, StreamExt, TryStreamExt};
use mandate_model::{
    bindings::{KmsAuth, KmsCommittee, Node},
    wire::BlockRef,
};
use mandate_runtime::Clock;
use thiserror::Error;

use super::{ChainReader, ChainView, Contracts, ReadError};
use crate::{
    effects::{self, NewEffect, Targets, decoded},
    store::{AppRecord, Progress, Step, Store, StoreError, StoredLog},
};

/// Blocks whose logs are asked for at a time near the head.
const CONCURRENT_BLOCKS: usize = 8;
/// Blocks per step near the head, so that one step stays small.
const BLOCKS_PER_STEP: usize = 64;
/// Stored logs that are read at a time when finality advances.
const LOG_PAGE: u32 = 5_000;

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
    gateways: BTreeSet<String>,
    bounds: Bounds,
    range: u64,
    loaded: bool,
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
        let gateways = gateways.into_iter().collect();
        let range = bounds.max_range;
        Self { contracts, reader, store, view, clock, gateways, bounds, range, loaded: false }
    }

    /// Processes what is new.
    ///
    /// # Errors
    /// When endpoint or store fail, or the chain contradicts itself. The next tick tries again.
    pub async fn tick(&mut self) -> Result<Ticked, FollowError> {
        let (head, finalized) =
            futures::future::try_join(self.reader.head(), self.reader.finalized()).await?;
        let mut progress = self.store.progress().await?;
        let finalized = finalized.map(|header| block_ref(&header)).filter(|f| f.number <= head.number);
        self.check_finalized(&progress, finalized).await?;
        if !self.loaded {
            self.load(&head).await?;
        }
        let mut ticked = Ticked { head_time: head.timestamp, ..Ticked::default() };
        if progress.quiet_until.is_none() {
            let quiet_until = finalized.map_or(0, |f| f.number);
            self.store.apply(Step { quiet_until: Some(quiet_until), ..Step::default() }).await?;
            progress.quiet_until = Some(quiet_until);
        }
        if let Some(finalized) = finalized {
            self.catch_up(&mut progress, finalized, &mut ticked).await?;
        }
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
    async fn load(&mut self, head: &Header) -> Result<(), FollowError> {
        self.reload_apps().await?;
        let nodes = self.reader.nodes(self.contracts.committee, head.hash).await?;
        self.view.set_nodes(nodes, self.clock.monotonic());
        self.loaded = true;
        Ok(())
    }

    async fn reload_apps(&self) -> Result<(), FollowError> {
        let apps = self.store.apps().await?;
        self.view.set_apps(apps.into_iter().map(|record| record.app).collect());
        Ok(())
    }

    /// Final blocks, by ranges.
    async fn catch_up(
        &mut self,
        progress: &mut Progress,
        finalized: BlockRef,
        ticked: &mut Ticked,
    ) -> Result<(), FollowError> {
        loop {
            let from = progress.head.map_or(self.contracts.genesis_block, |head| head.number + 1);
            // A handful of blocks is done as well by the head's way, which needs no check of where we stand.
            if from + BLOCKS_PER_STEP as u64 > finalized.number {
                return Ok(());
            }
            if let Some(known) = progress.head
                && self.reader.at(known.number).await?.hash != known.hash
            {
                // Reorganised while we were away: the head's way finds the fork, if it is within the window.
                return Ok(());
            }
            let to = finalized.number.min(from.saturating_add(self.range - 1));
            let end = block_ref(&self.reader.at(to).await?);
            let logs = match self.logs_between(from, to).await {
                Err(error) if error.is_refusal() && self.range > 1 => {
                    self.range = (self.range / 2).max(1);
                    tracing::debug!(%error, blocks = self.range, "smaller ranges");
                    continue;
                }
                logs => logs?,
            };
            self.range = self.range.saturating_mul(2).min(self.bounds.max_range);
            let step = Step { blocks: vec![end], logs, ..Step::default() };
            self.apply(step, progress, Some(end), ticked).await?;
            ticked.blocks += to - from;
        }
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
            tracing::warn!(from = tip.number, to = ancestor, "reorganisation");
            metrics::counter!("mandate_relayer_reorgs_total").increment(1);
            ticked.rolled_back += tip.number - ancestor;
            self.store.apply(Step { rollback_to: Some(ancestor), ..Step::default() }).await?;
            self.load(head).await?;
            *progress = self.store.progress().await?;
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
            if new.len() as u64 >= self.bounds.reorg_window {
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

    /// Logs of blocks near the head; those of an app that is registered in one of them included.
    async fn logs_of(&self, blocks: &[BlockRef]) -> Result<Vec<StoredLog>, ReadError> {
        let watched = self.watched();
        let mut logs = self.logs_of_each(blocks, &watched).await?;
        let new_apps = self.new_apps(&logs, &watched);
        if !new_apps.is_empty() {
            let since = registered_from(&logs);
            let blocks: Vec<BlockRef> = blocks.iter().copied().filter(|b| b.number >= since).collect();
            logs.extend(self.logs_of_each(&blocks, &new_apps).await?);
        }
        Ok(ordered(logs))
    }

    async fn logs_of_each(
        &self,
        blocks: &[BlockRef],
        of: &BTreeSet<Address>,
    ) -> Result<Vec<StoredLog>, ReadError> {
        let each = stream::iter(blocks).map(|block| self.reader.logs_of(*block, of));
        let all: Vec<Vec<StoredLog>> = each.buffered(CONCURRENT_BLOCKS).try_collect().await?;
        Ok(all.concat())
    }

    async fn logs_between(&self, from: u64, to: u64) -> Result<Vec<StoredLog>, ReadError> {
        let watched = self.watched();
        let mut logs = self.reader.logs_between(from, to, &watched).await?;
        let new_apps = self.new_apps(&logs, &watched);
        if !new_apps.is_empty() {
            logs.extend(self.reader.logs_between(registered_from(&logs).max(from), to, &new_apps).await?);
        }
        Ok(ordered(logs))
    }

    fn watched(&self) -> BTreeSet<Address> {
        self.view.apps().iter().copied().chain(self.contracts.fixed()).collect()
    }

    fn new_apps(&self, logs: &[StoredLog], watched: &BTreeSet<Address>) -> BTreeSet<Address> {
        self.registrations(logs).map(|record| record.app).filter(|app| !watched.contains(app)).collect()
    }

    fn registrations<'a>(&'a self, logs: &'a [StoredLog]) -> impl Iterator<Item = AppRecord> + 'a {
        logs.iter().filter(|log| log.address == self.contracts.kms_auth).filter_map(registration)
    }

    /// Completes a step with apps, nodes and effects, writes it, and follows it in memory.
    async fn apply(
        &self,
        mut step: Step,
        progress: &mut Progress,
        finalized: Option<BlockRef>,
        ticked: &mut Ticked,
    ) -> Result<(), FollowError> {
        step.apps = self.registrations(&step.logs).collect();
        step.finalized = finalized.filter(|f| progress.finalized.is_none_or(|old| f.number > old.number));
        if step.finalized.is_none() && step.blocks.is_empty() {
            return Ok(());
        }
        self.check_ancestor(&step).await?;
        let nodes = self.changed_nodes(&step).await?;
        let targets = self.targets(&step, nodes.as_deref());
        step.effects = self.effects(&step, progress, &targets).await?;
        step.forget_letters_below = step.logs.iter().filter_map(|log| self.opened_round(log)).max();
        let (head, effects, blocks) = (step.blocks.last().copied(), step.effects.len(), step.blocks.len());
        let now_final = step.finalized;
        self.store.apply(step).await?;
        if let Some(nodes) = nodes {
            self.view.set_nodes(nodes, self.clock.monotonic());
        }
        self.view.set_apps(targets.apps);
        progress.head = head.or(progress.head);
        progress.finalized = now_final.or(progress.finalized);
        ticked.effects += effects as u64;
        ticked.blocks += blocks as u64;
        Ok(())
    }

    async fn check_ancestor(&self, step: &Step) -> Result<(), FollowError> {
        let Some(finalized) = step.finalized else { return Ok(()) };
        let ours = match step.blocks.iter().find(|b| b.number == finalized.number) {
            Some(block) => Some(block.hash),
            None => self.store.block_hash(finalized.number).await?,
        };
        match ours {
            Some(hash) if hash != finalized.hash => Err(FollowError::Inconsistent(finalized.number)),
            _ => Ok(()),
        }
    }

    /// The nodes after the step's last block, when one of its logs changed them.
    async fn changed_nodes(&self, step: &Step) -> Result<Option<Vec<Node>>, ReadError> {
        let changes = [
            KmsCommittee::NodeAdmitted::SIGNATURE_HASH,
            KmsCommittee::NodeEvicted::SIGNATURE_HASH,
            KmsCommittee::NodeUrlSet::SIGNATURE_HASH,
        ];
        let changed = step.logs.iter().any(|log| {
            log.address == self.contracts.committee
                && log.topics.first().is_some_and(|topic| changes.contains(topic))
        });
        match step.blocks.last() {
            Some(end) if changed => self.reader.nodes(self.contracts.committee, end.hash).await.map(Some),
            _ => Ok(None),
        }
    }

    fn targets(&self, step: &Step, nodes: Option<&[Node]>) -> Targets {
        let known = self.view.nodes();
        let nodes = nodes.unwrap_or(&known);
        let urls =
            nodes.iter().map(|node| node.url.trim_end_matches('/').to_owned()).filter(|url| !url.is_empty());
        let apps = self.view.apps();
        Targets {
            revocations: urls.chain(self.gateways.iter().cloned()).collect(),
            apps: apps.iter().copied().chain(step.apps.iter().map(|record| record.app)).collect(),
        }
    }

    async fn effects(
        &self,
        step: &Step,
        progress: &Progress,
        targets: &Targets,
    ) -> Result<Vec<NewEffect>, StoreError> {
        let quiet = progress.quiet_until.unwrap_or(0);
        let loud = step.logs.iter().filter(|log| log.block_number > quiet);
        let mut effects: Vec<NewEffect> =
            loud.flat_map(|log| effects::at_head(&self.contracts, targets, log)).collect();
        if let Some(finalized) = step.finalized {
            let from = progress.finalized.map_or(0, |old| old.number + 1);
            let final_here =
                step.logs.iter().filter(|log| (from..=finalized.number).contains(&log.block_number));
            effects.extend(final_here.flat_map(|log| effects::at_finality(&self.contracts, log)));
            for log in self.stored_logs(from, finalized.number).await? {
                effects.extend(effects::at_finality(&self.contracts, &log));
            }
        }
        Ok(effects)
    }

    async fn stored_logs(&self, mut from: u64, to: u64) -> Result<Vec<StoredLog>, StoreError> {
        let mut all: Vec<StoredLog> = Vec::new();
        loop {
            let page = self.store.logs(from, to, LOG_PAGE).await?;
            let last = page.last().map(|log| log.block_number);
            let whole = page.len() < LOG_PAGE as usize;
            all.extend(page);
            match last {
                Some(last) if !whole && last > from => {
                    // The page may end within a block: that block is read again, whole.
                    all.retain(|log| log.block_number < last);
                    from = last;
                }
                _ => return Ok(all),
            }
        }
    }

    /// Letters of a round are of use until the next but one.
    fn opened_round(&self, log: &StoredLog) -> Option<u64> {
        let ours = log.address == self.contracts.committee;
        ours.then(|| decoded::<KmsCommittee::CeremonyOpened>(log))
            .flatten()
            .map(|e| e.round.saturating_sub(1))
    }
}

fn block_ref(header: &Header) -> BlockRef {
    BlockRef { number: header.number, hash: header.hash }
}

fn registration(log: &StoredLog) -> Option<AppRecord> {
    let e = decoded::<KmsAuth::AppRegistered>(log)?;
    Some(AppRecord { app: e.app, registrar: e.registrar, foreign: e.foreign, block_number: log.block_number })
}

fn registered_from(logs: &[StoredLog]) -> u64 {
    logs.iter().filter(|log| registration(log).is_some()).map(|log| log.block_number).min().unwrap_or(0)
}

fn ordered(mut logs: Vec<StoredLog>) -> Vec<StoredLog> {
    logs.sort_by_key(|log| (log.block_number, log.log_index));
    logs
}
