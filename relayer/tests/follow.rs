// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Following a real chain: effects, catching up, reorganisations, contradictions.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod common;

use std::{collections::BTreeSet, sync::Arc};

use alloy::{
    network::TransactionBuilder,
    primitives::B256,
    providers::Provider,
    rpc::types::{Filter, TransactionRequest},
    sol_types::SolCall,
};
use common::{World, code, keys, register_app, settle, waiting, world};
use mandate_devchain::Replacement;
use mandate_model::bindings::AppAuth;
use mandate_relayer::{
    chain::{Bounds, ChainView, FollowError},
    effects::Effect,
    store::{Store, StoredLog},
};

const URLS: [&str; 2] = ["http://node-1:1", "http://node-2:1"];

async fn pushed(store: &Arc<dyn Store>) -> Vec<(String, Vec<B256>)> {
    waiting(store)
        .await
        .into_iter()
        .filter_map(|q| match q.effect {
            Effect::RevocationPush { target, notice } => Some((target, notice.code_hashes)),
            _ => None,
        })
        .collect()
}

/// The logs of the watched contracts as the chain has them now.
async fn canonical(world: &World, store: &Arc<dyn Store>) -> Vec<(u64, B256, u64, B256)> {
    let apps = store.apps().await.unwrap().into_iter().map(|record| record.app);
    let watched: Vec<_> = world.contracts().fixed().into_iter().chain(apps).collect();
    let filter = Filter::new().address(watched).from_block(1).to_block(world.chain.head().number());
    let logs = world.provider().get_logs(&filter).await.unwrap();
    logs.iter()
        .map(|l| {
            (
                l.block_number.unwrap(),
                l.block_hash.unwrap(),
                l.log_index.unwrap(),
                l.transaction_hash.unwrap(),
            )
        })
        .collect()
}

fn places(logs: &[StoredLog]) -> Vec<(u64, B256, u64, B256)> {
    logs.iter().map(|l| (l.block_number, l.block_hash, l.log_index, l.tx_hash)).collect()
}

#[tokio::test]
async fn g7_a_revocation_at_head_is_pushed_to_every_node_and_gateway_before_it_is_final() {
    let world = world(50, URLS).await;
    let store = world.memory().await;
    let mut follower = world.follower(Arc::clone(&store));
    settle(&mut follower).await;
    assert!(pushed(&store).await.is_empty());
    let receipt = world.revoke(world.app, code(1)).await;
    settle(&mut follower).await;
    let pushed = pushed(&store).await;
    let targets: BTreeSet<&str> = pushed.iter().map(|(target, _)| target.as_str()).collect();
    assert_eq!(targets, BTreeSet::from(["http://gateway:1", "http://node-1:1", "http://node-2:1"]));
    assert!(pushed.iter().all(|(_, codes)| codes == &[code(1)]) && pushed.len() == 3);
    let progress = store.progress().await.unwrap();
    assert!(progress.finalized.is_none_or(|f| f.number < receipt.block_number.unwrap()));
}

#[tokio::test]
async fn a_certificate_is_ordered_at_finality_and_not_before() {
    let world = world(4, URLS).await;
    let store = world.memory().await;
    let mut follower = world.follower(Arc::clone(&store));
    settle(&mut follower).await;
    world.approve("shop.example").await;
    settle(&mut follower).await;
    world.chain.mine(3);
    settle(&mut follower).await;
    let orders = async || {
        let mut orders = waiting(&store).await;
        orders.retain(|entry| entry.kind == "certificate_order");
        orders
    };
    assert!(orders().await.is_empty());
    world.chain.mine(1);
    settle(&mut follower).await;
    let orders = orders().await;
    assert!(
        matches!(&orders[0].effect, Effect::CertificateOrder { order, app } if order.name == "shop.example" && *app == world.app)
    );
    assert_eq!(orders.len(), 1);
}

#[tokio::test]
async fn an_app_is_watched_from_the_block_of_its_registration() {
    let world = world(50, URLS).await;
    let store = world.memory().await;
    let mut follower = world.follower(Arc::clone(&store));
    settle(&mut follower).await;
    let late = register_app(&world.wallet, &world.deployment, 2).await;
    world.revoke(late, code(3)).await;
    settle(&mut follower).await;
    assert!(store.apps().await.unwrap().iter().any(|record| record.app == late));
    assert_eq!(pushed(&store).await.len(), 3);
    let logs = store.logs(0, u64::MAX, 1_000).await.unwrap();
    assert_eq!(places(&logs), canonical(&world, &store).await);
}

#[tokio::test]
async fn catching_up_by_ranges_sees_what_following_sees_and_pushes_nothing_old() {
    let world = world(4, URLS).await;
    world.revoke(world.app, code(1)).await;
    world.chain.mine(300);
    let late = register_app(&world.wallet, &world.deployment, 2).await;
    world.revoke(late, code(2)).await;
    world.approve("shop.example").await;
    world.chain.mine(90);
    let store = world.memory().await;
    // Seven blocks per range: a registration and what follows it fall into different ranges and into one.
    let bounds = Bounds { reorg_window: 100, max_range: 7 };
    let mut follower = world.follower_with(Arc::clone(&store), ChainView::default(), bounds);
    settle(&mut follower).await;
    let logs = store.logs(0, u64::MAX, 1_000).await.unwrap();
    assert_eq!(places(&logs), canonical(&world, &store).await);
    assert!(pushed(&store).await.is_empty(), "what was final before the first start is pushed to nobody");
    assert_eq!(keys(&store).await.len(), 1, "the certificate");
    world.revoke(late, code(4)).await;
    settle(&mut follower).await;
    assert_eq!(pushed(&store).await.len(), 3);
}

