// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What gateways of one fleet share, and what is left of it after a crash.

use std::{sync::Arc, time::Duration};

use mandate_acme::{
    issuer::Issued,
    name::{DomainName, Subject},
};
use mandate_gateway::{
    Settings, StartError,
    chain::At,
    store::{Claim, Failure, Generation, LEASE, Mark, Plan, Record, Slot, Store, open},
};
use mandate_runtime::{Ambient, clock::ManualClock};

use crate::{
    database::{Database, Kind},
    domains::reviewed,
    on_both,
    scripted::{Mischief, ScriptedChain, TestCa},
    world::{APP, DOMAIN, NOW, World},
};

/// Gateways on one database, with one chain, one authority and one time.
struct Fleet {
    database: Database,
    chain: Arc<ScriptedChain>,
    ca: Arc<TestCa>,
    clock: Arc<ManualClock>,
}

impl Fleet {
    async fn new(kind: Kind) -> Self {
        let (chain, ca) = (Arc::new(ScriptedChain::default()), TestCa::new());
        chain.approve(DOMAIN, APP);
        Self { database: Database::new(kind).await, chain, ca, clock: Arc::new(ManualClock::new(NOW)) }
    }

    async fn try_start(&self) -> Result<World, StartError> {
        let (chain, ca) = (Arc::clone(&self.chain), Arc::clone(&self.ca));
        World::start_at(Arc::clone(&self.clock), self.database.config.clone(), chain, ca, |_| ()).await
    }

    async fn start(&self) -> World {
        self.try_start().await.unwrap()
    }

    async fn start_with_base(&self) -> World {
        let (chain, ca) = (Arc::clone(&self.chain), Arc::clone(&self.ca));
        let set = |settings: &mut Settings| settings.base_certificate = true;
        World::start_at(Arc::clone(&self.clock), self.database.config.clone(), chain, ca, set).await.unwrap()
    }

    async fn certificates(&self) -> i64 {
        self.database.count("SELECT COUNT(*) FROM certificates").await
    }

