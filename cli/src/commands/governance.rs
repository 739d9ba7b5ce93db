// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `mandate propose|vote|queue|execute`: an `AppGovernor` from the shell.

use alloy::{
    primitives::{Address, B256, Bytes, U256, keccak256, utils::format_units},
    providers::DynProvider,
    rpc::types::Filter,
    sol_types::SolEvent,
};
use mandate_model::bindings::{
    AppGovernor::{self, AppGovernorErrors as Errors, AppGovernorInstance},
    GovernanceToken,
};
use serde_json::{Value, json};

use crate::{
    args::{DelegateArgs, ProposalArgs, ProposeArgs, Route, VoteArgs},
    connection::logs,
    context::{Context, send, sent, view},
    error::{CliError, Result},
    names::variant,
    output::Format,
    value::number,
};

type TokenErrors = GovernanceToken::GovernanceTokenErrors;

/// `IGovernor.ProposalState.Active`.
const ACTIVE: u8 = 1;

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
    context.print(&provider, &submit(&provider, args.governor, proposal).await?).await
}

/// Proposes a call or only shows it, as `route` says, and prints what became of it; nothing when the caller is to send it.
pub(crate) async fn direct_or_propose(
    context: &Context<'_>,
    route: &Route,
    target: Address,
    data: Bytes,
    default_description: String,
) -> Result<Option<()>> {
    if route.calldata {
        let call = format!("{target}:{data}");
        // As text it is what `--call` takes.
        let shown = match context.format() {
            Format::Text => json!(call),
            Format::Json => json!({"call": call}),
        };
        return context.print_plain(&shown).map(Some);
    }
    let Some(governor) = route.propose else { return Ok(None) };
    let (provider, ..) = context.writer().await?;
    let description = route.description.clone().unwrap_or(default_description);
    let printed = submit(&provider, governor, Proposal::new(vec![(target, data)], description)).await?;
    context.print(&provider, &printed).await.map(Some)
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
        "votingStarts": number(created.voteStart),
        "votingEnds": number(created.voteEnd),
        "block": block,
        "transaction": transaction,
    }))
}

pub(crate) async fn vote(context: &Context<'_>, args: &VoteArgs) -> Result<()> {
    let (provider, _, voter) = context.writer().await?;
    let id = args.proposal.id;
    let governor = AppGovernor::new(args.proposal.governor, &provider);
    // Before it opens the weight is not known, afterwards the contract refuses by itself.
    if view::<_, _, Errors>(governor.state(id)).await? == ACTIVE {
        must_have_votes(&governor, id, voter).await?;
    }
    let call = governor.castVoteWithReason(id, args.support as u8, args.reason.clone());
    let receipt = send::<_, _, Errors>(call).await?;
    let tally = view::<_, _, Errors>(governor.proposalVotes(id)).await?;
    let (block, transaction) = sent(&receipt);
    let support = format!("{:?}", args.support).to_lowercase();
    let shown = json!({
        "proposal": id.to_string(), "voter": voter, "vote": support,
        "state": state_name(&governor, id).await?,
        "votesFor": whole(tally.forVotes), "votesAgainst": whole(tally.againstVotes),
        "votesAbstain": whole(tally.abstainVotes), "block": block, "transaction": transaction,
    });
    context.print(&provider, &shown).await
}

/// A vote without weight would be recorded, and change nothing.
async fn must_have_votes(
    governor: &AppGovernorInstance<&DynProvider>,
    id: U256,
    voter: Address,
) -> Result<()> {
    let snapshot = view::<_, _, Errors>(governor.proposalSnapshot(id)).await?;
    if view::<_, _, Errors>(governor.getVotes(voter, snapshot)).await?.is_zero() {
        let text = format!(
            "{voter} had no votes when voting started: tokens count once they are delegated (`mandate delegate`), and only \
             in later votes"
        );
        return Err(CliError::refused(text));
    }
    Ok(())
}

pub(crate) async fn delegate(context: &Context<'_>, args: &DelegateArgs) -> Result<()> {
    let (provider, _, holder) = context.writer().await?;
    let governor = AppGovernor::new(args.governor, &provider);
    let token = GovernanceToken::new(view::<_, _, Errors>(governor.token()).await?, &provider);
    let to = args.to.unwrap_or(holder);
    let receipt = send::<_, _, TokenErrors>(token.delegate(to)).await?;
    let votes = view::<_, _, TokenErrors>(token.getVotes(to)).await?;
    let (block, transaction) = sent(&receipt);
    let shown = json!({
        "token": token.address(), "holder": holder, "delegate": to, "votes": whole(votes),
        "block": block, "transaction": transaction,
    });
    context.print(&provider, &shown).await
}

/// Votes in whole tokens.
fn whole(votes: U256) -> String {
    let text = format_units(votes, 18).unwrap_or_else(|_| votes.to_string());
    text.strip_suffix(".000000000000000000").unwrap_or(&text).to_owned()
}

pub(crate) async fn queue(context: &Context<'_>, args: &ProposalArgs) -> Result<()> {
    let (provider, deployment, _) = context.writer().await?;
    let governor = AppGovernor::new(args.governor, &provider);
    let p = find(&provider, args, deployment.genesis_block).await?;
    let hash = p.description_hash();
    let receipt = send::<_, _, Errors>(governor.queue(p.targets, p.values, p.calldatas, hash)).await?;
    let eta = view::<_, _, Errors>(governor.proposalEta(args.id)).await?;
    let (block, transaction) = sent(&receipt);
    context
        .print(
            &provider,
            &json!({
                "proposal": args.id.to_string(), "state": state_name(&governor, args.id).await?,
                "executableFrom": number(eta), "block": block, "transaction": transaction,
            }),
        )
        .await
}

pub(crate) async fn execute(context: &Context<'_>, args: &ProposalArgs) -> Result<()> {
    let (provider, deployment, _) = context.writer().await?;
    let governor = AppGovernor::new(args.governor, &provider);
    let p = find(&provider, args, deployment.genesis_block).await?;
    let hash = p.description_hash();
    let receipt = send::<_, _, Errors>(governor.execute(p.targets, p.values, p.calldatas, hash)).await?;
    let (block, transaction) = sent(&receipt);
    context
        .print(
            &provider,
            &json!({
                "proposal": args.id.to_string(), "state": state_name(&governor, args.id).await?,
                "block": block, "transaction": transaction,
            }),
        )
        .await
}

/// The governor stores only the hash of what a proposal calls; its event has the rest. A proposal about this deployment
/// is not older than it.
async fn find(provider: &DynProvider, args: &ProposalArgs, genesis_block: u64) -> Result<Proposal> {
    let filter =
        Filter::new().address(args.governor).event_signature(AppGovernor::ProposalCreated::SIGNATURE_HASH);
    let logs = logs(provider, &filter, genesis_block).await?;
    logs.iter()
        .filter_map(|log| AppGovernor::ProposalCreated::decode_log(&log.inner).ok())
        .find(|event| event.proposalId == args.id)
        .map(|event| Proposal {
            targets: event.targets.clone(),
            values: event.values.clone(),
            calldatas: event.calldatas.clone(),
            description: event.description.clone(),
        })
        .ok_or_else(|| {
            CliError::data(format!(
                "governor {} has no proposal {} since this deployment",
                args.governor, args.id
            ))
        })
}

async fn state_name(governor: &AppGovernorInstance<&DynProvider>, id: U256) -> Result<String> {
    Ok(variant("ProposalState", view::<_, _, Errors>(governor.state(id)).await?))
}
