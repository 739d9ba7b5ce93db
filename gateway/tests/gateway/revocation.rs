// SPDX-License-Identifier: Apache-2.0 OR MIT

use std::time::Duration;

use mandate_gateway::chain::At;
use mandate_model::wire::gateway::RevocationEffect;
use rustls::AlertDescription;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::client::TlsStream;

use crate::{
    instance::Instance,
    world::{APP, DOMAIN, OTHER_APP, World, alert, closed, code, greeting, passthrough},
};

async fn open(world: &World, name: &str, instance: &Instance) -> TlsStream<TcpStream> {
    let mut stream = world.pinned(name, &instance.spki).await.unwrap();
    greeting(&mut stream).await;
    stream
}

async fn is_open(stream: &mut TlsStream<TcpStream>) -> bool {
    let mut pong = [0; 4];
    stream.write_all(b"ping").await.is_ok() && stream.read_exact(&mut pong).await.is_ok()
}

#[tokio::test]
async fn g7_revocation_closes_live_connections_at_once_and_leaves_other_apps_alone() {
    let world = World::start().await;
    let (revoked, other) = (Instance::start("revoked").await, Instance::start("other").await);
    world.register(APP, &revoked).await;
    world.register(OTHER_APP, &other).await;
    world.chain.approve(DOMAIN, APP);
    world.order(DOMAIN).await.unwrap();
    let mut passed = open(&world, &passthrough(APP), &revoked).await;
    let mut terminated = world.browse(DOMAIN, &[]).await.unwrap();
    greeting(&mut terminated).await;
    let mut untouched = open(&world, &passthrough(OTHER_APP), &other).await;

    world.chain.set_head(7);
    world.chain.deny(At::Head, code(APP));
    assert_eq!(world.notice(APP, 7).await, RevocationEffect { closed: 1, kept: 0, pending: 0 });

    closed(&mut passed).await;
    closed(&mut terminated).await;
    assert!(is_open(&mut untouched).await);
    assert_eq!(
        alert(world.pinned(&passthrough(APP), &revoked.spki).await),
        AlertDescription::UnrecognisedName
    );
    assert_eq!(alert(world.browse(DOMAIN, &[]).await), AlertDescription::InternalError);
    assert_eq!(world.routes().await.len(), 1);
}

#[tokio::test]
async fn g5_attack_notice_that_the_chain_does_not_bear_out_closes_nothing() {
    let (world, instance) = (World::start().await, Instance::start("one").await);
    world.register(APP, &instance).await;
    let mut stream = open(&world, &passthrough(APP), &instance).await;
    assert_eq!(world.notice(APP, 0).await, RevocationEffect { closed: 0, kept: 1, pending: 0 });
    assert!(is_open(&mut stream).await);
}

#[tokio::test]
async fn g6_undecided_neither_makes_a_route_nor_ends_one_before_its_lease() {
    let (world, instance) = (World::start().await, Instance::start("one").await);
    world.register(APP, &instance).await;
    let mut stream = open(&world, &passthrough(APP), &instance).await;
    world.chain.set_undecided(true);
    assert_eq!(world.notice(APP, 0).await.pending, 1);
    assert!(is_open(&mut stream).await);
    // Registering again lengthens nothing while nothing can be decided.
    let request = world.request(APP, &instance.spki, &instance.upstream());
    world.clock.advance(Duration::from_secs(300));
    assert!(matches!(world.send(&request).await.unwrap().outcome, mandate_model::Outcome::Undecided { .. }));
    assert!(is_open(&mut stream).await);
    world.clock.advance(Duration::from_secs(301));
    closed(&mut stream).await;
    assert_eq!(
        alert(world.pinned(&passthrough(APP), &instance.spki).await),
        AlertDescription::UnrecognisedName
    );
}

#[tokio::test]
async fn g6_revocation_that_cannot_be_seen_yet_is_followed_up_without_another_notice() {
    let (world, instance) = (World::start().await, Instance::start("one").await);
    world.register(APP, &instance).await;
    let mut stream = open(&world, &passthrough(APP), &instance).await;
    // The relayer's endpoint is at block 9, the gateway's still at 8.
    world.chain.set_head(8);
    assert_eq!(world.notice(APP, 9).await, RevocationEffect { closed: 0, kept: 0, pending: 1 });
    world.chain.set_head(9);
    world.chain.deny(At::Head, code(APP));
    advance_until_closed(&world, &mut stream, Duration::from_millis(50)).await;
}

#[tokio::test]
async fn g7_revocation_without_any_notice_is_found_by_the_review() {
    let (world, instance) = (World::start().await, Instance::start("one").await);
    world.register(APP, &instance).await;
    let mut stream = open(&world, &passthrough(APP), &instance).await;
    world.chain.deny(At::Head, code(APP));
    advance_until_closed(&world, &mut stream, Duration::from_secs(1)).await;
}

#[tokio::test]
async fn route_ends_when_its_verdict_does() {
    let (world, instance) = (World::start().await, Instance::start("one").await);
    world.chain.set_remaining(Duration::from_secs(5));
    world.register(APP, &instance).await;
    let mut stream = open(&world, &passthrough(APP), &instance).await;
    world.chain.set_undecided(true);
    world.clock.advance(Duration::from_secs(5));
    closed(&mut stream).await;
    assert!(world.routes().await.is_empty());
}

/// The gateway's tasks may not sleep yet when time moves, so it goes on moving.
async fn advance_until_closed(world: &World, stream: &mut TlsStream<TcpStream>, step: Duration) {
    let mut ended = std::pin::pin!(closed(stream));
    loop {
        tokio::select! {
            () = &mut ended => return,
            () = tokio::task::yield_now() => world.clock.advance(step),
        }
    }
}
