// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Carries out the effects that are requests to nodes and gateways, many at a time, each until it is answered.

use std::{collections::HashSet, sync::Arc, time::Duration};

use alloy::{primitives::keccak256, providers::DynProvider};
use mandate_runtime::{Ambient, http::Client, redact::without_urls};
use tokio::{sync::Notify, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::{
    Effect, NewEffect,
    webhook::{Occurrence, Subscription, Webhooks},
};
use crate::{
    chain::Contracts,
    config::{EffectsConfig, GovernanceConfig},
    store::{Lane, Next, Queued, Store, StoreError},
};

/// What is told and paid for outside of the deployment's own nodes and gateways.
#[derive(Clone, Default)]
pub struct Outside {
    /// The receivers of messages; without them every message fails.
    pub webhooks: Option<Webhooks>,
    /// Which of them wants to be told what.
    pub subscriptions: Vec<Subscription>,
    /// What is executed.
    pub governance: GovernanceConfig,
}

/// The worker of [`Lane::Http`].
pub struct Dispatcher {
    /// What certificates are recorded in.
    pub contracts: Contracts,
    /// Clock, jitter, network.
    pub ambient: Ambient,
    /// The chain.
    pub provider: DynProvider,
    /// The outbox.
    pub store: Arc<dyn Store>,
    /// Speaks to nodes and gateways.
    pub client: Client,
    /// Who orders certificates.
    pub gateways: Vec<String>,
    /// Bounds.
    pub config: EffectsConfig,
    /// Webhooks and governance.
    pub outside: Outside,
    /// Rung when effects were enqueued.
    pub bell: Arc<Notify>,
    /// Rung when an effect left transactions behind.
    pub chain_bell: Arc<Notify>,
}

/// What is under way and what must wait.
#[derive(Default)]
struct Running {
    /// Tasks of their own: an attempt that holds the database's connection must go on while the outbox is read.
    attempts: JoinSet<String>,
    busy: HashSet<String>,
    /// When the claims on what is under way were renewed last.
    renewed: Duration,
}

mod attempts;
mod governance;

use attempts::AttemptError;

/// Attempts at what the target finds out by itself anyway.
const HINTS: u32 = 5;
/// For how long a grant is put off while a latch is set.
const WITHHELD: Duration = Duration::from_secs(15);

/// How long to wait when there is nothing to wait for: other relayers and the operator do not ring.
const IDLE: Duration = Duration::from_secs(1);

impl Dispatcher {
    /// Works until `stop` fires; requests that are under way then are abandoned and made again after the next start.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let this = Arc::new(self);
        let store = Arc::clone(&this.store);
        let work = async move {
            let mut running = Running::default();
            loop {
                let wait = this.start_due(&mut running).await.unwrap_or_else(|error| {
                    tracing::error!(%error, "cannot read the outbox");
                    Duration::from_secs(1)
                });
                tokio::select! {
                    () = this.bell.notified() => {}
                    () = this.ambient.clock.sleep(wait) => {}
                    Some(ended) = running.attempts.join_next() => match ended {
                        Ok(key) => drop(running.busy.remove(&key)),
                        // It stays busy: what panicked once is tried again after a restart, not in a circle.
                        Err(error) => tracing::error!(%error, "an attempt ended abruptly"),
                    },
                }
            }
        };
        stop.run_until_cancelled_owned(work).await;
        if let Err(error) = store.release(Lane::Http).await {
            tracing::warn!(%error, "what was under way waits for the end of its lease");
        }
    }

    /// One attempt of everything that is due now, to its end. Tells how many there were.
    ///
    /// # Errors
    /// When the outbox cannot be read.
    pub async fn settle(self: &Arc<Self>) -> Result<usize, StoreError> {
        let limit = u32::try_from(self.config.concurrency).unwrap_or(u32::MAX);
        let due = self.claim(limit).await?;
        let attempts: Vec<_> = due.into_iter().map(|queued| Arc::clone(self).attempt(queued)).collect();
        Ok(futures::future::join_all(attempts).await.len())
    }

    /// Starts what is due; tells how long to wait for the next.
    async fn start_due(self: &Arc<Self>, running: &mut Running) -> Result<Duration, StoreError> {
        let (now, renew) = (self.ambient.clock.monotonic(), self.store.lease() / 3);
        if running.busy.is_empty() {
            running.renewed = now;
        } else if now.saturating_sub(running.renewed) >= renew {
            self.store.renew(Lane::Http).await?;
            running.renewed = now;
        }
        let free = self.config.concurrency.saturating_sub(running.busy.len());
        if free == 0 {
            return Ok(renew);
        }
        let limit = u32::try_from(free).unwrap_or(u32::MAX);
        for queued in self.claim(limit).await? {
            if running.busy.insert(queued.key.clone()) {
                running.attempts.spawn(Arc::clone(self).attempt(queued));
            }
        }
        let due = self.store.next_due(Lane::Http).await?;
        Ok(due.unwrap_or(IDLE).clamp(Duration::from_millis(1), IDLE.min(renew)))
    }

    /// What is due, without what a latch withholds (G-6).
    async fn claim(&self, limit: u32) -> Result<Vec<Queued>, StoreError> {
        let claimed = self.store.claim(Lane::Http, limit).await?;
        let grants = claimed.iter().any(|queued| queued.effect.is_grant());
        if !grants || self.store.latches().await?.is_empty() {
            return Ok(claimed);
        }
        let (withheld, due): (Vec<_>, Vec<_>) =
            claimed.into_iter().partition(|queued| queued.effect.is_grant());
        tracing::warn!(effects = withheld.len(), "withheld: a latch is set (mandate-relayer latch list)");
        for queued in withheld {
            self.store.postpone(queued.key, WITHHELD).await?;
        }
        Ok(due)
    }

    /// One attempt; gives the key.
    async fn attempt(self: Arc<Self>, queued: Queued) -> String {
        let Queued { key, effect, attempts, enqueued } = queued;
        let noted = match self.carry_out(&key, &effect, attempts).await {
            Ok(follow) => self.succeeded(&key, &effect, enqueued, follow).await,
            Err(error) => self.failed(&key, &effect, attempts, &error).await,
        };
        if let Err(error) = noted {
            tracing::error!(effect = %key, %error, "cannot write to the outbox");
        }
        key
    }

    async fn succeeded(
        &self,
        key: &str,
        effect: &Effect,
        enqueued: Duration,
        follow: Vec<NewEffect>,
    ) -> Result<(), StoreError> {
        tracing::info!(effect = %key, "done");
        metrics::counter!("mandate_relayer_effects_total", "kind" => effect.kind(), "outcome" => "done")
            .increment(1);
        if !effect.is_scheduled() {
            let took = self.ambient.clock.unix_time().saturating_sub(enqueued);
            metrics::histogram!("mandate_relayer_effect_seconds", "kind" => effect.kind())
                .record(took.as_secs_f64());
        }
        let leaves_transactions = !follow.is_empty();
        self.store.complete(key.to_owned(), follow).await?;
        if leaves_transactions {
            self.chain_bell.notify_one();
        }
        Ok(())
    }

    async fn failed(
        &self,
        key: &str,
        effect: &Effect,
        attempts: u32,
        error: &AttemptError,
    ) -> Result<(), StoreError> {
        let most = if effect.is_hint() { self.config.attempts.min(HINTS) } else { self.config.attempts };
        let give_up = attempts + 1 >= most;
        tracing::warn!(effect = %key, %error, attempt = attempts + 1, give_up, "attempt failed");
        let outcome = if give_up { "given_up" } else { "failed" };
        metrics::counter!("mandate_relayer_effects_total", "kind" => effect.kind(), "outcome" => outcome)
            .increment(1);
        let next = match give_up {
            true => Next::GiveUp,
            false => Next::After(self.config.retry.delay(attempts, &*self.ambient.entropy)),
        };
        if give_up {
            // Before it is noted: a crash in between tells it again, under the same key.
            self.report(key, effect, error).await?;
        }
        self.store.attempt_failed(key.to_owned(), error.to_string(), next).await
    }

    /// What is given up is an incident; that a webhook does not answer is not told by webhooks.
    async fn report(&self, key: &str, effect: &Effect, error: &AttemptError) -> Result<(), StoreError> {
        if effect.is_hint() || matches!(effect, Effect::Webhook { .. }) {
            return Ok(());
        }
        // Where nodes and gateways are is no business of a receiver outside.
        let text = format!("{} was given up: {error}; its key is {key}", effect.kind());
        let what = Occurrence::Incident { app: None, what: without_urls(&text).into_owned() };
        let wanted = self.outside.subscriptions.iter().filter(|hook| hook.wants(&what));
        let told = wanted.map(|hook| {
            NewEffect::of_webhook(
                &self.contracts,
                &hook.name,
                &format!("given_up:{}", keccak256(key)),
                what.clone(),
            )
        });
        self.store.enqueue(told.collect()).await
    }
}
