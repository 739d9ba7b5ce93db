// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a gateway does when somebody tells it that a domain was released, or that more is allowed.

use std::{sync::Arc, time::Duration};

use alloy::primitives::B256;
use mandate_acme::issuer::RenewalWindow;
use mandate_gateway::chain::{At, Standing};
use mandate_model::wire::gateway::{IssuedCertificate, ReleaseEffect};

use crate::{
    database::{Database, Kind},
    instance::Instance,
    on_both,
    scripted::{Mischief, ScriptedChain, TestCa},
    world::{APP, DOMAIN, OTHER_APP, World},
};

const STILL_SERVED: ReleaseEffect = ReleaseEffect { served: true, pending: false };
const GONE: ReleaseEffect = ReleaseEffect { served: false, pending: false };
const PENDING: ReleaseEffect = ReleaseEffect { served: false, pending: true };

async fn with_certificate() -> (World, IssuedCertificate) {
    let world = World::start().await;
    world.chain.approve(DOMAIN, APP);
    let issued = world.order(DOMAIN).await.unwrap();
    (world, issued)
}

#[tokio::test]
async fn attack_notice_of_a_release_that_is_not_on_chain_changes_nothing() {
    let (world, issued) = with_certificate().await;
    assert_eq!(world.release(DOMAIN, 0).await, STILL_SERVED);
    assert_eq!(world.release("unknown.example", 0).await, GONE);
    world.chain.set_undecided(true);
    assert_eq!(world.release(DOMAIN, 0).await, ReleaseEffect { served: true, pending: true });
    world.chain.set_undecided(false);
    assert_eq!(world.certificates().await, [issued]);
    assert!(world.ca.revoked().is_empty());
}

#[tokio::test]
async fn g7_released_domain_is_served_no_more_at_the_head_and_its_certificate_revoked_when_that_is_final() {
    let (world, issued) = with_certificate().await;
    world.chain.release(At::Head, DOMAIN);
    assert_eq!(world.release(DOMAIN, 0).await, PENDING);
    assert!(world.certificates().await.is_empty() && world.ca.revoked().is_empty());
    world.chain.release(At::Finalized, DOMAIN);
    assert_eq!(world.release(DOMAIN, 0).await, GONE);
    assert_eq!(world.ca.revoked(), [issued.fingerprint]);
    assert_eq!(world.release(DOMAIN, 0).await, GONE);
    assert_eq!(world.ca.revoked().len(), 1, "once");
}

#[tokio::test]
async fn release_that_is_reorganised_away_brings_the_certificate_back_without_an_order() {
    let (world, issued) = with_certificate().await;
    world.chain.release(At::Head, DOMAIN);
    assert_eq!(world.release(DOMAIN, 0).await, PENDING);
    world.chain.approve(DOMAIN, APP);
    assert_eq!(world.release(DOMAIN, 0).await, STILL_SERVED);
    assert_eq!(world.certificates().await, [issued]);
    assert_eq!((world.ca.issued(), world.ca.revoked().len()), (1, 0));
}

#[tokio::test]
async fn gateway_that_is_behind_says_so() {
    let (world, _) = with_certificate().await;
    world.chain.set_head(7);
    assert_eq!(world.release(DOMAIN, 8).await, ReleaseEffect { served: true, pending: true });
    world.chain.set_head(8);
    assert_eq!(world.release(DOMAIN, 8).await, STILL_SERVED);
}

#[tokio::test]
async fn revocation_waits_for_an_authority_that_is_away_and_not_for_one_that_refuses() {
    let (world, issued) = with_certificate().await;
    world.chain.release(At::Head, DOMAIN);
    world.chain.release(At::Finalized, DOMAIN);
    world.ca.set(Mischief::IsAway);
    assert_eq!(world.release(DOMAIN, 0).await, PENDING);
    world.ca.set(Mischief::Nothing);
    assert_eq!(world.release(DOMAIN, 0).await, GONE);
    assert_eq!(world.ca.revoked(), [issued.fingerprint]);

    let (world, _) = with_certificate().await;
    world.chain.release(At::Head, DOMAIN);
    world.chain.release(At::Finalized, DOMAIN);
    world.ca.set(Mischief::Refuses);
    assert_eq!(world.release(DOMAIN, 0).await, GONE);
}

