// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `mandate propose|vote|queue|execute`: an `AppGovernor` from the shell.

use alloy::{
    primitives::{Address, B256, Bytes, U256, keccak256},
    providers::{DynProvider, Provider},
    rpc::types::Filter,
    sol_types::SolEvent,
};
use mandate_model::bindings::AppGovernor::{self, AppGovernorErrors as Errors, AppGovernorInstance};
use serde_json::{Value, json};

use crate::{
    args::{ProposalArgs, ProposeArgs, Route, VoteArgs},
    context::{Context, send, sent, view},
    error::{CliError, Result},
};

/// What an executed proposal calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Proposal {
    pub(crate) targets: Vec<Address>,
    pub(crate) values: Vec<U256>,
    pub(crate) calldatas: Vec<Bytes>,
    pub(crate) description: String,
}

impl Proposal {
    pub(crate) fn new(calls: Vec<(Address, Bytes)>, description: String) -> Self {
        let (targets, calldatas): (Vec<_>, Vec<_>) = calls.into_iter().unzip();
        Self { values: vec![U256::ZERO; targets.len()], targets, calldatas, description }
    }

    fn description_hash(&self) -> B256 {
        keccak256(&self.description)
    }
}

pub(crate) async fn propose(context: &Context<'_>, args: &ProposeArgs) -> Result<()> {
    let (provider, ..) = context.writer().await?;
    let proposal = Proposal::new(args.calls.clone(), args.description.clone());
    context.print(&submit(&provider, args.governor, proposal).await?)
}

/// Sends a call directly or proposes it, as `route` says; prints what became of it.
pub(crate) async fn direct_or_propose(
    context: &Context<'_>,
    route: &Route,
    target: Address,
    data: Bytes,
    default_description: String,
) -> Result<Option<()>> {
    let Some(governor) = route.propose else { return Ok(None) };
    let (provider, ..) = context.writer().await?;
    let description = route.description.clone().unwrap_or(default_description);
    let printed = submit(&provider, governor, Proposal::new(vec![(target, data)], description)).await?;
    context.print(&printed).map(Some)
}

async fn submit(provider: &DynProvider, governor: Address, p: Proposal) -> Result<Value> {
    let governor = AppGovernor::new(governor, provider);
    let receipt =
        send::<_, _, Errors>(governor.propose(p.targets, p.values, p.calldatas, p.description)).await?;
    let created = receipt
        .logs()
        .iter()
        .find_map(|log| AppGovernor::ProposalCreated::decode_log(&log.inner).ok())
        .ok_or_else(|| {
            CliError::data("the contract at --governor made no proposal: is it an AppGovernor?")
        })?;
    let (block, transaction) = sent(&receipt);
    Ok(json!({
        "proposal": created.proposalId.to_string(),
        "governor": governor.address(),
        "votingStarts": created.voteStart.to_string(),
        "votingEnds": created.voteEnd.to_string(),
        "block": block,
        "transaction": transaction,
    }))
}

pub(crate) async fn vote(context: &Context<'_>, args: &VoteArgs) -> Result<()> {
    let (provider, _, voter) = context.writer().await?;
    let governor = AppGovernor::new(args.proposal.governor, &provider);
    let call = governor.castVoteWithReason(args.proposal.id, args.support as u8, args.reason.clone());
    let receipt = send::<_, _, Errors>(call).await?;
    let (block, transaction) = sent(&receipt);
    let support = format!("{:?}", args.support).to_lowercase();
    context.print(&json!({
        "proposal": args.proposal.id.to_string(), "voter": voter, "vote": support,
        "state": state_name(&governor, args.proposal.id).await?, "block": block, "transaction": transaction,
    }))
}

pub(crate) async fn queue(context: &Context<'_>, args: &ProposalArgs) -> Result<()> {
    let (provider, ..) = context.writer().await?;
    let governor = AppGovernor::new(args.governor, &provider);
    let p = find(&provider, args).await?;
    let hash = p.description_hash();
    let receipt = send::<_, _, Errors>(governor.queue(p.targets, p.values, p.calldatas, hash)).await?;
    let eta = view::<_, _, Errors>(governor.proposalEta(args.id)).await?;
    let (block, transaction) = sent(&receipt);
    context.print(&json!({
        "proposal": args.id.to_string(), "state": state_name(&governor, args.id).await?,
        "executableFrom": eta.to_string(), "block": block, "transaction": transaction,
    }))
}

pub(crate) async fn execute(context: &Context<'_>, args: &ProposalArgs) -> Result<()> {
    let (provider, ..) = context.writer().await?;
    let governor = AppGovernor::new(args.governor, &provider);
    let p = find(&provider, args).await?;
    let hash = p.description_hash();
    let receipt = send::<_, _, Errors>(governor.execute(p.targets, p.values, p.calldatas, hash)).await?;
    let (block, transaction) = sent(&receipt);
    context.print(&json!({
        "proposal": args.id.to_string(), "state": state_name(&governor, args.id).await?,
        "block": block, "transaction": transaction,
    }))
}

/// The governor stores only the hash of what a proposal calls; its event has the rest.
async fn find(provider: &DynProvider, args: &ProposalArgs) -> Result<Proposal> {
    let filter = Filter::new()
        .address(args.governor)
        .event_signature(AppGovernor::ProposalCreated::SIGNATURE_HASH)
        .from_block(0);
    let logs = provider.get_logs(&filter).await.map_err(CliError::unavailable)?;
    logs.iter()
        .filter_map(|log| AppGovernor::ProposalCreated::decode_log(&log.inner).ok())
        .find(|event| event.proposalId == args.id)
        .map(|event| Proposal {
            targets: event.targets.clone(),
            values: event.values.clone(),
            calldatas: event.calldatas.clone(),
            description: event.description.clone(),
        })
        .ok_or_else(|| CliError::data(format!("governor {} has no proposal {}", args.governor, args.id)))
}

async fn state_name(governor: &AppGovernorInstance<&DynProvider>, id: U256) -> Result<&'static str> {
    // IGovernor.ProposalState, in its order.
    const NAMES: [&str; 8] =
        ["pending", "active", "canceled", "defeated", "succeeded", "queued", "expired", "executed"];
    let state = view::<_, _, Errors>(governor.state(id)).await?;
    Ok(NAMES.get(usize::from(state)).copied().unwrap_or("unknown"))
}
