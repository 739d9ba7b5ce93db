// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `GET /v1/proposals`: what governors and councils decide about, as their events up to the finalised block tell it.
//!
//! Whether a vote passes is for the contract to say (`AppGovernor.state`, `RoleCouncil.stateOf`): its quorum depends on a
//! token's past balances, which are not folded here.

use alloy::{
    primitives::{Address, B256, Bytes, LogData, U256},
    sol_types::SolEvent,
};
use axum::extract::State;
use mandate_model::{
    bindings::{AppGovernor, RoleCouncil},
    event::Event,
    wire::BlockRef,
};
use mandate_runtime::http::{ApiError, ApiJson, ApiQuery};
use serde::{Deserialize, Serialize};

use self::index::Course;
use super::{
    Answer, Api, Shared,
    page::{self, Page, Place},
    time,
};
use crate::store::{EventQuery, StoredLog};

mod index;

pub(crate) use index::Proposals;

/// The longest description that is told, in bytes; `/v1/events` has the whole.
const DESCRIPTION: usize = 2_048;
/// The most calls that are told.
const CALLS: usize = 64;

/// What decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GovernorKind {
    /// `AppGovernor`: votes of a token.
    Governor,
    /// `RoleCouncil`: approvals per role.
    Council,
}

/// How far a proposal is, as events tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProposalState {
    /// Proposed; it may be pending, voted on, passed or defeated.
    Proposed,
    /// Passed and waiting for the end of the veto window.
    Queued,
    /// Carried out.
    Executed,
    /// Cancelled, or vetoed by the proposal guardian.
    Cancelled,
    /// A motion whose life ended before it was executed.
    Expired,
}

/// One call that a proposal makes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CallView {
    /// Whom it calls.
    pub target: Address,
    /// Wei, decimal.
    pub value: String,
    /// The first four bytes of its data; fewer when there are fewer.
    pub selector: Bytes,
    /// How many bytes of data it has.
    pub length: u64,
}

/// Approvals of one role for a motion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApprovalsView {
    /// The role's number, decimal.
    pub role: String,
    /// Whose approvals it has and were not withdrawn; some may have left the role since.
    pub members: Vec<Address>,
}

/// Votes that were cast, in units of the token, decimal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VotesView {
    /// For it.
    pub r#for: String,
    /// Against it.
    pub against: String,
    /// Abstentions.
    pub abstain: String,
}

/// A proposal of a governor, or a motion of a council.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProposalView {
    /// The contract that decides.
    pub governor: Address,
    /// Which kind of contract.
    pub kind: GovernorKind,
    /// Its number there, decimal.
    pub id: String,
    /// How far it is.
    pub state: ProposalState,
    /// Who proposed it.
    pub proposer: Address,
    /// What it says of itself, cut when it is long. Whoever proposes chooses the words.
    pub description: String,
    /// What it would do.
    pub calls: Vec<CallView>,
    /// How many calls it has; `calls` lists the first.
    pub call_count: u64,
    /// When voting starts and ends, by the governor's clock.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub voting: Option<(u64, u64)>,
    /// Votes so far.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub votes: Option<VotesView>,
    /// When a queued proposal can be executed, Unix seconds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub eta: Option<u64>,
    /// When a motion's life ends, Unix seconds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expires_at: Option<u64>,
    /// Approvals so far.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub approvals: Option<Vec<ApprovalsView>>,
    /// Where it was proposed.
    pub proposed_at: BlockRef,
    /// In which transaction.
    pub tx_hash: B256,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProposalsQuery {
    governor: Option<Address>,
    app: Option<Address>,
    state: Option<ProposalState>,
    after: Option<Place>,
    limit: Option<u32>,
}

pub(super) async fn proposals(
    State(api): Shared,
    ApiQuery(query): ApiQuery<ProposalsQuery>,
) -> Answer<Page<ProposalView>> {
    let limit = page::limit(query.limit)?;
    let progress = api.store.progress().await.map_err(ApiError::internal)?;
    let block = progress.finalized.ok_or_else(page::none_yet)?;
    let now = time::of(&api, block).await?;
    let owner = match query.app {
        Some(app) => Some(owner_of(&api, app).await?),
        None => None,
    };
    // A governor other than the app's owner decides nothing about it.
    let wanted = |course: &Course| {
        query.governor.is_none_or(|governor| course.governor == governor)
            && owner.is_none_or(|owner| owner == Some(course.governor))
            && query.state.is_none_or(|state| course.state(now) == state)
    };
    let (found, next) = api.proposals.page(&*api.store, block.number, query.after, limit, wanted).await?;
    let mut items = Vec::with_capacity(found.len());
    for (place, course) in found {
        if let Some(view) = view(&api, place, &course, now).await? {
            items.push(view);
        }
    }
    Ok(ApiJson(Page { block, items, next: next.map(|place| place.to_string()) }))
}

