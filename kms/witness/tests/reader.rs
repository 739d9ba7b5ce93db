// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Typed reads from header source to value.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod common;

use std::{sync::Arc, time::Duration};

use alloy::{
    primitives::{B256, U256},
    sol,
};
use common::{CHAIN_ID, Node, World, contract, state};
use mandate_witness::{
    At, ChainSpec, Endpoint, HeaderError, Pinned, Quorum, RpcWitnessSource, Undecided, VerifiedReader,
};
use serde_json::json;

sol! {
    function value(bytes32 slot) external view returns (uint256);
}
mod other {
    alloy::sol! { function value(bytes32 slot) external view returns (bool); }
}

fn slot(n: u64) -> valueCall {
    valueCall { slot: B256::from(U256::from(n)) }
}

/// The finalised block says 1000 in slot 0, the head says 1.
fn world() -> World {
    let mut world = World::new(state());
    world.grow(2);
    let mut newest = state();
    newest.get_mut(&contract(1)).unwrap().storage.insert(B256::ZERO, U256::from(1));
    world.mine(newest.clone());
    world.mine(newest);
    world
}

fn reader(node: &Node) -> VerifiedReader {
    let endpoint = Endpoint { name: "rpc".into(), provider: node.provider() };
    let spec = ChainSpec::dev(CHAIN_ID);
    let headers = Quorum::new(CHAIN_ID, 1, vec![endpoint]).unwrap();
    let witnesses = RpcWitnessSource::new("rpc", node.provider(), spec.clone());
    VerifiedReader::new(Arc::new(headers), Arc::new(witnesses), spec)
}

#[tokio::test(start_paused = true)]
async fn g7_grants_are_read_at_finality_and_revocations_at_the_head() {
    let world = world();
    let reader = reader(&Node::new(world.clone()));
    let finalized = reader.read(contract(1), &slot(0), At::Finalized).await.unwrap();
    assert_eq!((finalized.value, finalized.block), (U256::from(1000), world.finalized().unwrap().at()));
    assert_eq!(finalized.timestamp, world.finalized().unwrap().header.timestamp);
    let head = reader.read(contract(1), &slot(0), At::Head).await.unwrap();
    assert_eq!((head.value, head.block), (U256::from(1), world.head().at()));
    let same = reader.read_at(finalized.block, contract(1), &slot(1)).await.unwrap();
    assert_eq!((same.value, same.block), (U256::from(1001), finalized.block));
}

#[tokio::test(start_paused = true)]
async fn g6_stale_header_is_undecided() {
    let world = world();
    let now = world.finalized().unwrap().header.timestamp + 61;
    let reader = reader(&Node::new(world)).with_max_age(Duration::from_secs(60), move || now);
    let stale = reader.read(contract(1), &slot(0), At::Finalized).await;
    assert!(matches!(stale, Err(Undecided::Stale { max_age: 60, .. })), "{stale:?}");
    assert!(reader.read(contract(1), &slot(0), At::Head).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn g6_answer_of_the_wrong_shape_is_undecided() {
    let reader = reader(&Node::new(world()));
    let call = other::valueCall { slot: B256::ZERO };
    let wrong = reader.read(contract(1), &call, At::Finalized).await;
    assert!(matches!(wrong, Err(Undecided::Malformed { function: "value(bytes32)", .. })), "{wrong:?}");
    let nobody = reader.read(contract(0xdd), &slot(0), At::Finalized).await;
    assert!(matches!(nobody, Err(Undecided::Malformed { .. })), "{nobody:?}");
}

#[tokio::test(start_paused = true)]
async fn g5_reader_refuses_an_rpc_that_lies_about_storage() {
    let node = Node::new(world());
    let reader = reader(&node);
    node.lie(|method, answer| {
        if method == "eth_getProof" {
            let forged = answer.to_string().replace("8203e8", "8203e9");
            *answer = serde_json::from_str(&forged).unwrap();
        }
    });
    let refused = reader.read(contract(1), &slot(0), At::Finalized).await.unwrap_err();
    assert!(matches!(&refused, Undecided::Source(e) if e.source_name == "rpc"), "{refused}");
    assert!(refused.to_string().contains("does not prove slot"), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn unreachable_endpoint_is_undecided() {
    let node = Node::new(world());
    node.lie(|_, answer| *answer = json!({ "error": "down" }));
    let refused = reader(&node).read(contract(1), &slot(0), At::Head).await;
    assert!(matches!(refused, Err(Undecided::Header(HeaderError::NoQuorum { .. }))), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn endpoint_that_never_answers_is_undecided() {
    let world = world();
    let node = Node::new(world.clone());
    node.fall_silent();
    let spec = ChainSpec::dev(CHAIN_ID);
    let witnesses = RpcWitnessSource::new("mute", node.provider(), spec.clone());
    let reader = VerifiedReader::new(Arc::new(Pinned::at(world.head().at())), Arc::new(witnesses), spec);
    let refused = reader.read(contract(1), &slot(0), At::Head).await.unwrap_err();
    assert_eq!(refused.to_string(), "no witness: mute: no witness within 20 s");
}

#[tokio::test(start_paused = true)]
async fn pinned_block_is_read_as_it_was() {
    let world = world();
    let spec = ChainSpec::dev(CHAIN_ID);
    let pinned = Arc::new(Pinned::at(world.blocks[1].at()));
    let witnesses = RpcWitnessSource::new("rpc", Node::new(world.clone()).provider(), spec.clone());
    let reader = VerifiedReader::new(pinned.clone(), Arc::new(witnesses), spec);
    assert_eq!(reader.read(contract(1), &slot(0), At::Head).await.unwrap().value, U256::from(1000));
    pinned.set(world.blocks[1].at(), world.head().at());
    assert_eq!(reader.read(contract(1), &slot(0), At::Head).await.unwrap().value, U256::from(1));
    assert_eq!(reader.read(contract(1), &slot(0), At::Finalized).await.unwrap().value, U256::from(1000));
}
