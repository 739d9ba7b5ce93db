// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Building witnesses with a provider and executing them without one.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod common;

use alloy::{
    hex,
    primitives::{Address, B256, Bytes, U256},
};
use common::{Block, Node, World, call, contract, state};
use mandate_witness::{
    BuildError, ChainSpec, Known, Touch, TrustedHeader, Undecided, ViewCall, Witness, build, execute,
    execute_beyond,
};
use proptest::prelude::*;
use serde_json::json;

const CHAIN: u64 = common::CHAIN_ID;

struct Setup {
    node: Node,
    block: Block,
}

impl Setup {
    fn new() -> Self {
        let world = World::new(state());
        Self { block: world.head().clone(), node: Node::new(world) }
    }

    fn try_build(&self, call: &ViewCall) -> Result<Witness, BuildError> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let provider = self.node.provider();
        runtime.block_on(build(&provider, &ChainSpec::dev(CHAIN), self.block.at().hash, call))
    }

    fn build(&self, call: &ViewCall) -> Witness {
        self.try_build(call).unwrap()
    }

    fn execute(&self, witness: &Witness, call: &ViewCall) -> Result<Bytes, Undecided> {
        execute(witness, self.block.at(), &ChainSpec::dev(CHAIN), call)
    }

    fn run(&self, call: &ViewCall) -> Result<Bytes, Undecided> {
        let witness = self.build(call);
        let decoded = Witness::decode(&witness.encode()).unwrap();
        assert_eq!(decoded, witness);
        self.execute(&decoded, call)
    }

    fn number(&self, call: &ViewCall) -> U256 {
        U256::from_be_slice(&self.run(call).unwrap())
    }
}

fn word(address: Address) -> U256 {
    address.into_word().into()
}

