// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Catching up with final blocks: ranges that endpoints refuse, answers that they cut without a word, endpoints that lack the
//! end of a range, and starting again in the middle.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod common;

use std::sync::Arc;

use alloy::{
    network::TransactionBuilder, primitives::B256, providers::Provider, rpc::types::TransactionRequest,
    sol_types::SolCall, transports::BoxTransport,
};
use common::{
    World, keys,
    proxy::{Faults, Proxy, Refusal},
    scripts::{Act, assert_same_as_fresh},
    world,
};
use mandate_model::bindings::AppAuth;
use mandate_relayer::{
    chain::{Bounds, ChainReader, ChainView, Follower, LatchKind},
    store::Store,
};
use mandate_runtime::Ambient;

const URLS: [&str; 2] = ["http://node-1:1", "http://node-2:1"];

/// A long history: a log in every third block, an app that is registered in the middle.
async fn old_world() -> World {
    let world = world(4, URLS).await;
    for n in 0..60_u8 {
        Act::Deny(1 + n).perform(&world).await;
        world.chain.mine(2);
    }
    let late = common::register_app(&world.wallet, &world.deployment, 2).await;
    world.revoke(late, common::code(3)).await;
    for n in 0..20_u8 {
        Act::Approve(n).perform(&world).await;
        world.chain.mine(2);
    }
    world.chain.mine(80);
    world
}

fn proxies(world: &World, n: usize) -> Vec<Proxy> {
    (0..n).map(|_| Proxy::new(world.provider())).collect()
}

fn relayer(
    world: &World,
    proxies: &[Proxy],
    quorum: usize,
    store: &Arc<dyn Store>,
    max_range: u64,
) -> Follower {
    let names: Vec<String> = (0..proxies.len()).map(|n| format!("e{n}")).collect();
    let transports = names.iter().zip(proxies).map(|(name, p)| (name.as_str(), BoxTransport::new(p.clone())));
    let endpoints = world.endpoints_of(transports.collect(), quorum, Ambient::system());
    Follower::new(
        world.contracts(),
        ChainReader::new(endpoints),
        Arc::clone(store),
        ChainView::default(),
        Ambient::system().clock,
        ["http://gateway:1".to_owned()],
        Bounds { reorg_window: 64, max_range },
    )
}

async fn settled(relayer: &mut Follower) {
    for _ in 0..40 {
        if relayer.tick().await.is_ok_and(|ticked| ticked.blocks == 0) {
            return;
        }
    }
    panic!("never came to rest: {:?}", relayer.tick().await);
}

async fn caught_up(world: &World, proxies: &[Proxy], quorum: usize, context: &str) {
    let store = world.memory().await;
    let mut relayer = relayer(world, proxies, quorum, &store, 500);
    settled(&mut relayer).await;
    assert_same_as_fresh(world, &store, context).await;
    assert_eq!(keys(&store).await.len(), 20, "{context}: the certificates");
    assert!(!relayer.latches().hold_grants(), "{context}");
}

#[tokio::test]
async fn ranges_shrink_to_what_an_endpoint_gives_in_whatever_words_it_refuses() {
    let world = old_world().await;
    let proxies = proxies(&world, 1);
    let by_range = |most, how| Faults { cap_range: Some((most, how)), ..Faults::default() };
    let by_size = |most, how| Faults { cap_results: Some((most, how)), ..Faults::default() };
    for (name, faults) in [
        ("infura", by_size(10, Refusal::Code(-32005, "query returned more than 10000 results"))),
        (
            "alchemy",
            by_range(
                20,
                Refusal::Code(
                    -32602,
                    "Log response size exceeded. You can make eth_getLogs \
            requests with up to a 2K block range",
                ),
            ),
        ),
        ("quicknode", by_range(7, Refusal::Code(-32614, "eth_getLogs is limited to a 10,000 range"))),
        ("a proxy", by_size(3, Refusal::Status(413, "Request Entity Too Large"))),
        ("a slow node", by_range(30, Refusal::Code(-32000, "query timeout exceeded"))),
        ("one block at a time", by_range(1, Refusal::Code(-32000, "block range is too wide"))),
    ] {
        proxies[0].set(faults);
        caught_up(&world, &proxies, 1, name).await;
    }
}

