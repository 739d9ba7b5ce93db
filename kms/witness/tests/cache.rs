// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What was proven is kept, and a kept proof is never a wrong one.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod common;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use alloy::{
    primitives::{Address, B256, Bytes, U256},
    sol,
};
use common::{Account, CHAIN_ID, Node, State, World, contract, state_among};
use futures::future::BoxFuture;
use mandate_witness::{
    At, ChainSpec, Known, Pinned, ProofCache, RpcWitnessSource, SourceError, Undecided, VerifiedReader,
    ViewCall, Witness, WitnessSource,
};
use proptest::prelude::*;

sol! {
    function value(bytes32 slot) external view returns (uint256);
}

fn slot(n: u64) -> valueCall {
    valueCall { slot: B256::from(U256::from(n)) }
}

fn rpc(node: &Node) -> RpcWitnessSource {
    RpcWitnessSource::new("rpc", node.provider(), ChainSpec::dev(CHAIN_ID))
}

/// As a relayer: builds the whole and leaves out what it is told. Or more, when it is out to do harm.
#[derive(Debug)]
struct Relayer {
    rpc: RpcWitnessSource,
    greedy: AtomicBool,
}

impl WitnessSource for Relayer {
    fn witness<'a>(&'a self, block: B256, call: &'a ViewCall) -> BoxFuture<'a, Result<Witness, SourceError>> {
        self.rpc.witness(block, call)
    }

    fn witness_beyond<'a>(
        &'a self,
        known: &'a Known,
        block: B256,
        call: &'a ViewCall,
    ) -> BoxFuture<'a, Result<Witness, SourceError>> {
        Box::pin(async move {
            let whole = self.rpc.witness(block, call).await?;
            if self.greedy.load(Ordering::Relaxed) && !known.is_empty() {
                return Ok(Witness::new(whole.header().clone(), Vec::new(), Vec::new()).unwrap());
            }
            Ok(whole.without(&known.hashes()))
        })
    }
}

struct Readers {
    pinned: Arc<Pinned>,
    plain: VerifiedReader,
    cached: Vec<VerifiedReader>,
    cache: ProofCache,
}

impl Readers {
    fn new(node: &Node, world: &World, budget: usize) -> Self {
        let (spec, cache) = (ChainSpec::dev(CHAIN_ID), ProofCache::new(budget));
        let pinned = Arc::new(Pinned::at(world.head().at()));
        let reader =
            |source: Arc<dyn WitnessSource>| VerifiedReader::new(pinned.clone(), source, spec.clone());
        let relayer = Relayer { rpc: rpc(node), greedy: AtomicBool::new(false) };
        let cached = vec![
            reader(Arc::new(rpc(node))).with_cache(cache.clone()),
            reader(Arc::new(relayer)).with_cache(cache.clone()),
        ];
        Self { plain: reader(Arc::new(rpc(node))), pinned, cached, cache }
    }
}

#[tokio::test]
async fn unchanged_storage_is_proven_again_by_its_accounts_alone() {
    let mut world = World::new(state_among(50));
    let node = Node::new(world.clone());
    let readers = Readers::new(&node, &world, 1 << 20);
    let read = async |world: &World| {
        node.update(|w| *w = world.clone());
        readers.pinned.set(world.head().at(), world.head().at());
        node.forget_requests();
        let read = readers.cached[0].read(contract(3), &slot(5), At::Head).await.unwrap();
        (read.value, node.requests())
    };
    let (value, first) = read(&world).await;
    assert_eq!(value, U256::from(55));
    assert!(first.iter().any(|(method, _)| method == "eth_getCode"));

    // Somebody else's account changes, so that the state root does.
    let mut state = world.head().state.clone();
    state.insert(Address::repeat_byte(0xee), Account { balance: U256::from(1), ..Account::default() });
    world.mine(state);
    let (value, again) = read(&world).await;
    assert_eq!(value, U256::from(55));
    let methods: Vec<&str> = again.iter().map(|(method, _)| method.as_str()).collect();
    // The proxy and what it delegates to, each asked for no slot; no code.
    assert_eq!(methods, ["eth_getBlockByHash", "eth_getProof", "eth_getProof"]);
    assert!(again[1..].iter().all(|(_, params)| params[1] == serde_json::json!([])), "{again:?}");

    // Its own storage changes: what is asked for is the slots below the new root.
    let mut state = world.head().state.clone();
    state.get_mut(&contract(3)).unwrap().storage.insert(B256::from(U256::from(5)), U256::from(56));
    world.mine(state);
    let (value, changed) = read(&world).await;
    assert_eq!(value, U256::from(56));
    assert!(changed.iter().any(|(_, params)| params[1] != serde_json::json!([])));
    // While the slot that names it is unknown, the builder takes the zero address for the delegate; codes that it has, it
    // does not ask for.
    let asks_code = |of| changed.iter().any(|(m, p)| m == "eth_getCode" && p[0] == serde_json::json!(of));
    assert!(!asks_code(contract(3)) && !asks_code(contract(1)), "{changed:?}");
}

#[tokio::test]
async fn g5_source_that_leaves_out_too_much_costs_a_second_question_and_nothing_else() {
    let mut world = World::new(state_among(50));
    let node = Node::new(world.clone());
    let pinned = Arc::new(Pinned::at(world.head().at()));
    let source = Relayer { rpc: rpc(&node), greedy: AtomicBool::new(true) };
    let reader = VerifiedReader::new(pinned.clone(), Arc::new(source), ChainSpec::dev(CHAIN_ID))
        .with_cache(ProofCache::default());
    reader.read(contract(1), &slot(7), At::Head).await.unwrap();
    let mut state = world.head().state.clone();
    state.get_mut(&contract(1)).unwrap().storage.insert(B256::from(U256::from(7)), U256::from(1));
    world.mine(state);
    node.update(|w| *w = world.clone());
    pinned.set(world.head().at(), world.head().at());
    assert_eq!(reader.read(contract(1), &slot(7), At::Head).await.unwrap().value, U256::from(1));
}

