// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Carries out the effects that are requests to nodes and gateways, many at a time, each until it is answered.

use std::{collections::HashSet, sync::Arc, time::Duration};

use alloy::{primitives::Address, providers::DynProvider};
use mandate_model::{
    bindings::DomainRegistry,
    wire::gateway::{DomainOrder, IssuedCertificate},
};
use mandate_runtime::{
    Ambient,
    http::{Client, HttpError},
};
use serde::de::IgnoredAny;
use thiserror::Error;
use tokio::{sync::Notify, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::{Effect, NewEffect};
use crate::{
    chain::Contracts,
    config::EffectsConfig,
    store::{Lane, Next, Queued, Store, StoreError},
};

/// Why an attempt failed.
#[derive(Debug, Error)]
enum AttemptError {
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error("reading the domain registry: {0}")]
    Chain(#[from] alloy::contract::Error),
    #[error("no gateway is configured")]
    NoGateway,
    #[error("the gateway answered for {name:?} and app {app}")]
    OtherCertificate { name: String, app: Address },
    #[error("this effect is no request")]
    WrongLane,
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
        let due = self.store.claim(Lane::Http, limit).await?;
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
        for queued in self.store.claim(Lane::Http, limit).await? {
            if running.busy.insert(queued.key.clone()) {
                running.attempts.spawn(Arc::clone(self).attempt(queued));
            }
        }
        let due = self.store.next_due(Lane::Http).await?;
        Ok(due.unwrap_or(IDLE).clamp(Duration::from_millis(1), IDLE.min(renew)))
    }

    /// One attempt; gives the key.
    async fn attempt(self: Arc<Self>, queued: Queued) -> String {
        let Queued { key, effect, attempts } = queued;
        let noted = match self.carry_out(&effect, attempts).await {
            Ok(follow) => self.succeeded(&key, &effect, follow).await,
            Err(error) => self.failed(&key, &effect, attempts, &error).await,
        };
        if let Err(error) = noted {
            tracing::error!(effect = %key, %error, "cannot write to the outbox");
        }
        key
    }

    async fn succeeded(&self, key: &str, effect: &Effect, follow: Vec<NewEffect>) -> Result<(), StoreError> {
        tracing::info!(effect = %key, "done");
        metrics::counter!("mandate_relayer_effects_total", "kind" => effect.kind(), "outcome" => "done")
            .increment(1);
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
        let give_up = attempts + 1 >= self.config.attempts;
        tracing::warn!(effect = %key, %error, attempt = attempts + 1, give_up, "attempt failed");
        let outcome = if give_up { "given_up" } else { "failed" };
        metrics::counter!("mandate_relayer_effects_total", "kind" => effect.kind(), "outcome" => outcome)
            .increment(1);
        let next = match give_up {
            true => Next::GiveUp,
            false => Next::After(self.config.retry.delay(attempts, &*self.ambient.entropy)),
        };
        self.store.attempt_failed(key.to_owned(), error.to_string(), next).await
    }

    async fn carry_out(&self, effect: &Effect, attempts: u32) -> Result<Vec<NewEffect>, AttemptError> {
        match effect {
            Effect::RevocationPush { target, notice } => {
                let client = self.client.clone().timeout(self.config.push_timeout);
                client.post_json::<_, IgnoredAny>(&endpoint(target, "v1/revocations"), notice).await?;
                Ok(Vec::new())
            }
            Effect::CertificateOrder { order, app } => self.order(order, *app, attempts).await,
            Effect::Submit { .. } | Effect::PinAccount { .. } | Effect::RecordCertificate { .. } => {
                Err(AttemptError::WrongLane)
            }
        }
    }

    /// Lets a gateway order, another one at each attempt. Nothing to do when the approval was withdrawn meanwhile or a
    /// certificate is recorded that is good for a while, as after a first start on an old chain.
    async fn order(
        &self,
        order: &DomainOrder,
        app: Address,
        attempts: u32,
    ) -> Result<Vec<NewEffect>, AttemptError> {
        let registry = DomainRegistry::new(self.contracts.domain_registry, &self.provider);
        let domain = registry.domain(order.name.clone()).call().await?;
        let good_until = self.ambient.clock.unix().saturating_add(self.config.renew_before.as_secs());
        if domain.app != app || domain.notAfter.to::<u64>() > good_until {
            tracing::info!(domain = %order.name, "no certificate is wanted");
            return Ok(Vec::new());
        }
        let turn = (attempts as usize).checked_rem(self.gateways.len()).ok_or(AttemptError::NoGateway)?;
        let gateway = self.gateways.get(turn).ok_or(AttemptError::NoGateway)?;
        let client = self.client.clone().timeout(self.config.order_timeout);
        let issued: IssuedCertificate = client.post_json(&endpoint(gateway, "v1/domains"), order).await?;
        if issued.name != order.name || issued.app != app {
            return Err(AttemptError::OtherCertificate { name: issued.name, app: issued.app });
        }
        Ok(NewEffect::of_certificate(&self.contracts, issued))
    }
}

fn endpoint(base: &str, path: &str) -> String {
    format!("{}/{path}", base.trim_end_matches('/'))
}
