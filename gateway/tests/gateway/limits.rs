// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Who is let in, who is believed, and where the gateway connects.

use std::{num::NonZeroU32, time::Duration};

use mandate_attestation::dev_pki::DevGuest;
use mandate_gateway::Live;
use rustls::AlertDescription;
use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpStream},
};

use crate::{
    instance::Instance,
    world::{APP, DOMAIN, OTHER_APP, World, alert, code, greeting, passthrough},
};

async fn served(set: impl FnOnce(&mut Live)) -> (World, Instance) {
    let (world, instance) = (World::start_whole(|live, _| set(live)).await, Instance::start("one").await);
    world.register(APP, &instance).await;
    world.chain.approve(DOMAIN, APP);
    world.order(DOMAIN).await.unwrap();
    (world, instance)
}

const HEADER: &[u8] = b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 443\r\n";

#[tokio::test]
async fn attack_proxy_header_of_a_client_is_no_header() {
    let (world, _instance) = served(|_| {}).await;
    world.browse_after(HEADER, DOMAIN).await.unwrap_err();
    assert_eq!(greeting(&mut world.browse(DOMAIN, &[]).await.unwrap()).await, "one");
}

#[tokio::test]
async fn balancer_is_believed_and_has_to_say_for_whom_it_connects() {
    let balancer = |live: &mut Live| {
        live.network.proxy_protocol = vec!["127.0.0.1/32".parse().unwrap()];
        live.limits.connections_per_address = 1;
    };
    let (world, instance) = (World::start_as_balanced(balancer).await, Instance::start("one").await);
    world.register(APP, &instance).await;
    world.chain.approve(DOMAIN, APP);
    world.order(DOMAIN).await.unwrap();
    world.browse(DOMAIN, &[]).await.unwrap_err();
    // Each client of the balancer has a limit of its own.
    let mut one = world.browse_after(HEADER, DOMAIN).await.unwrap();
    assert_eq!(greeting(&mut one).await, "one");
    world.browse_after(HEADER, DOMAIN).await.unwrap_err();
    let other = b"PROXY TCP4 192.0.2.8 192.0.2.1 4711 443\r\n";
    assert_eq!(greeting(&mut world.browse_after(other, DOMAIN).await.unwrap()).await, "one");
}

#[tokio::test]
async fn attack_balancer_that_says_nothing_is_cut_off() {
    let balancer = |live: &mut Live| live.network.proxy_protocol = vec!["127.0.0.1/32".parse().unwrap()];
    let world = World::start_as_balanced(balancer).await;
    let mut silent = TcpStream::connect(world.gateway.tls_addr).await.unwrap();
    let mut rest = Vec::new();
    let ended = silent.read_to_end(&mut rest);
    tokio::pin!(ended);
    for _ in 0..100_000 {
        tokio::select! {
            _ = &mut ended => return,
            () = tokio::task::yield_now() => world.clock.advance(Duration::from_millis(100)),
        }
    }
    panic!("it is waited for");
}

