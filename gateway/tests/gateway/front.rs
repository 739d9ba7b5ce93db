// SPDX-License-Identifier: Apache-2.0 OR MIT

use std::time::Duration;

use alloy::primitives::Address;
use mandate_attestation::dev_pki::DevGuest;
use rustls::AlertDescription;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    instance::Instance,
    world::{APP, BASE, DOMAIN, OTHER_APP, World, alert, code, greeting, passthrough},
};

#[tokio::test]
async fn passthrough_reaches_the_instance_by_app_id_and_by_instance_id() {
    let (world, instance) = (World::start().await, Instance::start("one").await);
    let answer = world.register(APP, &instance).await;
    assert_eq!(answer.names[0], passthrough(APP));
    for name in answer.names {
        let mut stream = world.pinned(&name, &instance.spki).await.unwrap();
        assert_eq!(greeting(&mut stream).await, "one");
        stream.write_all(b"ping").await.unwrap();
        let mut pong = [0; 4];
        stream.read_exact(&mut pong).await.unwrap();
        assert_eq!(&pong, b"ping");
        assert_eq!(world.routes().await[0].connections, 1);
        stream.shutdown().await.unwrap();
        assert_eq!(stream.read(&mut pong).await.unwrap(), 0);
    }
}

#[tokio::test]
async fn passthrough_reaches_no_port_that_was_not_registered() {
    let (world, instance) = (World::start().await, Instance::start("one").await);
    world.register(APP, &instance).await;
    let id = hex::encode(APP);
    let registered = format!("{id}-{}s.{BASE}", instance.addr.port());
    assert_eq!(greeting(&mut world.pinned(&registered, &instance.spki).await.unwrap()).await, "one");
    let other = format!("{id}-22s.{BASE}");
    assert_eq!(alert(world.pinned(&other, &instance.spki).await), AlertDescription::UnrecognisedName);
}

#[tokio::test]
async fn domain_is_served_with_its_certificate_and_the_instances_protocol() {
    let (world, instance) = (World::start().await, Instance::start_with("one", &[b"h2", b"http/1.1"]).await);
    world.register(APP, &instance).await;
    world.chain.approve(DOMAIN, APP);
    world.order(DOMAIN).await.unwrap();
    for (offered, chosen) in [
        (vec![b"http/1.1".as_slice()], Some(b"http/1.1".as_slice())),
        (vec![b"h2", b"http/1.1"], Some(b"h2")),
        (vec![], None),
    ] {
        let mut stream = world.browse(DOMAIN, &offered).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), chosen);
        assert_eq!(greeting(&mut stream).await, "one");
    }
}

#[tokio::test]
async fn g1_domain_without_an_allowed_instance_completes_no_handshake() {
    let (world, instance) = (World::start().await, Instance::start("other").await);
    world.register(OTHER_APP, &instance).await;
    world.chain.approve(DOMAIN, APP);
    world.order(DOMAIN).await.unwrap();
    assert_eq!(alert(world.browse(DOMAIN, &[]).await), AlertDescription::InternalError);
}

#[tokio::test]
async fn attack_upstream_with_another_key_is_refused() {
    let (world, genuine, impostor) =
        (World::start().await, Instance::start("genuine").await, Instance::start("impostor").await);
    // Somebody has taken over the address at which the instance registered.
    let request = world.request(APP, &genuine.spki, &impostor.upstream());
    world.send(&request).await.unwrap();
    world.chain.approve(DOMAIN, APP);
    world.order(DOMAIN).await.unwrap();
    assert_eq!(alert(world.browse(DOMAIN, &[]).await), AlertDescription::InternalError);
}

#[tokio::test]
async fn attack_upstream_with_the_right_certificate_but_not_its_key_is_refused() {
    let (world, impostor) = (World::start().await, Instance::impostor("impostor").await);
    world.send(&world.request(APP, &impostor.spki, &impostor.upstream())).await.unwrap();
    world.chain.approve(DOMAIN, APP);
    world.order(DOMAIN).await.unwrap();
    assert_eq!(alert(world.browse(DOMAIN, &[]).await), AlertDescription::InternalError);
}

