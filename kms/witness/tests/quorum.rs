// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which headers a quorum of endpoints vouches for.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod common;

use common::{CHAIN_ID, Node, World, state};
use mandate_witness::{BlockRef, Endpoint, HeaderError, HeaderSource, Quorum};
use serde_json::json;

fn world(blocks: u64) -> World {
    let mut world = World::new(state().into_iter().take(3).collect());
    world.grow(blocks);
    world
}

fn quorum(k: usize, nodes: &[Node]) -> Quorum {
    let endpoint =
        |(i, node): (usize, &Node)| Endpoint { name: format!("rpc-{i}"), provider: node.provider() };
    Quorum::new(CHAIN_ID, k, nodes.iter().enumerate().map(endpoint).collect()).unwrap()
}

fn nodes(worlds: impl IntoIterator<Item = World>) -> Vec<Node> {
    worlds.into_iter().map(Node::new).collect()
}

fn at(world: &World, number: usize) -> BlockRef {
    world.blocks[number].at()
}

#[tokio::test(start_paused = true)]
async fn g5_highest_height_on_which_k_agree_counts() {
    let chain = world(12);
    let nodes = nodes([world(10), world(11), world(12)]);
    assert_eq!(quorum(1, &nodes).finalized().await, Ok(at(&chain, 10)));
    assert_eq!(quorum(2, &nodes).finalized().await, Ok(at(&chain, 9)));
    assert_eq!(quorum(3, &nodes).finalized().await, Ok(at(&chain, 8)));
    assert_eq!(quorum(2, &nodes).head().await, Ok(at(&chain, 11)));
    assert_eq!(quorum(3, &nodes).head().await, Ok(at(&chain, 10)));
}

#[tokio::test(start_paused = true)]
async fn silent_or_failing_endpoint_stops_nothing_while_k_remain() {
    let chain = world(10);
    let nodes = nodes([world(10), world(10), world(10), world(10)]);
    nodes[0].fall_silent();
    nodes[1].lie(|_, answer| *answer = json!({ "error": "out of order" }));
    assert_eq!(quorum(2, &nodes).finalized().await, Ok(at(&chain, 8)));
    let error = quorum(3, &nodes).finalized().await.unwrap_err();
    let HeaderError::NoQuorum { agreed: 2, needed: 3, reports, .. } = &error else { panic!("{error}") };
    assert!(reports.iter().any(|r| r.starts_with("rpc-0: no answer")), "{error}");
    assert!(reports.iter().any(|r| r.contains("rpc-1") && r.contains("out of order")), "{error}");
}