#[test]
fn g5_execute_reads_what_the_state_root_commits_to() {
    let setup = Setup::new();
    for slot in [0u64, 1, 50, 99] {
        assert_eq!(setup.number(&call(contract(1), U256::from(slot))), U256::from(1000 + slot));
    }
    assert_eq!(setup.number(&call(contract(2), U256::from(1))), U256::from(77));
    assert_eq!(setup.number(&call(contract(3), U256::from(5))), U256::from(55));
    assert_eq!(setup.number(&call(contract(5), word(contract(1)))), U256::from(10));
    let sha256 = hex!("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_eq!(setup.run(&call(contract(6), U256::ZERO)).unwrap()[..], sha256);
}

#[test]
fn absence_is_proven_not_assumed() {
    let setup = Setup::new();
    assert_eq!(setup.number(&call(contract(1), U256::from(100))), U256::ZERO);
    assert_eq!(setup.number(&call(contract(2), U256::from(9))), U256::ZERO);
    assert_eq!(setup.number(&call(contract(4), word(contract(0xdd)))), U256::ZERO);
    assert_eq!(setup.number(&call(contract(5), word(contract(0xdd)))), U256::ZERO);
    assert_eq!(setup.run(&call(contract(0xdd), U256::ZERO)), Ok(Bytes::new()));
}

#[test]
fn environment_comes_from_the_header() {
    let setup = Setup::new();
    let out = setup.run(&call(contract(10), U256::ZERO)).unwrap();
    let at = |i: usize| B256::from_slice(&out[32 * i..32 * (i + 1)]);
    let header = &setup.block.header;
    assert_eq!(at(0), B256::from(U256::from(header.timestamp)));
    assert_eq!(at(1), B256::from(U256::from(header.number)));
    assert_eq!(at(2), header.beneficiary.into_word());
    assert_eq!(at(3), B256::from(U256::from(7)));
    assert_eq!(at(4), header.mix_hash);
    assert_eq!(at(5), B256::from(U256::from(CHAIN)));
    assert_eq!((at(6), at(7)), (B256::ZERO, B256::ZERO));
}

#[test]
fn revert_and_halt_are_undecided_and_say_why() {
    let setup = Setup::new();
    let reverted = Err(Undecided::Reverted { data: hex!("deadbeef").into() });
    assert_eq!(setup.run(&call(contract(8), U256::ZERO)), reverted);
    assert_eq!(setup.run(&call(contract(11), U256::ZERO)), reverted);
    assert!(matches!(setup.run(&call(contract(9), U256::ZERO)), Err(Undecided::Halted { .. })));
}

#[test]
fn block_hash_is_undecided() {
    let world = {
        let mut world = World::new(state());
        world.grow(3);
        world
    };
    let setup = Setup { block: world.head().clone(), node: Node::new(world) };
    let ask = call(contract(7), U256::ZERO);
    assert!(matches!(setup.try_build(&ask), Err(BuildError::BlockHash(2))));
    let witness = setup.build(&call(contract(4), word(contract(7))));
    let code = setup.block.state[&contract(7)].code.clone();
    let witness = Witness::new(witness.header().clone(), witness.nodes().to_vec(), vec![code]).unwrap();
    assert_eq!(setup.execute(&witness, &ask), Err(Undecided::BlockHash { number: 2 }));
}

#[test]
fn g5_witness_of_another_block_is_refused() {
    let setup = Setup::new();
    let ask = call(contract(1), U256::from(1));
    let witness = setup.build(&ask);
    let mut other = World::new(state());
    other.grow(1);
    let trusted = other.head().at();
    let refused = execute(&witness, trusted, &ChainSpec::dev(CHAIN), &ask);
    let expected = Undecided::WrongBlock { expected: trusted.hash, got: setup.block.at().hash };
    assert_eq!(refused, Err(expected));
}

#[test]
fn header_of_another_height_or_unknown_shape_is_refused() {
    let setup = Setup::new();
    let rlp = setup.block.header_rlp();
    let mut trusted = setup.block.at();
    assert_eq!(TrustedHeader::verify(&rlp, trusted).unwrap().timestamp(), setup.block.header.timestamp);
    trusted.number += 1;
    assert!(matches!(TrustedHeader::verify(&rlp, trusted), Err(Undecided::HeaderMalformed { .. })));
    let garbage = [rlp, vec![0]].concat();
    let trusted = mandate_witness::BlockRef { number: 0, hash: alloy::primitives::keccak256(&garbage) };
    assert!(matches!(TrustedHeader::verify(&garbage, trusted), Err(Undecided::HeaderMalformed { .. })));
}

#[test]
fn block_before_the_first_known_fork_is_undecided() {
    let setup = Setup::new();
    let ask = call(contract(1), U256::from(1));
    let witness = setup.build(&ask);
    let mut spec = ChainSpec::dev(CHAIN);
    spec.forks[0].from = u64::MAX;
    let refused = execute(&witness, setup.block.at(), &spec, &ask);
    assert_eq!(refused, Err(Undecided::UnknownFork { timestamp: setup.block.header.timestamp }));
}

/// G-6: whatever is left out is undecided, never zero.
#[test]
fn g6_every_node_and_code_of_a_witness_is_needed() {
    let setup = Setup::new();
    let ask = call(contract(3), U256::from(5));
    let witness = setup.build(&ask);
    assert_eq!(witness.codes().len(), 2);
    for left_out in 0..witness.nodes().len() {
        let mut nodes = witness.nodes().to_vec();
        nodes.remove(left_out);
        let part = Witness::new(witness.header().clone(), nodes, witness.codes().to_vec()).unwrap();
        assert!(matches!(setup.execute(&part, &ask), Err(Undecided::Unproven(_))), "node {left_out}");
    }
    for left_out in 0..witness.codes().len() {
        let mut codes = witness.codes().to_vec();
        codes.remove(left_out);
        let part = Witness::new(witness.header().clone(), witness.nodes().to_vec(), codes).unwrap();
        assert!(matches!(setup.execute(&part, &ask), Err(Undecided::Unproven(Touch::Code(_)))));
    }
}

#[test]
fn g5_nodes_of_another_state_prove_nothing() {
    let setup = Setup::new();
    let mut forged_state = state();
    let slot = B256::from(U256::from(5));
    forged_state.get_mut(&contract(3)).unwrap().storage.insert(slot, U256::from(1));
    let world = World::new(forged_state);
    let forged = Setup { block: world.head().clone(), node: Node::new(world) };
    let ask = call(contract(3), U256::from(5));
    let theirs = forged.build(&ask);
    let header = setup.build(&ask).header().clone();
    let mixed = Witness::new(header, theirs.nodes().to_vec(), theirs.codes().to_vec()).unwrap();
    assert!(matches!(setup.execute(&mixed, &ask), Err(Undecided::Unproven(_))));
}

fn replace_first(value: &mut serde_json::Value, from: &str, to: &str) {
    *value = serde_json::from_str(&value.to_string().replacen(from, to, 1)).unwrap();
}

#[test]
fn g5_build_names_the_lie_of_its_provider() {
    let ask = call(contract(1), U256::from(1));
    let lying = |method: &'static str, tamper: fn(&mut serde_json::Value)| {
        let setup = Setup::new();
        setup.node.lie(move |m, answer| {
            if m == method {
                tamper(answer)
            }
        });
        setup.try_build(&ask).unwrap_err()
    };
    let error = lying("eth_getProof", |a| a["accountProof"] = json!([]));
    assert!(matches!(error, BuildError::NotProven(Touch::Account(a)) if a == contract(1)), "{error}");
    let error = lying("eth_getProof", |a| {
        if let Some(slot) = a["storageProof"].get_mut(0) {
            slot["proof"] = json!([]);
            slot["value"] = json!("0x1");
        }
    });
    assert!(matches!(error, BuildError::NotProven(Touch::Slot(..))), "{error}");
    let error = lying("eth_getCode", |a| *a = json!("0x60"));
    assert!(matches!(error, BuildError::NotProven(Touch::Code(_))), "{error}");
    let error =
        lying("eth_getBlockByHash", |a| replace_first(a, "\"timestamp\":\"0x", "\"timestamp\":\"0x1"));
    assert!(matches!(error, BuildError::WrongHeader { .. }), "{error}");
    let error = lying("eth_getBlockByHash", |a| *a = json!(null));
    assert!(matches!(error, BuildError::UnknownBlock(_)), "{error}");
    let error = lying("eth_getProof", |a| *a = json!({ "error": "pruned" }));
    assert!(error.to_string().contains("eth_getProof") && error.to_string().contains("pruned"), "{error}");
}

