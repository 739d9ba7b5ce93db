// SPDX-License-Identifier: Apache-2.0 OR MIT

use std::{sync::Arc, time::Duration};

use mandate_gateway::{Settings, chain::At};
use rustls::AlertDescription;

use crate::{
    instance::Instance,
    scripted::{Mischief, TestCa},
    world::{APP, BASE, DOMAIN, NOW, OTHER_APP, World, alert, closed, greeting},
};

#[tokio::test]
async fn g1_domain_that_no_app_holds_gets_no_certificate() {
    let world = World::start().await;
    let refused = world.order(DOMAIN).await.unwrap_err();
    assert_eq!(refused.status(), Some(403));
    assert!(refused.to_string().contains("not approved for any app at block 0"), "{refused}");
    world.chain.approve(DOMAIN, APP);
    world.chain.release(At::Head, DOMAIN);
    assert_eq!(world.order(DOMAIN).await.unwrap_err().status(), Some(409));
    world.chain.set_undecided(true);
    assert_eq!(world.order(DOMAIN).await.unwrap_err().status(), Some(503));
    assert_eq!(world.ca.issued(), 0);
}

#[tokio::test]
async fn attack_names_of_the_gateway_itself_are_no_domains() {
    let world = World::start().await;
    for name in
        [BASE, &format!("{}.{BASE}", hex::encode(APP)), "*.example.org", "127.0.0.1", "A.example.org", ""]
    {
        world.chain.approve(name, APP);
        assert_eq!(world.order(name).await.unwrap_err().status(), Some(400), "{name}");
    }
    assert_eq!(world.ca.issued(), 0);
}

#[tokio::test]
async fn certificate_is_ordered_once_however_often_it_is_asked_for() {
    let world = World::start().await;
    world.chain.approve(DOMAIN, APP);
    let all = futures::future::join_all((0..5).map(|_| world.order(DOMAIN))).await;
    let first = all[0].as_ref().unwrap();
    assert!(all.iter().all(|one| one.as_ref().unwrap() == first));
    assert_eq!((first.app, first.issuer.as_str()), (APP, "ca.test"));
    assert_eq!(first.account_uri, "https://ca.test/account/1");
    assert_eq!(world.ca.issued(), 1);
    assert_eq!(world.certificates().await, std::slice::from_ref(first));
}

#[tokio::test]
async fn domain_that_moves_to_another_app_gets_another_certificate_and_loses_its_connections() {
    let (world, one, two) =
        (World::start().await, Instance::start("one").await, Instance::start("two").await);
    world.register(APP, &one).await;
    world.register(OTHER_APP, &two).await;
    world.chain.approve(DOMAIN, APP);
    let first = world.order(DOMAIN).await.unwrap();
    let mut stream = world.browse(DOMAIN, &[]).await.unwrap();
    assert_eq!(greeting(&mut stream).await, "one");
    world.chain.approve(DOMAIN, OTHER_APP);
    let second = world.order(DOMAIN).await.unwrap();
    assert_ne!(first.spki_hash, second.spki_hash);
    closed(&mut stream).await;
    assert_eq!(greeting(&mut world.browse(DOMAIN, &[]).await.unwrap()).await, "two");
}

#[tokio::test]
async fn g7_domain_that_is_released_is_served_no_more() {
    let (world, instance) = (World::start().await, Instance::start("one").await);
    world.register(APP, &instance).await;
    world.chain.approve(DOMAIN, APP);
    world.order(DOMAIN).await.unwrap();
    let mut stream = world.browse(DOMAIN, &[]).await.unwrap();
    greeting(&mut stream).await;
    world.chain.release(At::Head, DOMAIN);
    let mut ended = std::pin::pin!(closed(&mut stream));
    loop {
        tokio::select! {
            () = &mut ended => break,
            () = tokio::task::yield_now() => world.clock.advance(Duration::from_secs(1)),
        }
    }
    assert_eq!(alert(world.browse(DOMAIN, &[]).await), AlertDescription::UnrecognisedName);
}

#[tokio::test]
async fn attack_certificate_that_was_not_asked_for_is_refused() {
    for mischief in [Mischief::CertifiesAnotherKey, Mischief::CertifiesMoreNames, Mischief::Expired] {
        let world = World::start().await;
        world.chain.approve(DOMAIN, APP);
        world.ca.set(mischief);
        assert_eq!(world.order(DOMAIN).await.unwrap_err().status(), Some(502), "{mischief:?}");
        assert!(world.certificates().await.is_empty());
    }
}

#[tokio::test]
async fn failed_order_is_not_repeated_at_once() {
    let world = World::start().await;
    world.chain.approve(DOMAIN, APP);
    world.ca.set(Mischief::Refuses);
    assert!(world.order(DOMAIN).await.unwrap_err().to_string().contains("not today"));
    assert_eq!(world.order(DOMAIN).await.unwrap_err().status(), Some(429));
    assert_eq!(world.ca.issued(), 1);
    world.ca.set(Mischief::Nothing);
    world.clock.advance(Duration::from_secs(1));
    world.order(DOMAIN).await.unwrap();
}

/// Lets the review run that follows a start.
pub async fn reviewed(world: &World) {
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    world.certificates().await;
}

/// A gateway that wants a certificate for its own names.
async fn with_base(ca: &Arc<TestCa>) -> World {
    let (chain, set) = (Arc::default(), |settings: &mut Settings| settings.base_certificate = true);
    World::start_with(NOW, chain, Arc::clone(ca), set).await.unwrap()
}

/// Moves the clock until so many certificates were asked for.
async fn until_asked(world: &World, times: usize) {
    while world.ca.issued() < times {
        world.clock.advance(Duration::from_secs(1));
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn gateways_own_names_are_ordered_at_the_start_and_only_when_they_are_wanted() {
    let ca = TestCa::new();
    let world = with_base(&ca).await;
    until_asked(&world, 1).await;
    reviewed(&world).await;
    assert_eq!(ca.issued(), 1);
    // The registry knows nothing of it, so it is not among the domains.
    assert!(world.certificates().await.is_empty());

    let world = World::start().await;
    reviewed(&world).await;
    assert_eq!(world.ca.issued(), 0);
}

#[tokio::test]
async fn failed_order_for_the_gateways_own_names_is_repeated_after_a_pause() {
    let ca = TestCa::new();
    ca.set(Mischief::Refuses);
    let world = with_base(&ca).await;
    until_asked(&world, 2).await;
    ca.set(Mischief::Nothing);
    until_asked(&world, 3).await;
    reviewed(&world).await;
    assert_eq!(ca.issued(), 3);
}
