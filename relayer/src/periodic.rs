// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What no log causes: asking each node for a root over its receipts, once in every period of time, whoever asks.

use std::{sync::Arc, time::Duration};

use mandate_runtime::Clock;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{
    chain::{ChainView, Contracts},
    effects::NewEffect,
    store::{Store, StoreError},
};

/// How often the clock is looked at, at most.
const LOOK: Duration = Duration::from_secs(15);

/// The worker.
pub(crate) struct Periodic {
    pub(crate) contracts: Contracts,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) view: ChainView,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) anchor_every: Duration,
    /// Rung when effects were enqueued.
    pub(crate) bell: Arc<Notify>,
}

impl Periodic {
    /// Works until `stop` fires.
    pub(crate) async fn run(self, stop: CancellationToken) {
        if self.contracts.receipt_anchor.is_none() {
            return;
        }
        let work = async {
            let mut asked = None;
            loop {
                match self.ask(asked).await {
                    Ok(period) => asked = period,
                    Err(error) => tracing::error!(%error, "cannot ask for roots"),
                }
                self.clock.sleep(self.anchor_every.min(LOOK)).await;
            }
        };
        stop.run_until_cancelled(work).await;
    }

    /// Asks every node, unless that was done in this period already.
    async fn ask(&self, asked: Option<u64>) -> Result<Option<u64>, StoreError> {
        let period = self.clock.unix() / self.anchor_every.as_secs().max(1);
        let nodes = self.view.nodes();
        let reachable = nodes.iter().filter(|node| !node.url.is_empty());
        let ask = |node: &mandate_model::bindings::Node| {
            NewEffect::of_root_request(&self.contracts, node.nodeKey, node.url.clone(), period)
        };
        let effects: Vec<NewEffect> = reachable.map(ask).collect();
        if asked == Some(period) || effects.is_empty() {
            return Ok(asked);
        }
        self.store.enqueue(effects).await?;
        self.bell.notify_one();
        Ok(Some(period))
    }
}
