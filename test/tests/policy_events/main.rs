// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Random lives of an app, the registry and the domains, on a chain with the real contracts.
//!
//! G-9: after every transaction, the state folded from the events is what the contracts say of themselves.
//! G-5: what is executed on a proof is what the chain itself answers.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]
// The contracts' own names, so that calls can be filled by shorthand.
#![allow(non_snake_case)]

mod check;
mod committee;
mod steps;
mod town;

use alloy::{primitives::U256, sol_types::SolCall};
use mandate_model::bindings::KmsAuth;
use mandate_witness::{BlockRef, ChainSpec};
use proptest::prelude::*;

use committee::{SCRIPT, committee_step};
use steps::{step, warm_up};
use town::Town;

#[test]
fn g9_folded_state_is_what_the_contracts_say() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let config = ProptestConfig { cases: 6, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(steps in prop::collection::vec(step(), 1..40))| {
        runtime.block_on(async {
            let mut town = Town::new().await;
            warm_up(&mut town).await;
            for step in &steps {
                town.step(step).await;
                town.check().await;
            }
        });
    });
}

#[test]
fn g9_g11_folded_committee_is_what_the_contract_says() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let config = ProptestConfig { cases: 6, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(steps in prop::collection::vec(committee_step(), 1..30))| {
        runtime.block_on(async {
            let mut town = Town::new().await;
            for step in SCRIPT.into_iter().chain(steps) {
                town.committee_step(step).await;
                town.check_committee().await;
            }
            let epochs = town.state.committee.epochs.len();
            assert!(epochs >= 3, "only {epochs} epochs: the script no longer runs to its end");
        });
    });
}

/// A changed witness is refused or gives the same answer, never another one.
#[test]
fn g5_decision_is_refused_when_a_witness_is_tampered_with() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let town = Town::new().await;
        let head = town.chain.head();
        let block = BlockRef { number: head.number(), hash: head.hash() };
        let call = KmsAuth::isRegisteredCall { app: town.app };
        let view = mandate_witness::ViewCall { to: town.contracts.kms_auth, data: call.abi_encode().into() };
        let spec = ChainSpec::dev(town.chain.chain_id());
        let witness = mandate_witness::build(&town.provider, &spec, block.hash, &view).await.unwrap();
        let honest = mandate_witness::execute(&witness, block, &spec, &view).unwrap();
        assert_eq!(U256::from_be_slice(&honest[..32]), U256::from(1));
        let bytes = witness.encode();
        for at in (0..bytes.len()).step_by(97) {
            let mut forged = bytes.clone();
            forged[at] ^= 1;
            let answer = mandate_witness::Witness::decode(&forged)
                .ok()
                .and_then(|w| mandate_witness::execute(&w, block, &spec, &view).ok());
            assert!(answer.is_none_or(|a| a == honest), "byte {at}");
        }
    });
}
