// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The drill for bad days: a whole committee that comes back from its disks, and a node that is lost for good.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod support;

use mandate_attestation::dev_pki::DevGuest;
use mandate_model::{Outcome, bindings::KmsCommittee};
use support::town::{CODE, Town};

const RESHARE: u8 = 3;

#[tokio::test(flavor = "multi_thread")]
async fn committee_comes_back_from_its_disks_and_replaces_a_node_that_is_lost_for_good() {
    let town = Town::found().await;
    let mut nodes = town.start_all(&[1, 2, 3, 4]).await;
    town.open_genesis(&[1, 2, 3, 4]).await;
    town.reached(&nodes, 1).await;
    let app = town.register_app().await;
    town.final_block(town.chain.head().number()).await;
    let before = town.secret(&nodes, app, 0).await;
    let receipts = town.status(&nodes[0]).await.receipts;

    // Everything goes down at once and comes back.
    for node in nodes.drain(..) {
        node.shutdown().await;
    }
    let mut nodes = town.start_all(&[1, 2, 3, 4]).await;
    town.reached(&nodes, 1).await;
    assert!(before == town.secret(&nodes, app, 0).await);
    assert_eq!(town.status(&nodes[0]).await.receipts, receipts + 1, "the log goes on where it was");

    // A node's disk is gone, its keys with it: the other three are a quorum.
    nodes.pop().unwrap().shutdown().await;
    let elsewhere = town.data_dir(4).with_extension("lost");
    std::fs::rename(town.data_dir(4), &elsewhere).unwrap();
    assert!(before == town.secret(&nodes, app, 0).await);

    // A second loss would be one too many, so its place is filled: out with it, in with another.
    let contract = KmsCommittee::new(town.committee, &town.provider);
    let lost = Town::keys(4).address();
    town.mined(contract.evictNode(lost).into_transaction_request()).await;
    nodes.extend(town.start_all(&[5]).await);
    town.admit(&[5]).await;
    town.open_ceremony(RESHARE).await;
    town.reached(&nodes, 2).await;
    nodes.remove(0).shutdown().await;
    assert!(before == town.secret(&nodes, app, 0).await, "any three of the new four");

    // Whoever finds the lost disk has a share of an epoch that is over.
    std::fs::rename(&elsewhere, town.data_dir(4)).unwrap();
    let found = town.start(4).await;
    let (_, answers) = town.ask_for(&[&found], &DevGuest::new(app, CODE), 1).await;
    assert!(answers[0].given.is_none() && !matches!(answers[0].outcome, Outcome::Allowed { .. }));
}