#[tokio::test]
async fn instances_take_turns_and_a_dead_one_is_passed_over() {
    let world = World::start().await;
    let (one, two) = (Instance::start("one").await, Instance::start("two").await);
    for (seed, instance) in [(b"0", &one), (b"1", &two)] {
        let guest =
            DevGuest { instance_id: DevGuest::instance_id_of(APP, seed), ..DevGuest::new(APP, code(APP)) };
        world.send(&world.request_of(&guest, &instance.spki, &instance.upstream())).await.unwrap();
    }
    world.chain.approve(DOMAIN, APP);
    world.order(DOMAIN).await.unwrap();
    let mut greeted = Vec::new();
    for _ in 0..4 {
        greeted.push(greeting(&mut world.browse(DOMAIN, &[]).await.unwrap()).await);
    }
    greeted.sort();
    assert_eq!(greeted, ["one", "one", "two", "two"]);
    drop(one);
    for _ in 0..4 {
        assert_eq!(greeting(&mut world.browse(DOMAIN, &[]).await.unwrap()).await, "two");
    }
}

#[tokio::test]
async fn names_that_lead_nowhere_get_an_alert() {
    let (world, instance) = (World::start().await, Instance::start("one").await);
    world.register(APP, &instance).await;
    let id = hex::encode(APP);
    for name in [
        "unknown.example.org".to_owned(),
        passthrough(OTHER_APP),
        format!("{}s.{BASE}", &id[..39]),
        format!("x{id}s.{BASE}"),
        format!("{id}s.other.{BASE}"),
        // Needs a wildcard certificate, which this version does not have.
        format!("{id}.{BASE}"),
        format!("{id}-443g.{BASE}"),
        BASE.to_owned(),
    ] {
        let refused = alert(world.pinned(&name, &instance.spki).await);
        assert_eq!(refused, AlertDescription::UnrecognisedName, "{name}");
    }
    // An address is not sent as a server name.
    assert_eq!(alert(world.pinned("127.0.0.1", &instance.spki).await), AlertDescription::MissingExtension);
}

#[tokio::test]
async fn acme_validation_that_nobody_ordered_is_refused() {
    let world = World::start().await;
    world.chain.approve(DOMAIN, APP);
    world.order(DOMAIN).await.unwrap();
    assert_eq!(alert(world.browse(DOMAIN, &[b"acme-tls/1"]).await), AlertDescription::UnrecognisedName);
    let world = World::start_whole(|_, _| {}).await;
    assert_eq!(alert(world.browse(BASE, &[b"acme-tls/1"]).await), AlertDescription::UnrecognisedName);
}

#[tokio::test]
async fn slow_client_hello_is_cut_off() {
    let world = World::start().await;
    let mut stream = TcpStream::connect(world.gateway.tls_addr).await.unwrap();
    stream.write_all(&[22, 3, 1]).await.unwrap();
    let mut end = [0];
    let mut read = std::pin::pin!(stream.read(&mut end));
    let cut_off = loop {
        tokio::select! {
            n = &mut read => break n,
            // The gateway may not have begun to wait yet, so time goes on until it has.
            () = tokio::task::yield_now() => world.clock.advance(Duration::from_secs(1)),
        }
    };
    assert!(matches!(cut_off, Ok(0) | Err(_)), "{cut_off:?}");
}

#[tokio::test]
async fn what_is_no_tls_gets_an_alert_and_no_more() {
    let world = World::start().await;
    let mut stream = TcpStream::connect(world.gateway.tls_addr).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert_eq!((answer.len(), answer[0]), (7, 21));
}

#[tokio::test]
async fn registered_instance_is_listed_until_the_gateway_stops() {
    let (world, instance) = (World::start().await, Instance::start("one").await);
    let answer = world.register(APP, &instance).await;
    assert_eq!(answer.lease, 600);
    let routes = world.routes().await;
    assert_eq!((routes[0].app, routes[0].code_hash), (APP, code(APP)));
    assert_ne!(routes[0].instance, Address::ZERO);
    let mut stream = world.pinned(&passthrough(APP), &instance.spki).await.unwrap();
    greeting(&mut stream).await;
    let addr = world.gateway.tls_addr;
    world.gateway.shutdown().await;
    crate::world::closed(&mut stream).await;
    assert!(TcpStream::connect(addr).await.is_err());
}