#[tokio::test]
async fn g10_reorganisations_of_depth_1_to_8_leave_the_chain_as_it_is_now() {
    for depth in 1..=8_u64 {
        let world = world(40, URLS).await;
        let store = world.memory().await;
        let view = ChainView::default();
        let bounds = Bounds { reorg_window: 64, max_range: 50 };
        let mut follower = world.follower_with(Arc::clone(&store), view.clone(), bounds);
        settle(&mut follower).await;
        // The oldest of the blocks that go registers an app, the next revokes code in it.
        let gone = register_app(&world.wallet, &world.deployment, 7).await;
        if depth > 1 {
            world.revoke(gone, code(1)).await;
        }
        world.chain.mine(depth.saturating_sub(2));
        settle(&mut follower).await;
        assert!(view.apps().contains(&gone));

        let call = AppAuth::revokeCodeCall { codeHash: code(5), rotate: false }.abi_encode();
        let request = TransactionRequest::default()
            .with_from(world.chain.accounts()[0])
            .with_to(world.app)
            .with_input(call);
        let mut plan = vec![vec![Replacement::from(request)]];
        plan.resize_with(depth as usize + 1, Vec::new);
        world.chain.reorg(depth, plan).unwrap();
        settle(&mut follower).await;

        assert!(!view.apps().contains(&gone), "depth {depth}");
        let logs = store.logs(0, u64::MAX, 1_000).await.unwrap();
        assert_eq!(places(&logs), canonical(&world, &store).await, "depth {depth}");
        let pushed = pushed(&store).await;
        let now: Vec<_> = pushed.iter().filter(|(_, codes)| codes == &[code(5)]).collect();
        assert_eq!(now.len(), 3, "depth {depth}");
        // A push for a block that is gone stays: whoever gets it looks at the chain itself, and a revocation that
        // comes back must not be late.
        assert_eq!(pushed.len(), if depth > 1 { 6 } else { 3 });
        keys(&store).await;
    }
}

#[tokio::test]
async fn a_reorganisation_while_the_relayer_was_away_is_followed() {
    let world = world(40, URLS).await;
    let store = world.memory().await;
    settle(&mut world.follower(Arc::clone(&store))).await;
    world.chain.mine(3);
    settle(&mut world.follower(Arc::clone(&store))).await;
    world.chain.reorg(5, Vec::new()).unwrap();
    world.chain.mine(120);
    settle(&mut world.follower(Arc::clone(&store))).await;
    assert_eq!(store.progress().await.unwrap().head.unwrap().hash, world.chain.head().hash());
    let logs = store.logs(0, u64::MAX, 1_000).await.unwrap();
    assert_eq!(places(&logs), canonical(&world, &store).await);
}

#[tokio::test]
async fn another_finalised_block_at_the_same_height_stops_the_follower() {
    let world = world(2, URLS).await;
    let store = world.memory().await;
    settle(&mut world.follower(Arc::clone(&store))).await;
    let snapshot = world.chain.snapshot();
    world.chain.mine(4);
    settle(&mut world.follower(Arc::clone(&store))).await;
    // The chain breaks its promise: other blocks at heights that were final.
    assert!(world.chain.revert(snapshot));
    world.chain.increase_time(1_000);
    world.chain.mine(4);
    let stopped = world.follower(Arc::clone(&store)).tick().await;
    assert!(matches!(stopped, Err(FollowError::Contradiction { .. })), "{stopped:?}");
    let before = store.progress().await.unwrap();
    assert!(world.follower(Arc::clone(&store)).tick().await.is_err());
    assert_eq!(store.progress().await.unwrap(), before);
}

#[tokio::test]
async fn an_endpoint_that_lags_changes_nothing() {
    let world = world(3, URLS).await;
    let store = world.memory().await;
    let snapshot = world.chain.snapshot();
    world.chain.mine(10);
    let mut follower = world.follower(Arc::clone(&store));
    settle(&mut follower).await;
    let before = store.progress().await.unwrap();
    // As if another machine behind the same URL answered, ten blocks behind.
    assert!(world.chain.revert(snapshot));
    follower.tick().await.unwrap();
    assert_eq!(store.progress().await.unwrap(), before);
}

#[tokio::test]
async fn a_database_of_another_deployment_is_refused() {
    use mandate_relayer::store::{SqliteStore, StoreError};

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let clock = || mandate_runtime::Ambient::system().clock;
    let contracts = world(2, URLS).await.contracts();
    drop(SqliteStore::open(&path, &contracts, clock()).await.unwrap());
    drop(SqliteStore::open(&path, &contracts, clock()).await.unwrap());
    let other = mandate_relayer::chain::Contracts { chain_id: 2, ..contracts };
    let other = SqliteStore::open(&path, &other, clock()).await;
    assert!(matches!(other, Err(StoreError::OtherDeployment { chain_id: 31_337, .. })), "{other:?}");
}