#[tokio::test]
async fn refusals_that_waiting_does_not_mend_are_not_waited_for() {
    let world = old_world().await;
    let proxies = proxies(&world, 1);
    let how = Refusal::Code(-32005, "query returned more than 10000 results");
    proxies[0].set(Faults { cap_results: Some((10, how)), ..Faults::default() });
    let begun = std::time::Instant::now();
    caught_up(&world, &proxies, 1, "infura").await;
    // About ten refusals; with two rests of 200 ms after each it would take four seconds more.
    assert!(begun.elapsed() < std::time::Duration::from_secs(3), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn g5_logs_that_one_of_several_endpoints_leaves_out_or_invents_are_noticed() {
    let world = old_world().await;
    for index in 0..3 {
        for (name, faults) in [
            ("cut", Faults { cut: Some(2), ..Faults::default() }),
            ("hidden", Faults { hide_logs: true, ..Faults::default() }),
            ("altered", Faults { altered_logs: true, ..Faults::default() }),
            ("lagging", Faults { lag: 100, ..Faults::default() }),
        ] {
            let proxies = proxies(&world, 3);
            proxies[index].set(faults);
            caught_up(&world, &proxies, 2, &format!("{name} at endpoint {index}")).await;
        }
    }
}

#[tokio::test]
async fn g5_an_only_endpoint_that_cuts_the_end_of_its_answers_is_noticed() {
    let world = world(4, URLS).await;
    // A log in every block, so that each answer has an end to lose.
    for n in 0..120_u8 {
        Act::Deny(1 + n).perform(&world).await;
    }
    world.chain.mine(10);
    let proxies = proxies(&world, 1);
    proxies[0].set(Faults { cut: Some(2), ..Faults::default() });
    let store = world.memory().await;
    let mut relayer = relayer(&world, &proxies, 1, &store, 16);
    settled(&mut relayer).await;
    assert_same_as_fresh(&world, &store, "cut").await;
}

#[tokio::test]
async fn g5_endpoints_whose_logs_nobody_can_prove_latch_grants() {
    let world = old_world().await;
    let proxies = proxies(&world, 2);
    // One hides logs, and neither can prove its own.
    proxies[0].set(Faults { hide_logs: true, no_receipts: true, ..Faults::default() });
    proxies[1].set(Faults { no_receipts: true, ..Faults::default() });
    let store = world.memory().await;
    let mut relayer = relayer(&world, &proxies, 2, &store, 500);
    for _ in 0..4 {
        let _fails = relayer.tick().await;
    }
    assert!(relayer.latches().is_set(LatchKind::Contradiction), "{:?}", relayer.latches().list());
    assert!(keys(&store).await.iter().all(|key| !key.starts_with("certificate_order")));
}

#[tokio::test]
async fn catching_up_goes_on_where_it_stopped() {
    let world = old_world().await;
    let proxies = proxies(&world, 1);
    let store = world.memory().await;
    for every in [23, 19, 29, 17] {
        proxies[0].set(Faults { flaps: Some(every), ..Faults::default() });
        let mut relayer = relayer(&world, &proxies, 1, &store, 9);
        let _breaks_off = relayer.tick().await;
    }
    let reached = store.progress().await.unwrap().head.unwrap().number;
    assert!(
        reached > 1 && reached < world.chain.head().number(),
        "it must break off in the middle: {reached}"
    );
    proxies[0].set(Faults::default());
    let before = proxies[0].asked("eth_getLogs");
    let mut relayer = relayer(&world, &proxies, 1, &store, 9);
    settled(&mut relayer).await;
    assert_same_as_fresh(&world, &store, "resumed").await;
    let asked = proxies[0].asked("eth_getLogs") - before;
    assert!(
        asked <= (world.chain.head().number() - reached) / 9 + 4,
        "{asked} requests from block {reached}"
    );
}

/// All agree, and all are wrong in the same way: providers cap their answers at round numbers.
#[tokio::test]
async fn g5_answers_that_every_endpoint_cuts_at_the_same_round_number_are_noticed() {
    let world = world(4, URLS).await;
    world.automine(false);
    for n in 1..=1_100_u64 {
        let call = AppAuth::denyDeviceCall { deviceId: B256::left_padding_from(&n.to_be_bytes()) };
        let request = TransactionRequest::default().with_to(world.app).with_input(call.abi_encode());
        let _sent = world.wallet.send_transaction(request.with_gas_limit(150_000)).await.unwrap();
        if n.is_multiple_of(100) {
            world.chain.mine(1);
        }
    }
    world.automine(true);
    world.chain.mine(80);
    let proxies = proxies(&world, 2);
    proxies.iter().for_each(|proxy| proxy.set(Faults { cut: Some(1_000), ..Faults::default() }));
    let store = world.memory().await;
    let mut relayer = relayer(&world, &proxies, 2, &store, 500);
    settled(&mut relayer).await;
    assert!(store.logs(0, u64::MAX, 10_000).await.unwrap().len() > 1_100);
    assert_same_as_fresh(&world, &store, "cut at a thousand").await;
}

/// Nothing is final, so blocks are read one by one by their number, and may be of different branches.
#[tokio::test]
async fn g5_blocks_that_are_not_linked_to_those_below_are_not_taken() {
    let world = world(400, URLS).await;
    world.chain.mine(300);
    // Within what is read at a time, and at its end.
    for (number, reached) in [(40, None), (64, Some(64))] {
        let proxies = proxies(&world, 1);
        proxies[0].set(Faults { false_at: Some(number), ..Faults::default() });
        let store = world.memory().await;
        let mut relayer = relayer(&world, &proxies, 1, &store, 50);
        assert!(relayer.tick().await.is_err());
        let head = store.progress().await.unwrap().head.map(|block| block.number);
        assert_eq!(head, reached, "block {number}: nothing is built on what is not linked");
        proxies[0].set(Faults::default());
        settled(&mut relayer).await;
        assert_same_as_fresh(&world, &store, &format!("block {number}")).await;
    }
}

#[tokio::test]
async fn endpoints_that_keep_no_old_state_do_for_catching_up() {
    let world = old_world().await;
    let proxies = proxies(&world, 2);
    proxies.iter().for_each(|proxy| proxy.set(Faults { forgets: true, ..Faults::default() }));
    caught_up(&world, &proxies, 2, "no old state").await;
}

#[tokio::test]
async fn blocks_without_our_logs_cost_no_request_for_logs() {
    let world = world(4, URLS).await;
    let proxies = proxies(&world, 1);
    let store = world.memory().await;
    let mut relayer = relayer(&world, &proxies, 1, &store, 50);
    settled(&mut relayer).await;
    let asked = || proxies[0].asked("eth_getLogs") + proxies[0].asked("eth_getBlockReceipts");
    let before = asked();
    for _ in 0..5 {
        world.chain.mine(3);
        settled(&mut relayer).await;
    }
    assert_eq!(asked(), before);
}
