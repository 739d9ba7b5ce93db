// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The loop around the follower: when to look at the chain, whom to wake, and what health says of it.

use std::{sync::Arc, time::Duration};

use mandate_runtime::{Ambient, http::Health};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{
    chain::{Follower, Ticked},
    metrics,
    redact::Redact,
};

/// The loop around the follower.
pub(super) struct Following {
    pub(super) follower: Follower,
    pub(super) wake: Arc<Notify>,
    pub(super) http_bell: Arc<Notify>,
    pub(super) chain_bell: Arc<Notify>,
    pub(super) poll: Duration,
    pub(super) stall_after: Duration,
    pub(super) redact: Redact,
    pub(super) health: Health,
    pub(super) ambient: Ambient,
}

impl Following {
    /// Until `stop` fires; then the next relayer may follow.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        // What was left in the outbox by the last run.
        self.http_bell.notify_one();
        self.chain_bell.notify_one();
        let work = async {
            let mut last_error = String::new();
            loop {
                if self.tick(&mut last_error).await {
                    continue;
                }
                tokio::select! {
                    () = self.wake.notified() => {}
                    () = self.ambient.clock.sleep(self.poll) => {}
                }
            }
        };
        stop.clone().run_until_cancelled(work).await;
        if let Err(error) = self.follower.stand_down().await {
            tracing::warn!(%error, "another relayer takes over when this one's lease has ended");
        }
    }

    /// Tells whether there is more to do at once.
    async fn tick(&mut self, last_error: &mut String) -> bool {
        let ticked = match self.follower.tick_head().await {
            Ok(mut ticked) => {
                // Revocations do not wait for what is final.
                self.ring(&ticked);
                let finality = self.follower.tick_finality(&mut ticked).await;
                if ticked.finalized {
                    self.http_bell.notify_one();
                    self.chain_bell.notify_one();
                }
                finality.map(|()| ticked)
            }
            Err(error) => {
                // Some may have been enqueued all the same.
                self.http_bell.notify_one();
                Err(error)
            }
        };
        match ticked {
            Ok(ticked) => {
                last_error.clear();
                self.judge_age(ticked.head_time);
                ticked.unfinished
            }
            Err(error) => {
                let why = self.redact.text(&error);
                // An endpoint that is away is told once, not at every poll.
                if *last_error != why {
                    tracing::warn!(%why, "cannot follow the chain");
                    last_error.clone_from(&why);
                }
                self.health.fail("chain", why);
                false
            }
        }
    }

    fn ring(&self, ticked: &Ticked) {
        if ticked.effects > 0 {
            self.http_bell.notify_one();
        }
        if ticked.blocks > 0 || ticked.rolled_back > 0 {
            self.chain_bell.notify_one();
            tracing::debug!(?ticked, "followed");
        }
    }

    fn judge_age(&self, head_time: u64) {
        let age = self.ambient.clock.unix().saturating_sub(head_time);
        metrics::HEAD_AGE.set(age as f64, []);
        match age > self.stall_after.as_secs() {
            true => self.health.fail("chain", format!("the newest header is {age} s old")),
            false => self.health.ok("chain"),
        }
    }
}
