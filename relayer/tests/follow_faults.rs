// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Endpoints that lie, lag, flap, limit, cut, hang and talk nonsense: the relayer ends with the right state or a latch,
//! never with a wrong grant, and never without a revocation (G-5, G-6, G-7).

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod common;

use std::{sync::Arc, time::Duration};

use alloy::transports::BoxTransport;
use common::{
    World, keys,
    proxy::{Faults, Proxy, Refusal},
    scripts::{Act, assert_same, assert_same_as_fresh, fresh},
    settle, world,
};
use mandate_relayer::{
    chain::{Bounds, ChainReader, ChainView, Endpoints, Follower, LatchKind, operator},
    store::Store,
};
use mandate_runtime::{Ambient, clock::ManualClock};

const URLS: [&str; 2] = ["http://node-1:1", "http://node-2:1"];
/// Pushes per revocation: two nodes and a gateway.
const PUSHES: usize = 3;

/// A chain behind some proxies.
struct Bench {
    world: World,
    proxies: Vec<Proxy>,
    store: Arc<dyn Store>,
    clock: Arc<ManualClock>,
    endpoints: Endpoints,
}

async fn bench(endpoints: usize, quorum: usize, finalized_lag: u64) -> Bench {
    let world = world(finalized_lag, URLS).await;
    let proxies: Vec<Proxy> = (0..endpoints).map(|_| Proxy::new(world.provider())).collect();
    let clock = Arc::new(ManualClock::new(1_800_000_000));
    let ambient = Ambient { clock: Arc::clone(&clock) as _, ..Ambient::system() };
    let names: Vec<String> = (0..endpoints).map(|n| format!("e{n}")).collect();
    let transports =
        names.iter().zip(&proxies).map(|(name, p)| (name.as_str(), BoxTransport::new(p.clone())));
    let endpoints = world.endpoints_of(transports.collect(), quorum, ambient);
    let store = world.memory().await;
    Bench { world, proxies, store, clock, endpoints }
}

impl Bench {
    fn relayer(&self) -> Follower {
        self.relayer_with(Arc::clone(&self.store), self.endpoints.clone(), 50)
    }

    fn relayer_with(&self, store: Arc<dyn Store>, endpoints: Endpoints, max_range: u64) -> Follower {
        Follower::new(
            self.world.contracts(),
            ChainReader::new(endpoints),
            store,
            ChainView::default(),
            Arc::clone(&self.clock) as _,
            ["http://gateway:1".to_owned()],
            Bounds { reorg_window: 64, max_range },
        )
    }

    fn fault(&self, index: usize, faults: Faults) {
        self.proxies[index].set(faults);
    }

    async fn pushes(&self) -> usize {
        keys(&self.store).await.iter().filter(|key| key.starts_with("revocation_push")).count()
    }

    async fn grants(&self) -> usize {
        keys(&self.store).await.iter().filter(|key| key.starts_with("certificate_order")).count()
    }

    /// Looks a few times, whatever comes of it.
    async fn look(&self, relayer: &mut Follower) {
        for _ in 0..4 {
            let _may_fail = relayer.tick().await;
            self.clock.advance(Duration::from_secs(2));
        }
    }

    /// Some revocations and approvals, of which the first are final.
    async fn story(&self) {
        for n in 0..3 {
            Act::Revoke(n).perform(&self.world).await;
            Act::Approve(n).perform(&self.world).await;
        }
        self.world.chain.mine(6);
        Act::Deny(9).perform(&self.world).await;
    }
}

/// One of three endpoints has a fault from the start or from the middle on: nothing differs from a relayer without faults.
async fn outlives(name: &str, faults: Faults) {
    for (index, from_the_start) in [(0, true), (1, false), (2, true), (0, false)] {
        let bench = bench(3, 2, 4).await;
        let mut relayer = bench.relayer();
        if from_the_start {
            bench.fault(index, faults.clone());
        }
        bench.look(&mut relayer).await;
        bench.fault(index, faults.clone());
        bench.story().await;
        bench.look(&mut relayer).await;
        let fresh = fresh(&bench.world, &bench.store).await;
        settle(&mut bench.world.follower(Arc::clone(&fresh))).await;
        let context = format!("{name} at endpoint {index}, from the start: {from_the_start}");
        assert_same(&bench.world, &bench.store, &fresh, &context).await;
        assert_eq!(bench.grants().await, 3, "{context}");
        assert!(!relayer.latches().hold_grants(), "{context}: {:?}", relayer.latches().list());
    }
}

