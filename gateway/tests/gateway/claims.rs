// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The store row by row: what one gateway does to one row leaves every other as it was.

use std::{sync::Arc, time::Duration};

use alloy::primitives::{Address, B256};
use mandate_acme::{issuer::Issued, name::Subject};
use mandate_gateway::store::{
    Claim, Failure, Generation, LEASE, Plan, Record, Row, Slot, Store, StoreError, open,
};
use mandate_runtime::{Ambient, clock::ManualClock};

use crate::{
    database::{Database, Kind},
    on_both,
    world::{APP, DOMAIN, NOW, OTHER_APP},
};

const ONE: Generation = Generation([1; 16]);
const TWO: Generation = Generation([2; 16]);
const SECOND: Duration = Duration::from_secs(1);
const TAKEN: Claim = Claim::Taken { failures: 0 };

struct Rig {
    clock: Arc<ManualClock>,
    database: Database,
}

impl Rig {
    async fn new(kind: Kind) -> (Self, Arc<dyn Store>) {
        let rig = Self { clock: Arc::new(ManualClock::new(NOW)), database: Database::new(kind).await };
        let store = rig.store().await;
        (rig, store)
    }

    /// The store as one more gateway has it.
    async fn store(&self) -> Arc<dyn Store> {
        let ambient = Ambient { clock: Arc::clone(&self.clock) as _, ..Ambient::system() };
        open(&self.database.config, &ambient).await.unwrap()
    }
}

fn subject(name: &str) -> Subject {
    Subject::Domain(name.parse().unwrap())
}

fn slot(name: &str, app: Address) -> Slot {
    Slot { subject: subject(name), app: Some(app) }
}

fn record(slot: Slot, content: u8) -> Record {
    let text = format!("{content}");
    let issued = Issued { chain: vec![vec![content].into()], issuer: text.clone(), account_uri: text };
    Record { slot, issued, obtained_at: content.into(), plan: None }
}

/// Writes a certificate as a gateway does that ordered it.
async fn write(store: &dyn Store, generation: Generation, record: Record) {
    assert_eq!(store.claim(record.slot.subject.clone()).await.unwrap(), TAKEN);
    assert!(store.complete(generation, record).await.unwrap());
}

async fn row(store: &dyn Store, generation: Generation, slot: &Slot) -> Option<Row> {
    store.row(generation, slot.clone()).await.unwrap()
}

fn failure(seconds: u64, authority: u64) -> Failure {
    let (pause, authority) = (Duration::from_secs(seconds), Duration::from_secs(authority));
    Failure { failures: 3, pause, authority, error: "not today".to_owned() }
}

fn too_soon(seconds: u64) -> Claim {
    Claim::TooSoon { after: Duration::from_secs(seconds) }
}

on_both! {
    rows_are_told_apart_by_generation_name_and_app;
    renewed_certificate_replaces_every_column_and_has_no_plan_yet;
    claims_of_one_name_say_nothing_about_another;
    gateway_takes_its_own_claim_again_and_gives_it_back;
    pause_of_an_authority_holds_everybody_and_is_never_shortened;
    longest_pause_is_the_one_that_is_told;
    certificate_that_nobody_claimed_is_not_written;
    mark_of_a_damaged_row_says_so;
}

async fn rows_are_told_apart_by_generation_name_and_app(kind: Kind) {
    let (_rig, store) = Rig::new(kind).await;
    let all = [
        (ONE, slot(DOMAIN, APP)),
        (TWO, slot(DOMAIN, APP)),
        (ONE, slot(DOMAIN, OTHER_APP)),
        (ONE, slot("other.example.org", APP)),
    ];
    // The same certificate everywhere, so that it is not its digest that tells the rows apart.
    for (generation, slot) in &all {
        write(&*store, *generation, record(slot.clone(), 1)).await;
    }
    for (generation, slot) in &all {
        let read = row(&*store, *generation, slot).await.unwrap();
        assert_eq!(read.generation, generation.0);
        assert_eq!((read.subject, read.app), (slot.subject.to_string(), slot.app.unwrap().to_vec()));
    }
    let digest = record(slot(DOMAIN, APP), 1).digest();
    let plan = Plan { renew_at: 5, ask_at: 6 };
    assert!(store.plan(ONE, slot(DOMAIN, APP), digest, None, plan).await.unwrap());
    for (generation, slot) in &all[1..] {
        assert_eq!(row(&*store, *generation, slot).await.unwrap().renew_at, None, "{slot}");
    }
    store.forget(ONE, slot(DOMAIN, APP), B256::ZERO).await.unwrap();
    assert!(row(&*store, ONE, &slot(DOMAIN, APP)).await.is_some());
    store.forget(ONE, slot(DOMAIN, APP), digest).await.unwrap();
    assert!(row(&*store, ONE, &slot(DOMAIN, APP)).await.is_none());
    for (generation, slot) in &all[1..] {
        assert!(row(&*store, *generation, slot).await.is_some(), "{slot}");
    }
}

