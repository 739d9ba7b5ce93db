// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Whole nodes through the ceremonies that follow the first: other members with the same key, and another key (G-11).

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod support;

use alloy::primitives::{Address, aliases::U40};
use mandate_attestation::dev_pki::DevGuest;
use mandate_kms::Running;
use mandate_model::{bindings::KmsCommittee, wire::kms::ReleaseResponse};
use support::town::{CODE, Town};

const DAY: u64 = 86_400;
const RESHARE: u8 = 3;
const ROTATE: u8 = 4;

/// A committee with its first key, and an app.
async fn committee(of: &[u8]) -> (Town, Vec<Running>, Address) {
    let town = Town::found().await;
    let nodes = town.start_all(of).await;
    town.open_genesis(of).await;
    town.reached(&nodes, 1).await;
    let app = town.register_app().await;
    town.final_block(town.chain.head().number()).await;
    (town, nodes, app)
}

async fn answers(town: &Town, nodes: &[Running], app: Address, epoch: u64) -> Vec<ReleaseResponse> {
    let every: Vec<&Running> = nodes.iter().collect();
    town.ask_for(&every, &DevGuest::new(app, CODE), epoch).await.1
}

#[tokio::test(flavor = "multi_thread")]
async fn g11_rotation_keeps_the_old_root_for_its_handover_and_then_destroys_it() {
    let (town, mut nodes, app) = committee(&[1, 2, 3, 4]).await;
    let contract = KmsCommittee::new(town.committee, &town.provider);
    town.mined(contract.setNotice(U40::from(DAY)).into_transaction_request()).await;
    let old = town.secret(&nodes, app, 0).await;

    town.open_ceremony(ROTATE).await;
    town.reached(&nodes, 2).await;
    let new = town.secret(&nodes, app, 0).await;
    assert!(old != new, "another root makes other secrets");
    assert!(new == town.secret(&nodes, app, 2).await);
    assert!(old == town.secret(&nodes, app, 1).await, "both are valid in the handover");

    // A node that restarts within the handover still has both.
    nodes.remove(0).shutdown().await;
    assert!(town.store(1).output(1).unwrap().unwrap().sealed_share.is_some());
    nodes.insert(0, town.start(1).await);
    town.reached(&nodes, 2).await;
    assert!(old == town.secret(&nodes, app, 1).await);

    // Blocks come faster than their times say, so that the chain is ahead of the clock by now.
    town.chain.increase_time(DAY + 3_600);
    town.chain.mine(1);
    for answer in answers(&town, &nodes, app, 1).await {
        assert!(answer.given.is_none(), "the handover is over at the head: {}", answer.outcome);
    }
    town.final_block(town.chain.head().number()).await;
    town.reached(&nodes, 2).await;
    assert!(new == town.secret(&nodes, app, 0).await);
    for node in nodes {
        let seen = town.chain.head().number();
        town.until(&node, "the end of the handover", |status| status.finalized >= seen).await;
        node.shutdown().await;
    }
    for n in 1..=4 {
        let store = town.store(n);
        assert_eq!(
            store.output(1).unwrap().unwrap().sealed_share,
            None,
            "node {n} kept a share of the old root"
        );
        assert!(store.output(2).unwrap().unwrap().sealed_share.is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reshare_to_seven_keeps_every_secret_and_the_old_four_hold_nothing_old() {
    let (town, mut nodes, app) = committee(&[1, 2, 3, 4]).await;
    let before = town.secret(&nodes, app, 0).await;
    nodes.extend(town.start_all(&[5, 6, 7]).await);
    town.admit(&[5, 6, 7]).await;
    town.open_ceremony(RESHARE).await;
    town.reached(&nodes, 2).await;
    assert!(before == town.secret(&nodes, app, 0).await);
    // Five of seven are a quorum now, four are not.
    assert!(before == town.secret(&nodes[2..], app, 0).await);
    let over = answers(&town, &nodes, app, 1).await;
    assert!(over.iter().all(|answer| answer.given.is_none()), "epoch 1 is over");
    for node in nodes {
        node.shutdown().await;
    }
    for n in 1..=4 {
        assert_eq!(town.store(n).output(1).unwrap().unwrap().sealed_share, None);
    }
}
