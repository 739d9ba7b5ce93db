// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Who is one of the committee's, with whole nodes on a chain: vouched for, renewed, barred, replicated.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod support;

use alloy::primitives::{Address, B256};
use mandate_attestation::dev_pki::{DevGuest, DevTcb};
use mandate_kms::Running;
use mandate_model::{
    Outcome,
    bindings::{AppAuth, KmsCommittee},
};
use support::town::{CODE, Town, members::KMS_CODE};

const RESHARE: u8 = 3;
const DAY: u64 = 24 * 3_600;
const PERIOD: u64 = 30 * DAY;
const FOUR: [u8; 4] = [1, 2, 3, 4];

/// Four nodes that vouched for each other and made a key.
async fn attested() -> (Town, Address, Vec<Running>) {
    let town = Town::found_with(PERIOD).await;
    let kms_app = town.register_kms().await;
    let nodes = town.start_members(kms_app, &FOUR).await;
    for (n, node) in FOUR.iter().zip(&nodes) {
        town.admit_running(*n, node).await;
    }
    town.until_admitted(&FOUR).await;
    town.open_ceremony(1).await;
    town.reached(&nodes, 1).await;
    (town, kms_app, nodes)
}

async fn app_of(town: &Town) -> Address {
    let app = town.register_app().await;
    town.final_block(town.chain.head().number()).await;
    app
}

fn committee(town: &Town) -> KmsCommittee::KmsCommitteeInstance<&alloy::providers::DynProvider> {
    KmsCommittee::new(town.committee, &town.provider)
}

