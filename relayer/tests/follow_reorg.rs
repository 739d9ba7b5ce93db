// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reorganisations on the dev chain: of every depth, with logs that vanish, move and come back, and at random.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod common;

use std::{sync::Arc, time::Duration};

use alloy::transports::BoxTransport;
use common::{
    World, keys,
    proxy::{Faults, Proxy, harmless},
    scripts::{Act, assert_same_as_fresh, possible, reorganise},
    settle, world,
};
use mandate_relayer::{
    chain::{Bounds, ChainReader, ChainView, Endpoints, Follower},
    store::Store,
};
use mandate_runtime::{Ambient, clock::ManualClock};
use proptest::prelude::*;

const URLS: [&str; 2] = ["http://node-1:1", "http://node-2:1"];

fn follower(world: &World, store: &Arc<dyn Store>, reorg_window: u64) -> Follower {
    let bounds = Bounds { reorg_window, max_range: 50 };
    world.follower_with(Arc::clone(store), ChainView::default(), bounds)
}

async fn approved(store: &Arc<dyn Store>) -> usize {
    keys(store).await.iter().filter(|key| key.starts_with("certificate_order")).count()
}

/// Blocks are replaced to `depth`: a log that was in the oldest of them vanishes and comes back later, one moves to another
/// block, one vanishes for good. `seen` is called whenever the relayer is to see the chain as it is.
async fn reorganised(world: &World, depth: u64, seen: &mut impl AsyncFnMut()) {
    let n = depth as u8;
    for act in [Act::Deny(n), Act::Approve(n), Act::Deny(100 + n)].into_iter().take(depth as usize) {
        act.perform(world).await;
    }
    world.chain.mine(depth.saturating_sub(3));
    seen().await;
    assert_eq!(possible(&world.chain, depth), depth, "nothing of it is final");
    reorganise(world, depth, &[Vec::new(), vec![Act::Approve(n)]]);
    seen().await;
    Act::Deny(n).perform(world).await;
    seen().await;
}

#[tokio::test]
async fn g10_reorganisations_of_depth_1_to_64_leave_what_a_fresh_relayer_finds() {
    let world = world(70, URLS).await;
    let store = world.memory().await;
    let mut relayer = follower(&world, &store, 64);
    settle(&mut relayer).await;
    for depth in 1..=64_u64 {
        reorganised(&world, depth, &mut async || settle(&mut relayer).await).await;
        assert_same_as_fresh(&world, &store, &format!("depth {depth}")).await;
    }
    world.chain.mine(80);
    settle(&mut relayer).await;
    assert_same_as_fresh(&world, &store, "all final").await;
    assert!(approved(&store).await >= 60);
    assert!(!relayer.latches().hold_grants());
}

/// Three endpoints, of which two must agree, and the relayer's clock.
fn behind_proxies(world: &World, store: &Arc<dyn Store>) -> ([Proxy; 3], Arc<ManualClock>, Follower) {
    let proxies = [(); 3].map(|()| Proxy::new(world.provider()));
    let clock = Arc::new(ManualClock::new(1_800_000_000));
    let ambient = Ambient { clock: Arc::clone(&clock) as _, ..Ambient::system() };
    let transports = ["e0", "e1", "e2"].into_iter().zip(&proxies);
    let transports = transports.map(|(name, proxy)| (name, BoxTransport::new(proxy.clone()))).collect();
    let endpoints: Endpoints = world.endpoints_of(transports, 2, ambient);
    let relayer = Follower::new(
        world.contracts(),
        ChainReader::new(endpoints),
        Arc::clone(store),
        ChainView::default(),
        Arc::clone(&clock) as _,
        ["http://gateway:1".to_owned()],
        Bounds { reorg_window: 64, max_range: 50 },
    );
    (proxies, clock, relayer)
}

/// Looks until nothing is new twice in a row, whatever comes of the single look.
async fn look(relayer: &mut Follower) {
    let mut quiet = 0;
    for _ in 0..12 {
        let looked = relayer.tick().await;
        quiet = if looked.is_ok_and(|t| t.blocks == 0 && t.rolled_back == 0) { quiet + 1 } else { 0 };
        if quiet == 2 {
            return;
        }
    }
}

