// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How each endpoint's head is learnt: by subscription where it can, by asking where it cannot or does not.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use alloy::{providers::Provider, transports::TransportError};
use mandate_runtime::Clock;
use tokio_util::sync::CancellationToken;

use super::{Endpoints, Member};
use crate::{metrics, retry::Retry};

/// Between attempts to subscribe.
const AGAIN: Retry = Retry { first: Duration::from_secs(1), most: Duration::from_secs(30) };

/// Whether an endpoint tells of its heads.
#[derive(Debug)]
pub(super) struct Watch {
    clock: Arc<dyn Clock>,
    /// Until when its subscription counts as alive without another word.
    live_until: Mutex<Option<Duration>>,
    asking: Arc<AtomicBool>,
}

/// Held while an endpoint is asked for its head.
pub(super) struct Asking(Arc<AtomicBool>);

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

impl Watch {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, live_until: Mutex::default(), asking: Arc::default() }
    }

    pub(super) fn is_live(&self) -> bool {
        let until = *self.live_until.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| self.clock.monotonic() < until)
    }

    /// Nothing while it is being asked already.
    pub(super) fn asking(&self) -> Option<Asking> {
        let idle = !self.asking.swap(true, Ordering::SeqCst);
        idle.then(|| Asking(Arc::clone(&self.asking)))
    }

    fn heard(&self, for_long: Option<Duration>) {
        let until = for_long.map(|long| self.clock.monotonic().saturating_add(long));
        *self.live_until.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }
}

impl Endpoints {
    /// Keeps subscriptions to the heads of all endpoints that offer them, until `stop` fires.
    pub async fn watch_heads(&self, stop: CancellationToken) {
        let able = self.members().iter().filter(|member| member.link.can_subscribe());
        let all = futures::future::join_all(able.map(|member| self.keep_subscribed(member)));
        stop.run_until_cancelled(all).await;
    }

    async fn keep_subscribed(&self, member: &Arc<Member>) {
        let mut failures = 0;
        loop {
            match self.subscribed(member).await {
                true => failures = 0,
                false => failures += 1,
            }
            member.watch.heard(None);
            metrics::ENDPOINT_SUBSCRIBED.set(0.0, [member.name()]);
            // It is asked at once instead.
            self.0.wake.notify_one();
            self.0.ambient.clock.sleep(AGAIN.delay(failures, &*self.0.ambient.entropy)).await;
        }
    }

    /// One subscription, until it dies or falls silent. Tells whether it ever said anything.
    async fn subscribed(&self, member: &Member) -> bool {
        let generation = member.link.generation();
        let opened = async {
            // Through the guard: whoever is there now must say that it serves our chain before its headers count.
            member.provider.get_chain_id().await?;
            let provider = member.link.subscriber().await?;
            let heads = provider.subscribe_blocks().await?;
            Ok::<_, TransportError>((provider, heads))
        };
        let opened = opened.await;
        // The provider holds the connection's frontend; without it the subscription would end.
        let Ok((_provider, mut heads)) = opened else {
            tracing::debug!(endpoint = member.name(), "no subscription to new heads; polling");
            member.link.forget(generation).await;
            return false;
        };
        let mut heard = false;
        loop {
            match tokio::time::timeout(self.0.silent_after, heads.recv()).await {
                Ok(Ok(header)) => {
                    heard = true;
                    member.watch.heard(Some(self.0.silent_after));
                    metrics::ENDPOINT_SUBSCRIBED.set(1.0, [member.name()]);
                    if member.show(header) {
                        self.0.wake.notify_one();
                    }
                }
                // Notices were lost because nobody read them: the next one tells as much.
                Ok(Err(tokio::sync::broadcast::error::RecvError::Lagged(_))) => {}
                Ok(Err(_)) => {
                    tracing::info!(endpoint = member.name(), "the subscription to new heads ended; polling");
                    return heard;
                }
                Err(_) => {
                    tracing::warn!(
                        endpoint = member.name(),
                        "the subscription to new heads is silent; polling"
                    );
                    // A connection that says nothing may be half open.
                    member.link.forget(member.link.generation()).await;
                    return heard;
                }
            }
        }
    }
}
