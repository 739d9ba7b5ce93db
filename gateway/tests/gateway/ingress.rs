// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Domains whose TLS the instance ends itself.

use std::time::Duration;

use mandate_attestation::dev_pki::DevGuest;
use mandate_gateway::chain::At;
use mandate_model::{Outcome, wire::gateway::RegisterResponse};
use rustls::AlertDescription;

use crate::{
    instance::Instance,
    world::{APP, BASE, DOMAIN, OTHER_APP, World, alert, closed, code, greeting},
};

async fn register(world: &World, instance: &Instance, domains: &[&str]) -> RegisterResponse {
    let guest = DevGuest::new(APP, code(APP));
    world.send(&world.request_for(&guest, &instance.spki, &instance.upstream(), domains)).await.unwrap()
}

#[tokio::test]
async fn domain_of_an_instance_is_passed_through_with_its_validations() {
    let (world, instance) =
        (World::start().await, Instance::start_with("one", &[b"http/1.1", b"acme-tls/1"]).await);
    world.chain.approve(DOMAIN, APP);
    let answer = register(&world, &instance, &[DOMAIN]).await;
    assert!(matches!(answer.outcome, Outcome::Allowed { .. }));
    assert_eq!(world.routes().await[0].domains, [DOMAIN]);
    for protocol in [b"http/1.1".as_slice(), b"acme-tls/1"] {
        // The client sees the instance's own key.
        let mut stream = world.pinned_with(DOMAIN, &instance.spki, protocol).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(protocol));
        assert_eq!(greeting(&mut stream).await, "one");
    }
    // A relayer that asks for a certificate is told whose affair it is.
    assert_eq!(world.order(DOMAIN).await.unwrap_err().status(), Some(409));
    assert_eq!(world.ca.issued(), 0);
}

#[tokio::test]
async fn g1_attack_domain_of_another_app_is_not_led_to_an_instance_that_asks_for_it() {
    let (world, instance) = (World::start().await, Instance::start("one").await);
    for (name, holder) in [(DOMAIN, Some(OTHER_APP)), ("other.example.org", None)] {
        if let Some(holder) = holder {
            world.chain.approve(name, holder);
        }
        let answer = register(&world, &instance, &[name]).await;
        assert!(matches!(answer.outcome, Outcome::Denied { .. }), "{}", answer.outcome);
    }
    world.chain.approve(DOMAIN, APP);
    world.chain.release(At::Head, DOMAIN);
    assert!(matches!(register(&world, &instance, &[DOMAIN]).await.outcome, Outcome::Denied { .. }));
    world.chain.set_undecided(true);
    assert!(matches!(register(&world, &instance, &[DOMAIN]).await.outcome, Outcome::Undecided { .. }));
    assert!(world.routes().await.is_empty());
}

#[tokio::test]
async fn validation_reaches_the_instance_that_ordered_whichever_of_the_apps_it_is() {
    let world = World::start().await;
    world.chain.approve(DOMAIN, APP);
    // The others have no challenge, and refuse.
    let (one, two) = (Instance::without_challenge("one").await, Instance::without_challenge("two").await);
    let ordered = Instance::start_with("ordered", &[b"acme-tls/1"]).await;
    for instance in [&one, &ordered, &two] {
        register(&world, instance, &[DOMAIN]).await;
    }
    for _ in 0..6 {
        let mut stream = world.pinned_with(DOMAIN, &ordered.spki, b"acme-tls/1").await.unwrap();
        assert_eq!(greeting(&mut stream).await, "ordered");
    }
    assert!(world.routes().await.iter().all(|route| !route.failing));
}

/// Evidence for a TLS key is public: it is in the certificate. Who takes it from there gets no validation of the app's domain.
#[tokio::test]
async fn g1_attack_evidence_out_of_a_certificate_leads_no_domain_to_a_thiefs_place() {
    let world = World::start().await;
    let (instance, thief) = (Instance::start("one").await, Instance::start("thief").await);
    world.chain.approve(DOMAIN, APP);
    let public = world.request(APP, &instance.spki, &instance.upstream());
    let guest = DevGuest::new(APP, code(APP));
    let own = world.request_for(&guest, &instance.spki, &instance.upstream(), &[DOMAIN]);
    for stolen in [&public, &own] {
        let mut request = stolen.clone();
        request.upstream = thief.upstream();
        request.domains = vec![DOMAIN.to_owned()];
        let answer = world.send(&request).await.unwrap();
        assert!(matches!(answer.outcome, Outcome::Denied { .. }), "{}", answer.outcome);
    }
    let mut more = own.clone();
    more.domains.push("other.example.org".to_owned());
    world.chain.approve("other.example.org", APP);
    assert!(matches!(world.send(&more).await.unwrap().outcome, Outcome::Denied { .. }));
    assert!(world.routes().await.is_empty());
}

#[tokio::test]
async fn names_of_the_gateway_are_no_domains_of_an_instance() {
    let (world, instance) = (World::start().await, Instance::start("one").await);
    for name in [BASE, &format!("x.{BASE}"), "*.example.org", ""] {
        let mut request = world.request(APP, &instance.spki, &instance.upstream());
        request.domains = vec![name.to_owned()];
        assert_eq!(world.send(&request).await.unwrap_err().status(), Some(400), "{name}");
    }
    let mut request = world.request(APP, &instance.spki, &instance.upstream());
    request.domains = (0..17).map(|n| format!("a{n}.example.org")).collect();
    assert_eq!(world.send(&request).await.unwrap_err().status(), Some(400));
}

#[tokio::test]
async fn g7_released_domain_is_led_to_the_instance_no_more() {
    for told in [true, false] {
        let (world, instance) = (World::start().await, Instance::start("one").await);
        world.chain.approve(DOMAIN, APP);
        register(&world, &instance, &[DOMAIN]).await;
        let mut stream = world.pinned_with(DOMAIN, &instance.spki, b"http/1.1").await.unwrap();
        greeting(&mut stream).await;
        world.chain.release(At::Head, DOMAIN);
        if told {
            let effect = world.release(DOMAIN, 0).await;
            assert!(!effect.served && !effect.pending);
        }
        let mut ended = std::pin::pin!(closed(&mut stream));
        loop {
            tokio::select! {
                () = &mut ended => break,
                () = tokio::task::yield_now() => if !told { world.clock.advance(Duration::from_secs(1)) },
            }
        }
        let refused = alert(world.pinned_with(DOMAIN, &instance.spki, b"http/1.1").await);
        assert_eq!(refused, AlertDescription::UnrecognisedName);
        // The route itself stands: the instance is still allowed.
        assert_eq!(world.routes().await.len(), 1);
    }
}
