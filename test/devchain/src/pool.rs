// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Transactions that wait for a block.

use std::collections::BTreeMap;

use alloy::{
    consensus::{Transaction as _, TxEnvelope, transaction::Recovered},
    primitives::{Address, TxHash},
};

use crate::error::RpcError;

/// How many transactions may wait. Beyond that a sender is told to come back.
const CAPACITY: usize = 16_384;

/// The waiting transactions, one per sender and nonce.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pool {
    waiting: BTreeMap<(Address, u64), Waiting>,
    arrivals: u64,
}

#[derive(Clone, Debug)]
struct Waiting {
    tx: Recovered<TxEnvelope>,
    arrival: u64,
}

impl Pool {
    /// Takes a transaction in; one with the same sender and nonce is replaced if this one pays a tenth more.
    pub(crate) fn add(&mut self, tx: Recovered<TxEnvelope>) -> Result<(), RpcError> {
        let key = (tx.signer(), tx.nonce());
        if let Some(held) = self.waiting.get(&key) {
            if held.tx.tx_hash() == tx.tx_hash() {
                return Err(RpcError::server("already known"));
            }
            if !outbids(&tx, &held.tx) {
                return Err(RpcError::server("replacement transaction underpriced"));
            }
        } else if self.waiting.len() >= CAPACITY {
            return Err(RpcError::server("txpool is full"));
        }
        self.arrivals += 1;
        self.waiting.insert(key, Waiting { tx, arrival: self.arrivals });
        Ok(())
    }

    /// The transaction of this hash.
    pub(crate) fn find(&self, hash: &TxHash) -> Option<&Recovered<TxEnvelope>> {
        self.waiting.values().map(|waiting| &waiting.tx).find(|tx| tx.tx_hash() == hash)
    }

    /// Forgets one transaction.
    pub(crate) fn remove(&mut self, hash: &TxHash) -> bool {
        let before = self.waiting.len();
        self.waiting.retain(|_, waiting| waiting.tx.tx_hash() != hash);
        self.waiting.len() < before
    }

    /// Forgets what the chain has overtaken.
    pub(crate) fn prune(&mut self, nonce_of: impl Fn(Address) -> u64) {
        self.waiting.retain(|(sender, nonce), _| *nonce >= nonce_of(*sender));
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.waiting.clear();
    }

    /// The nonce that the sender's next transaction should have, given its nonce on the chain.
    pub(crate) fn next_nonce(&self, sender: Address, on_chain: u64) -> u64 {
        let mut nonce = on_chain;
        while self.waiting.contains_key(&(sender, nonce)) {
            nonce += 1;
        }
        nonce
    }

    /// All transactions, in order of arrival.
    pub(crate) fn by_arrival(&self) -> Vec<Recovered<TxEnvelope>> {
        let mut all: Vec<&Waiting> = self.waiting.values().collect();
        all.sort_by_key(|waiting| waiting.arrival);
        all.into_iter().map(|waiting| waiting.tx.clone()).collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }
}

fn outbids(new: &TxEnvelope, held: &TxEnvelope) -> bool {
    let tenth_more = |price: u128| price.saturating_add(price / 10);
    let tip = |tx: &TxEnvelope| tx.max_priority_fee_per_gas().unwrap_or_else(|| tx.max_fee_per_gas());
    new.max_fee_per_gas() >= tenth_more(held.max_fee_per_gas()) && tip(new) >= tenth_more(tip(held))
}
