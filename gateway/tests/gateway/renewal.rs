// SPDX-License-Identifier: Apache-2.0 OR MIT
//! When certificates are renewed (RFC 9773), by a clock that the test moves.

use std::{sync::Arc, time::Duration};

use mandate_acme::issuer::RenewalWindow;
use mandate_gateway::config::StoreConfig;
use mandate_runtime::{Clock, clock::ManualClock};

use crate::{
    database::Database,
    scripted::{Mischief, ScriptedChain, TestCa},
    world::{APP, DOMAIN, NOW, World},
};

const HOUR: u64 = 3_600;
const DAY: u64 = 86_400;
/// The beginning of 2026 and of 2027.
const FROM: u64 = 1_767_225_600;
const TO: u64 = 1_798_761_600;

struct Rig {
    world: World,
    ca: Arc<TestCa>,
    clock: Arc<ManualClock>,
}

async fn start(
    store: &StoreConfig,
    clock: &Arc<ManualClock>,
    chain: &Arc<ScriptedChain>,
    ca: &Arc<TestCa>,
) -> World {
    let review = |settings: &mut mandate_gateway::Settings| settings.review = Duration::from_secs(60);
    let (clock, chain, ca) = (Arc::clone(clock), Arc::clone(chain), Arc::clone(ca));
    World::start_at(clock, store.clone(), chain, ca, review).await.unwrap()
}

/// One domain with a certificate for the year 2026, shortly after `now`.
async fn rig(now: u64, suggest: impl FnOnce(&TestCa)) -> Rig {
    let (chain, ca, clock) =
        (Arc::new(ScriptedChain::default()), TestCa::new(), Arc::new(ManualClock::new(now)));
    chain.approve(DOMAIN, APP);
    ca.set_life(2026, 2027);
    suggest(&ca);
    let world = start(&StoreConfig::default(), &clock, &chain, &ca).await;
    world.order(DOMAIN).await.unwrap();
    Rig { world, ca, clock }
}

