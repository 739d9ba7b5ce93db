// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What operators see and do.

use std::{
    net::SocketAddr,
    num::NonZeroU32,
    sync::{Arc, Mutex},
    time::Duration,
};

use alloy::primitives::Address;
use mandate_gateway::{AdminPart, Live, ReloadError};
use mandate_runtime::config::Secret;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    instance::Instance,
    world::{APP, World, alert, greeting, passthrough},
};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

fn admin() -> Option<AdminPart> {
    Some(AdminPart { listen: SocketAddr::from(([127, 0, 0, 1], 0)), token: Secret::new(TOKEN.to_owned()) })
}

async fn ask(world: &World, request: &str, authorization: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(world.gateway.admin_addr.unwrap()).await.unwrap();
    let length = body.len();
    let text = format!(
        "{request} HTTP/1.1\r\nhost: x\r\n{authorization}content-type: application/json\r\n\
         content-length: {length}\r\nconnection: close\r\n\r\n{body}"
    );
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

async fn allowed(world: &World, request: &str, body: &str) -> (u16, String) {
    ask(world, request, &format!("authorization: Bearer {TOKEN}\r\n"), body).await
}

#[tokio::test]
async fn attack_without_the_token_nothing_is_said_and_nothing_is_done() {
    let world = World::start_whole(|_, parts| parts.admin = admin()).await;
    let instance = Instance::start("one").await;
    world.register(APP, &instance).await;
    let drain = format!("{{\"id\":\"{APP}\",\"draining\":true}}");
    let requests = [
        "GET /v1/routes",
        "GET /v1/certificates",
        "POST /v1/drain",
        "POST /v1/reload",
        "GET /metrics",
        "GET /",
    ];
    for request in requests {
        for authorization in [
            String::new(),
            "authorization: Bearer \r\n".to_owned(),
            format!("authorization: Bearer {}\r\n", &TOKEN[..31]),
            format!("authorization: Bearer {TOKEN}0\r\n"),
            format!("authorization: Basic {TOKEN}\r\n"),
        ] {
            assert_eq!(ask(&world, request, &authorization, &drain).await, (401, String::new()), "{request}");
        }
    }
    assert!(!world.routes().await[0].draining);
}

#[tokio::test]
async fn without_a_token_there_is_no_port_and_the_public_one_tells_nothing() {
    let (world, instance) = (World::start().await, Instance::start("one").await);
    world.register(APP, &instance).await;
    assert_eq!(world.gateway.admin_addr, None);
    for path in ["/v1/routes", "/v1/certificates", "/v1/drain", "/v1/reload"] {
        assert_eq!(world.status_of(path).await, Some(404), "{path}");
    }
}

#[tokio::test]
async fn draining_instance_gets_no_new_connections_and_keeps_the_old_ones() {
    let world = World::start_whole(|_, parts| parts.admin = admin()).await;
    let instance = Instance::start("one").await;
    world.register(APP, &instance).await;
    let mut open = world.pinned(&passthrough(APP), &instance.spki).await.unwrap();
    greeting(&mut open).await;
    let order = |draining| format!("{{\"id\":\"{APP}\",\"draining\":{draining}}}");
    let (status, body) = allowed(&world, "POST /v1/drain", &order(true)).await;
    assert_eq!((status, body.as_str()), (200, r#"{"routes":1,"connections":1}"#));
    alert(world.pinned(&passthrough(APP), &instance.spki).await);
    open.write_all(b"ping").await.unwrap();
    let mut pong = [0; 4];
    open.read_exact(&mut pong).await.unwrap();
    let (_, listed) = allowed(&world, "GET /v1/routes", "").await;
    assert!(listed.contains(r#""draining":true"#), "{listed}");
    allowed(&world, "POST /v1/drain", &order(false)).await;
    greeting(&mut world.pinned(&passthrough(APP), &instance.spki).await.unwrap()).await;
    // One instance by its own id, and nobody by a stranger's.
    let id = world.routes().await[0].instance;
    for (id, routes) in [(id, 1), (Address::repeat_byte(0x77), 0)] {
        let order = format!("{{\"id\":\"{id}\",\"draining\":true}}");
        let (_, body) = allowed(&world, "POST /v1/drain", &order).await;
        assert!(body.contains(&format!(r#""routes":{routes},"#)), "{body}");
    }
}

#[tokio::test]
async fn new_limits_hold_for_the_next_connection_and_a_bad_file_changes_nothing() {
    type Next = Arc<Mutex<Result<Live, ReloadError>>>;
    let mut fresh = Live::default();
    fresh.limits.connections_per_address = 1;
    fresh.network.upstreams = vec!["127.0.0.0/8".parse().unwrap()];
    let next: Next = Arc::new(Mutex::new(Err(ReloadError::NeedsRestart { sections: vec!["chain"] })));
    let reads = Arc::clone(&next);
    let world = World::start_whole(|_, parts| {
        parts.admin = admin();
        parts.reload =
            Some(Arc::new(move || std::mem::replace(&mut *reads.lock().unwrap(), Err(ReloadError::NoFile))));
    })
    .await;
    let instance = Instance::start("one").await;
    world.register(APP, &instance).await;
    let connect = async || world.pinned(&passthrough(APP), &instance.spki).await;
    let mut one = connect().await.unwrap();
    greeting(&mut one).await;

    let (status, why) = allowed(&world, "POST /v1/reload", "").await;
    assert_eq!(status, 409);
    assert!(why.contains("[chain] changed, which needs a restart"), "{why}");
    greeting(&mut connect().await.unwrap()).await;

    *next.lock().unwrap() = Ok(fresh);
    assert_eq!(allowed(&world, "POST /v1/reload", "").await.0, 200);
    connect().await.unwrap_err();
    // Who is connected stays.
    one.write_all(b"ping").await.unwrap();
    one.read_exact(&mut [0; 4]).await.unwrap();

    let mut slow = Live::default();
    (slow.limits.new_per_second, slow.limits.new_at_once) = (NonZeroU32::MIN, NonZeroU32::MIN);
    slow.network.upstreams = vec!["127.0.0.0/8".parse().unwrap()];
    *next.lock().unwrap() = Ok(slow);
    assert_eq!(allowed(&world, "POST /v1/reload", "").await.0, 200);
    connect().await.unwrap();
    connect().await.unwrap_err();
}

#[tokio::test]
async fn stop_waits_for_connections_and_takes_no_new_ones() {
    let world = World::start_whole(|live, _| live.limits.drain_timeout = Duration::from_secs(30)).await;
    let instance = Instance::start("one").await;
    world.register(APP, &instance).await;
    let mut open = world.pinned(&passthrough(APP), &instance.spki).await.unwrap();
    greeting(&mut open).await;
    let address = world.gateway.tls_addr;
    world.gateway.stop_token().cancel();
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    open.write_all(b"ping").await.unwrap();
    open.read_exact(&mut [0; 4]).await.unwrap();
    world.clock.advance(Duration::from_secs(30));
    crate::world::closed(&mut open).await;
}
