// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reorganisations on the dev chain: of every depth, with logs that vanish, move and come back, and at random.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod common;

use std::sync::Arc;

use common::{
    World, keys,
    scripts::{Act, assert_same_as_fresh, possible, reorganise},
    settle, world,
};
use mandate_relayer::{
    chain::{Bounds, ChainView, Follower},
    store::Store,
};
use proptest::prelude::*;

const URLS: [&str; 2] = ["http://node-1:1", "http://node-2:1"];

fn follower(world: &World, store: &Arc<dyn Store>, reorg_window: u64) -> Follower {
    let bounds = Bounds { reorg_window, max_range: 50 };
    world.follower_with(Arc::clone(store), ChainView::default(), bounds)
}

async fn approved(store: &Arc<dyn Store>) -> usize {
    keys(store).await.iter().filter(|key| key.starts_with("certificate_order")).count()
}

#[tokio::test]
async fn g10_reorganisations_of_depth_1_to_64_leave_what_a_fresh_relayer_finds() {
    let world = world(70, URLS).await;
    let store = world.memory().await;
    let mut relayer = follower(&world, &store, 64);
    settle(&mut relayer).await;
    for depth in 1..=64_u64 {
        let n = depth as u8;
        // In the oldest block that goes: one that vanishes, one that moves to another block, one that comes back.
        Act::Deny(n).perform(&world).await;
        Act::Approve(n).perform(&world).await;
        let rest = depth.saturating_sub(2);
        world.chain.mine(rest);
        settle(&mut relayer).await;
        let depth = possible(&world.chain, depth);
        let moved = vec![Vec::new(), vec![Act::Approve(n)]];
        reorganise(&world, depth, &moved);
        settle(&mut relayer).await;
        Act::Deny(n).perform(&world).await;
        settle(&mut relayer).await;
        assert_same_as_fresh(&world, &store, &format!("depth {depth}")).await;
    }
    world.chain.mine(80);
    settle(&mut relayer).await;
    assert_same_as_fresh(&world, &store, "all final").await;
    assert!(approved(&store).await >= 60);
    assert!(!relayer.latches().hold_grants());
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
