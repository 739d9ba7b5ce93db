// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the gateway asks of the chain: the policy's verdict on an instance, and the app that may serve a domain.
//!
//! Every answer is executed locally over proven state (`mandate-witness`); an RPC endpoint can delay it and never make it
//! up (G-5).

use std::{fmt, time::Duration};

use alloy::primitives::Address;
use futures::future::{BoxFuture, FutureExt, ready};
use mandate_acme::name::DomainName;
use mandate_model::{Outcome, Reason, wire::BlockRef};
use mandate_threshold::GROUP_KEY_LENGTH;

use crate::facts::Facts;

pub use mandate_witness::At;
pub use verified::VerifiedChain;

mod verified;

/// The policy's answer (G-6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Yes, as of `block`.
    Allowed {
        /// When the permission ends by the passing of time alone, in block time.
        valid_until: u64,
        /// How long that is from the block's own timestamp.
        remaining: Duration,
        /// The block.
        block: BlockRef,
    },
    /// No, as of `block`.
    Denied {
        /// Why.
        reason: Reason,
        /// The block.
        block: BlockRef,
    },
    /// Neither: data is missing, stale or contradictory.
    Undecided {
        /// What is.
        why: String,
    },
}

impl Verdict {
    /// The verdict as it is told to others.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Allowed { valid_until, .. } => Outcome::Allowed { valid_until: *valid_until },
            Self::Denied { reason, .. } => Outcome::Denied { reason: reason.clone() },
            Self::Undecided { why } => Outcome::Undecided { why: why.clone() },
        }
    }

    /// The block that was judged, if it came to that.
    pub fn block(&self) -> Option<BlockRef> {
        match self {
            Self::Allowed { block, .. } | Self::Denied { block, .. } => Some(*block),
            Self::Undecided { .. } => None,
        }
    }
}

/// Who may serve a domain, as of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder {
    /// The app; none when nobody may.
    pub app: Option<Address>,
    /// The block.
    pub block: BlockRef,
}

/// Whether an app goes on, as of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It does.
    Active,
    /// Nothing is released to it, which may pass: it is paused, which ends by itself, or suspended, which can be lifted.
    Halted,
    /// It is closed for good (`AppAuth.sunset`), which nobody can undo.
    Ended,
}

/// Nothing could be said: data is missing, stale or contradictory.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("undecided: {0}")]
pub struct Undecided(pub String);

/// The keys under which the committee's word counts, as of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupKeys {
    /// The present one, and the one before it during its handover. Never empty.
    pub keys: Vec<[u8; GROUP_KEY_LENGTH]>,
    /// The block.
    pub block: BlockRef,
}

/// Asks the contracts.
pub trait Chain: Send + Sync + fmt::Debug {
    /// `KmsAuth.decide` about an instance.
    fn decide<'a>(&'a self, facts: &'a Facts, at: At) -> BoxFuture<'a, Verdict>;

    /// `KmsCommittee`'s group keys. Without a committee that could be read there are none.
    fn group_keys(&self, at: At) -> BoxFuture<'_, Result<GroupKeys, Undecided>> {
        let why = format!("statements cannot be checked: no committee can be read ({at:?})");
        ready(Err(Undecided(why))).boxed()
    }

    /// `DomainRegistry.appOf` about a domain.
    fn app_of<'a>(&'a self, name: &'a DomainName, at: At) -> BoxFuture<'a, Result<Holder, Undecided>>;

    /// Whether an app is suspended (`KmsAuth`), paused or closed (`AppAuth`).
    fn standing(&self, app: Address, at: At) -> BoxFuture<'_, Result<Standing, Undecided>>;
}

/// The grant rule: allowed by finalised state, and not denied by the newest (G-1, G-7). The head is asked only if that can
/// still change the answer.
pub async fn decide_grant(chain: &dyn Chain, facts: &Facts) -> Verdict {
    match chain.decide(facts, At::Finalized).await {
        finalized @ Verdict::Allowed { .. } => sooner(finalized, chain.decide(facts, At::Head).await),
        other => other,
    }
}

/// The same rule for a route that stands: the head is asked first, so that a lagging finality hides no revocation.
pub async fn decide_both(chain: &dyn Chain, facts: &Facts) -> Verdict {
    match chain.decide(facts, At::Head).await {
        denied @ Verdict::Denied { .. } => denied,
        head => match chain.decide(facts, At::Finalized).await {
            finalized @ Verdict::Allowed { .. } => sooner(finalized, head),
            other => other,
        },
    }
}

/// The head's answer unless both are a yes; then the one that ends sooner.
fn sooner(finalized: Verdict, head: Verdict) -> Verdict {
    match (&finalized, &head) {
        (Verdict::Allowed { remaining: one, .. }, Verdict::Allowed { remaining: other, .. })
            if one <= other =>
        {
            finalized
        }
        _ => head,
    }
}