#[test]
fn build_asks_for_independent_slots_at_once() {
    let setup = Setup::new();
    assert_eq!(setup.number(&call(contract(12), U256::from(7))), U256::from(1007 + 1008));
    let mut asked = setup.node.calls();
    asked.retain(|method| method != "eth_chainId");
    assert_eq!(asked, ["eth_getBlockByHash", "eth_getProof", "eth_getCode", "eth_getProof"]);
}

struct Corpus {
    setup: Setup,
    cases: Vec<(ViewCall, Vec<u8>, Bytes)>,
}

fn corpus() -> Corpus {
    let setup = Setup::new();
    let calls = [
        call(contract(1), U256::from(50)),
        call(contract(1), U256::from(100)),
        call(contract(3), U256::from(5)),
        call(contract(4), word(contract(0xdd))),
    ];
    let cases = calls
        .into_iter()
        .map(|call| {
            let witness = setup.build(&call);
            let output = setup.execute(&witness, &call).unwrap();
            (call, witness.encode(), output)
        })
        .collect();
    Corpus { setup, cases }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    /// G-5: whatever is changed in a witness, it is refused; there is no byte in it that nothing looks at.
    #[test]
    fn g5_corrupted_witness_is_always_refused(
        case in 0usize..4,
        at in any::<prop::sample::Index>(),
        flip in 1u8..=255,
        more in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
    ) {
        thread_local!(static CORPUS: Corpus = corpus());
        CORPUS.with(|corpus| {
            let (call, honest, output) = &corpus.cases[case];
            let mut bytes = honest.clone();
            let index = at.index(bytes.len());
            bytes[index] ^= flip;
            for (at, byte) in more {
                let index = at.index(bytes.len());
                bytes[index] = byte;
            }
            let answer = Witness::decode(&bytes).map(|witness| corpus.setup.execute(&witness, call));
            match answer {
                // The changes took each other back.
                Ok(Ok(got)) => assert_eq!((&bytes, &got), (honest, output)),
                Ok(Err(_)) | Err(_) => assert_ne!(&bytes, honest),
            }
        });
    }
}