    /// Lets the time pass until something is so; what waits for real sockets gets real time as well.
    async fn until(&self, step: Duration, mut is_so: impl AsyncFnMut() -> bool) {
        for _ in 0..3_000 {
            if is_so().await {
                return;
            }
            self.clock.advance(step);
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        panic!("that never happens");
    }
}

const SECOND: Duration = Duration::from_secs(1);

on_both! {
    g12_certificate_survives_a_restart_and_its_key_is_never_written;
    g6_kept_certificate_is_served_only_once_the_registry_confirms_it;
    two_gateways_place_one_order;
    gateway_adopts_what_another_obtained_without_being_asked;
    crash_in_an_order_costs_one_more_order_once_its_claim_has_ended;
    damaged_row_keeps_the_gateway_from_starting;
    damaged_row_stops_orders_for_its_name_until_somebody_acts;
    expired_certificate_is_a_reason_to_order;
    rate_limit_survives_a_restart_and_holds_up_others_for_a_minute;
    failures_survive_a_restart;
    gateways_own_certificate_survives_a_restart;
    many_certificates_come_back_after_a_restart;
    attack_gateway_that_lost_its_claim_writes_nothing;
    gateways_that_start_together_on_a_new_database_all_open_it;
    plan_is_set_by_one_gateway_alone;
}

async fn g12_certificate_survives_a_restart_and_its_key_is_never_written(kind: Kind) {
    let fleet = Fleet::new(kind).await;
    let world = fleet.start().await;
    let before = world.order(DOMAIN).await.unwrap();
    world.gateway.shutdown().await;
    let world = fleet.start().await;
    fleet.until(SECOND, async || world.certificates().await == [before.clone()]).await;
    assert_eq!(fleet.ca.issued(), 1);
    if let Some(path) = &fleet.database.config.sqlite {
        let mut written = Vec::new();
        for file in std::fs::read_dir(path.parent().unwrap()).unwrap() {
            written.extend(std::fs::read(file.unwrap().path()).unwrap());
        }
        let contains = |bytes: &[u8]| written.windows(bytes.len()).any(|window| window == bytes);
        assert!(contains(DOMAIN.as_bytes()));
        // What PKCS#8 begins with for P-256, without its length: private keys in whatever order would have it.
        assert!(!contains(&hex::decode("020100301306072a8648ce3d0201").unwrap()));
    }
}

async fn g6_kept_certificate_is_served_only_once_the_registry_confirms_it(kind: Kind) {
    let fleet = Fleet::new(kind).await;
    let world = fleet.start().await;
    world.order(DOMAIN).await.unwrap();
    world.gateway.shutdown().await;
    fleet.chain.set_undecided(true);
    let world = fleet.start().await;
    fleet.until(SECOND, async || world.health().await.contains("do not answer")).await;
    assert!(world.certificates().await.is_empty());
    assert_eq!(fleet.certificates().await, 1);
    fleet.chain.release(At::Head, DOMAIN);
    fleet.chain.release(At::Finalized, DOMAIN);
    fleet.chain.set_undecided(false);
    fleet.until(SECOND, async || fleet.certificates().await == 0).await;
    assert!(world.certificates().await.is_empty());
    assert_eq!(fleet.ca.revoked().len(), 1);
}

async fn two_gateways_place_one_order(kind: Kind) {
    let fleet = Fleet::new(kind).await;
    let (one, other) = (fleet.start().await, fleet.start().await);
    let both = futures::future::join(one.order(DOMAIN), other.order(DOMAIN));
    let mut both = std::pin::pin!(both);
    let (first, second) = loop {
        tokio::select! {
            both = &mut both => break both,
            () = tokio::time::sleep(Duration::from_millis(5)) => fleet.clock.advance(SECOND),
        }
    };
    assert_eq!(first.unwrap(), second.unwrap());
    assert_eq!(fleet.ca.issued(), 1);
    assert_eq!(one.certificates().await, other.certificates().await);
}

async fn gateway_adopts_what_another_obtained_without_being_asked(kind: Kind) {
    let fleet = Fleet::new(kind).await;
    let (one, other) = (fleet.start().await, fleet.start().await);
    let issued = one.order(DOMAIN).await.unwrap();
    fleet.until(SECOND, async || other.certificates().await == [issued.clone()]).await;
    assert_eq!(fleet.ca.issued(), 1);
}

async fn crash_in_an_order_costs_one_more_order_once_its_claim_has_ended(kind: Kind) {
    let fleet = Arc::new(Fleet::new(kind).await);
    let other = fleet.start().await;
    fleet.ca.set(Mischief::Hangs);
    // On threads of its own, so that all of it can die at once.
    let doomed = tokio::runtime::Runtime::new().unwrap();
    let (handle, its) = (doomed.handle().clone(), Arc::clone(&fleet));
    std::thread::spawn(move || handle.block_on(async { drop(its.start().await.order(DOMAIN).await) }));
    while fleet.ca.issued() == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // It is alive, and its claim is renewed: nobody else orders.
    for _ in 0..200 {
        fleet.clock.advance(SECOND);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let mut waiting = std::pin::pin!(other.order(DOMAIN));
    tokio::select! {
        _ = &mut waiting => panic!("the claim is held"),
        () = tokio::time::sleep(Duration::from_millis(50)) => {}
    }
    assert_eq!(fleet.ca.issued(), 1);
    fleet.ca.set(Mischief::Nothing);
    doomed.shutdown_background();
    let issued = loop {
        tokio::select! {
            issued = &mut waiting => break issued.unwrap(),
            () = tokio::time::sleep(Duration::from_millis(5)) => fleet.clock.advance(SECOND),
        }
    };
    assert_eq!(fleet.ca.issued(), 2);
    assert_eq!(other.certificates().await, [issued]);
}

/// What somebody may do to a row, and how it is called.
const DAMAGES: [(&str, &str); 5] = [
    ("UPDATE certificates SET chain = digest", "certificate 1 of the chain"),
    ("UPDATE certificates SET digest = app", "digest"),
    ("UPDATE certificates SET obtained_at = -1", "out of range"),
    ("UPDATE certificates SET renew_at = 5, ask_at = NULL", "go together"),
    ("UPDATE certificates SET subject = 'other.example.org'", "not for other.example.org alone"),
];

async fn damaged_row_keeps_the_gateway_from_starting(kind: Kind) {
    for (damage, words) in DAMAGES {
        let fleet = Fleet::new(kind).await;
        let world = fleet.start().await;
        world.order(DOMAIN).await.unwrap();
        world.gateway.shutdown().await;
        fleet.database.does(damage).await;
        let error = fleet.try_start().await.err().expect(damage).to_string();
        assert!(
            error.contains(words) && error.contains("DELETE FROM certificates WHERE subject = '"),
            "{error}"
        );
    }
}

async fn damaged_row_stops_orders_for_its_name_until_somebody_acts(kind: Kind) {
    for (damage, words) in &DAMAGES[..4] {
        let fleet = Fleet::new(kind).await;
        let (one, other) = (fleet.start().await, fleet.start().await);
        let served = one.order(DOMAIN).await.unwrap();
        fleet.database.does(damage).await;
        let refused = other.order(DOMAIN).await.unwrap_err();
        assert_eq!(refused.status(), Some(503), "{damage}: {refused}");
        assert!(refused.to_string().contains(words), "{refused}");
        fleet.until(SECOND, async || other.health().await.contains(words)).await;
        assert_eq!(fleet.ca.issued(), 1, "{damage}");
        // What is in memory of it is as good as ever.
        assert_eq!(one.certificates().await, [served], "{damage}");
        fleet.database.does("DELETE FROM certificates").await;
        other.order(DOMAIN).await.unwrap();
        assert_eq!(fleet.ca.issued(), 2);
    }
}

async fn expired_certificate_is_a_reason_to_order(kind: Kind) {
    // It is 2026, and so it has months to go.
    let fleet = Fleet::new(kind).await;
    fleet.ca.set_life(2020, 2027);
    let world = fleet.start().await;
    let first = world.order(DOMAIN).await.unwrap();
    world.gateway.shutdown().await;
    fleet.clock.advance(Duration::from_secs(365 * 86_400));
    fleet.ca.set_life(2027, 2030);
    let world = fleet.start().await;
    fleet.until(SECOND, async || world.certificates().await.len() == 1).await;
    assert_ne!(world.certificates().await, [first]);
    assert_eq!((fleet.ca.issued(), fleet.certificates().await), (2, 1));
}

async fn rate_limit_survives_a_restart_and_holds_up_others_for_a_minute(kind: Kind) {
    let fleet = Fleet::new(kind).await;
    fleet.chain.approve("other.example.org", APP);
    let world = fleet.start().await;
    fleet.ca.set(Mischief::Limits(3_600));
    assert!(world.order(DOMAIN).await.unwrap_err().to_string().contains("3600s"));
    fleet.ca.set(Mischief::Nothing);
    world.gateway.shutdown().await;
    let world = fleet.start().await;
    for name in [DOMAIN, "other.example.org"] {
        assert_eq!(world.order(name).await.unwrap_err().status(), Some(429), "{name}");
    }
    fleet.clock.advance(Duration::from_secs(60));
    world.order("other.example.org").await.unwrap();
    assert_eq!(world.order(DOMAIN).await.unwrap_err().status(), Some(429));
    assert_eq!(fleet.ca.issued(), 2);
    fleet.clock.advance(Duration::from_secs(3_540));
    world.order(DOMAIN).await.unwrap();
}

async fn failures_survive_a_restart(kind: Kind) {
    let fleet = Fleet::new(kind).await;
    fleet.ca.set(Mischief::Refuses);
    let mut world = fleet.start().await;
    for attempt in 1..=8 {
        world.order(DOMAIN).await.unwrap_err();
        assert_eq!(fleet.ca.issued(), attempt);
        world.gateway.shutdown().await;
        world = fleet.start().await;
        assert_eq!(world.order(DOMAIN).await.unwrap_err().status(), Some(429));
        // Not more than the pause, and not less than half of it.
        let pause = Duration::from_secs(1 << (attempt - 1));
        fleet.clock.advance(pause / 2 - Duration::from_millis(1));
        assert_eq!(world.order(DOMAIN).await.unwrap_err().status(), Some(429), "{attempt}");
        fleet.clock.advance(pause - pause / 2 + Duration::from_millis(1));
    }
    fleet.ca.set(Mischief::Nothing);
    world.order(DOMAIN).await.unwrap();
    assert_eq!(fleet.database.count("SELECT COUNT(*) FROM orders").await, 0);
}

async fn gateways_own_certificate_survives_a_restart(kind: Kind) {
    let fleet = Fleet::new(kind).await;
    let world = fleet.start_with_base().await;
    fleet.until(SECOND, async || fleet.certificates().await == 1).await;
    world.gateway.shutdown().await;
    let world = fleet.start_with_base().await;
    reviewed(&world).await;
    assert_eq!(fleet.ca.issued(), 1);
}

/// More than one batch of rows.
async fn many_certificates_come_back_after_a_restart(kind: Kind) {
    const MANY: usize = 300;
    let fleet = Fleet::new(kind).await;
    let world = fleet.start().await;
    for n in 0..MANY {
        let name = format!("app{n}.example.org");
        fleet.chain.approve(&name, APP);
        world.order(&name).await.unwrap();
    }
    world.gateway.shutdown().await;
    let world = fleet.start().await;
    fleet.until(SECOND, async || world.certificates().await.len() == MANY).await;
    assert_eq!(fleet.ca.issued(), MANY);
}

impl Fleet {
    /// The store as one gateway has it.
    async fn store(&self) -> Arc<dyn Store> {
        let ambient = Ambient { clock: Arc::clone(&self.clock) as _, ..Ambient::system() };
        open(&self.database.config, &ambient).await.unwrap()
    }
}

fn slot() -> Slot {
    Slot { subject: Subject::Domain(DomainName::try_from(DOMAIN).unwrap()), app: Some(APP) }
}

const GENERATION: Generation = Generation([1; 16]);

fn record(content: u8) -> Record {
    let issued =
        Issued { chain: vec![vec![content].into()], issuer: String::new(), account_uri: String::new() };
    Record { slot: slot(), issued, obtained_at: NOW, plan: None }
}

async fn attack_gateway_that_lost_its_claim_writes_nothing(kind: Kind) {
    let fleet = Fleet::new(kind).await;
    let (one, other) = (fleet.store().await, fleet.store().await);
    let taken = Claim::Taken { failures: 0 };
    assert_eq!(one.claim(slot().subject).await.unwrap(), taken);
    assert_eq!(other.claim(slot().subject).await.unwrap(), Claim::Elsewhere);
    fleet.clock.advance(LEASE - SECOND);
    assert!(one.extend(slot().subject).await.unwrap());
    fleet.clock.advance(LEASE - SECOND);
    assert_eq!(other.claim(slot().subject).await.unwrap(), Claim::Elsewhere);
    // It is held up for longer than its claim holds.
    fleet.clock.advance(SECOND);
    assert_eq!(other.claim(slot().subject).await.unwrap(), taken);
    assert!(!one.extend(slot().subject).await.unwrap());
    assert!(!one.complete(GENERATION, record(1)).await.unwrap());
    one.let_go(slot().subject).await.unwrap();
    let pause = Duration::from_secs(1_000);
    let failure = Failure { failures: 9, pause, authority: Duration::ZERO, error: String::new() };
    one.fail(slot().subject, failure).await.unwrap();
    assert_eq!(fleet.certificates().await, 0);
    assert!(other.complete(GENERATION, record(2)).await.unwrap());
    assert_eq!(other.row(GENERATION, slot()).await.unwrap().unwrap().chain, [2]);
    assert_eq!(one.claim(slot().subject).await.unwrap(), taken, "no failure was noted");
}

async fn gateways_that_start_together_on_a_new_database_all_open_it(kind: Kind) {
    const TOGETHER: usize = 12;
    // Where they get into each other's way is short.
    for _ in 0..(if kind == Kind::Sqlite { 25 } else { 2 }) {
        let fleet = Fleet::new(kind).await;
        let all = futures::future::join_all((0..TOGETHER).map(|_| fleet.store())).await;
        let claims = futures::future::join_all(all.iter().map(|store| store.claim(slot().subject))).await;
        let taken = claims.into_iter().filter(|claim| matches!(claim, Ok(Claim::Taken { .. })));
        assert_eq!(taken.count(), 1);
    }
}

async fn plan_is_set_by_one_gateway_alone(kind: Kind) {
    let fleet = Fleet::new(kind).await;
    let (one, other) = (fleet.store().await, fleet.store().await);
    one.claim(slot().subject).await.unwrap();
    one.complete(GENERATION, record(1)).await.unwrap();
    let plan = |renew_at| Plan { renew_at, ask_at: NOW };
    let digest = record(1).digest();
    assert!(one.plan(GENERATION, slot(), digest, None, plan(1)).await.unwrap());
    assert!(!other.plan(GENERATION, slot(), digest, None, plan(2)).await.unwrap());
    assert!(other.plan(GENERATION, slot(), digest, Some(plan(1)), plan(3)).await.unwrap());
    let another = record(2).digest();
    assert!(!other.plan(GENERATION, slot(), another, Some(plan(3)), plan(4)).await.unwrap());
    let marks = one.marks(GENERATION).await.unwrap();
    assert_eq!(marks, [Ok(Mark { slot: slot(), digest, plan: Some(plan(3)) })]);
    assert!(one.marks(Generation([2; 16])).await.unwrap().is_empty());
    one.forget(GENERATION, slot(), another).await.unwrap();
    assert_eq!(fleet.certificates().await, 1);
    one.forget(GENERATION, slot(), digest).await.unwrap();
    assert_eq!(fleet.certificates().await, 0);
}
