// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Endpoints over HTTP and WebSocket: subscriptions that die, fall silent or never start; machines that go away and come
//! back, or come back as another.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod common;

use std::{sync::Arc, time::Duration};

use alloy::providers::Provider;
use common::{
    World, eventually, keys,
    proxy::{Faults, Proxy, server::Served},
    scripts::Act,
    world,
};
use mandate_relayer::{
    chain::{Bounds, ChainReader, ChainView, Endpoints, Follower, LatchKind},
    config::ChainConfig,
    store::Store,
};
use mandate_runtime::Ambient;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const URLS: [&str; 2] = ["http://node-1:1", "http://node-2:1"];
const ANY: ([u8; 4], u16) = ([127, 0, 0, 1], 0);

/// A relayer's loop around its follower, as the service has it.
struct Running {
    store: Arc<dyn Store>,
    endpoints: Endpoints,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

async fn run(world: &World, config: ChainConfig) -> Running {
    let ambient = Ambient::system();
    let endpoints = Endpoints::new(&config, world.chain.chain_id(), ambient.clone()).unwrap();
    let store = world.memory().await;
    let mut follower = Follower::new(
        world.contracts(),
        ChainReader::new(endpoints.clone()),
        Arc::clone(&store),
        ChainView::default(),
        ambient.clock,
        ["http://gateway:1".to_owned()],
        Bounds { reorg_window: 64, max_range: 50 },
    );
    let stop = CancellationToken::new();
    let (wake, poll, heads, until) = (endpoints.wake(), config.poll, endpoints.clone(), stop.clone());
    let watch = tokio::spawn(async move { heads.watch_heads(until).await });
    let until = stop.clone();
    let follow = tokio::spawn(async move {
        let work = async {
            loop {
                let _may_fail = follower.tick().await;
                let _woken = tokio::time::timeout(poll, wake.notified()).await;
            }
        };
        until.run_until_cancelled(work).await;
    });
    Running { store, endpoints, stop, tasks: vec![watch, follow] }
}

impl Running {
    async fn at_head(&self, world: &World) {
        let head = world.chain.head().hash();
        eventually("the head is processed", || async {
            self.store.progress().await.unwrap().head.is_some_and(|known| known.hash == head)
        })
        .await;
    }