#[test]
fn g5_every_single_byte_of_a_witness_counts() {
    let corpus = corpus();
    let (call, honest, _) = &corpus.cases[2];
    for at in 0..honest.len() {
        let mut bytes = honest.clone();
        bytes[at] ^= 0x40;
        let answer = Witness::decode(&bytes).map(|witness| corpus.setup.execute(&witness, call));
        assert!(!matches!(answer, Ok(Ok(_))), "byte {at} can be anything");
        assert!(Witness::decode(&honest[..at]).is_err(), "cut at {at}");
    }
}

#[test]
fn witness_with_more_than_the_call_needs_is_refused() {
    let setup = Setup::new();
    let ask = call(contract(1), U256::from(1));
    let (ours, other) = (setup.build(&ask), setup.build(&call(contract(3), U256::from(5))));
    let nodes = [ours.nodes(), other.nodes()].concat();
    let more = Witness::new(ours.header().clone(), nodes, ours.codes().to_vec()).unwrap();
    assert!(matches!(setup.execute(&more, &ask), Err(Undecided::Superfluous(_))));
    let codes = [ours.codes(), other.codes()].concat();
    let more = Witness::new(ours.header().clone(), ours.nodes().to_vec(), codes).unwrap();
    assert!(matches!(setup.execute(&more, &ask), Err(Undecided::Superfluous(_))));
    assert!(setup.execute(&ours, &ask).is_ok());
}

/// What the verifier has, a witness may leave out; and repeat, too.
#[test]
fn codes_apart_make_the_same_answer() {
    let setup = Setup::new();
    let ask = call(contract(3), U256::from(5));
    let whole = setup.build(&ask);
    let codes = Known::new(whole.codes().iter().cloned(), Vec::new());
    let lean = Witness::decode(&whole.without(&codes.hashes()).encode()).unwrap();
    assert_eq!((lean.codes().len(), lean.nodes()), (0, whole.nodes()));
    assert!(matches!(setup.execute(&lean, &ask), Err(Undecided::Unproven(Touch::Code(_)))));
    let spec = ChainSpec::dev(CHAIN);
    for witness in [&lean, &whole] {
        let done = execute_beyond(&codes, witness, setup.block.at(), &spec, &ask).unwrap();
        assert_eq!(done.output(), &setup.execute(&whole, &ask).unwrap());
        // What was left out is in the whole again.
        assert_eq!(done.witness().unwrap(), whole);
    }
}

#[test]
fn gas_beyond_the_limit_is_undecided_whatever_the_block_allows() {
    let mut world = World::new(state());
    let mut header = world.head().clone();
    header.header.gas_limit = u64::MAX;
    world.blocks = vec![header.clone()];
    let setup = Setup { block: header, node: Node::new(world) };
    let halted = setup.run(&call(contract(9), U256::ZERO));
    assert!(
        matches!(&halted, Err(Undecided::Halted { reason }) if reason.contains("OutOfGas")),
        "{halted:?}"
    );
}

/// The EVM's own limit of 1024 is part of what a contract can see, so it is neither lowered nor raised.
#[test]
fn call_depth_ends_where_the_gas_does_or_the_evm_says() {
    let setup = Setup::new();
    // Each level adds one to what the next one answers; the last call of all fails.
    let depth = setup.number(&call(contract(13), U256::ZERO));
    assert!(depth > U256::from(100) && depth <= U256::from(1024), "{depth}");
}
