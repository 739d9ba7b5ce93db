// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Whole nodes, two of seven of which are not there: K7, K8.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod support;

use mandate_attestation::dev_pki::DevGuest;
use mandate_kms::Running;
use mandate_model::bindings::KmsCommittee;
use mandate_threshold::{CombineError, derive::APP_NAMESPACE};
use support::town::{CODE, Town, asking::partials};

const ALL: [u8; 7] = [1, 2, 3, 4, 5, 6, 7];
const RESHARE: u8 = 3;

/// From the first ceremony on, and for good: neither the key nor its use nor its next sharing waits for them.
#[tokio::test(flavor = "multi_thread")]
async fn two_of_seven_may_be_absent_from_genesis_to_reshare() {
    let town = Town::found().await;
    let mut nodes = town.start_all(&ALL[..5]).await;
    town.open_genesis(&ALL).await;
    town.until_acknowledged(20).await;
    assert!(town.posted(1, &ALL).await.is_empty(), "the first half of the window belongs to the absent");
    town.chain.increase_time(50_000);
    town.until_posted(&ALL[..5]).await;
    town.chain.increase_time(53_600);
    town.reached(&nodes, 1).await;
    let app = town.register_app().await;
    town.final_block(town.chain.head().number()).await;
    let secret = town.secret(&nodes, app, 0).await;

    // One more is one too many.
    let four: Vec<&Running> = nodes[..4].iter().collect();
    let (request, answers) = town.ask(&four, &DevGuest::new(app, CODE)).await;
    let (public, parts) = (town.polynomial(0).await, partials(&request, &answers));
    let refused = public.combine(APP_NAMESPACE, &town.message(app, &public), &parts).unwrap_err();
    assert_eq!(refused, CombineError::TooFew { needed: 5, valid: 4, wrong: Vec::new() });

    // The sixth comes late and takes the place of the first, which is lost for good.
    nodes.push(town.start(6).await);
    town.reached(&nodes[5..], 1).await;
    nodes.remove(0).shutdown().await;
    assert!(secret == town.secret(&nodes, app, 0).await);

    // The two that are gone are replaced while they are gone.
    let contract = KmsCommittee::new(town.committee, &town.provider);
    for gone in [1, 7] {
        let evict = contract.evictNode(Town::keys(gone).address());
        town.mined(evict.into_transaction_request()).await;
    }
    town.admit(&[8, 9]).await;
    nodes.extend(town.start_all(&[8, 9]).await);
    town.open_ceremony(RESHARE).await;
    town.reached(&nodes, 2).await;
    assert!(secret == town.secret(&nodes[2..], app, 0).await, "five, two of which are new");
}

/// The third is evicted before the fourth, which was away during the ceremony, comes back: it needs the keys of all who took
/// part, and the list of nodes names the third no more. Without the fourth the root would be lost: two are left of three.
#[tokio::test(flavor = "multi_thread")]
async fn node_that_was_away_gets_its_share_though_a_dealer_was_evicted_since() {
    let town = Town::found().await;
    let mut nodes = town.start_all(&[1, 2, 3]).await;
    town.open_genesis(&[1, 2, 3, 4]).await;
    town.until_acknowledged(6).await;
    town.chain.increase_time(50_000);
    town.until_posted(&[1, 2, 3]).await;
    town.chain.increase_time(53_600);
    town.reached(&nodes, 1).await;
    let app = town.register_app().await;
    town.final_block(town.chain.head().number()).await;
    let secret = town.secret(&nodes, app, 0).await;

    let contract = KmsCommittee::new(town.committee, &town.provider);
    let evict = contract.evictNode(Town::keys(3).address());
    let block = town.mined(evict.into_transaction_request()).await;
    town.final_block(block).await;
    nodes.pop().unwrap().shutdown().await;
    nodes.push(town.start(4).await);
    town.reached(&nodes, 1).await;
    assert!(secret == town.secret(&nodes, app, 0).await);
}
