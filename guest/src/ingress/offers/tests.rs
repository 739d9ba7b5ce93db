// SPDX-License-Identifier: Apache-2.0 OR MIT
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::{net::SocketAddr, sync::atomic::Ordering};

use mandate_acme::issuer::IssueError;

use super::*;
use crate::ingress::scripted::{Act, World};

const NOWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1);
const DAY: Duration = Duration::from_secs(86_400);

/// Two instances of one app.
async fn instances() -> (World, World, ServedCertificate) {
    let (one, two) = (World::new(NOWHERE, None), World::new(NOWHERE, None));
    one.certified().await;
    let served = one.shown.told().borrow()[0].clone();
    two.clock.advance(DAY);
    (one, two, served)
}

fn offer(certificates: &[&ServedCertificate], elsewhere: &[&str]) -> RegisterResponse {
    RegisterResponse {
        outcome: mandate_model::outcome::Outcome::Allowed { valid_until: 1 },
        names: Vec::new(),
        lease: 600,
        certificates: certificates.iter().map(|one| (*one).clone()).collect(),
        elsewhere: elsewhere.iter().map(|name| (*name).to_owned()).collect(),
    }
}

fn fingerprint(world: &World) -> Option<[u8; 32]> {
    world.shown.find(&world.domain()).map(|certificate| certificate.fingerprint())
}

fn orders(world: &World) -> usize {
    world.ca.orders.lock().unwrap().len()
}

async fn step(world: &World) {
    world.orders().step(&world.domain(), &mut None, &mut Tries::default()).await;
}

#[tokio::test]
async fn certificate_of_another_instance_is_served_kept_and_told_in_place_of_an_order() {
    let (one, two, served) = instances().await;
    note(&two.offers, "http://gw", &offer(&[&served], &[]));
    step(&two).await;
    assert_eq!((orders(&two), fingerprint(&two)), (0, fingerprint(&one)));
    assert_eq!(*two.shown.told().borrow(), [served]);
    assert!(two.health.problems().iter().all(|problem| !problem.contains("app.example.org")));
}

#[tokio::test]
async fn renewal_by_another_instance_is_taken_over_while_this_one_waits() {
    let (one, two, served) = instances().await;
    let (mut current, mut tries) = (None, Tries::default());
    note(&two.offers, "http://gw", &offer(&[&served], &[]));
    let wait = two.orders().step(&two.domain(), &mut current, &mut tries).await;
    one.clock.advance(DAY / 2);
    one.certified().await;
    let renewed = one.shown.told().borrow()[0].clone();
    let (resting, name) = (two.orders(), two.domain());
    let mut rest = std::pin::pin!(resting.rest(&name, &mut current, &mut tries, wait));
    note(&two.offers, "http://other", &offer(&[&renewed], &[]));
    while fingerprint(&two) != fingerprint(&one) {
        tokio::select! {
            () = &mut rest => panic!("nothing is due"),
            () = tokio::task::yield_now() => {}
        }
    }
    assert_eq!(orders(&two), 0);
}

#[tokio::test]
async fn attack_what_a_gateway_makes_up_is_not_served() {
    // For a key of its own.
    let other_app = World::with_secret([6; 32], NOWHERE, None);
    other_app.certified().await;
    let foreign = other_app.shown.told().borrow()[0].clone();
    let (_, _, served) = instances().await;
    let mut cut = served.clone();
    cut.chain = vec![cut.chain[0][..100].to_vec().into()];
    let mut other_issuer = served.clone();
    other_issuer.issuer = "mallory.test".to_owned();
    let mut endless = served.clone();
    endless.chain = vec![served.chain[0].clone(); MAX_CHAIN + 1];
    let none = ServedCertificate { chain: Vec::new(), ..served };
    for offered in [foreign, cut, other_issuer, endless, none] {
        let world = World::new(NOWHERE, None);
        world.clock.advance(DAY);
        note(&world.offers, "http://gw", &offer(&[&offered], &[]));
        step(&world).await;
        assert_eq!(orders(&world), 1, "it orders its own");
    }
}

/// The app's key, and signed by nobody that browsers know.
#[tokio::test]
async fn attack_certificate_that_leads_to_no_root_is_not_served() {
    let (_, two, served) = instances().await;
    two.ca.knows.store(false, Ordering::SeqCst);
    note(&two.offers, "http://gw", &offer(&[&served], &[]));
    step(&two).await;
    assert_eq!(orders(&two), 1);
}

