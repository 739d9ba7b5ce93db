// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Whole nodes on loopback sockets, against a development chain with the real contracts.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod support;

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use alloy::primitives::{Address, B256};
use mandate_attestation::dev_pki::{Defect, DevGuest};
use mandate_kms::{Running, StartError, store::StoreError};
use mandate_model::{
    Outcome,
    bindings::AppAuth,
    receipt::Receipt,
    receipt_chain::verify_chain,
    signed,
    wire::kms::{ReleaseResponse, RevocationNotice},
};
use mandate_runtime::{clock::ManualClock, http::HttpError};
use support::town::{CODE, Town};

fn outcomes(responses: &[ReleaseResponse]) -> Vec<String> {
    responses.iter().map(|r| r.outcome.to_string()).collect()
}

fn all(responses: &[ReleaseResponse], word: &str) -> bool {
    responses.iter().all(|r| r.outcome.to_string().starts_with(word))
}

async fn ready(town: &Town, nodes: &[Running]) {
    for node in nodes {
        town.until(node, "epoch and lease", |status| status.epoch == 1 && status.fresh).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn committee_makes_its_key_and_releases_by_the_contracts_word_only() {
    let town = Town::found().await;
    let mut nodes = Vec::new();
    for n in 1..=4 {
        nodes.push(town.start(n).await);
    }
    town.open_genesis(&[1, 2, 3, 4]).await;
    ready(&town, &nodes).await;
    let app = town.register_app().await;
    town.final_block(town.chain.head().number()).await;

    // Any three of the four give the same secret.
    let guest = DevGuest::new(app, CODE);
    let every: Vec<&Running> = nodes.iter().collect();
    let (request, responses) = town.ask(&every, &guest).await;
    assert!(all(&responses, "allowed"), "{:?}", outcomes(&responses));
    let secret = town.combine(app, &request, &responses[..3]).await;
    assert!(secret == town.combine(app, &request, &responses[1..]).await);

    // Code, app and evidence that are not allowed get a denial and a receipt from each.
    for (stranger, why) in [
        (DevGuest::new(app, B256::repeat_byte(0xdd)), "code hash not allowed"),
        (DevGuest::new(Address::repeat_byte(0xee), CODE), "app not registered"),
        (guest.clone().with_defect(Defect::TamperedQuote), "evidence"),
    ] {
        let (_, responses) = town.ask(&every, &stranger).await;
        assert!(outcomes(&responses).iter().all(|text| text.contains(why)), "{:?}", outcomes(&responses));
        assert!(responses.iter().all(|r| r.given.is_none() && r.receipt.is_some()));
    }

    // A carrier that lies about storage is found out; the nodes' own endpoints prove the same.
    town.carrier.lies.store(true, Ordering::SeqCst);
    town.chain.mine(1);
    let (_, responses) = town.ask(&every, &guest).await;
    assert!(all(&responses, "allowed"), "{:?}", outcomes(&responses));

    // A revocation acts from the head, before it is final.
    let policy = AppAuth::new(app, &town.provider);
    let revoked_at = town.mined(policy.revokeCode(CODE, false).into_transaction_request()).await;
    let (_, responses) = town.ask(&every[..1], &guest).await;
    assert!(outcomes(&responses)[0].contains("code hash revoked"), "{:?}", outcomes(&responses));
    let notice = RevocationNotice { app, code_hashes: vec![CODE], block_number: revoked_at };
    let url = format!("{}/v1/revocations", nodes[1].url());
    let told: serde_json::Value = town.client.post_json(&url, &notice).await.unwrap();
    assert_eq!(told["revoked"][0], format!("{CODE}"));

    // A restart keeps share, receipts and denials.
    let second = nodes.remove(1);
    second.shutdown().await;
    let second = town.start(2).await;
    town.until(&second, "epoch and lease", |status| status.epoch == 1 && status.fresh).await;
    let (_, responses) = town.ask(&[&second], &guest).await;
    assert!(outcomes(&responses)[0].contains("code hash revoked"));
    let url = format!("{}/v1/receipts", second.url());
    let receipts: Vec<Receipt> = town.client.get_json(&url).await.unwrap();
    let domain = signed::domain(town.chain.chain_id(), town.committee);
    verify_chain(&receipts, second.node(), &domain).unwrap();
    assert_eq!(receipts.len(), 6);
    assert!(receipts.iter().all(|r| r.dev_anchors));
    let request: alloy::primitives::Bytes = {
        let url = format!("{}/v1/requests/{}", second.url(), receipts[0].request_hash);
        town.client.get_json(&url).await.unwrap()
    };
    assert_eq!(alloy::primitives::keccak256(&request), receipts[0].request_hash);
    let later: Vec<Receipt> = town.client.get_json(&format!("{url}?after=3")).await.unwrap();
    assert_eq!(later, receipts[4..]);
    for node in nodes {
        node.shutdown().await;
    }
}

/// What an app requires beside its code is judged from the evidence, by the contracts, on proven state.
#[tokio::test(flavor = "multi_thread")]
async fn g1_ticket_advisory_condition_and_sunset_are_obeyed_from_the_head() {
    let town = Town::found().await;
    let node = town.start(1).await;
    town.open_genesis(&[1]).await;
    ready(&town, std::slice::from_ref(&node)).await;
    let app = town.register_app().await;
    town.final_block(town.chain.head().number()).await;
    let policy = AppAuth::new(app, &town.provider);
    let told = async |guest: &DevGuest| outcomes(&town.ask(&[&node], guest).await.1).remove(0);
    let plain = DevGuest::new(app, CODE);
    let ticket = B256::repeat_byte(0x71);
    let with_ticket = DevGuest { launch_ticket: Some(ticket), ..plain.clone() };
    let mut flawed = plain.clone();
    flawed.tcb.advisories = vec!["INTEL-SA-00615".to_owned()];
    assert!(told(&flawed).await.starts_with("allowed"));

    town.mined(policy.denyAdvisory("INTEL-SA-00615".to_owned()).into_transaction_request()).await;
    assert!(told(&flawed).await.contains("advisory"));
    assert!(told(&plain).await.starts_with("allowed"));

    town.mined(policy.requireTicket(true).into_transaction_request()).await;
    assert!(told(&plain).await.contains("launch ticket"));
    town.mined(policy.allowTicket(ticket).into_transaction_request()).await;
    let notice = policy.notice().call().await.unwrap().to::<u64>();
    town.chain.increase_time(notice + 1);
    town.chain.mine(1);
    town.final_block(town.chain.head().number()).await;
    assert!(told(&with_ticket).await.starts_with("allowed"), "{}", told(&with_ticket).await);
    assert!(told(&plain).await.contains("launch ticket"));

    // A contract that is no condition never says yes.
    town.mined(policy.addCondition(town.committee).into_transaction_request()).await;
    assert!(told(&with_ticket).await.contains("condition"));
    let sunset = town.mined(policy.sunset().into_transaction_request()).await;
    town.final_block(sunset).await;
    assert!(told(&with_ticket).await.contains("closed for good"));
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn node_that_was_away_during_the_ceremony_gets_its_share_afterwards() {
    let town = Town::found().await;
    let mut nodes = Vec::new();
    for n in 1..=3 {
        nodes.push(town.start(n).await);
    }
    town.open_genesis(&[1, 2, 3, 4]).await;
    town.until_acknowledged(6).await;
    town.chain.increase_time(50_000);
    town.until_posted(&[1, 2, 3]).await;
    town.chain.increase_time(50_000);
    ready(&town, &nodes).await;
    let late = town.start(4).await;
    ready(&town, std::slice::from_ref(&late)).await;
    let app = town.register_app().await;
    town.final_block(town.chain.head().number()).await;
    let (request, responses) = town.ask(&[&nodes[0], &nodes[1], &late], &DevGuest::new(app, CODE)).await;
    assert!(all(&responses, "allowed"), "{:?}", outcomes(&responses));
    town.combine(app, &request, &responses).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refresh_keeps_every_secret_and_forgets_the_old_shares() {
    let town = Town::found().await;
    let mut nodes = Vec::new();
    for n in 1..=4 {
        nodes.push(town.start(n).await);
    }
    town.open_genesis(&[1, 2, 3, 4]).await;
    ready(&town, &nodes).await;
    let app = town.register_app().await;
    town.final_block(town.chain.head().number()).await;
    let (guest, every) = (DevGuest::new(app, CODE), nodes.iter().collect::<Vec<_>>());
    let (request, responses) = town.ask(&every, &guest).await;
    let before = town.combine(app, &request, &responses).await;

    town.open_ceremony(2).await;
    for node in &nodes {
        town.until(node, "second epoch", |status| status.epoch == 2).await;
    }
    let (request, responses) = town.ask(&every, &guest).await;
    assert!(
        responses.iter().all(|r| r.partial().is_some_and(|p| p.epoch == 2)),
        "{:?}",
        outcomes(&responses)
    );
    assert!(before == town.combine(app, &request, &responses).await);

    nodes.remove(0).shutdown().await;
    let store = town.store(1);
    assert_eq!(store.output(1).unwrap().unwrap().sealed_share, None);
    assert!(store.output(2).unwrap().unwrap().sealed_share.is_some());
    assert!(store.dealer_seed(1).unwrap().is_none() && store.dealer_seed(2).unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn peer_that_asks_without_nonces_is_cut_off() {
    let town = Town::found().await;
    let node = town.start(1).await;
    let (request, _) = town.ask(&[&node], &DevGuest::new(Address::ZERO, CODE)).await;
    let url = format!("{}/v1/release", node.url());
    let mut refused = None;
    for _ in 0..100 {
        match town.client.post_json::<_, ReleaseResponse>(&url, &request).await {
            Ok(answer) => assert!(answer.outcome.to_string().contains("nonce"), "{}", answer.outcome),
            Err(error) => refused = Some(error.to_string()),
        }
    }
    assert!(refused.unwrap().contains("without a nonce"));
    assert_eq!(town.status(&node).await.receipts, 60);
}

#[tokio::test(flavor = "multi_thread")]
async fn g6_node_whose_nonces_do_not_arrive_stops_granting() {
    let town = Town::found().await;
    let clock = Arc::new(ManualClock::new(support::NOW));
    let ticking = clock.clone();
    let pulse = tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(20)).await;
            ticking.advance(Duration::from_millis(50));
        }
    });
    let node = town.start_with(1, town.config(1), clock.clone()).await;
    town.open_genesis(&[1]).await;
    town.until(&node, "epoch and lease", |status| status.epoch == 1 && status.fresh).await;
    town.carrier.drops.store(true, Ordering::SeqCst);
    clock.advance(Duration::from_secs(61));
    town.until(&node, "lease over", |status| !status.fresh).await;
    let app = town.register_app().await;
    // The evidence is of the system's time, the node lives in another: so it is judged by neither before the lease is.
    clock.set_unix(mandate_runtime::Clock::unix(&mandate_runtime::clock::SystemClock::new()));
    let (_, responses) = town.ask(&[&node], &DevGuest::new(app, CODE)).await;
    assert!(matches!(responses[0].outcome, Outcome::Undecided { .. }), "{:?}", outcomes(&responses));
    assert!(responses[0].given.is_none() && responses[0].receipt.is_none());
    town.until_complains(&node, "the node's own nonce was not seen finalised in time").await;
    town.carrier.drops.store(false, Ordering::SeqCst);
    town.until(&node, "lease again", |status| status.fresh).await;
    pulse.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn api_refuses_what_is_too_large_or_malformed() {
    let town = Town::found().await;
    let node = town.start(1).await;
    let status_of = |error: HttpError| match error {
        HttpError::Status { code, .. } => code,
        other => panic!("{other}"),
    };
    let send = async |path: &str, body: serde_json::Value| {
        let url = format!("{}{path}", node.url());
        town.client.post_json::<_, serde_json::Value>(&url, &body).await.unwrap_err()
    };
    let long = serde_json::json!({ "evidence": "0".repeat(mandate_model::wire::MAX_BODY + 1) });
    assert_eq!(status_of(send("/v1/release", long).await), 413);
    let long = serde_json::json!({ "app": "0".repeat(70_000) });
    assert_eq!(status_of(send("/v1/revocations", long).await), 413);
    assert_eq!(status_of(send("/v1/release", serde_json::json!({ "unknown": 1 })).await), 422);
    let url = format!("{}/v1/receipts?before=1", node.url());
    assert_eq!(status_of(town.client.get_json::<serde_json::Value>(&url).await.unwrap_err()), 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn start_refuses_a_taken_port_another_chain_and_another_nodes_directory() {
    let town = Town::found().await;
    let node = town.start(1).await;
    let start = |n: u8, config| {
        let outside = mandate_kms::Outside {
            ambient: mandate_runtime::Ambient::system(),
            providers: vec![alloy::providers::Provider::erased(town.chain.provider())],
            verifier: town.pki.trust_anchors().into(),
            quoter: None,
        };
        mandate_kms::Node::start_with_keys(config, Town::keys(n), outside)
    };
    let mut config = town.config(2);
    config.chain.chain_id = 1;
    assert!(matches!(start(2, config).await, Err(StartError::WrongChain { expected: 1, got: 31_337, .. })));
    let mut config = town.config(2);
    config.listen = node.addr();
    assert!(matches!(start(2, config).await, Err(StartError::Listen { .. })));
    node.shutdown().await;
    let theirs = town.config(1);
    let refused = start(2, theirs).await;
    assert!(matches!(refused, Err(StartError::Store(StoreError::OtherDeployment { .. }))));
}
