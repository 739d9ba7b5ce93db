// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The course of every proposal, folded from final events. Finality does not go back, so neither does this.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, hash_map::Entry},
    ops::Bound,
};

use alloy::{
    primitives::{Address, B256, LogData, U256},
    sol_types::SolEvent,
};
use mandate_model::{
    bindings::{AppGovernor, RoleCouncil},
    event::Event,
};
use mandate_runtime::http::ApiError;
use tokio::sync::Mutex;

use super::{
    super::page::{Place, SCAN},
    ProposalState,
};
use crate::store::{EventQuery, Store, StoreError, StoredLog};

/// Events that are read at a time.
const READ: u32 = 1_000;

const TOPICS: [B256; 11] = [
    AppGovernor::ProposalCreated::SIGNATURE_HASH,
    AppGovernor::ProposalQueued::SIGNATURE_HASH,
    AppGovernor::ProposalExecuted::SIGNATURE_HASH,
    AppGovernor::ProposalCanceled::SIGNATURE_HASH,
    AppGovernor::ProposalExtended::SIGNATURE_HASH,
    AppGovernor::VoteCast::SIGNATURE_HASH,
    AppGovernor::VoteCastWithParams::SIGNATURE_HASH,
    RoleCouncil::MotionProposed::SIGNATURE_HASH,
    RoleCouncil::MotionApproved::SIGNATURE_HASH,
    RoleCouncil::ApprovalWithdrawn::SIGNATURE_HASH,
    RoleCouncil::MotionExecuted::SIGNATURE_HASH,
];

/// What became of one proposal so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Course {
    pub(super) governor: Address,
    pub(super) id: U256,
    pub(super) eta: Option<u64>,
    pub(super) executed: bool,
    pub(super) cancelled: bool,
    /// A motion's end.
    pub(super) expires_at: Option<u64>,
    /// The end of voting after an extension; 0 without one.
    pub(super) extended: u64,
    /// Against, for, abstentions: the contract's numbers.
    pub(super) votes: [U256; 3],
    pub(super) approvals: BTreeMap<U256, BTreeSet<Address>>,
}

impl Course {
    fn new(governor: Address, id: U256, expires_at: Option<u64>) -> Self {
        let (eta, executed, cancelled, extended) = (None, false, false, 0);
        let (votes, approvals) = ([U256::ZERO; 3], BTreeMap::new());
        Self { governor, id, eta, executed, cancelled, expires_at, extended, votes, approvals }
    }

    /// How far it is at `now`.
    pub(super) fn state(&self, now: u64) -> ProposalState {
        match self {
            Self { executed: true, .. } => ProposalState::Executed,
            Self { cancelled: true, .. } => ProposalState::Cancelled,
            Self { expires_at: Some(end), .. } if *end <= now => ProposalState::Expired,
            Self { eta: Some(_), .. } => ProposalState::Queued,
            _ => ProposalState::Proposed,
        }
    }
}

#[derive(Debug, Default)]
struct Index {
    /// Everything up to here is folded.
    after: Option<(u64, u64)>,
    courses: BTreeMap<(u64, u64), Course>,
    places: HashMap<(Address, U256), (u64, u64)>,
}

/// The index of proposals; filled when it is first asked for.
#[derive(Debug, Default)]
pub(crate) struct Proposals(Mutex<Index>);

impl Proposals {
    /// Proposals behind `after` that pass `wanted`, as of the finalised height `until`, and where to go on.
    pub(super) async fn page(
        &self,
        store: &dyn Store,
        until: u64,
        after: Option<Place>,
        limit: usize,
        wanted: impl Fn(&Course) -> bool,
    ) -> Result<(Vec<(Place, Course)>, Option<Place>), ApiError> {
        let mut index = self.0.lock().await;
        index.catch_up(store, until).await.map_err(ApiError::internal)?;
        let behind = after.map(|Place(block, log)| (block, log));
        if behind.is_some_and(|(block, _)| block > until) {
            return Ok((Vec::new(), None));
        }
        let start = behind.map_or(Bound::Unbounded, Bound::Excluded);
        let (mut found, mut last) = (Vec::new(), None);
        // What was folded beyond `until`, for an answer of a later block, is not of this one.
        let range = index.courses.range((start, Bound::Included((until, u64::MAX))));
        for (seen, (place, course)) in range.enumerate() {
            if found.len() == limit || seen == SCAN {
                return Ok((found, last));
            }
            last = Some(Place(place.0, place.1));
            if wanted(course) {
                found.push((Place(place.0, place.1), course.clone()));
            }
        }
        Ok((found, None))
    }
}

impl Index {
    async fn catch_up(&mut self, store: &dyn Store, until: u64) -> Result<(), StoreError> {
        loop {
            let query = EventQuery {
                after: self.after,
                until: Some(until),
                addresses: Vec::new(),
                topics: TOPICS.to_vec(),
                limit: READ,
            };
            let logs = store.events(query).await?;
            for log in &logs {
                self.fold(log);
                self.after = Some((log.block_number, log.log_index));
            }
            if (logs.len() as u64) < u64::from(READ) {
                return Ok(());
            }
        }
    }

    fn fold(&mut self, log: &StoredLog) {
        let data = LogData::new(log.topics.clone(), log.data.clone());
        let Some(event) = data.and_then(|data| Event::decode(log.address, &data).ok().flatten()) else {
            return;
        };
        match event {
            Event::ProposalCreated(e) => self.open(log, e.proposalId, None),
            Event::MotionProposed(e) => self.open(log, e.motionId, Some(e.expiresAt.to())),
            Event::ProposalQueued(e) => {
                self.with(log, e.proposalId, |course| course.eta = Some(e.etaSeconds.saturating_to()));
            }
            Event::ProposalExecuted(e) => self.with(log, e.proposalId, |course| course.executed = true),
            Event::ProposalCanceled(e) => self.with(log, e.proposalId, |course| course.cancelled = true),
            Event::ProposalExtended(e) => {
                self.with(log, e.proposalId, |course| course.extended = e.extendedDeadline);
            }
            Event::VoteCast(e) => self.vote(log, e.proposalId, e.support, e.weight),
            Event::VoteCastWithParams(e) => self.vote(log, e.proposalId, e.support, e.weight),
            Event::MotionApproved(e) => self.with(log, e.motionId, |course| {
                course.approvals.entry(e.role).or_default().insert(e.member);
            }),
            Event::ApprovalWithdrawn(e) => self.with(log, e.motionId, |course| {
                course.approvals.entry(e.role).or_default().remove(&e.member);
            }),
            Event::MotionExecuted(e) => self.with(log, e.motionId, |course| course.executed = true),
            _ => {}
        }
    }

    fn open(&mut self, log: &StoredLog, id: U256, expires_at: Option<u64>) {
        let place = (log.block_number, log.log_index);
        // A governor takes a number once; a contract that does otherwise keeps the first.
        if let Entry::Vacant(vacant) = self.places.entry((log.address, id)) {
            vacant.insert(place);
            self.courses.insert(place, Course::new(log.address, id, expires_at));
        }
    }

    fn vote(&mut self, log: &StoredLog, id: U256, support: u8, weight: U256) {
        self.with(log, id, |course| {
            if let Some(votes) = course.votes.get_mut(usize::from(support)) {
                *votes = votes.saturating_add(weight);
            }
        });
    }

    fn with(&mut self, log: &StoredLog, id: U256, change: impl FnOnce(&mut Course)) {
        let place = self.places.get(&(log.address, id));
        if let Some(course) = place.and_then(|place| self.courses.get_mut(place)) {
            change(course);
        }
    }
}

#[cfg(test)]
mod tests;
