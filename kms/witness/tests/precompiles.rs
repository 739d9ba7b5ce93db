// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Precompiles as the chain's fork has them, or undecided.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod common;

use alloy::{
    hex,
    primitives::{B256, U256},
};
use common::{Account, CHAIN_ID, Node, World, contract, state_among};
use mandate_witness::{BuildError, ChainSpec, Fork, ForkName, ViewCall, build, execute};

/// Calls the address in the first word with the gas in the second and so many bytes as the third says, those that follow
/// and zeros. Answers the first word of the answer, whether the call succeeded, and how long the answer was.
const CALLER: &str = "6060360360605f3760205f6040355f5f35602035fa6020523d60405260605ff3";

const P256: u64 = 0x100;
const BN254_PAIRING: u64 = 8;
const PLENTY: u64 = 25_000_000;

/// A signature that verifies, of RIP-7212's own test: hash, r, s, x, y.
const SIGNATURE: [u8; 160] = hex!(
    "4cee90eb86eaa050036147a12d49004b6b9c72bd725d39d4785011fe190f0b4d"
    "a73bd4903f0ce3b639bbbf6e8e80d16931ff4bcf5993d58468e8fb19086e8cac"
    "36dbcd03009df8c59286b162af3bd7fcc0450c9aa81be5d10d312af6c66b1d60"
    "4aebd3099c618202fcfe16ae7770b0c49ab5eadf74b754204a3bb6060e44eff3"
    "7618b065f9832de4ca6ca971a7a1adc826d0f7c00181a5fb2ddf79ae00b4e10e"
);

fn spec(name: ForkName) -> ChainSpec {
    let mut spec = ChainSpec::dev(CHAIN_ID);
    spec.forks = vec![Fork { name, ..spec.forks[0] }];
    spec
}

/// The first word of the answer, success and length.
fn ask(
    fork: ForkName,
    to: u64,
    gas: u64,
    length: usize,
    input: &[u8],
) -> Result<(U256, bool, u64), BuildError> {
    let mut state = state_among(5);
    state.insert(contract(0x50), Account::contract(CALLER));
    let world = World::new(state);
    let block = world.head().at();
    let words = [to, gas, length as u64].map(|word| B256::from(U256::from(word)).to_vec());
    let call = ViewCall { to: contract(0x50), data: [words.concat(), input.to_vec()].concat().into() };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let provider = Node::new(world).provider();
    let witness = runtime.block_on(build(&provider, &spec(fork), block.hash, &call))?;
    let output = execute(&witness, block, &spec(fork), &call).unwrap();
    let word = |n: usize| U256::from_be_slice(&output[32 * n..32 * (n + 1)]);
    Ok((word(0), word(1) == U256::from(1), word(2).to()))
}

#[test]
fn p256_is_there_since_fjord_and_costs_what_the_fork_says() {
    let verify = |fork, gas| ask(fork, P256, gas, SIGNATURE.len(), &SIGNATURE).unwrap();
    let one = U256::from(1);
    // Nothing is there: the call succeeds and says nothing.
    for fork in [ForkName::Cancun, ForkName::Prague, ForkName::Ecotone] {
        let (_, success, length) = verify(fork, PLENTY);
        assert_eq!((success, length), (true, 0), "{fork:?}");
    }
    for fork in [ForkName::Fjord, ForkName::Granite, ForkName::Isthmus, ForkName::Jovian] {
        assert_eq!(verify(fork, 3450), (one, true, 32), "{fork:?}");
        assert!(!verify(fork, 3449).1, "{fork:?}");
    }
    for fork in [ForkName::Osaka, ForkName::Azul] {
        assert_eq!(verify(fork, 6900), (one, true, 32), "{fork:?}");
        assert!(!verify(fork, 6899).1, "{fork:?}");
    }
}

#[test]
fn op_stack_limits_the_input_of_pairings() {
    // Points at infinity: a product of any number of them is one.
    let pairing = |fork, pairs: usize| ask(fork, BN254_PAIRING, PLENTY, 192 * pairs, &[]).unwrap();
    let succeeds = (U256::from(1), true, 32);
    for (fork, most) in
        [(ForkName::Granite, 586), (ForkName::Isthmus, 586), (ForkName::Jovian, 427), (ForkName::Azul, 427)]
    {
        assert_eq!(pairing(fork, most), succeeds, "{fork:?}");
        let (_, success, length) = pairing(fork, most + 1);
        assert_eq!((success, length), (false, 0), "{fork:?}");
    }
    for fork in [ForkName::Cancun, ForkName::Prague, ForkName::Fjord, ForkName::Ecotone] {
        assert_eq!(pairing(fork, 587), succeeds, "{fork:?}");
    }
}

#[test]
fn g6_precompile_whose_rules_are_not_known_is_undecided() {
    for precompile in [P256, 5, BN254_PAIRING, 0x0c, 0x0e, 0x0f] {
        let refused = ask(ForkName::Karst, precompile, PLENTY, 0, &[]);
        let known = matches!(&refused, Err(BuildError::Evm(why)) if why.contains("does not know"));
        assert!(known, "{precompile}: {refused:?}");
    }
    // What no fork changed is run.
    assert_eq!(ask(ForkName::Karst, 2, PLENTY, 0, &[]).unwrap().2, 32);
}
