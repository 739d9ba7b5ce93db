// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One step of following: the logs of some blocks, and everything that changes with them.

use std::{collections::BTreeSet, sync::Arc};

use alloy::{
    primitives::{Address, B256},
    rpc::types::Header,
    sol_types::SolEvent,
};
use futures::{
    future::FutureExt,
    stream::{self, StreamExt, TryStreamExt},
};
use mandate_model::{
    bindings::{AppAuth, KmsAuth, KmsCommittee, Node},
    wire::BlockRef,
};

use super::{FollowError, Follower, Ticked, finality::Due};
use crate::{
    chain::{ReadError, reader::Fetched},
    effects::{self, NewEffect, Targets, decoded},
    metrics,
    store::{AppRecord, EventQuery, Lock, Progress, Step, StoreError, StoredLog},
};

/// Blocks whose logs are asked for at a time near the head.
const CONCURRENT_BLOCKS: usize = 8;
/// Stored logs that are read at a time.
const LOG_PAGE: u32 = 5_000;

impl Follower {
    /// Logs of blocks near the head; those of an app that is registered in one of them included.
    pub(super) async fn logs_of(&self, blocks: &[Header]) -> Result<Vec<StoredLog>, ReadError> {
        let watched = self.watched();
        let mut logs = self.logs_of_each(blocks, &watched).await?;
        let new_apps = self.new_apps(&logs, &watched);
        if !new_apps.is_empty() {
            let since = registered_from(&logs);
            let from = blocks.partition_point(|header| header.number < since);
            logs.extend(self.logs_of_each(blocks.get(from..).unwrap_or_default(), &new_apps).await?);
        }
        let new_owners = self.new_owners(&logs, &watched);
        if !new_owners.is_empty() {
            logs.extend(self.logs_of_each(blocks, &new_owners).await?);
        }
        Ok(ordered(logs))
    }

    async fn logs_of_each(
        &self,
        blocks: &[Header],
        of: &BTreeSet<Address>,
    ) -> Result<Vec<StoredLog>, ReadError> {
        // Boxed: the compiler cannot prove a stream of borrowed futures to be `Send`.
        let each: Vec<_> = blocks.iter().map(|block| self.reader.logs_of(block, of).boxed()).collect();
        let all: Vec<Vec<StoredLog>> = stream::iter(each).buffered(CONCURRENT_BLOCKS).try_collect().await?;
        Ok(all.concat())
    }

    /// Likewise for a range, of the contracts in `watched`.
    pub(super) async fn logs_between(
        &self,
        from: u64,
        to: u64,
        watched: &BTreeSet<Address>,
    ) -> Result<Fetched, ReadError> {
        let Fetched { end, mut logs } = self.reader.logs_between(from, to, watched).await?;
        let new_apps = self.new_apps(&logs, watched);
        if !new_apps.is_empty() {
            let since = registered_from(&logs).max(from);
            let more = self.reader.logs_between(since, to, &new_apps).await?;
            if more.end != end {
                // The chain, or who answers, changed between the two.
                return Err(ReadError::UnknownBlock(end.hash.to_string()));
            }
            logs.extend(more.logs);
            logs = ordered(logs);
        }
        let new_owners = self.new_owners(&logs, watched);
        if !new_owners.is_empty() {
            let more = self.reader.logs_between(from, to, &new_owners).await?;
            if more.end != end {
                return Err(ReadError::UnknownBlock(end.hash.to_string()));
            }
            logs.extend(more.logs);
            logs = ordered(logs);
        }
        Ok(Fetched { end, logs })
    }

    pub(super) fn watched(&self) -> BTreeSet<Address> {
        let apps = self.view.apps();
        let governance = self.governance();
        apps.iter().copied().chain(self.contracts.fixed()).chain(governance).collect()
    }

    /// Governors and councils: those that are named, and the owners of apps where they are to be found.
    fn governance(&self) -> BTreeSet<Address> {
        let owners = self.view.owners();
        self.plan.governance.iter().chain(owners.iter()).copied().collect()
    }

    pub(super) fn new_owners(&self, logs: &[StoredLog], watched: &BTreeSet<Address>) -> BTreeSet<Address> {
        match self.plan.discover {
            true => owners(logs).filter(|owner| !watched.contains(owner)).collect(),
            false => BTreeSet::new(),
        }
    }

    /// Everybody who owns an app or did.
    pub(super) async fn stored_owners(&self) -> Result<BTreeSet<Address>, StoreError> {
        let mut query = EventQuery {
            topics: vec![AppAuth::OwnershipTransferred::SIGNATURE_HASH],
            limit: LOG_PAGE,
            ..EventQuery::default()
        };
        let mut all = BTreeSet::new();
        loop {
            let page = self.store.events(query.clone()).await?;
            all.extend(owners(&page));
            match page.last() {
                Some(last) if page.len() == LOG_PAGE as usize => {
                    query.after = Some((last.block_number, last.log_index));
                }
                _ => return Ok(all),
            }
        }
    }

    fn new_apps(&self, logs: &[StoredLog], watched: &BTreeSet<Address>) -> BTreeSet<Address> {
        self.registrations(logs).map(|record| record.app).filter(|app| !watched.contains(app)).collect()
    }

    pub(super) fn births<'a>(&'a self, logs: &'a [StoredLog]) -> impl Iterator<Item = (Address, B256)> + 'a {
        let ours = logs.iter().filter(|log| log.address == self.contracts.kms_auth);
        ours.filter_map(|log| registration(log).map(|record| (record.app, log.tx_hash)))
    }

