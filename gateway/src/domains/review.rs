// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The review: every name is judged anew, then looked after. Undecided answers change nothing (G-6).

use std::time::Duration;

use alloy::primitives::Address;
use futures::{StreamExt, stream};
use mandate_acme::name::Subject;

use super::{Domains, OrderError, known::State, lock, order::Patience};
use crate::{
    chain::{At, Standing, Undecided},
    store::Slot,
};

/// Names that are looked at at a time.
const PARALLEL: usize = 8;
/// Names whose right to be served is asked for at a time, before they are looked at.
const CONFIRMING: usize = 64;
/// How often it is looked whether DNS still says who may issue for a name.
const CHECK_EVERY: Duration = Duration::from_secs(600);

/// What the chain says about a name and the app that a certificate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Right {
    /// It may be served.
    Served,
    /// Not now, and that may change: newer blocks are not final, or the app is paused or suspended.
    Held,
    /// Never again by what is final: the domain was given away, or the app has ended.
    Gone,
}

impl Domains {
    /// Looks at every name again: takes over what others of the fleet obtained, serves what is confirmed now, drops what was
    /// released, renews what is due. Gives the first problem, if there was one.
    pub async fn review(&self) -> Option<String> {
        let problem = self.sync().await;
        self.serve_the_confirmed().await;
        let domains = stream::iter(self.known.domains());
        let domains = domains.map(|slot| self.review_slot(slot)).buffer_unordered(PARALLEL);
        // Neither waits for the other: an order takes its time.
        let (base, domains) = futures::join!(
            self.review_base(),
            domains.fold(None, async |first: Option<String>, one| first.or(one))
        );
        problem.or(base).or(domains)
    }

    /// Serves what may be and is not yet, before anything is looked after: after a start, no name should wait for the orders
    /// and renewals of others.
    async fn serve_the_confirmed(&self) {
        let now = self.now();
        let mut waiting = self.known.domains();
        waiting.retain(|slot| !self.serves(slot) && self.known.is_sound(slot, now));
        stream::iter(waiting)
            .for_each_concurrent(CONFIRMING, |slot| async move { drop(self.judge(&slot).await) })
            .await;
    }

    async fn review_base(&self) -> Option<String> {
        match self.base_certificate {
            true => self.look_after(&self.base_slot()).await,
            false => None,
        }
    }

    async fn review_slot(&self, slot: Slot) -> Option<String> {
        match self.judge(&slot).await {
            Ok(Right::Served) => self.look_after(&slot).await,
            Ok(Right::Held) => self.problem_of(&slot),
            Ok(Right::Gone) => self.retire(&slot).await,
            Err(problem) => Some(problem),
        }
    }

    /// Somebody says that less is allowed of an app: stops serving its domains if that is so at the head.
    pub async fn review_app(&self, app: Address) {
        let mut slots = self.known.domains();
        slots.retain(|slot| slot.app == Some(app));
        stream::iter(slots)
            .for_each_concurrent(PARALLEL, |slot| async move { drop(self.judge(&slot).await) })
            .await;
    }

    /// Serves a name, or ceases to, as the chain says. Gives what stands in the way of an answer.
    pub(super) async fn judge(&self, slot: &Slot) -> Result<Right, String> {
        let (name, Some(app)) = (slot.subject.domain(), slot.app) else { return Ok(Right::Held) };
        let now = self.now();
        let sound = self.known.get(slot).and_then(|known| known.sound(now).cloned());
        if !self.serves(slot) {
            // Ends what is still open of a certificate whose time is over.
            self.certificates.remove(name, app);
        }
        match self.right(slot, app).await {
            Ok(Right::Served) => {
                if let Some(certificate) = sound.filter(|_| !self.serves(slot)) {
                    self.certificates.install(app, certificate);
                }
                Ok(Right::Served)
            }
            Ok(other) => Ok(other),
            Err(undecided) => {
                tracing::warn!(%slot, %undecided, "domain stays as it was");
                Err(undecided.to_string())
            }
        }
    }

    /// Asks the head first, and acts on a no at once (G-7); what is final decides about a yes, and about what is lasting.
    async fn right(&self, slot: &Slot, app: Address) -> Result<Right, Undecided> {
        let name = slot.subject.domain();
        let head = self.right_at(slot, app, At::Head).await?;
        if head != Right::Served && self.certificates.remove(name, app) {
            tracing::info!(%slot, ?head, "domain is served no more");
        }
        if head == Right::Served && self.serves(slot) {
            return Ok(Right::Served);
        }
        let finalized = self.right_at(slot, app, At::Finalized).await?;
        Ok(if head == finalized { head } else { Right::Held })
    }

    async fn right_at(&self, slot: &Slot, app: Address, at: At) -> Result<Right, Undecided> {
        if self.chain.app_of(slot.subject.domain(), at).await?.app != Some(app) {
            return Ok(Right::Gone);
        }
        Ok(match self.chain.standing(app, at).await? {
            Standing::Active => Right::Served,
            Standing::Halted => Right::Held,
            Standing::Ended => Right::Gone,
        })
    }

    /// Orders and renews what the chain allows, and looks at its DNS.
    async fn look_after(&self, slot: &Slot) -> Option<String> {
        if self.routes.is_ingress(slot.subject.domain(), self.ambient.clock.monotonic()) {
            // Its certificate is its app's affair, and so are its DNS records: they name the app's account.
            return None;
        }
        let now = self.now();
        let mut is_due = true;
        if let Some(known) = self.known.get(slot) {
            if let State::Damaged(_) | State::Early = known.state {
                return self.problem_of(slot);
            }
            if let Some(certificate) = known.sound(now).cloned() {
                let known = self.schedule(slot, known, &certificate).await;
                is_due = known.is_due(&certificate, self.now());
            }
        }
        if is_due {
            match self.obtain(slot, Patience::None).await {
                Ok(_) | Err(OrderError::Elsewhere(_)) => {}
                Err(error) => return Some(error.to_string()),
            }
        }
        self.check_dns(&slot.subject).await
    }

    fn problem_of(&self, slot: &Slot) -> Option<String> {
        match self.known.get(slot)?.state {
            State::Damaged(damaged) => Some(damaged.to_string()),
            State::Early => Some(format!("the certificate of {slot} is not valid yet: is the clock right?")),
            State::Sound(_) | State::Expired => None,
        }
    }

    /// An order looks at DNS itself, so the first look after it is at some moment of the interval: names do not stay in step.
    async fn check_dns(&self, subject: &Subject) -> Option<String> {
        let now = self.ambient.clock.monotonic();
        let in_interval = || Duration::from_secs(self.uniform(CHECK_EVERY.as_secs()));
        let next =
            *lock(&self.checks).entry(subject.clone()).or_insert_with(|| now.saturating_add(in_interval()));
        if now < next {
            return None;
        }
        lock(&self.checks).insert(subject.clone(), now.saturating_add(CHECK_EVERY));
        let problem = self.issuer.check(subject).await.err()?;
        tracing::error!(%subject, error = %problem, "DNS does not say what it should");
        // Looked at again at once: health shows it until it is mended.
        lock(&self.checks).insert(subject.clone(), now);
        Some(problem.to_string())
    }
}
