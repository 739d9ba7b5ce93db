// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Following head and finality.
//!
//! ```text
//! catch up: final blocks in ranges that k endpoints agree on; blocks that are not final one by one, linked by parent hash
//! head:     from the leader's newest header back by parent hash to a block we know (above it: rolled back, applied anew)
//! aside:    what other endpoints show and the leader does not, for revocations only
//! finality: when k endpoints agree that it advanced, and it is one of our blocks, the effects of what is final now; some at
//!           a time when much is (after a latch, say), the head in between
//! ```
//! Each step is one transaction of the store; a crash between two of them repeats nothing and skips nothing (G-10).
//!
//! Who leads may lie: its branch is followed until it contradicts what is final. It can neither hide a revocation, which any
//! other endpoint may show, nor cause a grant, for which k must agree (G-5, G-7).

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use alloy::{primitives::B256, rpc::types::Header};
use mandate_model::wire::BlockRef;
use mandate_runtime::Clock;
use thiserror::Error;

use super::{
    ChainReader, ChainView, Contracts, LatchKind, Latches, ReadError, endpoints::Member, reader::block_ref,
};
use crate::{
    effects::Plan,
    metrics,
    store::{Lock, Progress, Step, Store, StoreError},
};

mod aside;
mod catch_up;
mod finality;
mod head;
mod latching;
mod span;
mod step;

use aside::Seen;
use span::Span;

/// Blocks per step near the head, so that one step stays small.
const BLOCKS_PER_STEP: usize = 64;
/// An endpoint this far behind the others does not lead.
const LAGS: u64 = 3;

