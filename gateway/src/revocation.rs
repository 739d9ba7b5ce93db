// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Ending routes: when the newest block denies them, when their time is over. A notice says where to look and nothing more;
//! the gateway reads the chain itself.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use alloy::primitives::Address;
use futures::{StreamExt, stream};
use mandate_model::wire::{gateway::RevocationEffect, kms::RevocationNotice};
use mandate_runtime::Clock;

use crate::{
    chain::{At, Chain, Verdict},
    routes::{Route, Routes},
};

mod ingress;

/// Routes that are judged at a time.
const PARALLEL: usize = 8;
/// How long the gateway looks again by itself after a notice that its own endpoints cannot confirm yet.
const FOLLOW_UP: Duration = Duration::from_secs(120);
const FIRST_RETRY: Duration = Duration::from_millis(50);
const SLOWEST_RETRY: Duration = Duration::from_secs(2);
/// Apps that are followed up at a time; the periodic review sees to the others.
const MAX_FOLLOWED: usize = 1_024;

/// Watches over the routes.
#[derive(Debug)]
pub struct Revocations {
    chain: Arc<dyn Chain>,
    routes: Arc<Routes>,
    clock: Arc<dyn Clock>,
    notices: AtomicU64,
    followed: Mutex<HashMap<Address, u64>>,
}

/// What became of one route.
enum Judged {
    Closed,
    Kept,
    Pending,
}

impl Revocations {
    /// Watches over `routes`.
    pub fn new(chain: Arc<dyn Chain>, routes: Arc<Routes>, clock: Arc<dyn Clock>) -> Self {
        Self { chain, routes, clock, notices: AtomicU64::new(0), followed: Mutex::default() }
    }

    /// How many notices have come. Whoever makes a route compares before and after.
    pub fn notices(&self) -> u64 {
        self.notices.load(Ordering::SeqCst)
    }

    /// Judges the routes of the app at the newest block and closes those that are denied (G-7). What cannot be judged at the
    /// notice's block yet is looked at again, in the background (G-6: undecided never stops a revocation).
    pub async fn notice(self: &Arc<Self>, notice: &RevocationNotice) -> RevocationEffect {
        self.notices.fetch_add(1, Ordering::SeqCst);
        let came = self.clock.monotonic();
        let effect = self.judge_app(notice.app, notice.block_number, came).await;
        tracing::info!(app = %notice.app, block = notice.block_number, ?effect, "revocation notice");
        if effect.pending > 0 && self.follow(notice.app, notice.block_number) {
            let this = Arc::clone(self);
            let app = notice.app;
            tokio::spawn(async move { this.follow_up(app, came).await });
        }
        effect
    }

    async fn judge_app(&self, app: Address, at_least: u64, came: Duration) -> RevocationEffect {
        let routes = stream::iter(self.routes.of_app(app));
        let mut judged = routes.map(|route| self.judge(route, at_least, came)).buffer_unordered(PARALLEL);
        let mut effect = RevocationEffect::default();
        while let Some(one) = judged.next().await {
            match one {
                Judged::Closed => effect.closed += 1,
                Judged::Kept => effect.kept += 1,
                Judged::Pending => effect.pending += 1,
            }
        }
        effect
    }

    async fn judge(&self, route: Arc<Route>, at_least: u64, came: Duration) -> Judged {
        match self.chain.decide(&route.facts, At::Head).await {
            verdict @ Verdict::Denied { .. } => {
                self.close(&route, &verdict);
                let took = self.clock.monotonic().saturating_sub(came);
                metrics::histogram!("mandate_gateway_revocation_seconds").record(took.as_secs_f64());
                Judged::Closed
            }
            Verdict::Allowed { block, .. } if block.number >= at_least => Judged::Kept,
            Verdict::Allowed { .. } | Verdict::Undecided { .. } => Judged::Pending,
        }
    }

    fn close(&self, route: &Route, verdict: &Verdict) {
        let connections = route.connections();
        if self.routes.remove(route.id) {
            metrics::counter!("mandate_gateway_routes_closed_total", "cause" => "revoked").increment(1);
            let (app, instance, code) = (route.facts.app, route.facts.instance, route.facts.code_hash);
            let (block, outcome) = (verdict.block().map(|b| b.number), verdict.outcome());
            tracing::info!(%app, %instance, %code, block, %outcome, connections, "route closed");
        }
    }

    fn followed(&self) -> MutexGuard<'_, HashMap<Address, u64>> {
        self.followed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes up to which block an app is to be judged. True when nobody does so yet.
    fn follow(&self, app: Address, block: u64) -> bool {
        let mut followed = self.followed();
        if let Some(known) = followed.get_mut(&app) {
            *known = block.max(*known);
            return false;
        }
        let room = followed.len() < MAX_FOLLOWED;
        if room {
            followed.insert(app, block);
        }
        room
    }

    async fn follow_up(&self, app: Address, came: Duration) {
        let deadline = came.saturating_add(FOLLOW_UP);
        let mut delay = FIRST_RETRY;
        while self.clock.monotonic() < deadline {
            self.clock.sleep(delay).await;
            delay = delay.saturating_mul(2).min(SLOWEST_RETRY);
            let block = self.followed().get(&app).copied().unwrap_or_default();
            if self.judge_app(app, block, came).await.pending == 0 {
                break;
            }
        }
        self.followed().remove(&app);
    }

    /// Judges every route anew: closes what is denied, by the newest state or the finalised one, and moves the end of what
    /// both allow. Undecided leaves a route as it is, until its lease or verdict ends (G-6); gives why, if any was.
    pub async fn review(&self) -> Option<String> {
        let routes = stream::iter(self.routes.all());
        let undecided = routes.map(|route| self.review_one(route)).buffer_unordered(PARALLEL);
        let problem = undecided.fold(None, async |first, one| first.or(one)).await;
        problem.or(self.review_ingresses().await)
    }

    /// Judges the routes of one app anew, as [`Revocations::review`] does: somebody says that the chain allows more.
    pub async fn look_again(&self, app: Address) -> Option<String> {
        let routes = stream::iter(self.routes.of_app(app));
        let undecided = routes.map(|route| self.review_one(route)).buffer_unordered(PARALLEL);
        undecided.fold(None, async |first, one| first.or(one)).await
    }

    async fn review_one(&self, route: Arc<Route>) -> Option<String> {
        match crate::chain::decide_both(self.chain.as_ref(), &route.facts).await {
            verdict @ Verdict::Denied { .. } => self.close(&route, &verdict),
            Verdict::Allowed { remaining, .. } => {
                self.routes.set_allowed(route.id, self.clock.monotonic().saturating_add(remaining));
            }
            Verdict::Undecided { why } => {
                metrics::counter!("mandate_gateway_reviews_undecided_total").increment(1);
                tracing::warn!(app = %route.facts.app, instance = %route.facts.instance, why, "route stays as it is");
                return Some(why);
            }
        }
        None
    }

    /// Ends the routes whose lease or verdict is over.
    pub fn expire(&self) {
        for route in self.routes.expire(self.clock.monotonic()) {
            metrics::counter!("mandate_gateway_routes_closed_total", "cause" => "expired").increment(1);
            tracing::info!(app = %route.facts.app, instance = %route.facts.instance, "route ended with its lease");
        }
    }
}
