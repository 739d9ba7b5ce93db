// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Real headers of OP-stack chains, whose fields Ethereum fills otherwise: a withdrawals root that is a storage root, no
//! requests, Holocene's and Jovian's extra data, blob gas that counts something else.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use alloy::{
    primitives::{B256, U256, keccak256},
    rlp::encode,
    rpc::types,
};
use mandate_witness::{BlockRef, ChainSpec, ForkName, TrustedHeader, Undecided};

/// Base mainnet, 28 August 2026.
const BASE: &str = include_str!("headers/base-0x3033825.json");
/// A chain of the OP stack (MegaETH), 25 March 2026.
const ISTHMUS: &str = include_str!("headers/isthmus-0xb10f64.json");

fn header(json: &str) -> (Vec<u8>, BlockRef) {
    let header: types::Header = serde_json::from_str(json).unwrap();
    (encode(&header.inner), BlockRef { number: header.inner.number, hash: header.hash })
}

#[test]
fn real_op_stack_header_hashes_to_its_name() {
    for json in [BASE, ISTHMUS] {
        let (rlp, block) = header(json);
        assert_eq!(keccak256(&rlp), block.hash);
        let trusted = TrustedHeader::verify(&rlp, block).unwrap();
        assert_eq!(trusted.header().beneficiary.to_string(), "0x4200000000000000000000000000000000000011");
        assert_eq!(trusted.header().excess_blob_gas, Some(0));
        assert!(trusted.header().withdrawals_root.is_some() && trusted.header().requests_hash.is_some());
    }
}

#[test]
fn g5_every_changed_byte_of_a_real_header_is_refused() {
    for json in [BASE, ISTHMUS] {
        let (rlp, block) = header(json);
        for at in 0..rlp.len() {
            let mut changed = rlp.clone();
            changed[at] ^= 1;
            assert!(
                matches!(TrustedHeader::verify(&changed, block), Err(Undecided::WrongBlock { .. })),
                "{at}"
            );
        }
        for length in 0..rlp.len() {
            assert!(TrustedHeader::verify(&rlp[..length], block).is_err(), "{length}");
        }
    }
}

#[test]
fn g6_base_runs_rules_of_its_own_since_beryl() {
    let (_, block) = header(BASE);
    let header: types::Header = serde_json::from_str(BASE).unwrap();
    assert_eq!((block.number, block.hash == B256::ZERO), (0x303_3825, false));
    assert_eq!(ChainSpec::base().fork_at(header.inner.timestamp), None);
    let header: types::Header = serde_json::from_str(ISTHMUS).unwrap();
    // OP mainnet ran Jovian at that time.
    let fork = ChainSpec::op_mainnet().fork_at(header.inner.timestamp).unwrap();
    assert_eq!(fork.name, ForkName::Jovian);
    assert!(U256::from(header.inner.timestamp) > U256::from(fork.from));
}