#[tokio::test]
async fn certificate_of_the_app_that_held_the_domain_before_is_revoked_and_the_new_one_stays() {
    let (world, first) = with_certificate().await;
    world.chain.approve(DOMAIN, OTHER_APP);
    let second = world.order(DOMAIN).await.unwrap();
    assert_eq!(world.release(DOMAIN, 0).await, STILL_SERVED);
    assert_eq!(world.ca.revoked(), [first.fingerprint]);
    assert_eq!(world.certificates().await, [second]);
}

#[tokio::test]
async fn revocation_that_was_not_made_before_a_restart_is_made_after_it() {
    let (database, chain, ca) = (Database::sqlite(), Arc::new(ScriptedChain::default()), TestCa::new());
    let start = || World::start_in(database.config.clone(), Arc::clone(&chain), Arc::clone(&ca));
    chain.approve(DOMAIN, APP);
    let world = start().await.unwrap();
    let issued = world.order(DOMAIN).await.unwrap();
    chain.release(At::Head, DOMAIN);
    assert_eq!(world.release(DOMAIN, 0).await, PENDING);
    world.gateway.shutdown().await;
    chain.release(At::Finalized, DOMAIN);
    let world = start().await.unwrap();
    assert_eq!(world.release(DOMAIN, 0).await, GONE);
    assert_eq!(ca.revoked(), [issued.fingerprint]);
    assert_eq!(database.count("SELECT COUNT(*) FROM certificates").await, 0);
}

async fn told_of_app(world: &World) {
    world.notice(APP, 0).await;
}

#[tokio::test]
async fn g7_domains_of_an_app_that_is_closed_are_served_no_more_at_the_head_and_revoked_when_that_is_final() {
    let (world, issued) = with_certificate().await;
    world.chain.stands(At::Head, APP, Standing::Ended);
    told_of_app(&world).await;
    assert!(world.certificates().await.is_empty() && world.ca.revoked().is_empty());
    assert_eq!(world.order(DOMAIN).await.unwrap_err().status(), Some(403));
    world.chain.stands(At::Finalized, APP, Standing::Ended);
    world.clock.advance(Duration::from_secs(60));
    while world.ca.revoked().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.ca.revoked(), [issued.fingerprint]);
    assert_eq!(world.ca.issued(), 1);
}

#[tokio::test]
async fn pause_stops_the_serving_and_burns_no_certificate() {
    let (world, issued) = with_certificate().await;
    for at in [At::Head, At::Finalized] {
        world.chain.stands(at, APP, Standing::Halted);
    }
    told_of_app(&world).await;
    assert!(world.certificates().await.is_empty());
    assert_eq!(world.release(DOMAIN, 0).await, PENDING, "a notice changes nothing about that");
    for at in [At::Head, At::Finalized] {
        world.chain.stands(at, APP, Standing::Active);
    }
    assert_eq!(world.release(DOMAIN, 0).await, STILL_SERVED);
    assert_eq!(world.certificates().await, [issued]);
    assert_eq!((world.ca.issued(), world.ca.revoked().len()), (1, 0));
}

#[tokio::test]
async fn attack_grant_notice_opens_nothing_that_the_chain_denies() {
    let (world, instance) = (World::start().await, Instance::start("one").await);
    world.register(APP, &instance).await;
    world.chain.deny(At::Head, crate::world::code(APP));
    world.grant(APP).await.unwrap();
    assert!(world.routes().await.is_empty(), "the gateway has looked for itself");
    world.grant(OTHER_APP).await.unwrap();
    assert!(world.routes().await.is_empty());
}

#[tokio::test]
async fn grant_notice_moves_the_end_of_a_route_that_may_live_longer_now() {
    let (world, instance) = (World::start().await, Instance::start("one").await);
    world.chain.set_remaining(Duration::from_secs(5));
    world.register(APP, &instance).await;
    world.chain.set_remaining(Duration::from_secs(1 << 32));
    world.grant(APP).await.unwrap();
    let asked = world.chain.asked();
    world.clock.advance(Duration::from_secs(6));
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.routes().await.len(), 1);
    assert_eq!(world.chain.asked(), asked, "no review has come in between");
    world.chain.set_undecided(true);
    assert_eq!(world.grant(APP).await.unwrap_err().status(), Some(503));
}

on_both! {
    superseded_certificates_are_revoked_with_the_current_one;
    superseded_certificate_whose_time_is_over_is_forgotten;
    attack_row_that_names_another_domains_certificate_revokes_it_not;
}