/// At each depth another of three endpoints has another fault.
#[tokio::test]
async fn g5_g10_reorganisations_behind_a_faulty_endpoint_leave_what_a_fresh_relayer_finds() {
    let world = world(70, URLS).await;
    let store = world.memory().await;
    let (proxies, clock, mut relayer) = behind_proxies(&world, &store);
    settle(&mut relayer).await;
    for depth in 1..=64_u64 {
        let (name, index, faults) = harmless(depth as usize);
        proxies.iter().for_each(|proxy| proxy.set(Faults::default()));
        // Who was caught before is trusted again.
        clock.advance(Duration::from_secs(700));
        look(&mut relayer).await;
        proxies[index].set(faults);
        reorganised(&world, depth, &mut async || look(&mut relayer).await).await;
        let context = format!("depth {depth}, {name} at endpoint {index}");
        assert_same_as_fresh(&world, &store, &context).await;
        assert!(!relayer.latches().hold_grants(), "{context}: {:?}", relayer.latches().list());
    }
    world.chain.mine(80);
    look(&mut relayer).await;
    assert_same_as_fresh(&world, &store, "all final").await;
    assert!(approved(&store).await >= 60);
}

/// The endpoint's own blocks never become final, whatever happens to the others' meanwhile.
#[tokio::test]
async fn g5_g10_reorganisations_beside_an_endpoint_with_a_branch_of_its_own_end_where_a_fresh_relayer_ends() {
    for index in 0..3 {
        let world = world(70, URLS).await;
        let store = world.memory().await;
        let (proxies, clock, mut relayer) = behind_proxies(&world, &store);
        settle(&mut relayer).await;
        world.chain.mine(80);
        look(&mut relayer).await;
        proxies[index].set(Faults { false_head: true, ..Faults::default() });
        for depth in [1, 2, 5, 21, 64] {
            reorganised(&world, depth, &mut async || look(&mut relayer).await).await;
        }
        for _ in 0..90 {
            world.chain.mine(1);
            look(&mut relayer).await;
            clock.advance(Duration::from_secs(12));
        }
        assert_same_as_fresh(&world, &store, &format!("endpoint {index}")).await;
        assert!(!relayer.latches().hold_grants(), "endpoint {index}: {:?}", relayer.latches().list());
        assert_eq!(approved(&store).await, 4, "endpoint {index}");
    }
}

#[tokio::test]
async fn reorganisations_deeper_than_the_window_latch_grants_and_pass_revocations_on() {
    let world = world(70, URLS).await;
    let store = world.memory().await;
    let mut relayer = follower(&world, &store, 16);
    settle(&mut relayer).await;
    world.chain.mine(60);
    settle(&mut relayer).await;
    reorganise(&world, 60, &[]);
    assert!(relayer.tick().await.is_err());
    assert_eq!(relayer.latches().list()[0].0, "gap");
    let before = keys(&store).await.len();
    Act::Revoke(0).perform(&world).await;
    let _still = relayer.tick().await;
    assert_eq!(keys(&store).await.len(), before + 3, "the node, the node and the gateway are told");
    Act::Approve(1).perform(&world).await;
    world.chain.mine(80);
    let _still = relayer.tick().await;
    assert_eq!(approved(&store).await, 0);
}

/// One step of a random history.
#[derive(Debug, Clone)]
enum Happening {
    Acts(Vec<Act>),
    Empty(u64),
    Reorg(u64, Vec<Vec<Act>>),
    /// The relayer looks.
    Look,
    /// The relayer is started anew.
    Restart,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        (0..9_u8).prop_map(Act::Revoke),
        (0..6_u8).prop_map(Act::Approve),
        (1..9_u8).prop_map(Act::Deny),
    ]
}

fn happening() -> impl Strategy<Value = Happening> {
    let block = || prop::collection::vec(act(), 0..3);
    prop_oneof![
        4 => prop::collection::vec(act(), 1..4).prop_map(Happening::Acts),
        2 => (1..30_u64).prop_map(Happening::Empty),
        3 => (1..20_u64, prop::collection::vec(block(), 0..8)).prop_map(|(d, b)| Happening::Reorg(d, b)),
        4 => Just(Happening::Look),
        1 => Just(Happening::Restart),
    ]
}

async fn live_through(history: Vec<Happening>) {
    let world = world(24, URLS).await;
    // The contracts are final before anything happens.
    world.chain.mine(30);
    let store = world.memory().await;
    let mut relayer = follower(&world, &store, 32);
    settle(&mut relayer).await;
    for happening in &history {
        match happening {
            Happening::Acts(acts) => {
                for act in acts {
                    act.perform(&world).await;
                }
            }
            Happening::Empty(blocks) => world.chain.mine(*blocks),
            Happening::Reorg(depth, blocks) => {
                let depth = possible(&world.chain, *depth);
                if depth > 0 {
                    reorganise(&world, depth, blocks);
                }
            }
            Happening::Look => {
                relayer.tick().await.unwrap();
            }
            Happening::Restart => relayer = follower(&world, &store, 32),
        }
    }
    settle(&mut relayer).await;
    assert_same_as_fresh(&world, &store, "at the end").await;
    assert!(!relayer.latches().hold_grants());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn g10_any_history_ends_where_a_fresh_relayer_ends(history in prop::collection::vec(happening(), 1..24)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(live_through(history));
    }
}
