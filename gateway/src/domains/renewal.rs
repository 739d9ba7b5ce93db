// SPDX-License-Identifier: Apache-2.0 OR MIT
//! When a certificate is renewed: at a moment that is chosen at random in the window which the authority suggests (RFC 9773),
//! once for the whole fleet; at two thirds of its life where nothing is suggested. No error postpones a renewal.

use std::time::Duration;

use mandate_acme::issuer::RenewalWindow;

use super::{Domains, known::Known};
use crate::{
    certificates::Certificate,
    store::{Plan, Slot},
};

/// The bounds of what an authority says about when to ask again (RFC 9773, section 4.3.1 and 4.3.2).
const SOONEST: Duration = Duration::from_secs(60);
const LATEST: Duration = Duration::from_secs(86_400);
/// When to ask again after an answer that could not be had.
const AFTER_ERROR: Duration = Duration::from_secs(3_600);
/// A certificate is not renewed sooner than this after it was obtained, or a twentieth of its life: an authority whose windows
/// are always past, or whose certificates are nearly over, would have us order without an end.
const REST: u64 = 3_600;

impl Known {
    /// Whether it is time for the next one.
    pub(super) fn is_due(&self, certificate: &Certificate, now: u64) -> bool {
        is_due(certificate, self.plan, self.obtained_at, now)
    }
}

fn life(certificate: &Certificate) -> u64 {
    certificate.not_after().saturating_sub(certificate.not_before())
}

/// Whatever the plan says, the last tenth of the life is time to renew.
fn is_due(certificate: &Certificate, plan: Option<Plan>, obtained_at: u64, now: u64) -> bool {
    let life = life(certificate);
    let planned = plan.map_or(certificate.not_after().saturating_sub(life / 3), |plan| plan.renew_at);
    let rested = obtained_at.saturating_add(REST.min(life / 20));
    let latest = certificate.not_after().saturating_sub(life / 10);
    now >= planned.min(latest).max(rested)
}

/// What is chosen where nothing is suggested: within a twentieth of the life before two thirds of it. `random` gives a number
/// from 0 to what it is given.
fn by_life(certificate: &Certificate, random: impl Fn(u64) -> u64) -> u64 {
    let life = life(certificate);
    let two_thirds = certificate.not_after().saturating_sub(life / 3);
    two_thirds.saturating_sub(random(life / 20))
}

/// A moment in the window: the one that was chosen before while it is in there, else any. None when it is no window.
fn within(window: RenewalWindow, before: Option<u64>, random: impl Fn(u64) -> u64) -> Option<u64> {
    let length = window.end.checked_sub(window.start)?;
    let kept = before.filter(|before| (window.start..=window.end).contains(before));
    Some(kept.unwrap_or_else(|| window.start.saturating_add(random(length))))
}

impl Domains {
    /// Decides when to renew, asking the issuer when that is due. Gives what is known then.
    pub(super) async fn schedule(&self, slot: &Slot, known: Known, certificate: &Certificate) -> Known {
        let before = known.plan;
        if before.is_some_and(|plan| self.now() < plan.ask_at) {
            return known;
        }
        let renew_at =
            before.map_or_else(|| by_life(certificate, |most| self.uniform(most)), |plan| plan.renew_at);
        // Says first that it asks: the others of the fleet need not.
        let asking = Plan { renew_at, ask_at: self.now().saturating_add(SOONEST.as_secs()) };
        if !self.set_plan(slot, &known, before, asking).await {
            return known;
        }
        let chosen = before.map(|plan| plan.renew_at);
        let (renew_at, again) = self.ask(slot, certificate, chosen).await;
        let again = again.clamp(SOONEST, LATEST).as_secs();
        let plan =
            Plan { renew_at: renew_at.unwrap_or(asking.renew_at), ask_at: self.now().saturating_add(again) };
        tracing::debug!(%slot, plan.renew_at, plan.ask_at, "renewal");
        self.set_plan(slot, &known, Some(asking), plan).await;
        Known { plan: Some(plan), ..known }
    }

    async fn ask(
        &self,
        slot: &Slot,
        certificate: &Certificate,
        chosen: Option<u64>,
    ) -> (Option<u64>, Duration) {
        let Some(leaf) = certificate.leaf() else { return (None, LATEST) };
        match self.issuer.renewal(leaf).await {
            Ok(None) => (None, LATEST),
            Ok(Some(window)) => {
                let moment = within(window, chosen, |most| self.uniform(most));
                if moment.is_none() {
                    tracing::warn!(%slot, window.start, window.end, "suggested renewal window ends before it begins");
                }
                (moment, window.again_after)
            }
            Err(error) => {
                tracing::warn!(%slot, %error, "no renewal information");
                (None, AFTER_ERROR)
            }
        }
    }

    /// False when another gateway of the fleet decides, whose plan will be read, and when the store does not answer.
    async fn set_plan(&self, slot: &Slot, known: &Known, before: Option<Plan>, plan: Plan) -> bool {
        let Ok(Ok(generation)) = self.keys.parent().await.map(|parent| parent.generation()) else {
            return false;
        };
        let set = self.store.plan(generation, slot.clone(), known.digest, before, plan).await;
        match set {
            Ok(true) => self.known.set_plan(slot, known.digest, plan),
            Ok(false) => {}
            Err(ref error) => tracing::warn!(%slot, %error, "renewal is not planned"),
        }
        set.unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(start: u64, end: u64) -> RenewalWindow {
        RenewalWindow { start, end, again_after: SOONEST }
    }

    #[test]
    fn moment_is_any_of_the_window_and_stays_while_it_is_in_there() {
        for (drawn, moment) in [(0, 100), (7, 107), (50, 150)] {
            let random = |most| {
                assert_eq!(most, 50);
                drawn
            };
            assert_eq!(within(window(100, 150), None, random), Some(moment));
            assert_eq!(within(window(100, 150), Some(99), random), Some(moment));
            assert_eq!(within(window(100, 150), Some(151), random), Some(moment));
        }
        let never = |_| panic!("chosen already");
        assert_eq!(within(window(100, 150), Some(100), never), Some(100));
        assert_eq!(within(window(100, 150), Some(150), never), Some(150));
        assert_eq!(within(window(100, 100), None, |most| most), Some(100));
        assert_eq!(within(window(101, 100), None, |most| most), None);
    }
}