async fn owner_of(api: &Api, app: Address) -> Result<Option<Address>, ApiError> {
    let found = api.store.folded_app(app).await.map_err(ApiError::internal)?;
    Ok(found.value.and_then(|app| app.policy).map(|policy| policy.governed.owner))
}

/// What is told of a proposal: the log of its creation, read again, and its course since.
async fn view(api: &Api, place: Place, course: &Course, now: u64) -> Result<Option<ProposalView>, ApiError> {
    let Place(block, log) = place;
    let query = EventQuery {
        after: match log.checked_sub(1) {
            Some(before) => Some((block, before)),
            None => block.checked_sub(1).map(|below| (below, i64::MAX as u64)),
        },
        until: Some(block),
        addresses: vec![course.governor],
        topics: vec![
            AppGovernor::ProposalCreated::SIGNATURE_HASH,
            RoleCouncil::MotionProposed::SIGNATURE_HASH,
        ],
        limit: 1,
    };
    let logs = api.store.events(query).await.map_err(ApiError::internal)?;
    let Some(log) = logs.into_iter().next().filter(|found| found.log_index == log) else { return Ok(None) };
    let decoded = LogData::new(log.topics.clone(), log.data.clone());
    let event = decoded.and_then(|data| Event::decode(log.address, &data).ok().flatten());
    Ok(match event {
        Some(Event::ProposalCreated(created)) => Some(of_governor(&log, &created, course, now)),
        Some(Event::MotionProposed(proposed)) => Some(of_council(&log, &proposed, course, now)),
        _ => None,
    })
}

fn of_governor(
    log: &StoredLog,
    created: &AppGovernor::ProposalCreated,
    course: &Course,
    now: u64,
) -> ProposalView {
    let parts = created.targets.iter().zip(&created.values).zip(&created.calldatas);
    let calls = parts.map(|((target, value), data)| call(*target, *value, data));
    let [against, r#for, abstain] = course.votes.map(|votes| votes.to_string());
    ProposalView {
        voting: Some((
            created.voteStart.saturating_to(),
            course.extended.max(created.voteEnd.saturating_to()),
        )),
        votes: Some(VotesView { r#for, against, abstain }),
        eta: course.eta,
        ..common(log, GovernorKind::Governor, created.proposer, &created.description, calls, course, now)
    }
}

fn of_council(
    log: &StoredLog,
    proposed: &RoleCouncil::MotionProposed,
    course: &Course,
    now: u64,
) -> ProposalView {
    let calls = proposed.calls.iter().map(|c| call(c.target, c.value, &c.data));
    let approvals = course.approvals.iter().map(|(role, members)| ApprovalsView {
        role: role.to_string(),
        members: members.iter().copied().collect(),
    });
    ProposalView {
        expires_at: course.expires_at,
        approvals: Some(approvals.collect()),
        ..common(log, GovernorKind::Council, proposed.proposer, &proposed.description, calls, course, now)
    }
}

fn common(
    log: &StoredLog,
    kind: GovernorKind,
    proposer: Address,
    description: &str,
    calls: impl ExactSizeIterator<Item = CallView>,
    course: &Course,
    now: u64,
) -> ProposalView {
    ProposalView {
        governor: log.address,
        kind,
        id: course.id.to_string(),
        state: course.state(now),
        proposer,
        description: cut(description).to_owned(),
        call_count: calls.len() as u64,
        calls: calls.take(CALLS).collect(),
        voting: None,
        votes: None,
        eta: None,
        expires_at: None,
        approvals: None,
        proposed_at: BlockRef { number: log.block_number, hash: log.block_hash },
        tx_hash: log.tx_hash,
    }
}

fn call(target: Address, value: U256, data: &Bytes) -> CallView {
    let selector = data.get(..4).unwrap_or(data);
    CallView {
        target,
        value: value.to_string(),
        selector: selector.to_vec().into(),
        length: data.len() as u64,
    }
}

/// At most [`DESCRIPTION`] bytes, whole characters.
fn cut(text: &str) -> &str {
    let end = (0..=DESCRIPTION.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or(0)).unwrap_or_default()
}