#[tokio::test]
async fn one_lagging_endpoint_changes_nothing() {
    outlives("lag", Faults { lag: 3, ..Faults::default() }).await;
    outlives("far lag", Faults { lag: 1_000, ..Faults::default() }).await;
}

#[tokio::test]
async fn one_flapping_or_limiting_endpoint_changes_nothing() {
    outlives("flapping", Faults { flaps: Some(2), ..Faults::default() }).await;
    let limit = |how| Faults { limit: Some((3, how)), ..Faults::default() };
    outlives("429", limit(Refusal::Status(429, "slow down"))).await;
    outlives("-32005", limit(Refusal::Code(-32005, "rate limited, try again in 1ms"))).await;
}

#[tokio::test]
async fn one_endpoint_that_talks_nonsense_or_is_away_changes_nothing() {
    outlives("malformed", Faults { malformed: true, ..Faults::default() }).await;
    outlives("away", Faults { flaps: Some(1), ..Faults::default() }).await;
}

#[tokio::test]
async fn g5_one_endpoint_s_invented_or_hidden_logs_change_nothing() {
    outlives("altered logs", Faults { altered_logs: true, ..Faults::default() }).await;
    outlives("hidden logs", Faults { hide_logs: true, ..Faults::default() }).await;
    outlives("cut logs", Faults { cut: Some(1), ..Faults::default() }).await;
    outlives("no receipts", Faults { no_receipts: true, ..Faults::default() }).await;
}

#[tokio::test]
async fn g5_a_header_that_does_not_have_its_hash_is_not_followed() {
    outlives("false hash", Faults { false_hash: true, ..Faults::default() }).await;
}

#[tokio::test]
async fn g5_an_only_endpoint_s_header_that_does_not_have_its_hash_is_not_followed() {
    let bench = bench(1, 1, 4).await;
    let mut relayer = bench.relayer();
    bench.look(&mut relayer).await;
    let before = bench.store.progress().await.unwrap().head;
    bench.fault(0, Faults { false_hash: true, ..Faults::default() });
    bench.world.chain.mine(1);
    bench.look(&mut relayer).await;
    assert_eq!(bench.store.progress().await.unwrap().head, before);
}

#[tokio::test]
async fn g5_what_is_called_final_and_is_none_of_our_blocks_latches_grants_as_a_gap() {
    let bench = bench(1, 1, 4).await;
    let mut relayer = bench.relayer();
    bench.look(&mut relayer).await;
    bench.fault(0, Faults { false_finality: true, ..Faults::default() });
    bench.story().await;
    bench.look(&mut relayer).await;
    assert!(relayer.latches().is_set(LatchKind::Gap), "{:?}", relayer.latches().list());
    assert_eq!((bench.pushes().await, bench.grants().await), (4 * PUSHES, 0));
}

#[tokio::test]
async fn slow_and_silent_endpoints_hold_up_neither_revocations_nor_grants() {
    for faults in [
        Faults { slow: Some(Duration::from_millis(600)), ..Faults::default() },
        Faults { hangs: true, ..Faults::default() },
    ] {
        let bench = bench(3, 2, 4).await;
        let mut relayer = bench.relayer();
        bench.look(&mut relayer).await;
        bench.fault(0, faults);
        bench.story().await;
        bench.look(&mut relayer).await;
        bench.look(&mut relayer).await;
        assert_eq!((bench.pushes().await, bench.grants().await), (4 * PUSHES, 3));
    }
}

#[tokio::test]
async fn g5_a_lie_about_finality_latches_grants_and_not_revocations_until_the_operator_clears_it() {
    let bench = bench(3, 2, 4).await;
    let mut relayer = bench.relayer();
    bench.look(&mut relayer).await;
    bench.fault(1, Faults { false_finality: true, ..Faults::default() });
    Act::Approve(0).perform(&bench.world).await;
    bench.look(&mut relayer).await;
    assert!(relayer.latches().is_set(LatchKind::Contradiction), "{:?}", relayer.latches().list());
    bench.story().await;
    bench.look(&mut relayer).await;
    assert_eq!((bench.pushes().await, bench.grants().await), (4 * PUSHES, 0));

    // A restart changes nothing: the latch is in the store.
    let mut relayer = bench.relayer();
    bench.fault(1, Faults::default());
    bench.look(&mut relayer).await;
    assert_eq!(bench.grants().await, 0);
    let set = operator::list(&*bench.store).await.unwrap();
    assert_eq!((set.len(), set[0].kind.as_str()), (1, "contradiction"));
    assert!(operator::clear(&*bench.store, LatchKind::Contradiction).await.unwrap());
    assert!(!operator::clear(&*bench.store, LatchKind::Contradiction).await.unwrap());
    bench.look(&mut relayer).await;
    assert_same_as_fresh(&bench.world, &bench.store, "after clearing").await;
    assert_eq!(bench.grants().await, 3);
}

