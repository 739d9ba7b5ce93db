// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The chain as a [`VerifiedReader`] proves it.

use std::time::Duration;

use alloy::{primitives::Address, sol_types::SolCall};
use futures::future::{BoxFuture, FutureExt};
use mandate_acme::name::DomainName;
use mandate_model::{
    Reason,
    bindings::{AppAuth, BootRequest, DomainRegistry, KmsAuth, KmsCommittee},
    committee::group_keys,
    outcome::PolicyReason,
    wire::BlockRef,
};
use mandate_runtime::redact::without_urls;
use mandate_witness::{At, Read, VerifiedReader};

use super::{Chain, GroupKeys, Holder, Standing, Undecided, Verdict};
use crate::facts::Facts;

const DENIED: u8 = 0;
const ALLOWED: u8 = 1;

/// Reads the deployment's contracts with proof.
#[derive(Debug, Clone)]
pub struct VerifiedChain {
    reader: VerifiedReader,
    kms_auth: Address,
    domain_registry: Address,
    committee: Option<Address>,
}

impl VerifiedChain {
    /// Reads these contracts through `reader`.
    pub fn new(reader: VerifiedReader, kms_auth: Address, domain_registry: Address) -> Self {
        Self { reader, kms_auth, domain_registry, committee: None }
    }

    /// Reads the group keys from this `KmsCommittee`.
    #[must_use]
    pub fn with_committee(mut self, committee: Option<Address>) -> Self {
        self.committee = committee;
        self
    }

    async fn verdict(&self, facts: &Facts, at: At) -> Result<Verdict, String> {
        let call = KmsAuth::decideCall { request: BootRequest::from(facts) };
        let read = self.reader.read(self.kms_auth, &call, at).await.map_err(unread)?;
        let KmsAuth::decideReturn { verdict, reason, validUntil: valid_until } = read.value;
        let block = read.block;
        match verdict {
            ALLOWED => {
                let remaining = Duration::from_secs(valid_until.saturating_sub(read.timestamp));
                Ok(Verdict::Allowed { valid_until, remaining, block })
            }
            DENIED => Ok(Verdict::Denied { reason: policy_reason(reason), block }),
            other => Err(format!("KmsAuth answered with verdict {other}, which this build does not know")),
        }
    }

    async fn holder(&self, name: &DomainName, at: At) -> Result<Holder, Undecided> {
        let call = DomainRegistry::appOfCall { name: name.to_string() };
        let read = self.ask(self.domain_registry, &call, self.block(at).await?).await?;
        let app = Some(read.value).filter(|app| *app != Address::ZERO);
        Ok(Holder { app, block: read.block })
    }

    async fn standing_of(&self, app: Address, at: At) -> Result<Standing, Undecided> {
        // Answers of two blocks may never have been true together.
        let block = self.block(at).await?;
        let registered = self.ask(self.kms_auth, &KmsAuth::isRegisteredCall { app }, block).await?.value;
        if !registered.registered {
            return Ok(Standing::Halted);
        }
        // A foreign app has rules of its own, which decide about instances; it cannot be asked whether it has ended.
        if !registered.foreign {
            if self.ask(app, &AppAuth::isSunsetCall {}, block).await?.value {
                return Ok(Standing::Ended);
            }
            let paused = self.ask(app, &AppAuth::pausedUntilCall {}, block).await?;
            if paused.timestamp < paused.value.to::<u64>() {
                return Ok(Standing::Halted);
            }
        }
        match self.ask(self.kms_auth, &KmsAuth::isSuspendedCall { app }, block).await?.value {
            true => Ok(Standing::Halted),
            false => Ok(Standing::Active),
        }
    }

    async fn keys(&self, at: At) -> Result<GroupKeys, Undecided> {
        let unset = || Undecided("statements cannot be checked: chain.committee is not set".to_owned());
        let committee = self.committee.ok_or_else(unset)?;
        let block = self.block(at).await?;
        let current = self.ask(committee, &KmsCommittee::currentEpochCall {}, block).await?;
        let outgoing = self.ask(committee, &KmsCommittee::outgoingEpochCall {}, block).await?;
        let keys = group_keys(&current.value, &outgoing.value, current.timestamp);
        let none = || Undecided(format!("KmsCommittee {committee} has no group key yet"));
        if keys.is_empty() { Err(none()) } else { Ok(GroupKeys { keys, block }) }
    }

    async fn block(&self, at: At) -> Result<BlockRef, Undecided> {
        self.reader.block(at).await.map_err(|e| Undecided(unread(e)))
    }

    async fn ask<C: SolCall>(
        &self,
        to: Address,
        call: &C,
        block: BlockRef,
    ) -> Result<Read<C::Return>, Undecided> {
        self.reader.read_at(block, to, call).await.map_err(|e| Undecided(unread(e)))
    }
}

impl Chain for VerifiedChain {
    fn decide<'a>(&'a self, facts: &'a Facts, at: At) -> BoxFuture<'a, Verdict> {
        self.verdict(facts, at).map(|read| read.unwrap_or_else(|why| Verdict::Undecided { why })).boxed()
    }

    fn group_keys(&self, at: At) -> BoxFuture<'_, Result<GroupKeys, Undecided>> {
        self.keys(at).boxed()
    }

    fn app_of<'a>(&'a self, name: &'a DomainName, at: At) -> BoxFuture<'a, Result<Holder, Undecided>> {
        self.holder(name, at).boxed()
    }

    fn standing(&self, app: Address, at: At) -> BoxFuture<'_, Result<Standing, Undecided>> {
        self.standing_of(app, at).boxed()
    }
}

fn unread(error: mandate_witness::Undecided) -> String {
    without_urls(&error.to_string()).into_owned()
}

/// The contract may know reasons that this build does not; they deny all the same.
fn policy_reason(number: u8) -> Reason {
    match PolicyReason::try_from(number) {
        Ok(reason) => Reason::Policy(reason),
        Err(number) => Reason::Request(format!("policy reason {number}, which this build does not know")),
    }
}
