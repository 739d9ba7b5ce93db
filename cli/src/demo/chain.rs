// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The demo's chain: its accounts, its clock, and what the DAO and the council do on it.

use std::time::Duration;

use alloy::{
    primitives::{Address, B256, Bytes, U256, keccak256},
    providers::{DynProvider, Provider, ProviderBuilder},
    rpc::{
        client::RpcClient,
        types::{TransactionReceipt, TransactionRequest},
    },
    sol_types::SolEvent,
};
use mandate_devchain::DevChain;
use mandate_model::bindings::{AppGovernor, Call, RoleCouncil};
use serde_json::json;

use super::{
    actors::Actor,
    report::{Kind, Teller},
    setting::{VETO_WINDOW, VOTING_DELAY, VOTING_PERIOD},
};
use crate::{
    context::send,
    error::{CliError, Result},
};

/// No motion of the story is proposed twice.
const NO_SALT: B256 = B256::ZERO;

/// A chain with a signing provider per account.
#[derive(Debug)]
pub(crate) struct Chain {
    pub(crate) dev: DevChain,
    accounts: Vec<DynProvider>,
}

impl Chain {
    /// Wraps `dev`.
    pub(crate) fn new(dev: DevChain) -> Result<Self> {
        let signers = mandate_devchain::Config::default().signers().map_err(CliError::data)?;
        let accounts = signers.into_iter().map(|signer| {
            let client = RpcClient::new(dev.clone(), true);
            client.set_poll_interval(Duration::from_millis(10));
            ProviderBuilder::new()
                .with_simple_nonce_management()
                .wallet(signer)
                .connect_client(client)
                .erased()
        });
        Ok(Self { accounts: accounts.collect(), dev })
    }

    /// A provider that signs as `actor`.
    pub(crate) fn of(&self, actor: Actor) -> Result<&DynProvider> {
        self.accounts
            .get(actor.index())
            .ok_or_else(|| CliError::data(format!("the chain has no account for {actor:?}")))
    }

    /// A provider that only reads.
    pub(crate) fn reader(&self) -> DynProvider {
        self.dev.provider().erased()
    }

    /// `from` sends 1 ETH to `to`.
    pub(crate) async fn pay(&self, from: Actor, to: Address) -> Result<TransactionReceipt> {
        let ether = U256::from(10).pow(U256::from(18));
        let payment = TransactionRequest::default().to(to).value(ether);
        let pending = self.of(from)?.send_transaction(payment).await.map_err(CliError::unavailable)?;
        pending.get_receipt().await.map_err(CliError::unavailable)
    }

    /// Moves the chain's time forward and mines a block at the new time.
    pub(crate) fn pass(&self, time: Duration) -> Result<()> {
        // From the head's time: with a second per block at least, the chain runs ahead of the clock.
        let then = self.dev.head().timestamp() + time.as_secs();
        self.dev.set_next_timestamp(then).map_err(CliError::refused)?;
        self.dev.mine(1);
        Ok(())
    }

    /// The council passes a motion: everybody approves, then it is executed.
    pub(crate) async fn council_passes(
        &self,
        teller: &mut Teller<'_>,
        council: Address,
        calls: Vec<(Address, Bytes)>,
        description: &str,
    ) -> Result<TransactionReceipt> {
        type Errors = RoleCouncil::RoleCouncilErrors;
        let calls: Vec<Call> =
            calls.into_iter().map(|(target, data)| Call { target, value: U256::ZERO, data }).collect();
        let at = RoleCouncil::new(council, self.of(Actor::Core)?);
        let proposed =
            send::<_, _, Errors>(at.propose(calls.clone(), description.to_owned(), NO_SALT)).await?;
        let motion = find::<RoleCouncil::MotionProposed>(&proposed)?.motionId;
        for (role, member) in Actor::COUNCIL.into_iter().enumerate() {
            let at = RoleCouncil::new(council, self.of(member)?);
            let receipt = send::<_, _, Errors>(at.approve(motion, U256::from(role))).await?;
            tell(teller, Kind::Done, format!("council: {member:?} approves “{description}”"), &receipt);
        }
        let executed = send::<_, _, Errors>(at.execute(calls, description.to_owned(), NO_SALT)).await?;
        tell(teller, Kind::Done, format!("council: “{description}” is executed"), &executed);
        Ok(executed)
    }

    /// The DAO proposes, votes, queues and executes `calls`.
    pub(crate) async fn dao_passes(
        &self,
        teller: &mut Teller<'_>,
        governor: Address,
        calls: Vec<(Address, Bytes)>,
        description: &str,
    ) -> Result<TransactionReceipt> {
        type Errors = AppGovernor::AppGovernorErrors;
        let (targets, data): (Vec<_>, Vec<_>) = calls.into_iter().unzip();
        let values = vec![U256::ZERO; targets.len()];
        let at = AppGovernor::new(governor, self.of(Actor::Alice)?);

        let call = at.propose(targets.clone(), values.clone(), data.clone(), description.to_owned());
        let proposed = send::<_, _, Errors>(call).await?;
        let id = find::<AppGovernor::ProposalCreated>(&proposed)?.proposalId;
        tell(teller, Kind::Done, format!("Alice proposes: {description}"), &proposed);

        self.pass(VOTING_DELAY + Duration::from_secs(1))?;
        for (voter, support) in Actor::VOTERS.into_iter().zip([1u8, 1, 0]) {
            let at = AppGovernor::new(governor, self.of(voter)?);
            let receipt = send::<_, _, Errors>(at.castVote(id, support)).await?;
            let vote = if support == 1 { "for" } else { "against" };
            tell(teller, Kind::Done, format!("{voter:?} votes {vote}"), &receipt);
        }

        self.pass(VOTING_PERIOD + Duration::from_secs(1))?;
        let hash: B256 = keccak256(description);
        let call = at.queue(targets.clone(), values.clone(), data.clone(), hash);
        let queued = send::<_, _, Errors>(call).await?;
        tell(teller, Kind::Done, "the proposal succeeded and is queued; its veto window starts", &queued);

        self.pass(VETO_WINDOW + Duration::from_secs(1))?;
        let executed = send::<_, _, Errors>(at.execute(targets, values, data, hash)).await?;
        tell(teller, Kind::Done, "the proposal is executed", &executed);
        Ok(executed)
    }
}

/// The first event of type `E` in a receipt.
pub(crate) fn find<E: SolEvent>(receipt: &TransactionReceipt) -> Result<E> {
    let decoded = receipt.logs().iter().find_map(|log| E::decode_log(&log.inner).ok());
    decoded.map(|log| log.data).ok_or_else(|| {
        CliError::data(format!("transaction {} has no {}", receipt.transaction_hash, E::SIGNATURE))
    })
}

/// Tells something with the place of a receipt.
pub(crate) fn tell(
    teller: &mut Teller<'_>,
    kind: Kind,
    text: impl Into<String>,
    receipt: &TransactionReceipt,
) {
    let gas = json!(receipt.gas_used);
    teller.at(kind, text, receipt.block_number, Some(receipt.transaction_hash), &[("gas", gas)]);
}