/// G-1 for the committee itself (K4): its own code must be what the KMS's own app allows, seen by a quorum of the others.
#[tokio::test(flavor = "multi_thread")]
async fn g1_node_joins_by_evidence_that_a_quorum_verified_and_with_no_other() {
    let (town, kms_app, mut nodes) = attested().await;
    let app = app_of(&town).await;
    let before = town.secret(&nodes, app, 0).await;

    // The owner names three more: one runs other code, one proves itself as another app, one brings no evidence at all.
    town.runs(6, DevGuest::new(kms_app, B256::repeat_byte(0xbd)));
    town.runs(7, DevGuest::new(app, CODE));
    let refused = town.start_all(&[6, 7, 8]).await;
    for (n, node) in [6, 7, 8].iter().zip(&refused) {
        town.admit_running(*n, node).await;
    }
    town.until_complains(&refused[0], "0 of 3 members that must vouch did").await;
    town.until_complains(&refused[1], "the KMS's own is").await;
    town.until_complains(&refused[2], "no source of evidence is configured").await;

    nodes.extend(town.start_members(kms_app, &[5]).await);
    town.admit_running(5, &nodes[4]).await;
    town.until_admitted(&[5]).await;
    for n in [6, 7, 8] {
        assert_eq!(town.attested_until(n).await, 0);
    }
    town.open_ceremony(RESHARE).await;
    town.reached(&nodes, 2).await;
    let members = committee(&town).currentEpoch().call().await.unwrap().members;
    assert_eq!(members.len(), 5, "only who was vouched for");
    assert!(before == town.secret(&nodes, app, 0).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn attestation_is_renewed_in_time_and_without_one_nothing_is_released() {
    let (town, _, mut nodes) = attested().await;
    let app = app_of(&town).await;
    let first = town.attested_until(1).await;
    town.chain.increase_time(PERIOD / 2 + DAY);
    let renewed = async || town.attested_until(1).await > first && town.attested_until(4).await > first;
    town.patiently("renewal", renewed).await;

    // Nobody runs while the period passes: a member whose date is missed grants nothing, and all the same vouches for others.
    for node in nodes.drain(..) {
        node.shutdown().await;
    }
    town.chain.increase_time(PERIOD + DAY);
    town.chain.mine(1);
    let alone = town.start(1).await;
    town.until(&alone, "epoch and lease", |status| status.epoch == 1 && status.fresh).await;
    town.until_complains(&alone, "of 3 members that must vouch did").await;
    let (_, answers) = town.ask(&[&alone], &DevGuest::new(app, CODE)).await;
    let Outcome::Undecided { why } = &answers[0].outcome else { panic!("{}", answers[0].outcome) };
    assert!(why.contains("attestation ended"), "{why}");

    let others = town.start_all(&[2, 3, 4]).await;
    // They came back on other ports.
    for (n, node) in [(1, &alone), (2, &others[0]), (3, &others[1]), (4, &others[2])] {
        let (key, url) = (Town::keys(n).address(), node.url());
        town.mined(committee(&town).setNodeUrl(key, url).into_transaction_request()).await;
    }
    town.until_admitted(&FOUR).await;
    town.until_seated(1, &alone).await;
    let (_, answers) = town.ask(&[&alone], &DevGuest::new(app, CODE)).await;
    assert!(matches!(answers[0].outcome, Outcome::Allowed { .. }), "{}", answers[0].outcome);
}

/// K9: a TCB level is barred, and with it a node: it cannot attest again, grants nothing, and the reshare leaves it out.
#[tokio::test(flavor = "multi_thread")]
async fn barred_tcb_level_evicts_its_node_and_the_key_is_reshared_without_it() {
    let town = Town::found_with(PERIOD).await;
    let kms_app = town.register_kms().await;
    let mut nodes = town.start_members(kms_app, &[1, 2, 3]).await;
    let tcb = DevTcb { status: "SWHardeningNeeded".to_owned(), advisories: Vec::new() };
    town.runs(4, DevGuest { tcb, ..DevGuest::new(kms_app, KMS_CODE) });
    nodes.push(town.start(4).await);
    for (n, node) in FOUR.iter().zip(&nodes) {
        town.admit_running(*n, node).await;
    }
    town.until_admitted(&FOUR).await;
    town.open_ceremony(1).await;
    town.reached(&nodes, 1).await;
    let app = app_of(&town).await;
    let before = town.secret(&nodes, app, 0).await;

    let kms = AppAuth::new(kms_app, &town.provider);
    town.mined(kms.setTcbFloor(1).into_transaction_request()).await;
    town.mined(committee(&town).demandAttestation(Default::default()).into_transaction_request()).await;
    town.until_admitted(&[1, 2, 3]).await;
    town.until_complains(&nodes[3], "0 of 3 members that must vouch did").await;
    assert!(town.attested_until(4).await <= town.chain.head().timestamp());
    town.final_block(town.chain.head().number()).await;
    let (_, answers) = town.ask(&[&nodes[3]], &DevGuest::new(app, CODE)).await;
    assert!(answers[0].given.is_none(), "{}", answers[0].outcome);

    town.open_ceremony(RESHARE).await;
    town.reached(&nodes[..3], 2).await;
    let members = committee(&town).currentEpoch().call().await.unwrap().members;
    assert!(!members.contains(&Town::keys(4).address()) && members.len() == 3);
    town.mined(committee(&town).evictNode(Town::keys(4).address()).into_transaction_request()).await;
    assert!(before == town.secret(&nodes[..3], app, 0).await);
}

/// K6: one live node is enough, by the owner's explicit word, and the copies end with it.
#[tokio::test(flavor = "multi_thread")]
async fn replica_answers_in_the_members_place_and_destroys_its_copy_when_told() {
    let town = Town::found_with(PERIOD).await;
    let kms_app = town.register_kms().await;
    let mut nodes = town.start_members(kms_app, &[1]).await;
    town.admit_running(1, &nodes[0]).await;
    town.until_admitted(&[1]).await;
    town.open_ceremony(1).await;
    town.reached(&nodes, 1).await;
    let app = app_of(&town).await;
    let before = town.secret(&nodes, app, 0).await;
    nodes.extend(town.start_members(kms_app, &[2]).await);
    town.admit_running(2, &nodes[1]).await;
    town.until_admitted(&[2]).await;
    town.until(&nodes[1], "lease", |status| status.fresh).await;
    town.final_block(town.chain.head().number()).await;
    let (_, answers) = town.ask(&[&nodes[1]], &DevGuest::new(app, CODE)).await;
    assert!(answers[0].given.is_none(), "nobody said that there are replicas: {}", answers[0].outcome);

    town.mined(committee(&town).setReplication(true).into_transaction_request()).await;
    let gives = async || {
        let (_, answers) = town.ask(&[&nodes[1]], &DevGuest::new(app, CODE)).await;
        answers[0].partial().is_some()
    };
    town.patiently("copy", gives).await;
    nodes.remove(0).shutdown().await;
    assert!(before == town.secret(&nodes, app, 0).await, "the member is gone, its replica answers");

    // It has the copy from its own disk after a restart.
    nodes.remove(0).shutdown().await;
    nodes.push(town.start(2).await);
    town.reached(&nodes, 1).await;
    assert!(before == town.secret(&nodes, app, 0).await);

    town.mined(committee(&town).setReplication(false).into_transaction_request()).await;
    let gives_none = async || {
        let (_, answers) = town.ask(&[&nodes[0]], &DevGuest::new(app, CODE)).await;
        answers[0].partial().is_none()
    };
    town.patiently("destruction", gives_none).await;
    nodes.remove(0).shutdown().await;
    let round = committee(&town).currentEpoch().call().await.unwrap().round;
    assert_eq!(
        town.store(2).output(round).unwrap().unwrap().sealed_share,
        None,
        "nothing is left on its disk"
    );
}
