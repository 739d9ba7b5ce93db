// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The dealers' logs of a round: found by `eth_getLogs`, believed by the hash that the contract keeps.

use std::collections::BTreeMap;

use alloy::{
    primitives::{Address, B256, Bytes, keccak256},
    providers::{DynProvider, Provider},
    rpc::types::Filter,
    sol_types::SolEvent,
};
use mandate_model::bindings::KmsCommittee::DealerLogPosted;
use mandate_witness::{BlockRef, Undecided};
use thiserror::Error;

use super::Chain;
use crate::{
    ceremony::Board,
    committee::{Ceremony, State},
};

/// Blocks per query: within what public endpoints allow.
const RANGE: u64 = 1_000;

/// Queries per endpoint, newest blocks first: enough for a window of two weeks on Ethereum.
const MAX_RANGES: u64 = 100;

/// Why the board could not be read.
#[derive(Debug, Error)]
pub(crate) enum BoardError {
    /// A verified read failed.
    #[error(transparent)]
    Undecided(#[from] Undecided),
    /// The logs' hashes are on chain, and no endpoint has the logs.
    #[error("no endpoint has the dealer logs of {missing:?} of round {round}: {reports}")]
    Missing {
        /// The round.
        round: u64,
        /// Whose logs.
        missing: Vec<Address>,
        /// What the endpoints said.
        reports: String,
    },
}

impl Chain {
    /// The board of `ceremony` at `block`. Once no more logs can come they are fetched and checked, and everybody who
    /// reads this block or a later one gets the same.
    pub(crate) async fn board(
        &self,
        block: BlockRef,
        timestamp: u64,
        ceremony: &Ceremony,
    ) -> Result<Board, BoardError> {
        let mut hashes = BTreeMap::new();
        for dealer in &ceremony.dealers {
            let hash = self.dealer_log(block, ceremony.round, *dealer).await?;
            if !hash.is_zero() {
                hashes.insert(*dealer, hash);
            }
        }
        let fixed = ceremony.state != State::Dealing || hashes.len() == ceremony.dealers.len();
        let logs = if fixed { Some(self.logs(block, ceremony.round, &hashes).await?) } else { None };
        Ok(Board { timestamp, posted: hashes.into_keys().collect(), logs })
    }

    async fn logs(
        &self,
        block: BlockRef,
        round: u64,
        hashes: &BTreeMap<Address, B256>,
    ) -> Result<Vec<(Address, Bytes)>, BoardError> {
        let mut found = BTreeMap::new();
        let mut reports = Vec::new();
        for (index, provider) in self.providers.iter().enumerate() {
            if let Err(error) = self.search(provider, block, round, hashes, &mut found).await {
                reports.push(format!("rpc {index}: {error}"));
            }
            if found.len() == hashes.len() {
                return Ok(found.into_iter().collect());
            }
        }
        let missing = hashes.keys().filter(|dealer| !found.contains_key(*dealer)).copied().collect();
        Err(BoardError::Missing { round, missing, reports: reports.join("; ") })
    }

    /// Looks backwards from `block`; takes only what has the hash that the contract keeps.
    async fn search(
        &self,
        provider: &DynProvider,
        block: BlockRef,
        round: u64,
        hashes: &BTreeMap<Address, B256>,
        found: &mut BTreeMap<Address, Bytes>,
    ) -> Result<(), String> {
        let mut to = block.number;
        for _ in 0..MAX_RANGES {
            let from = to.saturating_sub(RANGE - 1);
            let filter = Filter::new()
                .address(self.committee)
                .event_signature(DealerLogPosted::SIGNATURE_HASH)
                .topic1(B256::from(alloy::primitives::U256::from(round)))
                .from_block(from)
                .to_block(to);
            for log in provider.get_logs(&filter).await.map_err(|e| e.to_string())? {
                let Ok(event) = DealerLogPosted::decode_log(&log.inner) else { continue };
                if hashes.get(&event.dealer) == Some(&keccak256(&event.log)) {
                    found.insert(event.dealer, event.log.clone());
                }
            }
            if found.len() == hashes.len() || from == 0 {
                break;
            }
            to = from - 1;
        }
        Ok(())
    }
}