impl Rig {
    /// Moves on and lets reviews run.
    async fn at(&self, unix: u64) {
        let by = unix.saturating_sub(self.clock.unix());
        self.clock.advance(Duration::from_secs(by));
        for _ in 0..3 {
            self.clock.advance(Duration::from_secs(61));
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    /// Waits until it is so, for as long as a loaded machine may take; the clock goes on by one more review and no further.
    async fn until(&self, what: &str, mut is_so: impl AsyncFnMut() -> bool) {
        for round in 0..2_000 {
            if is_so().await {
                return;
            }
            if round < 61 {
                self.clock.advance(Duration::from_secs(1));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("no {what}");
    }

    /// By then this many certificates have been obtained, and no more.
    async fn issued_at(&self, unix: u64, count: usize) {
        self.at(unix).await;
        self.until("certificate", async || self.ca.issued() >= count).await;
        assert_eq!(self.ca.issued(), count);
    }

    /// By then the issuer has been asked so often, and not more.
    async fn asked_at(&self, unix: u64, count: usize) {
        self.at(unix).await;
        self.until("question", async || self.ca.asked() >= count).await;
        assert_eq!(self.ca.asked(), count);
    }
}

fn window(start: u64, end: u64, again_after: u64) -> Result<Option<RenewalWindow>, ()> {
    Ok(Some(RenewalWindow { start, end, again_after: Duration::from_secs(again_after) }))
}

#[tokio::test]
async fn certificate_is_renewed_within_the_suggested_window_and_names_its_predecessor() {
    let (start, end) = (FROM + 100 * DAY, FROM + 102 * DAY);
    let rig = rig(FROM + DAY, |ca| ca.suggest(window(start, end, HOUR))).await;
    rig.issued_at(start - HOUR, 1).await;
    rig.issued_at(end, 2).await;
    let predecessors = rig.ca.predecessors();
    assert!(predecessors[0].is_none() && predecessors[1].is_some());
    assert_eq!(rig.world.certificates().await.len(), 1);
}

#[tokio::test]
async fn window_that_is_past_renews_at_once_and_not_without_an_end() {
    let rig = rig(FROM + 10 * DAY, |_| ()).await;
    rig.issued_at(FROM + 12 * DAY, 1).await;
    rig.ca.suggest(window(FROM, FROM + DAY, HOUR));
    rig.issued_at(FROM + 14 * DAY, 2).await;
    // The new one's window is past as well; it is given an hour.
    rig.issued_at(FROM + 14 * DAY + HOUR / 2, 2).await;
    rig.issued_at(FROM + 14 * DAY + 2 * HOUR, 3).await;
}

#[tokio::test]
async fn without_a_suggestion_two_thirds_of_the_life_count() {
    let rig = rig(FROM + DAY, |_| ()).await;
    let (life, two_thirds) = (TO - FROM, FROM + (TO - FROM) * 2 / 3);
    rig.issued_at(two_thirds - life / 20 - HOUR, 1).await;
    rig.issued_at(two_thirds + HOUR, 2).await;
}

#[tokio::test]
async fn error_of_the_suggestion_postpones_no_renewal() {
    let rig = rig(FROM + DAY, |ca| ca.suggest(Err(()))).await;
    rig.issued_at(FROM + (TO - FROM) * 2 / 3 + HOUR, 2).await;
}

#[tokio::test]
async fn attack_suggestion_beyond_the_end_of_the_life_is_not_followed() {
    let rig = rig(FROM + DAY, |ca| ca.suggest(window(TO + DAY, TO + 2 * DAY, DAY))).await;
    let latest = TO - (TO - FROM) / 10;
    rig.issued_at(latest - HOUR, 1).await;
    rig.issued_at(latest, 2).await;
}

#[tokio::test]
async fn issuer_is_asked_again_when_it_says_within_a_minute_and_a_day() {
    let rig = rig(FROM + DAY, |ca| ca.suggest(window(TO - 90 * DAY, TO - 80 * DAY, 2 * HOUR))).await;
    rig.asked_at(FROM + DAY, 1).await;
    rig.asked_at(FROM + DAY + HOUR, 1).await;
    rig.ca.suggest(window(TO - 90 * DAY, TO - 80 * DAY, 100 * DAY));
    rig.asked_at(FROM + DAY + 3 * HOUR, 2).await;
    // A day at most.
    rig.asked_at(FROM + 3 * DAY, 3).await;
}

#[tokio::test]
async fn renewal_that_fails_leaves_the_certificate_in_place() {
    let rig = rig(FROM + DAY, |_| ()).await;
    let before = rig.world.certificates().await;
    rig.ca.set(Mischief::Refuses);
    rig.at(FROM + (TO - FROM) * 2 / 3 + HOUR).await;
    rig.until("attempt", async || rig.ca.issued() > 1).await;
    assert_eq!(rig.world.certificates().await, before);
}

#[tokio::test]
async fn fleet_asks_and_renews_once() {
    let (database, chain, ca, clock) = (
        Database::sqlite(),
        Arc::new(ScriptedChain::default()),
        TestCa::new(),
        Arc::new(ManualClock::new(FROM + DAY)),
    );
    chain.approve(DOMAIN, APP);
    ca.set_life(2026, 2027);
    ca.suggest(window(FROM + 50 * DAY, FROM + 60 * DAY, DAY));
    let one = start(&database.config, &clock, &chain, &ca).await;
    let other = start(&database.config, &clock, &chain, &ca).await;
    one.order(DOMAIN).await.unwrap();
    let rig = Rig { world: one, ca, clock };
    rig.clock.advance(Duration::from_secs(61));
    // Until the answer is planned for: whoever asks has a minute before another one does.
    let planned = "SELECT COUNT(*) FROM certificates WHERE ask_at - obtained_at > 3600";
    while database.count(planned).await == 0 {
        tokio::task::yield_now().await;
    }
    rig.asked_at(FROM + DAY + HOUR, 1).await;
    rig.issued_at(FROM + 60 * DAY, 2).await;
    // The new one's window is past as well, but it is given an hour.
    rig.issued_at(FROM + 60 * DAY + HOUR / 2, 2).await;
    assert_eq!(rig.world.certificates().await, other.certificates().await);
}

#[tokio::test]
async fn dns_is_watched_and_what_is_wrong_with_it_shows_in_health() {
    let rig = rig(NOW, |_| ()).await;
    rig.ca.set_life(2020, 2200);
    rig.at(NOW + 30).await;
    rig.ca.set_caa(Some("somebody else may issue"));
    rig.at(NOW + 1_300).await;
    let complains = async || rig.world.health().await.contains("somebody else may issue");
    rig.until("complaint", complains).await;
    assert!(rig.ca.checked() > 0);
    rig.ca.set_caa(None);
    rig.at(NOW + 1_500).await;
    rig.until("end of it", async || !complains().await).await;
}

#[tokio::test]
async fn names_are_served_after_a_start_while_orders_for_others_hang() {
    const NAMES: usize = 20;
    let (chain, ca, clock) =
        (Arc::new(ScriptedChain::default()), TestCa::new(), Arc::new(ManualClock::new(FROM + DAY)));
    ca.set_life(2026, 2027);
    let database = Database::sqlite();
    let world = start(&database.config, &clock, &chain, &ca).await;
    for number in 0..NAMES {
        let name = format!("app-{number}.example.org");
        chain.approve(&name, APP);
        world.order(&name).await.unwrap();
    }
    world.gateway.shutdown().await;
    // All of them are valid, and so late in their life due.
    clock.advance(Duration::from_secs(TO - DAY - clock.unix()));
    ca.set(Mischief::Hangs);
    let world = start(&database.config, &clock, &chain, &ca).await;
    for _ in 0..2_000 {
        if world.certificates().await.len() == NAMES {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{} of {NAMES} are served", world.certificates().await.len());
}