    async fn end(self) {
        self.stop.cancel();
        for task in self.tasks {
            task.await.unwrap();
        }
    }
}

fn config(urls: &[String], poll: Duration) -> ChainConfig {
    let mut config = ChainConfig::with_endpoints(urls.iter().map(String::as_str));
    config.poll = poll;
    config.silent_after = Duration::from_millis(400);
    config.request_timeout = Duration::from_secs(1);
    config
}

async fn behind_proxy(world: &World) -> (Proxy, Served) {
    let proxy = Proxy::new(world.provider());
    let served = proxy.serve(ANY.into()).await;
    (proxy, served)
}

#[tokio::test]
async fn a_subscription_tells_of_heads_without_being_asked() {
    let world = world(4, URLS).await;
    let (_proxy, served) = behind_proxy(&world).await;
    // Polls would come too late to tell of anything.
    let mut config = config(&[served.ws()], Duration::from_secs(3_600));
    config.silent_after = Duration::from_secs(60);
    let running = run(&world, config).await;
    running.at_head(&world).await;
    for _ in 0..3 {
        // The first of these blocks may come before the subscription does.
        eventually("a head is told of", || async {
            world.chain.mine(1);
            tokio::time::sleep(Duration::from_millis(50)).await;
            let head = world.chain.head().hash();
            running.store.progress().await.unwrap().head.is_some_and(|known| known.hash == head)
        })
        .await;
    }
    running.end().await;
}

#[tokio::test]
async fn a_silent_subscription_is_replaced_by_polling_and_by_another_subscription() {
    let world = world(4, URLS).await;
    let (proxy, served) = behind_proxy(&world).await;
    let running = run(&world, config(&[served.ws()], Duration::from_millis(30))).await;
    running.at_head(&world).await;
    proxy.set(Faults { silent: true, ..Faults::default() });
    for _ in 0..3 {
        Act::Revoke(1).perform(&world).await;
        running.at_head(&world).await;
    }
    proxy.set(Faults::default());
    world.chain.mine(1);
    running.at_head(&world).await;
    running.end().await;
}

#[tokio::test]
async fn a_broken_connection_is_opened_again() {
    let world = world(4, URLS).await;
    let (_proxy, served) = behind_proxy(&world).await;
    let running = run(&world, config(&[served.ws()], Duration::from_millis(30))).await;
    for _ in 0..4 {
        running.at_head(&world).await;
        served.disconnect();
        world.chain.mine(1);
    }
    running.at_head(&world).await;
    running.end().await;
}

#[tokio::test]
async fn an_endpoint_that_is_away_at_the_start_joins_when_it_comes() {
    let world = world(4, URLS).await;
    let (_proxy, served) = behind_proxy(&world).await;
    let (late_proxy, late) = behind_proxy(&world).await;
    let (url, address) = (late.ws(), late.address);
    drop(late);
    let mut config = config(&[served.http(), url], Duration::from_millis(30));
    config.quorum = Some(1);
    let running = run(&world, config).await;
    running.at_head(&world).await;
    running.endpoints.check_chain().await.unwrap();
    let before = late_proxy.asked("");
    tokio::time::sleep(Duration::from_millis(50)).await;
    let _late = late_proxy.serve(address).await;
    eventually("it is asked", || async {
        world.chain.mine(1);
        late_proxy.asked("") > before + 3
    })
    .await;
    running.at_head(&world).await;
    running.end().await;
}

#[tokio::test]
async fn g5_a_machine_of_another_chain_behind_the_same_address_latches_grants() {
    let world = world(4, URLS).await;
    let (proxy, served) = behind_proxy(&world).await;
    let (_other_proxy, other) = behind_proxy(&world).await;
    let mut config = config(&[served.ws(), other.http()], Duration::from_millis(30));
    config.quorum = Some(1);
    let running = run(&world, config).await;
    running.at_head(&world).await;
    proxy.set(Faults { chain_id: Some(5), ..Faults::default() });
    served.disconnect();
    eventually("the latch", || async {
        let latches = running.store.latches().await.unwrap();
        latches.iter().any(|latch| latch.kind == LatchKind::ChainId.name())
    })
    .await;
    Act::Revoke(1).perform(&world).await;
    Act::Approve(1).perform(&world).await;
    world.chain.mine(8);
    running.at_head(&world).await;
    let keys = keys(&running.store).await;
    assert!(keys.len() == 3 && keys.iter().all(|key| key.starts_with("revocation_push")), "{keys:?}");
    running.end().await;
}

/// Between the chain id that was asked for and the next request the connection may have become another one.
#[tokio::test]
async fn g5_first_answer_over_a_new_connection_is_not_believed() {
    let world = world(4, URLS).await;
    let (_proxy, served) = behind_proxy(&world).await;
    let (other, elsewhere) = behind_proxy(&world).await;
    drop(elsewhere);
    other.set(Faults { chain_id: Some(5), ..Faults::default() });
    let config = config(&[served.ws()], Duration::from_millis(30));
    let endpoints = Endpoints::new(&config, world.chain.chain_id(), Ambient::system()).unwrap();
    let provider = endpoints.provider();
    provider.get_block_number().await.unwrap();
    let address = served.address;
    served.disconnect();
    drop(served);
    eventually("the address is free", || async { tokio::net::TcpListener::bind(address).await.is_ok() })
        .await;
    let _elsewhere = other.serve(address).await;
    eventually("the other chain is noticed", || async {
        let before = other.asked("eth_blockNumber");
        match provider.get_block_number().await {
            // The old connection has not ended yet.
            Ok(_) => assert_eq!(other.asked("eth_blockNumber"), before, "another chain was believed"),
            Err(error) => return error.to_string().contains("chain 5"),
        }
        false
    })
    .await;
}