async fn renewed_certificate_replaces_every_column_and_has_no_plan_yet(kind: Kind) {
    let (_rig, store) = Rig::new(kind).await;
    let slot = slot(DOMAIN, APP);
    write(&*store, ONE, record(slot.clone(), 1)).await;
    let (digest, plan) = (record(slot.clone(), 1).digest(), |ask_at| Plan { renew_at: 5, ask_at });
    assert!(store.plan(ONE, slot.clone(), digest, None, plan(6)).await.unwrap());
    // One of the two moments is not enough to know the plan.
    assert!(!store.plan(ONE, slot.clone(), digest, Some(plan(7)), plan(8)).await.unwrap());
    let other = Plan { renew_at: 4, ask_at: 6 };
    assert!(!store.plan(ONE, slot.clone(), digest, Some(other), plan(8)).await.unwrap());
    write(&*store, ONE, record(slot.clone(), 2)).await;
    let read = row(&*store, ONE, &slot).await.unwrap();
    assert_eq!((read.chain, read.digest), (vec![2], record(slot, 2).digest().to_vec()));
    assert_eq!((read.issuer.as_str(), read.account_uri.as_str(), read.obtained_at), ("2", "2", 2));
    assert_eq!((read.renew_at, read.ask_at), (None, None));
}

async fn claims_of_one_name_say_nothing_about_another(kind: Kind) {
    let (rig, one) = Rig::new(kind).await;
    let other = rig.store().await;
    let (a, b) = (subject(DOMAIN), subject("other.example.org"));
    assert_eq!((one.claim(a.clone()).await.unwrap(), one.claim(b.clone()).await.unwrap()), (TAKEN, TAKEN));
    // Renewed is the one, and not the other.
    rig.clock.advance(LEASE - SECOND);
    assert!(one.extend(a.clone()).await.unwrap());
    rig.clock.advance(SECOND);
    assert_eq!(other.claim(a.clone()).await.unwrap(), Claim::Elsewhere);
    assert_eq!(other.claim(b.clone()).await.unwrap(), TAKEN);
    assert_eq!(other.claim(a.clone()).await.unwrap(), Claim::Elsewhere);
    // What a gateway gives back, completes or fails at is one of its claims, and not every one.
    let (c, d) = (subject("c.example.org"), subject("d.example.org"));
    for name in [&b, &c, &d] {
        assert_eq!(other.claim(name.clone()).await.unwrap(), TAKEN);
    }
    other.let_go(c.clone()).await.unwrap();
    assert_eq!(one.claim(c.clone()).await.unwrap(), TAKEN);
    assert!(other.complete(ONE, record(Slot { subject: d.clone(), app: Some(APP) }, 1)).await.unwrap());
    assert_eq!(one.claim(d).await.unwrap(), TAKEN);
    assert_eq!(one.claim(b.clone()).await.unwrap(), Claim::Elsewhere);
    one.fail(c, failure(100, 0)).await.unwrap();
    assert_eq!(other.claim(a).await.unwrap(), Claim::Elsewhere);
    assert_eq!(one.claim(b).await.unwrap(), Claim::Elsewhere);
}

async fn gateway_takes_its_own_claim_again_and_gives_it_back(kind: Kind) {
    let (rig, one) = Rig::new(kind).await;
    let (other, name) = (rig.store().await, subject(DOMAIN));
    assert_eq!(one.claim(name.clone()).await.unwrap(), TAKEN);
    rig.clock.advance(LEASE - SECOND);
    assert_eq!(one.claim(name.clone()).await.unwrap(), TAKEN);
    rig.clock.advance(LEASE - SECOND);
    assert_eq!(other.claim(name.clone()).await.unwrap(), Claim::Elsewhere);
    one.let_go(name.clone()).await.unwrap();
    assert!(!one.extend(name.clone()).await.unwrap());
    assert_eq!(other.claim(name.clone()).await.unwrap(), TAKEN);
    one.let_go(name.clone()).await.unwrap();
    assert_eq!(one.claim(name).await.unwrap(), Claim::Elsewhere);
}