/// What the instance then says of its account would be pinned in the registry, and in CAA.
#[tokio::test]
async fn attack_account_is_the_authoritys_word_and_not_the_gateways() {
    let (_, two, mut served) = instances().await;
    served.account_uri = "https://ca.test/account/mallory".to_owned();
    note(&two.offers, "http://gw", &offer(&[&served], &[]));
    step(&two).await;
    let shown = two.shown.find(&two.domain()).unwrap();
    assert_eq!(shown.issued().account_uri, "https://ca.test/account/1");
}

#[tokio::test]
async fn attack_older_certificate_does_not_take_a_newer_ones_place() {
    let (_, two, served) = instances().await;
    let (mut current, mut tries) = (None, Tries::default());
    two.orders().step(&two.domain(), &mut current, &mut tries).await;
    let own = fingerprint(&two);
    note(&two.offers, "http://gw", &offer(&[&served], &[]));
    two.orders().step(&two.domain(), &mut current, &mut tries).await;
    assert_eq!((orders(&two), fingerprint(&two)), (1, own));
}

/// A gateway that offers something else every moment would otherwise use up what the authority allows.
#[tokio::test]
async fn attack_offers_make_nobody_order_sooner() {
    let world = World::new(NOWHERE, None);
    let refused = |name| IssueError::Refused { issuer: "ca.test".to_owned(), name, what: "no".to_owned() };
    world.ca.script.lock().unwrap().push_back(Act::Fail(refused));
    let (mut current, mut tries) = (None, Tries::default());
    let orders = world.orders();
    let wait = orders.step(&world.domain(), &mut current, &mut tries).await;
    assert_ne!(tries, Tries::default());
    let name = world.domain();
    let mut rest = std::pin::pin!(orders.rest(&name, &mut current, &mut tries, wait));
    for n in 0..20 {
        let (name, issuer, account_uri) = (name.to_string(), format!("{n}"), String::new());
        let new = ServedCertificate { name, issuer, account_uri, chain: Vec::new() };
        note(&world.offers, "http://gw", &offer(&[&new], &[]));
        tokio::select! {
            biased;
            () = &mut rest => panic!("it is too soon"),
            () = async { for _ in 0..20 { tokio::task::yield_now().await } } => {}
        }
    }
    world.clock.advance(wait);
    rest.await;
    assert_eq!(self::orders(&world), 1);
}

#[tokio::test]
async fn certificate_that_another_instance_is_about_to_obtain_is_waited_for() {
    let (one, two, served) = instances().await;
    note(&two.offers, "http://gw", &offer(&[], &["other.example.org", "app.example.org"]));
    let (mut current, mut tries) = (None, Tries::default());
    let wait = two.orders().step(&two.domain(), &mut current, &mut tries).await;
    assert!(wait < Duration::from_secs(30), "{wait:?}");
    assert!(two.health.problems().iter().any(|problem| problem.contains("another instance")));
    note(&two.offers, "http://gw", &offer(&[&served], &[]));
    two.orders().step(&two.domain(), &mut current, &mut tries).await;
    assert_eq!((orders(&two), fingerprint(&two)), (0, fingerprint(&one)));
}

#[tokio::test]
async fn instance_orders_when_one_of_its_gateways_gives_it_the_turn() {
    let world = World::new(NOWHERE, None);
    note(&world.offers, "http://gw", &offer(&[], &["app.example.org"]));
    note(&world.offers, "http://other", &offer(&[], &[]));
    step(&world).await;
    assert_eq!(orders(&world), 1);
}

#[tokio::test]
async fn attack_gateway_does_not_keep_an_app_without_a_certificate_for_ever() {
    let world = World::new(NOWHERE, None);
    note(&world.offers, "http://gw", &offer(&[], &["app.example.org"]));
    let (mut current, mut tries, mut waited) = (None, Tries::default(), Duration::ZERO);
    while current.is_none() {
        waited += world.orders().step(&world.domain(), &mut current, &mut tries).await;
        assert!(waited < Duration::from_secs(3_600) || current.is_some());
    }
    assert_eq!(orders(&world), 1);
}

/// Else the first failure of its own order would cost this one an hour.
#[tokio::test]
async fn waiting_for_another_instance_makes_no_later_pause_longer() {
    let world = World::new(NOWHERE, None);
    note(&world.offers, "http://gw", &offer(&[], &["app.example.org"]));
    let away = |_| IssueError::Unreachable { issuer: "ca.test".to_owned(), what: "nobody there".to_owned() };
    world.ca.script.lock().unwrap().push_back(Act::Fail(away));
    let (mut current, mut tries) = (None, Tries::default());
    let mut last = Duration::MAX;
    while orders(&world) == 0 {
        last = world.orders().step(&world.domain(), &mut current, &mut tries).await;
    }
    assert!(current.is_none() && last < Duration::from_secs(2), "{last:?}");
}
