// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Keeps this node one of the committee's: has the members vouch for its evidence in time, and, as a replica, gets a copy of
//! the single member's share.
//!
//! ```text
//! attestation ends soon ─▶ evidence, bound to the members' nonces and this node's keys ─▶ each member decides as for any app
//!                            quorum of vouches ─▶ relayer ─▶ KmsCommittee.attestNode ─▶ Seat
//! ```
//! It works beside the node's loop, which must not wait for other nodes.

use std::{sync::Arc, time::Duration};

use mandate_attestation::{Quoter, QuoterError};
use mandate_runtime::{
    Ambient,
    http::{Client, Health, HttpError},
    redact::without_urls,
};
use mandate_witness::{BlockRef, Undecided};
use thiserror::Error;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    ceremony::Context,
    chain::Chain,
    keys::KeyError,
    relayer::Relayer,
    shares::{ShareError, Shares},
    store::StoreError,
};

mod ask;
mod attest;
mod copy;

/// The health of this part of the node.
const PART: &str = "membership";

/// The longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// How long what the relayer took may be on its way to finality before it is made anew.
const PATIENCE: Duration = Duration::from_secs(30 * 60);

/// What the node's loop saw at the newest finalised block.
#[derive(Debug, Clone, Copy)]
pub(crate) struct News {
    pub(crate) block: BlockRef,
    /// Its time.
    pub(crate) time: u64,
    /// The number of the newest demand for attestation.
    pub(crate) demand: u64,
    /// When this node's attestation ends.
    pub(crate) until: u64,
}

/// Why the node is not attested, or has no copy, this time.
#[derive(Debug, Error)]
enum MembershipError {
    #[error(transparent)]
    Undecided(#[from] Undecided),
    #[error("evidence: {0}")]
    Quoter(#[from] QuoterError),
    #[error(
        "no source of evidence is configured ([evidence]): this node's attestation ended or will end at {until}"
    )]
    NoQuoter { until: u64 },
    #[error("the keys that KmsCommittee lists for this node are not its own")]
    OtherKeys,
    #[error("{got} of {needed} members that must vouch did: {reports}")]
    TooFew { got: usize, needed: usize, reports: String },
    #[error("the member gave no copy: {0}")]
    NoCopy(String),
    #[error("the relayer did not take it: {0}")]
    Relayer(#[from] HttpError),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Share(#[from] ShareError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the node is stopping")]
    Stopped,
}

/// What a [`Membership`] is made of.
#[derive(Debug)]
pub(crate) struct MembershipParts {
    pub(crate) context: Context,
    pub(crate) kms_auth: alloy::primitives::Address,
    pub(crate) chain: Chain,
    pub(crate) relayer: Relayer,
    pub(crate) http: Client,
    pub(crate) ambient: Ambient,
    pub(crate) quoter: Option<Arc<dyn Quoter>>,
    pub(crate) shares: Shares,
    pub(crate) health: Health,
    /// The first pause after a failure.
    pub(crate) pause: Duration,
}

/// The task.
#[derive(Debug)]
pub(crate) struct Membership {
    parts: MembershipParts,
    /// Seconds; read once, it never changes.
    period: Option<u64>,
    /// What is on its way to the chain: for which demand, since when.
    asked: Option<(u64, Duration)>,
    pause: Duration,
    not_before: Duration,
}

impl Membership {
    pub(crate) fn new(parts: MembershipParts) -> Self {
        let pause = parts.pause;
        Self { parts, period: None, asked: None, pause, not_before: Duration::ZERO }
    }

    /// Looks after it at every finalised block, until `stop` fires.
    pub(crate) async fn run(mut self, mut news: watch::Receiver<Option<News>>, stop: CancellationToken) {
        let forever = async {
            while news.changed().await.is_ok() {
                let newest = *news.borrow_and_update();
                if let Some(newest) = newest {
                    self.look_after(newest).await;
                }
            }
        };
        stop.run_until_cancelled(forever).await;
    }

    async fn look_after(&mut self, news: News) {
        let now = self.parts.ambient.clock.monotonic();
        if now < self.not_before {
            return;
        }
        let done = match self.attest(news).await {
            Ok(()) => self.copy(news).await,
            failed => failed,
        };
        match done {
            Ok(()) => {
                self.parts.health.ok(PART);
                self.pause = self.parts.pause;
            }
            Err(error) => {
                let error = error.to_string();
                let error = without_urls(&error);
                tracing::warn!(%error, "the node's membership could not be looked after; trying again");
                self.parts.health.fail(PART, error);
                self.not_before = self.parts.ambient.clock.monotonic() + self.pause;
                self.pause = (self.pause * 2).min(LONGEST_PAUSE);
            }
        }
    }

    async fn period(&mut self, block: BlockRef) -> Result<u64, Undecided> {
        match self.period {
            Some(period) => Ok(period),
            None => {
                let period = self.parts.chain.attestation_period(block).await?;
                self.period = Some(period);
                Ok(period)
            }
        }
    }
}