#[tokio::test]
async fn cache_keeps_within_its_budget_and_works_when_it_is_tiny() {
    let world = World::new(state_among(50));
    let node = Node::new(world.clone());
    for budget in [0, 600, 4096, 1 << 20] {
        let readers = Readers::new(&node, &world, budget);
        for n in [1, 2, 3, 50, 99, 1] {
            for reader in &readers.cached {
                let read = reader.read(contract(1), &slot(n), At::Head).await.unwrap();
                assert_eq!(read.value, U256::from(1000 + n));
                assert!(readers.cache.bytes() <= budget, "{} of {budget}", readers.cache.bytes());
            }
        }
    }
}

/// A kept part is found by its hash alone: garbage under no hash of the state changes nothing.
#[tokio::test]
async fn g5_known_parts_that_nothing_leads_to_are_never_looked_at() {
    let world = World::new(state_among(50));
    let node = Node::new(world.clone());
    let call = ViewCall { to: contract(1), data: alloy::sol_types::SolCall::abi_encode(&slot(7)).into() };
    let spec = ChainSpec::dev(CHAIN_ID);
    let mut other = state_among(50);
    other.get_mut(&contract(1)).unwrap().storage.insert(B256::from(U256::from(7)), U256::from(666));
    let theirs = World::new(other);
    let theirs_node = Node::new(theirs.clone());
    let source = rpc(&theirs_node);
    let forged = source.witness(theirs.head().at().hash, &call).await.unwrap();
    let known = Known::new(forged.nodes().iter().chain(forged.codes()).cloned(), Vec::new());
    let block = world.head().at();
    let witness = rpc(&node).witness_beyond(&known, block.hash, &call).await.unwrap();
    let done = mandate_witness::execute_beyond(&known, &witness, block, &spec, &call).unwrap();
    assert_eq!(U256::from_be_slice(done.output()), U256::from(1007));
}

#[derive(Debug, Clone)]
enum Event {
    Write { of: u8, slot: u64, value: u64 },
    Balance { of: u8, balance: u64 },
    Retarget { to: u8 },
    Remove { of: u8 },
    Reorg { depth: usize },
    Read { of: u8, slot: u64, source: usize },
}

fn event() -> impl Strategy<Value = Event> {
    let of = || prop_oneof![Just(1u8), Just(2), Just(3), Just(4), Just(12)];
    prop_oneof![
        3 => (of(), 0u64..8, 0u64..4).prop_map(|(of, slot, value)| Event::Write { of, slot, value }),
        1 => (of(), any::<u64>()).prop_map(|(of, balance)| Event::Balance { of, balance }),
        1 => prop_oneof![Just(1u8), Just(2), Just(8), Just(12)].prop_map(|to| Event::Retarget { to }),
        1 => Just(Event::Remove { of: 12 }),
        1 => (1usize..4).prop_map(|depth| Event::Reorg { depth }),
        6 => (of(), 0u64..8, 0usize..2).prop_map(|(of, slot, source)| Event::Read { of, slot, source }),
    ]
}

fn change(state: &mut State, event: &Event) {
    let mut account =
        |n: u8| state.entry(contract(n)).or_insert_with(|| Account::contract(common::READER)).clone();
    match event {
        Event::Write { of, slot, value } => {
            let mut changed = account(*of);
            changed.storage.insert(B256::from(U256::from(*slot)), U256::from(*value));
            state.insert(contract(*of), changed);
        }
        Event::Balance { of, balance } => {
            let changed = Account { balance: U256::from(*balance), ..account(*of) };
            state.insert(contract(*of), changed);
        }
        Event::Retarget { to } => {
            let mut proxy = account(3);
            proxy.storage.insert(B256::ZERO, contract(*to).into_word().into());
            state.insert(contract(3), proxy);
        }
        Event::Remove { of } => {
            state.remove(&contract(*of));
        }
        Event::Reorg { .. } | Event::Read { .. } => {}
    }
}

fn told(read: Result<mandate_witness::Read<U256>, Undecided>) -> Result<(U256, Bytes), String> {
    read.map(|read| (read.value, read.execution.witness().unwrap().encode().into()))
        .map_err(|e| e.to_string())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// Over random blocks, writes and reorgs, a reader with a cache says what one without says, and proves it the same.
    #[test]
    fn g5_cached_read_is_the_uncached_one(
        events in prop::collection::vec(event(), 1..25), budget in prop_oneof![Just(2048usize), Just(1 << 20)],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let mut world = World::new(state_among(10));
        let node = Node::new(world.clone());
        let readers = Readers::new(&node, &world, budget);
        for (salt, event) in events.iter().enumerate() {
            if let Event::Read { of, slot: n, source } = event {
                let plain = runtime.block_on(readers.plain.read(contract(*of), &slot(*n), At::Head));
                let cached = runtime.block_on(readers.cached[*source].read(contract(*of), &slot(*n), At::Head));
                prop_assert_eq!(told(cached), told(plain));
                continue;
            }
            if let Event::Reorg { depth } = event {
                let keep = world.blocks.len().saturating_sub(*depth).max(1);
                world.blocks.truncate(keep);
            }
            let mut state = world.head().state.clone();
            change(&mut state, event);
            world.mine_fork(state, 1000 + salt as u64);
            node.update(|w| *w = world.clone());
            readers.pinned.set(world.head().at(), world.head().at());
        }
    }
}
