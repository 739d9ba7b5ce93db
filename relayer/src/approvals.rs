// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Approvals of council members, which the relayer pays for: asked of the council itself before anything is paid, bounded,
//! and kept before they are accepted.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use alloy::{
    eips::BlockId,
    network::TransactionBuilder,
    primitives::{Address, Bytes, U256, hex},
    providers::{DynProvider, Provider},
    rpc::types::TransactionRequest,
    sol_types::SolEvent,
    transports::TransportError,
};
use mandate_model::{
    bindings::{AppAuth, GovernanceFactory},
    wire::relayer::{Accepted, Approval},
};
use mandate_runtime::Clock;
use tokio::sync::{Notify, Semaphore};

use crate::{
    budget::Budget,
    chain::{ChainView, Contracts},
    config::ApprovalsConfig,
    effects::{NewEffect, decoded, revert_name, transaction},
    intake::IntakeError,
    store::{EventQuery, Store},
};

/// The longest signature: a multi-signature wallet's holds many.
const MAX_SIGNATURE: usize = 4 << 10;
/// Approvals that are looked at at a time.
const MAX_ASKED: usize = 8;
/// For how long the answer about an address is remembered.
const REMEMBERED: Duration = Duration::from_secs(60);
/// Addresses that are remembered.
const MAX_REMEMBERED: usize = 1_024;
/// Events that are read at a time.
const PAGE: u32 = 1_000;

/// The way in.
#[derive(Clone)]
pub struct Approvals {
    contracts: Contracts,
    provider: DynProvider,
    store: Arc<dyn Store>,
    view: ChainView,
    clock: Arc<dyn Clock>,
    config: ApprovalsConfig,
    payer: Address,
    budget: Budget,
    asked: Arc<Semaphore>,
    known: Arc<Mutex<BTreeMap<Address, (Duration, bool)>>>,
    bell: Arc<Notify>,
}

impl Approvals {
    /// Approvals into `store`, paid by `payer`; `bell` is rung for each.
    #[allow(clippy::too_many_arguments, reason = "what the service hands out, once")]
    pub fn new(
        contracts: Contracts,
        provider: DynProvider,
        store: Arc<dyn Store>,
        view: ChainView,
        clock: Arc<dyn Clock>,
        config: ApprovalsConfig,
        payer: Address,
        bell: Arc<Notify>,
    ) -> Self {
        let budget = Budget::new(config.per_hour);
        let asked = Arc::new(Semaphore::new(MAX_ASKED));
        let known = Arc::default();
        Self { contracts, provider, store, view, clock, config, payer, budget, asked, known, bell }
    }

    /// Takes an approval; when this returns it is durable. The same one again gives the same key and costs nothing.
    ///
    /// # Errors
    /// When the council would refuse it, or it is one too many.
    pub async fn accept(&self, approval: Approval) -> Result<Accepted, IntakeError> {
        if approval.signature.len() > MAX_SIGNATURE {
            let (what, given) = ("the signature", approval.signature.len());
            return Err(IntakeError::TooLong { what, given, most: MAX_SIGNATURE });
        }
        let now = self.clock.unix();
        if approval.deadline < U256::from(now) {
            return Err(IntakeError::Late { deadline: approval.deadline, now });
        }
        let busy = || IntakeError::TooMany("too many approvals at once".to_owned());
        let _permit = self.asked.try_acquire().map_err(|_| busy())?;
        let (council, member) = (approval.council, approval.member);
        if !self.is_council(council).await? {
            return Err(IntakeError::UnknownCouncil(council));
        }
        let new = NewEffect::of_approval(&self.contracts, approval);
        let effect = new.key.clone();
        let known = self.store.effect_state(effect.clone()).await?;
        if known.as_deref().is_none_or(|state| state == "failed") {
            self.ask(&new).await?;
            self.spend(member).await?;
            self.store.enqueue(vec![new]).await?;
            self.bell.notify_one();
        }
        Ok(Accepted { effect })
    }