#[tokio::test]
async fn g5_a_latch_whose_cause_is_still_there_comes_back() {
    let bench = bench(3, 2, 4).await;
    let mut relayer = bench.relayer();
    bench.look(&mut relayer).await;
    bench.fault(1, Faults { false_finality: true, ..Faults::default() });
    bench.story().await;
    bench.look(&mut relayer).await;
    operator::clear(&*bench.store, LatchKind::Contradiction).await.unwrap();
    bench.world.chain.mine(1);
    bench.look(&mut relayer).await;
    assert!(relayer.latches().is_set(LatchKind::Contradiction));
    assert_eq!(bench.grants().await, 0);
}

#[tokio::test]
async fn g5_g7_an_endpoint_with_a_branch_of_its_own_hides_no_revocation_and_causes_no_grant() {
    for index in 0..3 {
        let bench = bench(3, 2, 6).await;
        let mut relayer = bench.relayer();
        bench.look(&mut relayer).await;
        bench.fault(index, Faults { false_head: true, ..Faults::default() });
        for n in 0..4 {
            Act::Revoke(n).perform(&bench.world).await;
            Act::Approve(n).perform(&bench.world).await;
            bench.look(&mut relayer).await;
            assert_eq!(
                bench.pushes().await,
                (1 + usize::from(n)) * PUSHES,
                "endpoint {index}, revocation {n}"
            );
        }
        for _ in 0..12 {
            bench.world.chain.mine(1);
            bench.look(&mut relayer).await;
        }
        assert_eq!(bench.grants().await, 4, "endpoint {index}: {:?}", relayer.latches().list());
        assert_same_as_fresh(&bench.world, &bench.store, &format!("endpoint {index}")).await;
    }
}

/// The liar leads: of the other two, one is always a block behind, so that no two show the same head.
#[tokio::test]
async fn g5_g7_a_leader_with_a_branch_of_its_own_hides_no_revocation_and_causes_no_grant() {
    let bench = bench(3, 2, 12).await;
    let mut relayer = bench.relayer();
    bench.fault(1, Faults { lag: 1, ..Faults::default() });
    bench.look(&mut relayer).await;
    bench.fault(0, Faults { false_head: true, ..Faults::default() });
    for n in 0..4 {
        Act::Revoke(n).perform(&bench.world).await;
        Act::Approve(n).perform(&bench.world).await;
        let _may_fail = relayer.tick().await;
        assert_eq!(bench.pushes().await, (1 + usize::from(n)) * PUSHES, "revocation {n}");
    }
    let led = bench.store.progress().await.unwrap().head.unwrap().hash;
    assert_ne!(led, bench.world.chain.head().hash(), "the liar must lead, or this tests nothing");
    for _ in 0..20 {
        bench.world.chain.mine(1);
        bench.look(&mut relayer).await;
        let progress = bench.store.progress().await.unwrap();
        if let Some(finalized) = progress.finalized {
            let ours = bench.world.chain.block(finalized.number).unwrap().hash();
            assert_eq!(finalized.hash, ours, "only the true chain is ever final");
        }
    }
    assert_eq!(bench.grants().await, 4, "{:?}", relayer.latches().list());
    assert!(!relayer.latches().hold_grants());
    assert_same_as_fresh(&bench.world, &bench.store, "in the end").await;
}

