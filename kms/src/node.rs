// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The node's loop: every tick it looks at the newest finalised block, keeps its lease running and takes part in ceremonies.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use alloy::primitives::Address;
use mandate_runtime::{Ambient, http::Health, redact::without_urls};
use mandate_witness::{At, BlockRef, Freshness, HeaderError, Undecided};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::{
    beacon::Beacon, ceremony::driver::Driver, chain::Chain, membership::News, receipts::ReceiptLog,
    revocation::Revocations, seat::Seat, store::Store,
};

/// How often the newest finalised block is noted.
const NOTE_EVERY: Duration = Duration::from_secs(10);

/// What the API shows of the loop.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    finalized: AtomicU64,
}

impl Progress {
    /// The newest finalised height that was verified.
    pub(crate) fn finalized(&self) -> u64 {
        self.finalized.load(Ordering::Relaxed)
    }
}

/// The loop and what it drives.
#[derive(Debug)]
pub(crate) struct Loop {
    pub(crate) node: Address,
    pub(crate) poll: Duration,
    pub(crate) ambient: Ambient,
    pub(crate) chain: Chain,
    pub(crate) beacon: Beacon,
    pub(crate) driver: Driver,
    pub(crate) revocations: Revocations,
    pub(crate) receipts: ReceiptLog,
    pub(crate) store: Store,
    pub(crate) seat: Seat,
    /// To whoever looks after the node's membership.
    pub(crate) news: watch::Sender<Option<News>>,
    pub(crate) freshness: Arc<Mutex<Freshness>>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) health: Health,
    /// Rung when there may be something new.
    pub(crate) look: Arc<Notify>,
    /// The newest finalised block at which everything was looked at.
    pub(crate) seen: Option<BlockRef>,
    /// When a finalised block was noted last.
    pub(crate) noted: Option<Duration>,
}

impl Loop {
    /// Runs until `stop` fires. It may stop anywhere: what must survive is kept before it has an effect.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let forever = async {
            loop {
                self.tick().await;
                // At most twice as often as without notices, which anybody can send.
                self.ambient.clock.sleep(self.poll / 2).await;
                tokio::select! {
                    () = self.look.notified() => {}
                    () = self.ambient.clock.sleep(self.poll / 2) => {}
                }
            }
        };
        stop.run_until_cancelled(forever).await;
    }

    async fn tick(&mut self) {
        if let Err(error) = self.beacon.tick().await {
            tracing::error!(%error, "the beacon failed");
        }
        match self.chain.block(At::Finalized).await {
            Ok(block) if Some(block) != self.seen => {
                let span = tracing::info_span!("block", node = %self.node, number = block.number);
                self.look_at(block).instrument(span).await;
            }
            Ok(_) => self.health.ok("chain"),
            Err(error) => {
                self.keep_latch(&error).await;
                self.fail("chain", &error);
            }
        }
        if let Err(error) = self.driver.tick().await {
            self.fail("ceremony", &error);
        }
        self.report();
    }

    async fn look_at(&mut self, block: BlockRef) {
        let mut complete = true;
        if self.beacon.is_waiting() {
            match self.chain.nonce_of(block, self.node).await {
                Ok(nonce) => self.beacon.observe(nonce),
                Err(error) => {
                    complete = false;
                    self.fail("chain", &error);
                }
            }
        }
        if let Err(error) = self.look_at_seat(block).await {
            complete = false;
            self.fail("chain", &error);
        }
        if let Err(error) = self.driver.observe(block).await {
            complete = false;
            self.fail("ceremony", &error);
        }
        if let Err(error) = self.revocations.settle(block).await {
            complete = false;
            self.fail("revocations", &error);
        }
        if complete {
            self.seen = Some(block);
            self.note(block).await;
            self.progress.finalized.store(block.number, Ordering::Relaxed);
            ["chain", "ceremony", "revocations", "store"].into_iter().for_each(|part| self.health.ok(part));
        }
    }

    /// Whether the node is one of the committee's, for its releases and for whoever sees to it that it stays so.
    async fn look_at_seat(&self, block: BlockRef) -> Result<(), Undecided> {
        let (demand, until) = self.chain.attestation_of(block, self.node).await?;
        let (_, time) = self.chain.round(block).await?;
        self.seat.set(until);
        self.news.send_replace(Some(News { block, time, demand, until }));
        Ok(())
    }

    /// A contradiction about finality must not be forgotten by a restart.
    async fn keep_latch(&self, error: &Undecided) {
        let Undecided::Header(HeaderError::Latched(contradiction)) = error else { return };
        let contradiction = contradiction.clone();
        if let Err(error) = self.store.run(move |store| store.put_latch(&contradiction)).await {
            self.fail("store", &error);
        }
    }

    /// Notes the block now and then, so that after a restart no endpoint can show a much older one.
    async fn note(&mut self, block: BlockRef) {
        let now = self.ambient.clock.monotonic();
        if self.noted.is_some_and(|at| now.saturating_sub(at) < NOTE_EVERY) {
            return;
        }
        match self.store.run(move |store| store.put_newest_final(block)).await {
            Ok(()) => self.noted = Some(now),
            Err(error) => self.fail("store", &error),
        }
    }

    fn fail(&self, part: &'static str, error: &dyn std::fmt::Display) {
        let error = error.to_string();
        let error = without_urls(&error);
        tracing::warn!(part, %error, "not now; trying again at the next tick");
        self.health.fail(part, error);
    }

    fn report(&self) {
        let now = self.ambient.clock.monotonic();
        let fresh = self.freshness.lock().unwrap_or_else(PoisonError::into_inner).is_fresh(now);
        match fresh {
            true => self.health.ok("freshness"),
            false => self
                .health
                .fail("freshness", "the node's own nonce was not seen finalised in time; it grants nothing"),
        }
        let node = self.node.to_string();
        let (round, stage) = self.driver.stage();
        metrics::gauge!("mandate_kms_fresh", "node" => node.clone()).set(f64::from(u8::from(fresh)));
        metrics::gauge!("mandate_kms_finalized_height", "node" => node.clone())
            .set(self.progress.finalized() as f64);
        metrics::gauge!("mandate_kms_receipts", "node" => node.clone()).set(self.receipts.count() as f64);
        for known in ["none", "waiting", "dealing", "dealt", "confirming", "failed", "over"] {
            let is_it = f64::from(u8::from(known == stage));
            metrics::gauge!("mandate_kms_ceremony_stage", "node" => node.clone(), "stage" => known)
                .set(is_it);
        }
        metrics::gauge!("mandate_kms_ceremony_round", "node" => node).set(round as f64);
    }
}