    pub(super) fn registrations<'a>(&'a self, logs: &'a [StoredLog]) -> impl Iterator<Item = AppRecord> + 'a {
        logs.iter().filter(|log| log.address == self.contracts.kms_auth).filter_map(registration)
    }

    /// Completes a step with apps, nodes and effects, writes it, and follows it in memory.
    pub(super) async fn apply(
        &self,
        mut step: Step,
        progress: &mut Progress,
        finalized: Option<BlockRef>,
        ticked: &mut Ticked,
    ) -> Result<(), FollowError> {
        step.apps = self.registrations(&step.logs).collect();
        let finalized = finalized.filter(|f| progress.finalized.is_none_or(|old| f.number > old.number));
        let due = self.due_with(&step, progress, finalized).await?;
        step.finalized = due.as_ref().map(|due| due.end);
        if step.finalized.is_none() && step.blocks.is_empty() {
            return Ok(());
        }
        self.check_ancestor(&step).await?;
        let nodes = self.changed_nodes(&step).await?;
        let targets = self.targets(&step, nodes.as_deref());
        let stored = due.map_or_else(Vec::new, |due| due.logs);
        step.effects = self.effects(&step, progress, &targets, &stored);
        step.forget_letters_below = step.logs.iter().filter_map(|log| self.opened_round(log)).max();
        // Catching up takes longer than a lease. Once it was lost, nothing is written in this tick.
        self.store.extend(Lock::Follow).await?;
        let new_owners: Vec<Address> = owners(&step.logs).filter(|_| self.plan.discover).collect();
        let (head, effects, blocks) = (step.blocks.last().copied(), step.effects.len(), step.blocks.len());
        let (now_final, events) = (step.finalized, step.logs.len());
        self.store.apply(step).await?;
        metrics::EVENTS.add(events as u64, []);
        if let Some(nodes) = nodes {
            self.view.set_nodes(nodes, self.clock.monotonic());
        }
        self.view.set_apps(targets.apps);
        self.view.add_owners(new_owners);
        progress.head = head.or(progress.head);
        progress.finalized = now_final.or(progress.finalized);
        ticked.effects += effects as u64;
        ticked.blocks += blocks as u64;
        Ok(())
    }

    /// What becomes final with a step. Its blocks cannot while older ones must wait for a step of their own: those are
    /// taken one after the other once the head was followed (see `tick_finality`).
    async fn due_with(
        &self,
        step: &Step,
        progress: &Progress,
        finalized: Option<BlockRef>,
    ) -> Result<Option<Due>, StoreError> {
        let Some(finalized) = finalized else { return Ok(None) };
        let due = self.due(progress, finalized).await?;
        Ok((step.blocks.is_empty() || !due.more).then_some(due))
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
        let Some(end) = step.blocks.last().filter(|_| changed) else { return Ok(None) };
        match self.reader.nodes(self.contracts.committee, end.hash).await {
            // Endpoints forget the state of old blocks. Whoever catches up then takes what will be so in the end.
            Err(_) => self.reader.newest_nodes(self.contracts.committee).await.map(Some),
            nodes => nodes.map(Some),
        }
    }

    pub(super) fn targets(&self, step: &Step, nodes: Option<&[Node]>) -> Targets {
        let known = self.view.nodes();
        let nodes = nodes.unwrap_or(&known);
        let urls =
            nodes.iter().map(|node| node.url.trim_end_matches('/').to_owned()).filter(|url| !url.is_empty());
        let apps = self.view.apps();
        Targets {
            peers: urls.chain(self.plan.gateways.iter().cloned()).collect(),
            apps: apps.iter().copied().chain(step.apps.iter().map(|record| record.app)).collect(),
            governance: match self.plan.execute {
                true => self
                    .governance()
                    .into_iter()
                    .chain(self.new_owners(&step.logs, &BTreeSet::new()))
                    .collect(),
                false => BTreeSet::new(),
            },
            plan: Arc::clone(&self.plan),
        }
    }

    /// What an app says in the transaction that registers it concerns nobody yet: its first rules are no tightening.
    fn effects(
        &self,
        step: &Step,
        progress: &Progress,
        targets: &Targets,
        due: &[StoredLog],
    ) -> Vec<NewEffect> {
        let quiet = progress.quiet_until.unwrap_or(0);
        let born: BTreeSet<(Address, B256)> = self.births(&step.logs).chain(self.births(due)).collect();
        let is_loud =
            |log: &StoredLog| log.block_number > quiet && !born.contains(&(log.address, log.tx_hash));
        let loud = step.logs.iter().filter(|log| is_loud(log));
        let mut effects: Vec<NewEffect> =
            loud.flat_map(|log| effects::at_head(&self.contracts, targets, log)).collect();
        if let Some(finalized) = step.finalized {
            let from = progress.finalized.map_or(0, |old| old.number + 1);
            let final_here =
                step.logs.iter().filter(|log| (from..=finalized.number).contains(&log.block_number));
            for log in final_here.chain(due) {
                effects.extend(effects::at_finality(&self.contracts, targets, log, is_loud(log)));
            }
        }
        effects
    }

    /// Letters of a round are of use until the next but one.
    fn opened_round(&self, log: &StoredLog) -> Option<u64> {
        let ours = log.address == self.contracts.committee;
        ours.then(|| decoded::<KmsCommittee::CeremonyOpened>(log))
            .flatten()
            .map(|e| e.round.saturating_sub(1))
    }
}

fn owners(logs: &[StoredLog]) -> impl Iterator<Item = Address> + '_ {
    logs.iter().filter_map(|log| decoded::<AppAuth::OwnershipTransferred>(log).map(|e| e.newOwner))
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
