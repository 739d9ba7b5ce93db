// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Ceremonies that come to nothing, and the next ones: another round number, other shares, and nothing left of the first.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod support;

use std::sync::atomic::Ordering;

use alloy::primitives::Address;
use mandate_kms::Running;
use mandate_model::bindings::{Epoch, KmsCommittee};
use mandate_threshold::{Output, Share, derive::APP_NAMESPACE};
use support::town::Town;

const ALL: [u8; 4] = [1, 2, 3, 4];
const GENESIS: u8 = 1;
const REFRESH: u8 = 2;
const CONFIRMING: u8 = 2;
const ABORTED: u8 = 4;
/// Of the town's ceremonies, for the dealing as for the confirmations after it.
const WINDOW: u64 = 100_000;
const AHEAD: u64 = 3_600;

async fn state(town: &Town, round: u64) -> u8 {
    let committee = KmsCommittee::new(town.committee, &town.provider);
    committee.ceremony(round).call().await.unwrap().state
}

async fn epoch(town: &Town) -> Epoch {
    KmsCommittee::new(town.committee, &town.provider).currentEpoch().call().await.unwrap()
}

/// A ceremony in which everybody does its part, but nobody's confirmation arrives.
async fn fail(town: &Town, kind: u8, round: u64) {
    town.carrier.drops_confirmations.store(true, Ordering::SeqCst);
    let before = town.carrier.dropped.load(Ordering::SeqCst);
    town.open_ceremony(kind).await;
    let confirmed = async || town.carrier.dropped.load(Ordering::SeqCst) >= before + ALL.len();
    town.patiently("confirmations", confirmed).await;
    assert_eq!(state(town, round).await, CONFIRMING);
    town.pass(2 * WINDOW + AHEAD).await;
    assert_eq!(state(town, round).await, ABORTED);
    town.carrier.drops_confirmations.store(false, Ordering::SeqCst);
}

/// Waits until each has worked on all that is final by now.
async fn caught_up(town: &Town, nodes: &[Running]) {
    let seen = town.chain.head().number();
    town.final_block(seen).await;
    for node in nodes {
        town.until(node, "the newest block", |status| status.finalized >= seen).await;
    }
}

/// Stops a node, looks at what it has, and starts it again.
async fn search<T>(town: &Town, nodes: &mut Vec<Running>, look: impl FnOnce(&Town) -> T) -> T {
    nodes.remove(0).shutdown().await;
    let found = look(town);
    nodes.insert(0, town.start(ALL[0]).await);
    found
}

/// The share of node 1 that `round` gave, with the round's output.
fn share(town: &Town, round: u64) -> (Share, Output) {
    let seized = town.seize(ALL[0]);
    let output = Output::decode(&seized.output(round).unwrap().output).unwrap();
    (seized.share(round).unwrap(), output)
}

/// Two of four are absent, one more than may be: no dealer posts a log that would show two shares, and the round ends.
#[tokio::test(flavor = "multi_thread")]
async fn ceremony_with_too_many_absent_aborts_and_the_next_number_does_it() {
    let town = Town::found().await;
    let mut nodes = town.start_all(&ALL[..2]).await;
    town.open_genesis(&ALL).await;
    town.until_acknowledged(2).await;
    town.pass(WINDOW * 3 / 4).await;
    caught_up(&town, &nodes).await;
    assert!(town.posted(1, &ALL).await.is_empty());
    town.pass(2 * WINDOW).await;
    assert_eq!((state(&town, 1).await, epoch(&town).await.number), (ABORTED, 0));
    caught_up(&town, &nodes).await;

    nodes.extend(town.start_all(&ALL[2..]).await);
    town.open_ceremony(GENESIS).await;
    town.reached(&nodes, 1).await;
    assert_eq!(epoch(&town).await.round, 2, "a number is never used again");
    let app: Address = town.register_app().await;
    town.final_block(town.chain.head().number()).await;
    town.secret(&nodes[1..], app, 0).await;
    for node in nodes {
        node.shutdown().await;
    }
    for n in ALL {
        assert!(town.seize(n).output(1).is_none() && town.seize(n).has_forgotten(1));
    }
}

/// Everybody computed an output and a share, and the epoch did not come: that key is never used.
#[tokio::test(flavor = "multi_thread")]
async fn g11_shares_of_a_genesis_that_failed_are_never_used_and_do_not_outlive_it() {
    let town = Town::found().await;
    let mut nodes = town.start_all(&ALL).await;
    town.admit(&ALL).await;
    town.carrier.drops_confirmations.store(true, Ordering::SeqCst);
    town.open_ceremony(GENESIS).await;
    let confirmed = async || town.carrier.dropped.load(Ordering::SeqCst) >= ALL.len();
    town.patiently("confirmations", confirmed).await;
    let (failed, output) = search(&town, &mut nodes, |town| share(town, 1)).await;
    town.pass(2 * WINDOW + AHEAD).await;
    caught_up(&town, &nodes).await;
    search(&town, &mut nodes, |town| assert!(town.seize(ALL[0]).has_forgotten(1))).await;

    town.carrier.drops_confirmations.store(false, Ordering::SeqCst);
    town.open_ceremony(GENESIS).await;
    town.reached(&nodes, 1).await;
    let epoch = epoch(&town).await;
    assert_eq!(epoch.round, 2);
    assert_ne!(epoch.groupKey.as_ref(), output.group_key(), "another key, not the one of the failed round");
    let (public, text) = (town.polynomial(0).await, b"message");
    let (good, _) = search(&town, &mut nodes, |town| share(town, 2)).await;
    assert!(public.verify_partial(APP_NAMESPACE, text, &good.sign(APP_NAMESPACE, text)));
    assert!(!public.verify_partial(APP_NAMESPACE, text, &failed.sign(APP_NAMESPACE, text)));
    assert!(output.public().verify_partial(APP_NAMESPACE, text, &failed.sign(APP_NAMESPACE, text)));
}

/// A refresh that fails shares out the very root that is in force. The epoch goes on with its own shares, and the others are
/// destroyed at once, not with the next epoch, which may be far away. R2, R4.
#[tokio::test(flavor = "multi_thread")]
async fn g4_shares_of_a_refresh_that_failed_are_destroyed_and_the_epoch_goes_on() {
    let town = Town::found().await;
    let mut nodes = town.start_all(&ALL).await;
    town.open_genesis(&ALL).await;
    town.reached(&nodes, 1).await;
    let app: Address = town.register_app().await;
    town.final_block(town.chain.head().number()).await;
    let secret = town.secret(&nodes, app, 0).await;

    fail(&town, REFRESH, 2).await;
    caught_up(&town, &nodes).await;
    town.reached(&nodes, 1).await;
    assert!(secret == town.secret(&nodes, app, 0).await);
    search(&town, &mut nodes, |town| {
        let seized = town.seize(ALL[0]);
        assert!(seized.output(2).is_some(), "the round came as far as that");
        assert!(seized.has_forgotten(2));
        assert!(seized.share(1).is_some(), "and the epoch in force needs its own");
    })
    .await;

    town.open_ceremony(REFRESH).await;
    town.reached(&nodes, 2).await;
    assert_eq!(epoch(&town).await.round, 3);
    assert!(secret == town.secret(&nodes, app, 0).await);
    search(&town, &mut nodes, |town| assert!(town.seize(ALL[0]).has_forgotten(1))).await;
}