#[tokio::test]
async fn address_has_its_number_of_connections() {
    let (world, _instance) = served(|live| live.limits.connections_per_address = 2).await;
    let mut one = world.browse(DOMAIN, &[]).await.unwrap();
    let mut two = world.browse(DOMAIN, &[]).await.unwrap();
    assert_eq!((greeting(&mut one).await, greeting(&mut two).await), ("one".to_owned(), "one".to_owned()));
    world.browse(DOMAIN, &[]).await.unwrap_err();
    drop(one);
    // The gateway notices soon.
    while world.browse(DOMAIN, &[]).await.is_err() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn address_that_connects_too_often_waits_for_the_next_second() {
    let four = NonZeroU32::new(4).unwrap();
    let (world, _instance) = served(|live| {
        live.limits.new_per_second = four;
        live.limits.new_at_once = four;
    })
    .await;
    world.clock.advance(Duration::from_secs(1));
    for _ in 0..4 {
        world.browse(DOMAIN, &[]).await.unwrap();
    }
    world.browse(DOMAIN, &[]).await.unwrap_err();
    world.clock.advance(Duration::from_secs(1));
    world.browse(DOMAIN, &[]).await.unwrap();
}

#[tokio::test]
async fn app_has_its_number_of_connections_and_takes_nobody_elses() {
    let (world, _instance) = served(|live| live.limits.connections_per_app = 1).await;
    let other = Instance::start("other").await;
    world.register(OTHER_APP, &other).await;
    let mut one = world.browse(DOMAIN, &[]).await.unwrap();
    greeting(&mut one).await;
    assert_eq!(alert(world.browse(DOMAIN, &[]).await), AlertDescription::InternalError);
    let mut stream = world.pinned(&passthrough(OTHER_APP), &other.spki).await.unwrap();
    assert_eq!(greeting(&mut stream).await, "other");
}

#[tokio::test]
async fn attack_instance_at_a_loopback_address_is_not_connected_to() {
    for upstream in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "[::1]", "0.0.0.0"] {
        let (world, instance) = served(|live| live.network.upstreams.clear()).await;
        let upstream = format!("{upstream}:{}", instance.addr.port());
        world.send(&world.request(OTHER_APP, &instance.spki, &upstream)).await.unwrap();
        let refused = alert(world.pinned(&passthrough(OTHER_APP), &instance.spki).await);
        assert_eq!(refused, AlertDescription::InternalError, "{upstream}");
    }
}

#[tokio::test]
async fn attack_instance_at_one_of_the_gateways_own_ports_is_not_connected_to() {
    let (world, instance) = served(|_| {}).await;
    for port in [world.gateway.api_addr.port(), world.gateway.tls_addr.port()] {
        let upstream = format!("127.0.0.1:{port}");
        world.send(&world.request(OTHER_APP, &instance.spki, &upstream)).await.unwrap();
        let refused = alert(world.pinned(&passthrough(OTHER_APP), &instance.spki).await);
        assert_eq!(refused, AlertDescription::InternalError, "{upstream}");
    }
}

#[tokio::test]
async fn attack_instance_that_takes_connections_and_says_nothing_holds_clients_up_for_the_timeout_alone() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let world = World::start_whole(|live, _| live.limits.connect_timeout = Duration::from_secs(7)).await;
    let instance = Instance::start("one").await;
    let upstream = silent.local_addr().unwrap().to_string();
    world.send(&world.request(APP, &instance.spki, &upstream)).await.unwrap();
    let seed = DevGuest::instance_id_of(APP, b"other");
    let guest = DevGuest { instance_id: seed, ..DevGuest::new(APP, code(APP)) };
    world.send(&world.request_of(&guest, &instance.spki, &instance.upstream())).await.unwrap();
    world.chain.approve(DOMAIN, APP);
    world.order(DOMAIN).await.unwrap();
    let browse = async || greeting(&mut world.browse(DOMAIN, &[]).await.unwrap()).await;
    // They take turns: at the latest the second client is led to the silent one first.
    let mut asked = None;
    for _ in 0..2 {
        let mut browsed = Box::pin(browse());
        let greeted = tokio::select! {
            greeted = &mut browsed => greeted,
            there = silent.accept() => {
                asked = Some(there.unwrap());
                world.clock.advance(Duration::from_secs(7));
                browsed.await
            }
        };
        assert_eq!(greeted, "one");
    }
    assert!(asked.is_some());
    // From now on it is asked last.
    for _ in 0..3 {
        assert_eq!(browse().await, "one");
    }
}

#[tokio::test]
async fn instance_that_does_not_answer_is_found_out_without_a_client() {
    let (world, instance) = served(|_| {}).await;
    let failing = async |expected: bool| {
        loop {
            if world.routes().await.iter().all(|route| route.failing == expected) {
                break;
            }
            world.clock.advance(Duration::from_secs(15));
            tokio::task::yield_now().await;
        }
    };
    failing(false).await;
    drop(instance);
    failing(true).await;
}