/// Why following stopped for now. Nothing is lost: the next tick starts from the same place.
#[derive(Debug, Error)]
pub enum FollowError {
    /// The endpoints.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A finalised block was replaced: an endpoint lies, or the chain broke its promise.
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
    /// What is final is not among the blocks that were processed.
    #[error("the finalised block {0} is not one of the blocks that were processed")]
    Inconsistent(u64),
    /// No endpoint shows a head that may be followed.
    #[error("no endpoint shows a head that can be followed: {0}")]
    NoLeader(String),
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
    /// Whether finality advanced.
    pub finalized: bool,
    /// Whether more is final already than was taken in: another tick goes on at once.
    pub unfinished: bool,
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
    latches: Latches,
    span: Mutex<Span>,
    loaded: bool,
    /// The newest block that k endpoints call final.
    agreed: Option<BlockRef>,
    /// The heads that were known when finality was last asked for.
    asked_at: BTreeSet<B256>,
    asking: Option<finality::Asking>,
    /// Ticks in a row in which what is final was not one of our blocks.
    unconnected: u32,
    leader: Option<String>,
    seen: Seen,
    /// Another relayer follows into the same database.
    standing_by: bool,
    /// The head of the database when this relayer stood by.
    stood_by_at: Option<BlockRef>,
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
        Self {
            contracts,
            reader,
            store,
            view,
            clock,
            plan,
            bounds,
            latches: Latches::default(),
            span: Mutex::new(Span::new(bounds.max_range)),
            loaded: false,
            agreed: None,
            asked_at: BTreeSet::new(),
            asking: None,
            unconnected: 0,
            leader: None,
            seen: Seen::default(),
            standing_by: false,
            stood_by_at: None,
        }
    }

    /// Follows by this plan, its gateways included.
    #[must_use]
    pub fn planning(self, plan: Plan) -> Self {
        Self { plan: Arc::new(plan), ..self }
    }

    /// Tells others of latches through `latches`.
    pub fn with_latches(self, latches: Latches) -> Self {
        Self { latches, ..self }
    }

    /// What holds grants back.
    pub fn latches(&self) -> &Latches {
        &self.latches
    }

    /// Lets another relayer follow at once.
    pub(crate) async fn stand_down(&self) -> Result<(), StoreError> {
        self.store.let_go(Lock::Follow).await
    }

    /// Another relayer follows into the same database: what is kept in memory is read from there.
    async fn stand_by(&mut self, tips: &[(Arc<Member>, Header)]) -> Result<Ticked, FollowError> {
        self.loaded = false;
        let Some((_, head)) = self.choose_leader(tips) else { return Ok(Ticked::default()) };
        let progress = self.store.progress().await?;
        if progress.head != self.stood_by_at {
            self.load(&head).await?;
            self.stood_by_at = progress.head;
        }
        Ok(Ticked { head_time: head.timestamp, ..Ticked::default() })
    }

    /// Processes what is new: first the head, then finality. Stands by while another relayer does.
    ///
    /// # Errors
    /// When endpoints or store fail, or the chain contradicts itself. The next tick tries again.
    pub async fn tick(&mut self) -> Result<Ticked, FollowError> {
        let mut ticked = self.tick_head().await?;
        self.tick_finality(&mut ticked).await?;
        Ok(ticked)
    }

    /// Processes what the endpoints show at their heads, and enqueues revocations.
    ///
    /// # Errors
    /// Likewise. Revocations that some endpoint shows were enqueued all the same.
    pub async fn tick_head(&mut self) -> Result<Ticked, FollowError> {
        self.look_around().await?;
        let tips = self.tips();
        self.standing_by = !self.store.hold(Lock::Follow).await?;
        if self.standing_by {
            return self.stand_by(&tips).await;
        }
        let newest = tips.iter().map(|(_, header)| header.timestamp).max().unwrap_or(0);
        let mut ticked = Ticked { head_time: newest, ..Ticked::default() };
        let followed = match self.choose_leader(&tips) {
            Some((leader, head)) => {
                let followed = self.follow(&leader, &head, &mut ticked).await;
                self.judge(&leader, followed).await
            }
            None => Err(FollowError::NoLeader("none is trusted and has a header".to_owned())),
        };
        let looked = self.look_aside(&tips, &mut ticked).await;
        followed?;
        looked?;
        Ok(ticked)
    }

    /// Heads, latches, and who serves another chain now.
    async fn look_around(&mut self) -> Result<(), FollowError> {
        let refreshed = self.reader.endpoints().refresh().await;
        self.note_cleared_latches().await?;
        for (name, found) in self.reader.endpoints().strangers() {
            let detail = format!("{name} serves chain {found} now, not {}", self.contracts.chain_id);
            self.latch(LatchKind::ChainId, &detail, None).await?;
        }
        refreshed.map_err(|source| ReadError::Rpc { method: "eth_getBlockByNumber", source }.into())
    }

    /// Every endpoint's newest header.
    fn tips(&self) -> Vec<(Arc<Member>, Header)> {
        let members = self.reader.endpoints().members().iter();
        let tips: Vec<_> =
            members.filter_map(|member| member.tip().map(|tip| (Arc::clone(member), tip))).collect();
        let trusted = tips.iter().filter(|(member, _)| member.health.is_trusted());
        let best = trusted.map(|(_, tip)| tip.number).max().unwrap_or(0);
        for (member, tip) in &tips {
            metrics::ENDPOINT_LAG.set(best.saturating_sub(tip.number) as f64, [member.name()]);
        }
        tips
    }

    /// The endpoint whose head is followed: of those that are trusted and do not lag, one on whose head the most agree;
    /// rather the one that led before, so that the followed branch does not change for nothing.
    fn choose_leader(&mut self, tips: &[(Arc<Member>, Header)]) -> Option<(Arc<Member>, Header)> {
        let trusted: Vec<_> = tips.iter().filter(|(member, _)| member.health.is_trusted()).collect();
        let mut heights: Vec<u64> = trusted.iter().map(|(_, tip)| tip.number).collect();
        heights.sort_unstable_by(|a, b| b.cmp(a));
        // The height that a majority has reached: one endpoint's word cannot make the others laggards.
        let common = heights.get(heights.len() / 2).copied().unwrap_or(0);
        let support = |tip: &Header| trusted.iter().filter(|(_, other)| other.hash == tip.hash).count();
        let order = self.reader.endpoints().ranked();
        let rank = |member: &Member| order.iter().position(|other| other.name() == member.name());
        let chosen = trusted.iter().copied().max_by_key(|(member, tip)| {
            let agreed = support(tip) >= self.reader.endpoints().quorum();
            let led = self.leader.as_deref() == Some(member.name());
            let current = tip.number.saturating_add(LAGS) >= common;
            (current, agreed, led, tip.number, std::cmp::Reverse(rank(member)))
        });
        let (member, tip) = chosen?;
        if self.leader.as_deref() != Some(member.name()) {
            tracing::info!(endpoint = member.name(), head = tip.number, "leads");
            self.leader = Some(member.name().to_owned());
        }
        Some((Arc::clone(member), tip.clone()))
    }

    async fn follow(
        &mut self,
        leader: &Member,
        head: &Header,
        ticked: &mut Ticked,
    ) -> Result<(), FollowError> {
        let mut progress = self.store.progress().await?;
        if !self.loaded {
            self.load(head).await?;
            if let Some(finalized) = progress.finalized {
                // Whoever calls another block of this height final contradicts what was handled before the restart.
                self.reader.endpoints().clear_contradiction(Some(finalized));
            }
            self.loaded = true;
        }
        if progress.quiet_until.is_none() {
            self.ask_finality().await?;
            let deep = head.number.saturating_sub(self.bounds.reorg_window);
            let quiet_until = self.agreed.map_or(deep, |f| f.number.min(head.number));
            self.store.apply(Step { quiet_until: Some(quiet_until), ..Step::default() }).await?;
            progress.quiet_until = Some(quiet_until);
        }
        self.catch_up(&mut progress, leader, head, ticked).await?;
        self.follow_head(&mut progress, head, ticked).await?;
        let known = progress.head.map_or(0, |b| b.number);
        metrics::HEAD.set(known as f64, []);
        metrics::LAG.set(head.number.saturating_sub(known) as f64, ["head"]);
        Ok(())
    }

    /// What is kept in memory: apps from the store, nodes from the chain.
    async fn load(&self, head: &Header) -> Result<(), FollowError> {
        self.load_apps().await?;
        let nodes = self.reader.nodes(self.contracts.committee, head.hash).await?;
        self.view.set_nodes(nodes, self.clock.monotonic());
        Ok(())
    }

    async fn load_apps(&self) -> Result<(), FollowError> {
        let apps = self.store.apps().await?;
        self.view.set_apps(apps.into_iter().map(|record| record.app).collect());
        if self.plan.discover {
            self.view.set_owners(self.stored_owners().await?);
        }
        Ok(())
    }

    /// Forgets every block above `to`.
    ///
    /// Effects that the forgotten blocks caused stay in the outbox. All of them are revocations, for nothing else follows
    /// from a block that is not final, and a revocation only makes its receiver look at the chain itself: pushing one too
    /// many is harmless, and one that comes back in another block must not be late because it was withdrawn (G-7).
    async fn roll_back(
        &self,
        progress: &mut Progress,
        from: u64,
        to: u64,
        head: &Header,
        ticked: &mut Ticked,
    ) -> Result<(), FollowError> {
        tracing::warn!(from, to, "reorganisation");
        metrics::REORGS.add(1, []);
        ticked.rolled_back += from - to;
        self.store.apply(Step { rollback_to: Some(to), ..Step::default() }).await?;
        *progress = self.store.progress().await?;
        self.load_apps().await?;
        // Nodes that were admitted or evicted in the blocks that are gone. Who leads may not have the state of a branch of its
        // own making; then those that were known before are told.
        if let Ok(nodes) = self.reader.nodes(self.contracts.committee, head.hash).await {
            self.view.set_nodes(nodes, self.clock.monotonic());
        }
        Ok(())
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
