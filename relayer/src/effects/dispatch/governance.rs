// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Executing what was decided: whether it still waits is asked of the contract, what it does is read from its own events.

use alloy::{
    eips::BlockId,
    network::TransactionBuilder,
    primitives::{Address, B256, Bytes, U256, keccak256},
    providers::Provider,
    rpc::types::TransactionRequest,
    sol_types::{SolCall, SolEvent},
};
use mandate_model::bindings::{AppGovernor, RoleCouncil};

use super::{Dispatcher, attempts::AttemptError};
use crate::{
    effects::{Body, NewEffect, decoded, revert_name},
    store::{EventQuery, StoredLog},
};

/// `IGovernor.ProposalState.Queued`.
const QUEUED: u8 = 5;
/// `IRoleCouncil.MotionState.Passed`.
const PASSED: u8 = 2;
/// Events that are read at a time.
const PAGE: u32 = 200;

impl Dispatcher {
    /// The transaction that executes a decision; nothing when it does not wait for one (any more).
    pub(super) async fn check_passed(
        &self,
        at: Address,
        body: Body,
        id: U256,
    ) -> Result<Vec<NewEffect>, AttemptError> {
        let data = match body {
            Body::Governor => self.proposal(at, id).await?,
            Body::Council => self.motion(at, id).await?,
        };
        let Some(data) = data else { return Ok(Vec::new()) };
        let request = TransactionRequest::default().with_to(at).with_input(data.clone());
        let gas = match self.provider.estimate_gas(request).block(BlockId::latest()).await {
            Ok(gas) => gas,
            Err(error) => {
                let revert = error.as_error_resp().and_then(|answer| answer.as_revert_data());
                let why = revert
                    .map_or_else(|| "the endpoint does not say why".to_owned(), |data| revert_name(&data));
                return Err(AttemptError::NotExecutable(why));
            }
        };
        if gas > self.outside.governance.max_gas {
            tracing::error!(%at, %id, gas, most = self.outside.governance.max_gas, "executing it costs too much: do it by hand");
            return Ok(Vec::new());
        }
        Ok(vec![NewEffect::of_execution(&self.contracts, at, data)])
    }

    async fn proposal(&self, at: Address, id: U256) -> Result<Option<Bytes>, AttemptError> {
        if AppGovernor::new(at, &self.provider).state(id).call().await? != QUEUED {
            return Ok(None);
        }
        let created = AppGovernor::ProposalCreated::SIGNATURE_HASH;
        let is_it = |log: &StoredLog| {
            decoded::<AppGovernor::ProposalCreated>(log).filter(|created| created.proposalId == id)
        };
        let Some(e) = self.find_event(at, created, is_it).await? else { return Ok(unknown(at, id)) };
        let call = AppGovernor::executeCall {
            targets: e.targets,
            values: e.values,
            calldatas: e.calldatas,
            descriptionHash: keccak256(e.description),
        };
        Ok(Some(call.abi_encode().into()))
    }

    async fn motion(&self, at: Address, id: U256) -> Result<Option<Bytes>, AttemptError> {
        if RoleCouncil::new(at, &self.provider).state(id).call().await? != PASSED {
            return Ok(None);
        }
        let proposed = RoleCouncil::MotionProposed::SIGNATURE_HASH;
        let is_it =
            |log: &StoredLog| decoded::<RoleCouncil::MotionProposed>(log).filter(|e| e.motionId == id);
        let Some(e) = self.find_event(at, proposed, is_it).await? else { return Ok(unknown(at, id)) };
        let call = RoleCouncil::executeCall { calls: e.calls, description: e.description, salt: e.salt };
        Ok(Some(call.abi_encode().into()))
    }

    async fn find_event<T>(
        &self,
        at: Address,
        topic: B256,
        is_it: impl Fn(&StoredLog) -> Option<T>,
    ) -> Result<Option<T>, AttemptError> {
        let mut query =
            EventQuery { addresses: vec![at], topics: vec![topic], limit: PAGE, ..EventQuery::default() };
        loop {
            let page = self.store.events(query.clone()).await?;
            if let Some(found) = page.iter().find_map(&is_it) {
                return Ok(Some(found));
            }
            match page.last() {
                Some(last) if page.len() == PAGE as usize => {
                    query.after = Some((last.block_number, last.log_index));
                }
                _ => return Ok(None),
            }
        }
    }
}

/// What was proposed before this relayer watched the contract is not among its events.
fn unknown(at: Address, id: U256) -> Option<Bytes> {
    tracing::error!(%at, %id, "it passed, and this relayer has not seen what it is to do: execute it by hand");
    None
}
