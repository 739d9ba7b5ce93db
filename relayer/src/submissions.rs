// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What nodes want on chain: checked as the contract will check it, bounded, and kept before it is accepted.

use std::{sync::Arc, time::Duration};

use alloy::{
    primitives::{Address, Bytes, aliases::U40, keccak256},
    providers::DynProvider,
    sol_types::{SolStruct, SolValue},
};
use mandate_model::{
    signed,
    wire::relayer::{Accepted, Submission},
};
use mandate_runtime::Clock;
use tokio::sync::Notify;

use crate::{
    budget::Budget,
    chain::{ChainView, Contracts},
    config::MailboxConfig,
    effects::NewEffect,
    intake::IntakeError,
    mailbox::ASK_EVERY,
    store::Store,
};

/// The longest dealer log or public polynomial.
const MAX_PAYLOAD: usize = 64 << 10;

/// The largest committee.
const MAX_VOUCHES: usize = 64;

/// Bytes of an ECDSA signature with its recovery id.
const SIGNATURE: usize = 65;

/// The way in.
#[derive(Clone)]
pub struct Submissions {
    contracts: Contracts,
    provider: DynProvider,
    store: Arc<dyn Store>,
    view: ChainView,
    clock: Arc<dyn Clock>,
    config: MailboxConfig,
    budget: Budget,
    bell: Arc<Notify>,
}

impl Submissions {
    /// Submissions into `store`; `bell` is rung for each.
    pub fn new(
        contracts: Contracts,
        provider: DynProvider,
        store: Arc<dyn Store>,
        view: ChainView,
        clock: Arc<dyn Clock>,
        config: MailboxConfig,
        bell: Arc<Notify>,
    ) -> Self {
        let budget = Budget::new(config.submissions_per_hour);
        Self { contracts, provider, store, view, clock, config, budget, bell }
    }

    /// Takes a submission; when this returns it is durable. The same one again gives the same key and costs nothing.
    ///
    /// # Errors
    /// When it is too long, forged, not a node's, or one too many.
    pub async fn accept(&self, submission: Submission) -> Result<Accepted, IntakeError> {
        check_lengths(&submission)?;
        let node = node_of(&submission);
        if self.signer(&submission) != Some(node) {
            return Err(IntakeError::Forged(node));
        }
        let now = self.clock.monotonic();
        if !self.view.is_node_now(node, &self.provider, self.contracts.committee, now, ASK_EVERY).await? {
            return Err(IntakeError::NotANode(node));
        }
        let new = NewEffect::of_submission(&self.contracts, node, submission);
        let effect = new.key.clone();
        let known = self.store.effect_state(effect.clone()).await?;
        if known.as_deref().is_none_or(|state| state == "failed") {
            self.spend(node, now).await?;
            self.store.enqueue(vec![new]).await?;
            self.bell.notify_one();
        }
        Ok(Accepted { effect })
    }

    /// The relayer pays for what it takes, so each node has a budget.
    async fn spend(&self, node: Address, now: Duration) -> Result<(), IntakeError> {
        let open = self.store.open_of(node.to_string()).await?;
        match open < self.config.open_submissions && self.budget.spend(node, now) {
            true => Ok(()),
            false => Err(IntakeError::TooMany(format!("{node} has submitted too much"))),
        }
    }

    fn signer(&self, submission: &Submission) -> Option<Address> {
        match submission {
            Submission::DealerLog { round, log, signature, .. } => {
                self.signer_of(&signed::DealerLog { round: *round, logHash: keccak256(log) }, signature)
            }
            Submission::Confirmation { round, group_key, polynomial, signature, .. } => {
                let output = (group_key.clone(), polynomial.clone()).abi_encode_params();
                self.signer_of(
                    &signed::Confirmation { round: *round, outputHash: keccak256(output) },
                    signature,
                )
            }
            Submission::Attestation { evidence_digest, until, signature, .. } => {
                let until = U40::saturating_from(*until);
                let message = signed::Attestation { evidenceDigest: *evidence_digest, until };
                self.signer_of(&message, signature)
            }
            Submission::Nonce { nonce, signature, .. } => {
                self.signer_of(&signed::Nonce { nonce: *nonce }, signature)
            }
        }
    }

    fn signer_of(&self, message: &impl SolStruct, signature: &Bytes) -> Option<Address> {
        signed::signer(message, &self.contracts.signing_domain(), signature)
    }
}

fn node_of(submission: &Submission) -> Address {
    match submission {
        Submission::DealerLog { node, .. }
        | Submission::Confirmation { node, .. }
        | Submission::Attestation { node, .. }
        | Submission::Nonce { node, .. } => *node,
    }
}

fn check_lengths(submission: &Submission) -> Result<(), IntakeError> {
    let check = |what, part: &Bytes, most| match part.len() {
        given if given > most => Err(IntakeError::TooLong { what, given, most }),
        _ => Ok(()),
    };
    match submission {
        Submission::DealerLog { log, .. } => check("log", log, MAX_PAYLOAD),
        Submission::Confirmation { group_key, polynomial, .. } => {
            check("groupKey", group_key, 48)?;
            check("polynomial", polynomial, MAX_PAYLOAD)
        }
        Submission::Attestation { vouches, .. } if vouches.len() > MAX_VOUCHES => {
            Err(IntakeError::TooLong { what: "vouches", given: vouches.len(), most: MAX_VOUCHES })
        }
        Submission::Attestation { vouches, .. } => {
            vouches.iter().try_for_each(|vouch| check("signature", &vouch.signature, SIGNATURE))
        }
        Submission::Nonce { .. } => Ok(()),
    }
}