async fn pause_of_an_authority_holds_everybody_and_is_never_shortened(kind: Kind) {
    let (rig, store) = Rig::new(kind).await;
    let (a, b, c) = (subject("a.example.org"), subject("b.example.org"), subject("c.example.org"));
    for name in [&a, &b, &c] {
        assert_eq!(store.claim(name.clone()).await.unwrap(), TAKEN);
    }
    store.fail(a, failure(0, 100)).await.unwrap();
    assert_eq!(store.claim(subject(DOMAIN)).await.unwrap(), too_soon(100));
    // Neither a shorter pause nor none at all ends it.
    store.fail(b, failure(0, 50)).await.unwrap();
    store.fail(c, failure(0, 0)).await.unwrap();
    assert_eq!(store.claim(subject(DOMAIN)).await.unwrap(), too_soon(100));
    rig.clock.advance(Duration::from_secs(100));
    assert_eq!(store.claim(subject(DOMAIN)).await.unwrap(), TAKEN);
}

async fn longest_pause_is_the_one_that_is_told(kind: Kind) {
    let (rig, store) = Rig::new(kind).await;
    let name = subject(DOMAIN);
    store.claim(name.clone()).await.unwrap();
    store.fail(name.clone(), failure(200, 100)).await.unwrap();
    assert_eq!(store.claim(name.clone()).await.unwrap(), too_soon(200));
    rig.clock.advance(Duration::from_secs(150));
    assert_eq!(store.claim(name.clone()).await.unwrap(), too_soon(50));
    rig.clock.advance(Duration::from_secs(50));
    assert_eq!(store.claim(name.clone()).await.unwrap(), Claim::Taken { failures: 3 });
    store.fail(name.clone(), failure(10, 300)).await.unwrap();
    assert_eq!(store.claim(name.clone()).await.unwrap(), too_soon(300));
    rig.clock.advance(Duration::from_secs(300));
    assert_eq!(store.claim(name).await.unwrap(), Claim::Taken { failures: 3 });
}

async fn certificate_that_nobody_claimed_is_not_written(kind: Kind) {
    let (_rig, store) = Rig::new(kind).await;
    let slot = slot(DOMAIN, APP);
    assert!(!store.complete(ONE, record(slot.clone(), 1)).await.unwrap());
    assert!(row(&*store, ONE, &slot).await.is_none());
    assert!(!store.extend(slot.subject).await.unwrap());
}

async fn mark_of_a_damaged_row_says_so(kind: Kind) {
    let (rig, store) = Rig::new(kind).await;
    for damage in ["digest = app", "renew_at = 5", "ask_at = 5", "renew_at = -5, ask_at = 5"] {
        write(&*store, ONE, record(slot(DOMAIN, APP), 1)).await;
        assert!(store.marks(ONE).await.unwrap()[0].is_ok());
        rig.database.does(&format!("UPDATE certificates SET {damage}")).await;
        assert!(store.marks(ONE).await.unwrap()[0].is_err(), "{damage}");
        rig.database.does("DELETE FROM certificates").await;
    }
}

/// SQLite keeps whatever it is given.
#[tokio::test]
async fn column_of_another_type_is_damage_and_not_a_broken_database() {
    let (rig, store) = Rig::new(Kind::Sqlite).await;
    for column in ["renew_at", "obtained_at"] {
        write(&*store, ONE, record(slot(DOMAIN, APP), 1)).await;
        rig.database.does(&format!("UPDATE certificates SET {column} = 'soon\u{e9}'")).await;
        let read = store.row(ONE, slot(DOMAIN, APP)).await;
        assert!(matches!(read, Err(StoreError::Damaged(_))), "{column}: {read:?}");
        let marks = store.marks(ONE).await.unwrap();
        assert!(column == "obtained_at" || marks[0].is_err(), "{column}: {marks:?}");
        rig.database.does("DELETE FROM certificates").await;
    }
}

#[tokio::test]
async fn gateways_of_one_machine_may_make_the_database_at_once() {
    for _ in 0..10 {
        let rig = Rig { clock: Arc::new(ManualClock::new(NOW)), database: Database::new(Kind::Sqlite).await };
        futures::future::join_all((0..8).map(|_| rig.store())).await;
    }
}