#[tokio::test(start_paused = true)]
async fn endpoint_of_another_chain_does_not_count() {
    let nodes = nodes([world(10), world(10)]);
    nodes[1].lie(|method, answer| {
        if method == "eth_chainId" {
            *answer = json!("0x1");
        }
    });
    let error = quorum(2, &nodes).finalized().await.unwrap_err();
    assert!(error.to_string().contains("rpc-1: it serves chain 1, not chain 31337"), "{error}");
    assert!(quorum(1, &nodes).finalized().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn g5_header_that_does_not_hash_to_its_name_does_not_count() {
    let nodes = nodes([world(10)]);
    nodes[0].lie(|method, answer| {
        if method == "eth_getBlockByNumber" {
            answer["number"] = json!("0xff");
        }
    });
    let error = quorum(1, &nodes).finalized().await.unwrap_err();
    assert!(error.to_string().contains("is not the block that it names"), "{error}");
}

fn forked(blocks: u64, from: usize) -> World {
    let mut world = world(blocks);
    world.blocks.truncate(from);
    while world.blocks.len() <= blocks as usize {
        let state = world.head().state.clone();
        world.mine_fork(state, 1 << 32);
    }
    world
}

#[tokio::test(start_paused = true)]
async fn g5_contradiction_about_finality_latches_until_an_operator_clears_it() {
    let nodes = nodes([world(10), world(10), forked(10, 7)]);
    let quorum = quorum(2, &nodes);
    let error = quorum.finalized().await.unwrap_err();
    let HeaderError::Latched(contradiction) = &error else { panic!("{error}") };
    assert_eq!((contradiction.height, contradiction.second_from.as_str()), (8, "rpc-2"));
    assert!(error.to_string().contains("rpc-0") && error.to_string().contains("rpc-2"));
    nodes[2].update(|w| *w = world(10));
    assert_eq!(quorum.finalized().await, Err(error.clone()));
    assert_eq!(quorum.head().await, Err(error));
    quorum.clear_contradiction(None);
    assert_eq!(quorum.contradiction(), None);
    assert_eq!(quorum.finalized().await, Ok(at(&world(10), 8)));
}

/// A restart is no operator: what was latched before stays so.
#[tokio::test(start_paused = true)]
async fn g5_quorum_that_starts_latched_trusts_nothing_until_it_is_cleared() {
    let seen = {
        let nodes = nodes([world(10), forked(10, 7)]);
        let error = quorum(2, &nodes).finalized().await.unwrap_err();
        let HeaderError::Latched(contradiction) = error else { panic!("{error}") };
        contradiction
    };
    let kept = serde_json::from_str(&serde_json::to_string(&seen).unwrap()).unwrap();
    let nodes = nodes([world(10), world(10)]);
    let quorum = quorum(2, &nodes).latched(kept);
    assert_eq!(quorum.finalized().await, Err(HeaderError::Latched(seen.clone())));
    assert_eq!(quorum.contradiction(), Some(seen));
    quorum.clear_contradiction(None);
    assert_eq!(quorum.finalized().await, Ok(at(&world(10), 8)));
}

/// One endpoint that changes its mind about what was final is a contradiction as well.
#[tokio::test(start_paused = true)]
async fn g5_finality_that_is_taken_back_latches() {
    let nodes = nodes([world(10)]);
    let quorum = quorum(1, &nodes);
    quorum.finalized().await.unwrap();
    nodes[0].update(|w| *w = forked(10, 7));
    assert!(matches!(quorum.finalized().await, Err(HeaderError::Latched(c)) if c.height == 8));
}

/// The lie is about an older height than the one that is agreed on, and is found all the same.
#[tokio::test(start_paused = true)]
async fn g5_contradiction_at_a_lagging_endpoint_latches() {
    let nodes = nodes([world(12), world(12), forked(11, 5)]);
    let quorum = quorum(2, &nodes);
    assert!(matches!(quorum.finalized().await, Ok(b) if b.number == 10));
    nodes[0].update(|w| w.blocks.truncate(12));
    nodes[1].update(|w| w.blocks.truncate(12));
    assert!(matches!(quorum.finalized().await, Err(HeaderError::Latched(c)) if c.height == 9));
}

#[tokio::test(start_paused = true)]
async fn nothing_older_than_the_newest_is_handed_out() {
    let chain = world(10);
    let nodes = nodes([world(10), world(10)]);
    let quorum = quorum(2, &nodes);
    assert_eq!(quorum.finalized().await, Ok(at(&chain, 8)));
    assert_eq!(quorum.head().await, Ok(at(&chain, 10)));
    nodes.iter().for_each(|n| n.update(|w| *w = world(6)));
    assert_eq!(quorum.finalized().await, Ok(at(&chain, 8)));
    assert_eq!(quorum.head().await, Ok(at(&chain, 10)));
}

#[tokio::test(start_paused = true)]
async fn g5_restart_does_not_forget_what_was_newest() {
    let chain = world(10);
    let nodes = nodes([world(6)]);
    assert_eq!(quorum(1, &nodes).starting_at(at(&chain, 8)).finalized().await, Ok(at(&chain, 8)));
    nodes[0].update(|w| *w = forked(10, 7));
    let latched = quorum(1, &nodes).starting_at(at(&chain, 8)).finalized().await;
    assert!(matches!(latched, Err(HeaderError::Latched(_))));
}

#[tokio::test(start_paused = true)]
async fn fork_at_the_head_does_not_latch() {
    let nodes = nodes([world(10), forked(10, 9)]);
    let quorum = quorum(2, &nodes);
    assert_eq!(quorum.head().await, Ok(at(&world(10), 8)));
    assert_eq!(quorum.contradiction(), None);
    nodes[1].update(|w| *w = world(11));
    assert_eq!(quorum.head().await, Ok(at(&world(10), 10)));
}

#[tokio::test(start_paused = true)]
async fn g6_nothing_is_final_yet_is_no_quorum() {
    let error = quorum(1, &nodes([world(1)])).finalized().await.unwrap_err();
    assert!(error.to_string().contains("it has no block finalized"), "{error}");
}

#[test]
fn quorum_must_be_reachable() {
    let endpoints = |n| vec![Endpoint { name: "rpc".into(), provider: Node::new(world(1)).provider() }; n];
    assert!(Quorum::new(1, 0, endpoints(1)).is_err());
    assert!(Quorum::new(1, 2, endpoints(1)).is_err());
    assert!(Quorum::new(1, 1, endpoints(0)).is_err());
    assert!(Quorum::new(1, 2, endpoints(2)).is_ok());
}
