// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Gets the app's secret, and proves the instance again before each lease is over: a secret that the contracts no longer
//! allow must not be used until the next restart.
//!
//! ```text
//! Waiting ── fetched ─▶ Held for one lease ── at half of it: fetched again ─▶ Held for another
//!    ▲                     ├── denied: at once ──────┐
//!    └─────────────────────┴── lease over ───────────┘
//! ```
//! What cannot be decided changes nothing until the lease is over (G-6).

use std::{sync::Arc, time::Duration};

use mandate_model::wire::relayer::CommitteeView;
use mandate_runtime::{Ambient, http::Health};
use tokio::sync::watch;

use crate::{
    Quoter,
    agent::{Held, KeyState},
    config::Config,
    keys::{Fetched, KeyClient, KeyError, Stated},
};

/// The health of this part of the agent.
pub(super) const KEYS: &str = "keys";

/// The tries for the secret.
pub(super) struct Leasing<'a> {
    pub(super) config: &'a Config,
    pub(super) ambient: &'a Ambient,
    pub(super) client: KeyClient,
    pub(super) quoter: &'a dyn Quoter,
    pub(super) health: &'a Health,
    pub(super) keys: &'a watch::Sender<KeyState>,
}

impl Leasing<'_> {
    pub(super) async fn forever(&self) {
        loop {
            let (fetched, held) = self.until_held().await;
            let why = self.while_held(&fetched, &held).await;
            tracing::error!(%why, "the secret is not served any more");
            self.not_held(&why);
        }
    }

    /// Tries with growing pauses.
    async fn until_held(&self) -> (Fetched, Arc<Held>) {
        let retry = self.config.retry;
        let mut pause = retry.first;
        loop {
            let since = self.ambient.clock.monotonic();
            let tried = match self.fetch(self.config.generation).await {
                Ok(fetched) => self.hold(&fetched, since).map(|held| (fetched, held)),
                Err(error) => Err(error.to_string()),
            };
            match tried {
                Ok(held) => return held,
                Err(why) => {
                    tracing::warn!(%why, "no secret yet");
                    self.not_held(&why);
                }
            }
            self.ambient.clock.sleep(pause).await;
            pause = (pause * 2).min(retry.longest);
        }
    }

    /// Renews the lease until it cannot be renewed; says why.
    async fn while_held(&self, fetched: &Fetched, held: &Held) -> String {
        let retry = self.config.retry;
        let mut pause = retry.first;
        let mut due = self.ambient.clock.monotonic() + self.config.lease / 2;
        loop {
            self.state_until(due, fetched, held).await;
            let since = self.ambient.clock.monotonic();
            match self.fetch(fetched.generation).await {
                Ok(again) if again.secret == fetched.secret => {
                    held.renew(self.ends(since));
                    // Whoever stopped at the lease's end can go on.
                    self.keys.send_modify(|_| ());
                    self.health.ok(KEYS);
                    tracing::debug!("the lease is renewed");
                    (pause, due) = (retry.first, since + self.config.lease / 2);
                }
                Ok(_) => return "the committee gives another secret for the same generation".to_owned(),
                Err(error) if error.denied().is_some() => return error.to_string(),
                Err(error) => {
                    let now = self.ambient.clock.monotonic();
                    if !held.is_leased(now) {
                        return format!("the lease is over and could not be renewed: {error}");
                    }
                    tracing::warn!(%error, "the lease could not be renewed; trying again until it is over");
                    self.health.fail(KEYS, &error);
                    due = now + pause.min(held.left(now));
                    pause = (pause * 2).min(retry.longest);
                }
            }
        }
    }

    /// Waits until `due`. What is not said in public of the app's keys yet is asked for meanwhile: the app runs without it.
    async fn state_until(&self, due: Duration, fetched: &Fetched, held: &Held) {
        let retry = self.config.retry;
        let mut pause = retry.first;
        while !held.is_stated() {
            match self.statement(fetched).await {
                Ok(stated) => held.keep(stated),
                Err(error) => tracing::warn!(%error, "the committee has not signed the statement yet"),
            }
            let left = due.saturating_sub(self.ambient.clock.monotonic());
            if left.is_zero() || held.is_stated() {
                break;
            }
            self.ambient.clock.sleep(pause.min(left)).await;
            pause = (pause * 2).min(retry.longest);
        }
        self.ambient.clock.sleep(due.saturating_sub(self.ambient.clock.monotonic())).await;
    }

    async fn fetch(&self, generation: u64) -> Result<Fetched, KeyError> {
        let view = self.committee().await?;
        self.client.fetch(&self.config.pinned(), &view, generation, self.quoter).await
    }

    async fn statement(&self, fetched: &Fetched) -> Result<Stated, KeyError> {
        let view = self.committee().await?;
        self.client.statement(&self.config.pinned(), &view, fetched, self.quoter).await
    }

    async fn committee(&self) -> Result<CommitteeView, KeyError> {
        self.client.pinned_committee(&self.config.pinned(), &self.config.relayers).await
    }

    fn hold(&self, fetched: &Fetched, since: Duration) -> Result<Arc<Held>, String> {
        let held = Held::new(fetched, self.ends(since)).map_err(|error| error.to_string())?;
        let held = Arc::new(held);
        let nodes: Vec<String> = fetched.reports.iter().map(ToString::to_string).collect();
        tracing::info!(app = %fetched.app, generation = fetched.generation, epoch = fetched.epoch, ?nodes, "secret held");
        self.keys.send_replace(KeyState::Held(Arc::clone(&held)));
        self.health.ok(KEYS);
        Ok(held)
    }

    /// The end of a lease that began at `since`: before the question went out, however long the answer took.
    fn ends(&self, since: Duration) -> Lease {
        let now = self.ambient.clock.monotonic();
        let left = (since + self.config.lease).saturating_sub(now);
        Lease { until: since + self.config.lease, until_unix: self.ambient.clock.unix() + left.as_secs() }
    }

    fn not_held(&self, why: &str) {
        self.health.fail(KEYS, why);
        self.keys.send_replace(KeyState::Waiting(why.to_owned()));
    }
}

/// Until when a secret may be used without a new proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// By the monotonic clock.
    pub until: Duration,
    /// The same by the wall clock, for certificates.
    pub until_unix: u64,
}
