// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Whole nodes that are shown another chain, or none that goes on (G-5, G-6).

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod support;

use std::{sync::Arc, time::Duration};

use mandate_attestation::dev_pki::DevGuest;
use mandate_devchain::{Config as ChainSettings, DevChain, Mining};
use mandate_kms::Running;
use mandate_model::{Outcome, bindings::AppAuth};
use mandate_runtime::clock::SystemClock;
use support::town::{CODE, Town};

/// Another history of the same chain id, as long as that of the town.
fn fork(town: &Town) -> DevChain {
    let fork = DevChain::new(ChainSettings::default()).unwrap();
    fork.mine_every(Duration::from_millis(50)).unwrap();
    while fork.head().number() < town.chain.head().number() + 10 {
        fork.mine(1);
    }
    fork
}

/// A node that asks these.
async fn start(town: &Town, chains: &[&DevChain]) -> Running {
    town.start_that_asks(1, chains, town.pki.trust_anchors()).await
}

async fn says(town: &Town, node: &Running, guest: &DevGuest) -> Outcome {
    let (_, mut answers) = town.ask(&[node], guest).await;
    let answer = answers.remove(0);
    assert_eq!(answer.partial().is_some(), matches!(answer.outcome, Outcome::Allowed { .. }));
    answer.outcome
}

/// The node's own word for why it trusts nothing, with the name of who told the other story.
async fn assert_latched(town: &Town, node: &Running) {
    let says = |problem: &String| problem.contains("contradicted itself") && problem.contains("rpc 1");
    town.patiently("contradiction", async || node.health().problems().iter().any(says)).await;
}

/// Of two endpoints one shows a fork, finalised and perfectly formed. One of them lies, and the node cannot know which: it
/// says so, grants nothing, and stays so after a restart with the true one alone until an operator has looked.
#[tokio::test(flavor = "multi_thread")]
async fn g5_finalised_fork_stops_the_node_until_an_operator_has_looked() {
    let town = Town::found().await;
    let node = start(&town, &[&town.chain]).await;
    town.open_genesis(&[1]).await;
    town.reached(std::slice::from_ref(&node), 1).await;
    let app = town.register_app().await;
    town.final_block(town.chain.head().number()).await;
    let guest = DevGuest::new(app, CODE);
    assert!(matches!(says(&town, &node, &guest).await, Outcome::Allowed { .. }));
    node.shutdown().await;

    let node = start(&town, &[&town.chain, &fork(&town)]).await;
    assert_latched(&town, &node).await;
    assert!(matches!(says(&town, &node, &guest).await, Outcome::Undecided { .. }));
    node.shutdown().await;

    let node = start(&town, &[&town.chain]).await;
    assert_latched(&town, &node).await;
    assert!(matches!(says(&town, &node, &guest).await, Outcome::Undecided { .. }));
    node.shutdown().await;
    assert!(town.store(1).clear_latch().unwrap().is_some());
    let node = start(&town, &[&town.chain]).await;
    town.reached(std::slice::from_ref(&node), 1).await;
    assert!(matches!(says(&town, &node, &guest).await, Outcome::Allowed { .. }));
}

/// The endpoint goes on answering with the block at which the app was allowed, long after: a stale block, each of whose
/// proofs is right. The node's own nonce does not come in it, so the lease ends, and with it every grant.
#[tokio::test(flavor = "multi_thread")]
async fn g6_stale_block_grants_nothing_past_the_lease() {
    let town = Town::found().await;
    let mut config = town.config(1);
    config.lease = Duration::from_secs(5);
    let node = town.start_with(1, config, Arc::new(SystemClock::new())).await;
    town.open_genesis(&[1]).await;
    town.reached(std::slice::from_ref(&node), 1).await;
    let app = town.register_app().await;
    town.final_block(town.chain.head().number()).await;
    let guest = DevGuest::new(app, CODE);
    assert!(matches!(says(&town, &node, &guest).await, Outcome::Allowed { .. }));

    town.chain.set_mining(Mining::Manual).unwrap();
    town.until(&node, "the end of the lease", |status| !status.fresh).await;
    assert!(matches!(says(&town, &node, &guest).await, Outcome::Undecided { .. }));
    // Once the chain goes on, so does the node, and what happened meanwhile counts.
    town.chain.mine_every(Duration::from_millis(50)).unwrap();
    town.until(&node, "lease again", |status| status.fresh).await;
    let policy = AppAuth::new(app, &town.provider);
    town.mined(policy.revokeCode(CODE, false).into_transaction_request()).await;
    assert!(matches!(says(&town, &node, &guest).await, Outcome::Denied { .. }));
}
