// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The committed artifacts are what the sources compile to, byte for byte.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use std::collections::BTreeSet;

use mandate_contracts_build as contracts;

#[test]
fn committed_artifacts_are_what_the_sources_compile_to() {
    let root = contracts::root();
    let built =
        contracts::build(&root).unwrap_or_else(|error| panic!("cannot build the contracts: {error:#}"));
    let committed = contracts::committed(&root).unwrap();
    let names: BTreeSet<_> = built.keys().chain(committed.keys()).collect();
    let stale: Vec<_> = names.into_iter().filter(|name| built.get(*name) != committed.get(*name)).collect();
    assert!(
        stale.is_empty(),
        "{stale:?} differ from what contracts/ compiles to; run script/build-contracts and commit"
    );
}

/// EIP-170 and EIP-3860: what is larger cannot be deployed.
#[test]
fn contracts_fit_into_the_size_limits() {
    for (name, text) in contracts::committed(&contracts::root()).unwrap() {
        let artifact: serde_json::Value = serde_json::from_str(&text).unwrap();
        let size = |kind: &str| (artifact[kind]["object"].as_str().unwrap().len() - 2) / 2;
        let (code, init) = (size("deployedBytecode"), size("bytecode"));
        assert!(code > 0 && code <= 24_576, "{name} has {code} bytes of code");
        assert!(init <= 49_152, "{name} has {init} bytes of init code");
    }
}
