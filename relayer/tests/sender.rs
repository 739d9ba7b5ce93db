// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Transactions against a real chain.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod common;

use std::{collections::BTreeSet, sync::Arc};

use alloy::{providers::Provider, rpc::types::Filter, sol_types::SolEvent};
use common::{World, payer, settle, world};
use mandate_model::bindings::KmsCommittee;
use mandate_relayer::{Redact, effects::NewEffect, sender::Sender, store::Store};
use mandate_runtime::{Ambient, config::Secret};

fn sender(world: &World, store: Arc<dyn Store>) -> Sender {
    let config = mandate_relayer::config::SenderConfig::default();
    let redact = Redact::new(&Secret::new(String::new()));
    Sender::new(world.contracts(), Ambient::system(), world.provider(), store, payer(), config, redact)
}

async fn nonces_on_chain(world: &World) -> usize {
    let filter = Filter::new()
        .address(world.deployment.committee)
        .event_signature(KmsCommittee::NoncePublished::SIGNATURE_HASH)
        .from_block(0);
    world.provider().get_logs(&filter).await.unwrap().len()
}

#[tokio::test]
async fn a_transaction_that_a_reorganisation_drops_is_sent_again() {
    let world = world(20, ["http://node-1:1", "http://node-2:1"]).await;
    let store = world.memory().await;
    let effect = NewEffect::of_submission(
        &world.contracts(),
        world.nodes[0].address(),
        world.nonce(&world.nodes[0], 1),
    );
    store.enqueue(vec![effect.clone()]).await.unwrap();
    let mut follower = world.follower(Arc::clone(&store));
    let mut running = sender(&world, Arc::clone(&store));
    settle(&mut follower).await;
    for _ in 0..2 {
        running.tick().await.unwrap();
        settle(&mut follower).await;
    }
    let state = || async { store.effect_state(effect.key.clone()).await.unwrap().unwrap() };
    assert_eq!((state().await.as_str(), nonces_on_chain(&world).await), ("mined", 1));
    world.chain.reorg(1, Vec::new()).unwrap();
    assert_eq!(nonces_on_chain(&world).await, 0);
    for _ in 0..4 {
        settle(&mut follower).await;
        running.tick().await.unwrap();
    }
    assert_eq!((state().await.as_str(), nonces_on_chain(&world).await), ("mined", 1));
    world.chain.mine(20);
    settle(&mut follower).await;
    running.tick().await.unwrap();
    assert_eq!(state().await, "done");
}

#[tokio::test]
async fn transactions_that_wait_for_a_block_do_not_wait_for_each_other() {
    let world = world(2, ["http://node-1:1", "http://node-2:1"]).await;
    let store = world.memory().await;
    let mut effects = Vec::new();
    for n in 1..=5 {
        let node = &world.nodes[usize::from(n % 2)];
        effects.push(NewEffect::of_submission(&world.contracts(), node.address(), world.nonce(node, n)));
    }
    store.enqueue(effects).await.unwrap();
    world.automine(false);
    let mut running = sender(&world, Arc::clone(&store));
    running.tick().await.unwrap();
    running.tick().await.unwrap();
    let in_flight = store.in_flight(payer().address()).await.unwrap();
    let used: BTreeSet<u64> = in_flight.iter().flat_map(|effect| &effect.txs).map(|tx| tx.nonce).collect();
    assert_eq!(used, (0..5).collect());
    world.chain.mine(1);
    running.tick().await.unwrap();
    assert_eq!(nonces_on_chain(&world).await, 5);
}

#[tokio::test]
async fn what_the_chain_refuses_is_given_up_and_what_it_shows_already_is_done() {
    let world = world(2, ["http://node-1:1", "http://node-2:1"]).await;
    let store = world.memory().await;
    // Signed by somebody else than the node that it names: only the contract can tell here.
    let mut forged = world.nonce(&world.nodes[1], 9);
    if let mandate_model::wire::relayer::Submission::Nonce { node, .. } = &mut forged {
        *node = world.nodes[0].address();
    }
    let effect = NewEffect::of_submission(&world.contracts(), world.nodes[0].address(), forged);
    store.enqueue(vec![effect.clone()]).await.unwrap();
    let config = mandate_relayer::config::SenderConfig { attempts: 1, ..Default::default() };
    let redact = Redact::new(&Secret::new(String::new()));
    let ambient = Ambient::system();
    let mut running = Sender::new(
        world.contracts(),
        ambient,
        world.provider(),
        Arc::clone(&store),
        payer(),
        config,
        redact,
    );
    running.tick().await.unwrap();
    assert_eq!(store.effect_state(effect.key.clone()).await.unwrap().as_deref(), Some("failed"));
    assert_eq!(
        world.provider().get_transaction_count(payer().address()).await.unwrap(),
        0,
        "a dry run costs nothing"
    );
}