    /// Lets the council judge it, as it will: the signature by key or by contract (ERC-1271), nonce, role, motion.
    async fn ask(&self, new: &NewEffect) -> Result<(), IntakeError> {
        let call = transaction(&self.contracts, &new.effect);
        let call = call.ok_or_else(|| IntakeError::Refused("not a transaction".to_owned()))?;
        let request =
            TransactionRequest::default().with_from(self.payer).with_to(call.to).with_input(call.data);
        let gas = match self.provider.estimate_gas(request).block(BlockId::latest()).await {
            Ok(gas) => gas,
            Err(error) => return Err(refused(error)),
        };
        match gas > self.config.max_gas {
            true => Err(IntakeError::TooDear { gas, most: self.config.max_gas }),
            false => Ok(()),
        }
    }

    async fn spend(&self, member: Address) -> Result<(), IntakeError> {
        let many = |what| IntakeError::TooMany(format!("{member} {what}"));
        if self.store.open_of(member.to_string()).await? >= self.config.open {
            return Err(many("has too many approvals under way"));
        }
        match self.budget.spend(member, self.clock.monotonic()) {
            true => Ok(()),
            false => Err(many("has approved too much in this hour")),
        }
    }

    /// Whether the relayer pays for what this address is told: it is configured, or it is the factory's code and owns an app
    /// that is registered here. Other code could take any approval from anybody, at any price.
    async fn is_council(&self, council: Address) -> Result<bool, IntakeError> {
        if council == self.contracts.role_council || self.config.councils.contains(&council) {
            return Ok(true);
        }
        let Some(factory) = self.contracts.governance_factory.filter(|_| self.config.discover) else {
            return Ok(false);
        };
        let now = self.clock.monotonic();
        if let Some(known) = self.remembered(council, now) {
            return Ok(known);
        }
        let genuine = self.is_clone(factory, council).await?;
        let is_one = genuine && self.owns_an_app(council).await?;
        if genuine && !is_one {
            // Its app may be seen with the next block.
            return Ok(false);
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_REMEMBERED {
            known.clear();
        }
        known.insert(council, (now, is_one));
        Ok(is_one)
    }

    fn remembered(&self, council: Address, now: Duration) -> Option<bool> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, is_one) = known.get(&council)?;
        (now.saturating_sub(*at) < REMEMBERED).then_some(*is_one)
    }

    async fn is_clone(&self, factory: Address, council: Address) -> Result<bool, IntakeError> {
        let factory = GovernanceFactory::new(factory, &self.provider);
        let implementation = factory.councilImplementation().call().await?;
        Ok(self.provider.get_code_at(council).await? == clone_code(implementation))
    }

    async fn owns_an_app(&self, council: Address) -> Result<bool, IntakeError> {
        let apps = self.view.apps();
        let mut query = EventQuery {
            topics: vec![AppAuth::OwnershipTransferred::SIGNATURE_HASH],
            limit: PAGE,
            ..EventQuery::default()
        };
        let mut owned = BTreeSet::new();
        loop {
            let page = self.store.events(query.clone()).await?;
            for log in page.iter().filter(|log| apps.contains(&log.address)) {
                match decoded::<AppAuth::OwnershipTransferred>(log) {
                    Some(e) if e.newOwner == council => owned.insert(log.address),
                    _ => owned.remove(&log.address),
                };
            }
            match page.last() {
                Some(last) if page.len() == PAGE as usize => {
                    query.after = Some((last.block_number, last.log_index));
                }
                _ => return Ok(!owned.is_empty()),
            }
        }
    }
}

/// A contract's refusal is the caller's matter; an endpoint's failure is not.
fn refused(error: TransportError) -> IntakeError {
    let Some(answer) = error.as_error_resp() else { return error.into() };
    match answer.as_revert_data() {
        Some(data) => IntakeError::Refused(revert_name(&data)),
        None if answer.code == 3 || answer.message.contains("revert") => {
            IntakeError::Refused(answer.message.to_string())
        }
        None => error.into(),
    }
}

/// The code of an EIP-1167 clone.
fn clone_code(implementation: Address) -> Bytes {
    let (head, tail) = (hex!("363d3d373d3d3d363d73"), hex!("5af43d82803e903d91602b57fd5bf3"));
    [head.as_slice(), implementation.as_slice(), &tail].concat().into()
}