/// A certificate, and two that it has followed.
async fn renewed(database: &Database, chain: &Arc<ScriptedChain>, ca: &Arc<TestCa>) -> (World, Vec<B256>) {
    chain.approve(DOMAIN, APP);
    let store = database.config.clone();
    let world = World::start_in(store, Arc::clone(chain), Arc::clone(ca)).await.unwrap();
    let mut all = vec![world.order(DOMAIN).await.unwrap().fingerprint];
    for _ in 0..2 {
        // Somebody deletes the plan, and it is due.
        ca.suggest(Ok(Some(RenewalWindow { start: 0, end: 1, again_after: Duration::from_secs(60) })));
        let next = loop {
            world.clock.advance(Duration::from_secs(61));
            tokio::time::sleep(Duration::from_millis(2)).await;
            match world.certificates().await.first() {
                Some(issued) if Some(&issued.fingerprint) != all.last() => break issued.fingerprint,
                _ => {}
            }
        };
        all.push(next);
    }
    (world, all)
}

async fn released(chain: &ScriptedChain, world: &World) -> ReleaseEffect {
    chain.release(At::Head, DOMAIN);
    chain.release(At::Finalized, DOMAIN);
    world.release(DOMAIN, 0).await
}

async fn superseded_certificates_are_revoked_with_the_current_one(kind: Kind) {
    let (database, chain, ca) =
        (Database::new(kind).await, Arc::new(ScriptedChain::default()), TestCa::new());
    let (world, mut all) = renewed(&database, &chain, &ca).await;
    // They outlive the gateway that obtained them.
    world.gateway.shutdown().await;
    let clock = Arc::clone(&world.clock);
    let world =
        World::start_at(clock, database.config.clone(), chain.clone(), ca.clone(), |_| ()).await.unwrap();
    ca.set(Mischief::IsAway);
    assert_eq!(released(&chain, &world).await, PENDING);
    assert!(ca.revoked().is_empty());
    ca.set(Mischief::Nothing);
    assert_eq!(world.release(DOMAIN, 0).await, GONE);
    let mut revoked = ca.revoked();
    revoked.sort();
    all.sort();
    assert_eq!(revoked, all);
    assert_eq!(database.count("SELECT COUNT(*) FROM superseded").await, 0);
}

async fn superseded_certificate_whose_time_is_over_is_forgotten(kind: Kind) {
    let (database, chain, ca) =
        (Database::new(kind).await, Arc::new(ScriptedChain::default()), TestCa::new());
    ca.set_life(2026, 2027);
    let (world, _) = renewed(&database, &chain, &ca).await;
    assert_eq!(database.count("SELECT COUNT(*) FROM superseded").await, 2);
    ca.set_life(2027, 2200);
    world.clock.advance(Duration::from_secs(365 * 86_400));
    let before = ca.issued();
    while ca.issued() == before || database.count("SELECT COUNT(*) FROM superseded").await > 0 {
        world.clock.advance(Duration::from_secs(15));
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let current = loop {
        if let Some(current) = world.certificates().await.first() {
            break current.fingerprint;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    };
    assert_eq!(released(&chain, &world).await, GONE);
    assert_eq!(ca.revoked(), [current]);
}

/// Whoever can write to the store must not have other domains' certificates revoked: they are of the same account.
async fn attack_row_that_names_another_domains_certificate_revokes_it_not(kind: Kind) {
    let (database, chain, ca) =
        (Database::new(kind).await, Arc::new(ScriptedChain::default()), TestCa::new());
    let (world, _) = renewed(&database, &chain, &ca).await;
    chain.approve("other.example.org", APP);
    let other = world.order("other.example.org").await.unwrap();
    let theirs = "FROM certificates WHERE certificates.subject = 'other.example.org'";
    database
        .does(&format!(
            "UPDATE superseded SET chain = (SELECT chain {theirs}), digest = (SELECT digest {theirs})
             WHERE obtained_at = (SELECT MIN(obtained_at) FROM superseded)"
        ))
        .await;
    assert_eq!(released(&chain, &world).await, PENDING);
    assert!(!ca.revoked().contains(&other.fingerprint));
    database.does("DELETE FROM superseded").await;
    assert_eq!(world.release(DOMAIN, 0).await, GONE);
}
