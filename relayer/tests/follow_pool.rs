// SPDX-License-Identifier: Apache-2.0 OR MIT
//! All endpoints as one provider: who is asked, who is asked next, and who is spared.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod common;

use std::{sync::Arc, time::Duration};

use alloy::{
    eips::BlockId, primitives::B256, providers::Provider, rpc::types::Filter, transports::BoxTransport,
};
use common::{
    World, code, key,
    proxy::{Faults, Proxy, Refusal},
    world,
};
use mandate_model::bindings::AppAuth;
use mandate_relayer::chain::Endpoints;
use mandate_runtime::{Ambient, clock::ManualClock};

const URLS: [&str; 2] = ["http://node-1:1", "http://node-2:1"];

fn pool(world: &World, n: usize) -> (Vec<Proxy>, Arc<ManualClock>, Endpoints) {
    let proxies: Vec<Proxy> = (0..n).map(|_| Proxy::new(world.provider())).collect();
    let clock = Arc::new(ManualClock::new(1_800_000_000));
    let ambient = Ambient { clock: Arc::clone(&clock) as _, ..Ambient::system() };
    let names: Vec<String> = (0..n).map(|n| format!("e{n}")).collect();
    let transports =
        names.iter().zip(&proxies).map(|(name, p)| (name.as_str(), BoxTransport::new(p.clone())));
    let endpoints = world.endpoints_of(transports.collect(), 1, ambient);
    (proxies, clock, endpoints)
}

#[tokio::test]
async fn g5_what_the_best_endpoint_lacks_is_read_from_the_next() {
    let world = world(4, URLS).await;
    world.chain.mine(10);
    let (proxies, _, endpoints) = pool(&world, 2);
    proxies[0].set(Faults { lag: 8, ..Faults::default() });
    let pool = endpoints.provider();
    let head = world.chain.head();
    let block = pool.get_block_by_hash(head.hash()).await.unwrap().unwrap();
    assert_eq!(block.header.hash, head.hash());
    let block = pool.get_block_by_number(head.number().into()).await.unwrap().unwrap();
    assert_eq!(block.header.hash, head.hash());
    let receipts = pool.get_block_receipts(BlockId::from(head.hash())).await.unwrap();
    assert!(receipts.is_some());
    assert!(proxies[0].asked("eth_getBlockByHash") > 0, "the first was asked first");
    // What nobody has is told as such.
    assert!(pool.get_block_by_hash(B256::repeat_byte(9)).await.unwrap().is_none());
}

#[tokio::test]
async fn g5_a_range_of_logs_is_not_asked_of_whoever_comes() {
    let world = world(4, URLS).await;
    let (proxies, _, endpoints) = pool(&world, 2);
    let refused = endpoints.provider().get_logs(&Filter::new().from_block(0).to_block(5)).await.unwrap_err();
    assert!(refused.to_string().contains("range"), "{refused}");
    assert_eq!(proxies[0].asked("eth_getLogs") + proxies[1].asked("eth_getLogs"), 0);
    let of_block = Filter::new().at_block_hash(world.chain.head().hash());
    endpoints.provider().get_logs(&of_block).await.unwrap();
}

#[tokio::test]
async fn a_contract_s_refusal_is_an_answer() {
    let world = world(4, URLS).await;
    let (proxies, _, endpoints) = pool(&world, 2);
    let app = AppAuth::new(world.app, endpoints.provider());
    let refused = app.revokeCode(code(1), false).from(key(9).address()).call().await.err().unwrap();
    assert!(refused.to_string().contains("revert"), "{refused}");
    assert_eq!((proxies[0].asked("eth_call"), proxies[1].asked("eth_call")), (1, 0));
}

#[tokio::test]
async fn an_endpoint_that_is_away_is_spared_and_tried_again() {
    let world = world(4, URLS).await;
    let (proxies, clock, endpoints) = pool(&world, 2);
    proxies[0].set(Faults { flaps: Some(1), ..Faults::default() });
    let pool = endpoints.provider();
    for _ in 0..20 {
        pool.get_block_number().await.unwrap();
    }
    assert!(proxies[0].asked("") <= 6, "{}", proxies[0].asked(""));
    proxies[0].set(Faults::default());
    proxies[1].set(Faults { flaps: Some(1), ..Faults::default() });
    clock.advance(Duration::from_secs(30));
    for _ in 0..5 {
        pool.get_block_number().await.unwrap();
    }
    assert!(proxies[0].asked("eth_blockNumber") >= 5);
}

#[tokio::test]
async fn an_endpoint_that_limits_is_asked_again_and_then_left_for_another() {
    let world = world(4, URLS).await;
    let (proxies, _, endpoints) = pool(&world, 2);
    proxies[0].set(Faults { limit: Some((2, Refusal::Status(429, "slow down"))), ..Faults::default() });
    let pool = endpoints.provider();
    for _ in 0..6 {
        pool.get_block_number().await.unwrap();
    }
    proxies[0].set(Faults { limit: Some((1, Refusal::Code(-32005, "rate limit"))), ..Faults::default() });
    for _ in 0..3 {
        pool.get_block_number().await.unwrap();
    }
    assert!(proxies[1].asked("eth_blockNumber") >= 3);
}

#[tokio::test]
async fn an_only_endpoint_that_comes_back_is_used_at_once() {
    let world = world(4, URLS).await;
    let (proxies, _, endpoints) = pool(&world, 1);
    proxies[0].set(Faults { flaps: Some(1), ..Faults::default() });
    for _ in 0..20 {
        assert!(endpoints.provider().get_block_number().await.is_err());
    }
    proxies[0].set(Faults::default());
    endpoints.provider().get_block_number().await.unwrap();
}