#[tokio::test]
async fn g5_an_only_endpoint_that_contradicts_itself_latches_and_its_revocations_go_on() {
    let bench = bench(1, 1, 2).await;
    let mut relayer = bench.relayer();
    bench.look(&mut relayer).await;
    let snapshot = bench.world.chain.snapshot();
    bench.world.chain.mine(4);
    bench.look(&mut relayer).await;
    assert!(bench.world.chain.revert(snapshot));
    bench.world.chain.increase_time(1_000);
    bench.world.chain.mine(4);
    bench.look(&mut relayer).await;
    assert!(relayer.latches().hold_grants());
    let finalized = bench.store.progress().await.unwrap().finalized;
    Act::Revoke(0).perform(&bench.world).await;
    Act::Approve(0).perform(&bench.world).await;
    bench.world.chain.mine(6);
    bench.look(&mut relayer).await;
    assert_eq!((bench.pushes().await, bench.grants().await), (PUSHES, 0));
    assert_eq!(bench.store.progress().await.unwrap().finalized, finalized);
}

/// Nobody else can be asked and nothing is proven; but what a log says is in the bloom filter, and that is in the header.
#[tokio::test]
async fn g5_an_only_endpoint_without_receipts_cannot_alter_a_log() {
    let bench = bench(1, 1, 4).await;
    let mut relayer = bench.relayer();
    bench.look(&mut relayer).await;
    let before = bench.store.progress().await.unwrap().head;
    bench.fault(0, Faults { no_receipts: true, altered_logs: true, ..Faults::default() });
    Act::Deny(4).perform(&bench.world).await;
    bench.look(&mut relayer).await;
    assert_eq!((bench.store.progress().await.unwrap().head, bench.pushes().await), (before, 0));
    bench.fault(0, Faults { no_receipts: true, ..Faults::default() });
    bench.look(&mut relayer).await;
    assert_same_as_fresh(&bench.world, &bench.store, "unaltered").await;
    assert_eq!(bench.pushes().await, PUSHES);
}

#[tokio::test]
async fn g5_an_endpoint_that_changes_its_chain_latches_grants_and_is_asked_nothing_more() {
    let bench = bench(3, 2, 4).await;
    let mut relayer = bench.relayer();
    bench.look(&mut relayer).await;
    bench.fault(0, Faults { chain_id: Some(5), ..Faults::default() });
    // Who is there is asked again after a while.
    bench.clock.advance(Duration::from_secs(120));
    bench.story().await;
    bench.look(&mut relayer).await;
    assert!(relayer.latches().is_set(LatchKind::ChainId), "{:?}", relayer.latches().list());
    let asked = bench.proxies[0].asked("eth_getBlockByNumber");
    Act::Revoke(7).perform(&bench.world).await;
    bench.look(&mut relayer).await;
    assert_eq!(bench.proxies[0].asked("eth_getBlockByNumber"), asked);
    assert_eq!((bench.pushes().await, bench.grants().await), (5 * PUSHES, 0));
    // Nor does what is final already by the time it is read.
    Act::Approve(5).perform(&bench.world).await;
    bench.world.chain.mine(200);
    bench.look(&mut relayer).await;
    assert_eq!(bench.grants().await, 0);
}

#[tokio::test]
async fn g6_too_few_endpoints_decide_nothing_and_revocations_go_on() {
    let bench = bench(3, 3, 4).await;
    let mut relayer = bench.relayer();
    bench.look(&mut relayer).await;
    bench.fault(2, Faults { flaps: Some(1), ..Faults::default() });
    bench.story().await;
    bench.look(&mut relayer).await;
    assert_eq!((bench.pushes().await, bench.grants().await), (4 * PUSHES, 0));
    assert!(!relayer.latches().hold_grants(), "undecided is no contradiction");
    bench.fault(2, Faults::default());
    bench.clock.advance(Duration::from_secs(60));
    bench.look(&mut relayer).await;
    assert_eq!(bench.grants().await, 3);
}

#[tokio::test]
async fn endpoints_are_checked_for_their_chain_at_the_start() {
    let bench = bench(3, 2, 4).await;
    bench.endpoints.check_chain().await.unwrap();
    bench.fault(2, Faults { flaps: Some(1), ..Faults::default() });
    bench.endpoints.check_chain().await.unwrap();
    bench.fault(1, Faults { flaps: Some(1), ..Faults::default() });
    assert!(bench.endpoints.check_chain().await.is_err(), "one is less than two");
    bench.fault(1, Faults { chain_id: Some(5), ..Faults::default() });
    bench.clock.advance(Duration::from_secs(120));
    let refused = bench.endpoints.check_chain().await.unwrap_err().to_string();
    assert!(refused.contains("e1 serves chain 5"), "{refused}");
}
