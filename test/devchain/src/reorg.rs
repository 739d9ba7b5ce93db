// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Taking blocks back: reorgs, rollbacks, snapshots.

use std::{collections::HashMap, sync::Arc};

use alloy::{
    consensus::{TxEnvelope, transaction::Recovered},
    eips::BlockNumberOrTag,
    primitives::{Address, Bytes},
    rpc::types::TransactionRequest,
};

use crate::{
    block::Block,
    chain::{Chain, Entry},
    error::RpcError,
    mine::decode,
    pool::Pool,
    time::Time,
};

/// How many snapshots are held; the oldest makes room.
const MAX_SNAPSHOTS: usize = 256;

/// A transaction for the new branch of a reorg.
#[derive(Clone, Debug)]
pub enum Replacement {
    /// Signed and encoded, as for `eth_sendRawTransaction`.
    Raw(Bytes),
    /// To be signed by one of the chain's accounts; an open nonce is filled in from the new branch.
    Request(Box<TransactionRequest>),
}

impl From<Bytes> for Replacement {
    fn from(raw: Bytes) -> Self {
        Self::Raw(raw)
    }
}

impl From<TransactionRequest> for Replacement {
    fn from(request: TransactionRequest) -> Self {
        Self::Request(Box::new(request))
    }
}

/// What a reorg did.
#[derive(Clone, Debug)]
pub struct Reorged {
    /// The blocks that are no longer canonical, oldest first.
    pub removed: Vec<Arc<Block>>,
    /// The blocks that took their place, oldest first.
    pub added: Vec<Arc<Block>>,
    /// The transactions that are in no block now. They do not return to the pool by themselves.
    pub dropped: Vec<Recovered<TxEnvelope>>,
}

/// Everything that `evm_revert` brings back.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    id: u64,
    entries: Vec<Entry>,
    pool: Pool,
    time: Time,
}

impl Chain {
    /// Replaces the newest `depth` blocks by others that contain `plan`, one list per block. The new branch is as
    /// long as the old one at least. Either all of it happens or nothing.
    pub(crate) fn reorg(&mut self, depth: u64, plan: Vec<Vec<Replacement>>) -> Result<Reorged, RpcError> {
        let fork = self.fork_point(depth)?;
        self.branches += 1;
        let built = self.build_replacement(&fork, depth, plan);
        let branch = built.inspect_err(|_| self.branches -= 1)?;
        let removed = self.rewind(depth);
        let added: Vec<Arc<Block>> = branch.iter().map(|entry| entry.block.clone()).collect();
        branch.into_iter().for_each(|entry| self.push(entry));
        let state = self.head_state();
        self.pool.prune(|sender| state.nonce(sender));
        let dropped = removed
            .iter()
            .flat_map(|block| block.transactions())
            .filter(|mined| !self.locations.contains_key(&mined.hash()))
            .map(|mined| mined.tx.clone())
            .collect();
        Ok(Reorged { removed, added, dropped })
    }

    /// Removes the newest `depth` blocks and puts nothing in their place.
    pub(crate) fn rollback(&mut self, depth: u64) -> Result<Vec<Arc<Block>>, RpcError> {
        self.fork_point(depth)?;
        self.branches += 1;
        Ok(self.rewind(depth))
    }

    fn fork_point(&self, depth: u64) -> Result<Entry, RpcError> {
        let height = self.height();
        let finalized = self.number_of(BlockNumberOrTag::Finalized);
        if depth == 0 {
            return Err(RpcError::params("a reorg of depth 0 changes nothing"));
        }
        let at = height.checked_sub(depth).filter(|at| *at >= finalized).ok_or_else(|| {
            RpcError::params(format!(
                "a reorg of depth {depth} at block {height} would take back finalized blocks; block {finalized} \
                 is final"
            ))
        })?;
        let fork = self.entry(at).filter(|entry| entry.state.is_some()).cloned();
        fork.ok_or_else(|| RpcError::server(format!("the state of block {at} is no longer kept")))
    }

    fn build_replacement(
        &self,
        fork: &Entry,
        depth: u64,
        plan: Vec<Vec<Replacement>>,
    ) -> Result<Vec<Entry>, RpcError> {
        let mut branch: Vec<Entry> = Vec::new();
        let mut plan = plan.into_iter();
        loop {
            let planned = plan.next();
            if planned.is_none() && branch.len() as u64 >= depth {
                return Ok(branch);
            }
            let parent = branch.last().unwrap_or(fork);
            // A replaced block keeps its time, so that a reorg alone does not let anything mature.
            let timestamp = match self.entry(parent.block.number() + 1) {
                Some(replaced) => replaced.block.timestamp().max(parent.block.timestamp() + 1),
                None => self.time.preview(&self.config.clock, parent.block.timestamp()),
            };
            let txs = self.resolve(planned.unwrap_or_default(), parent)?;
            let expected = txs.len();
            let built = self.build_branch(fork, &branch, timestamp, txs);
            if let Some((hash, error)) = built.refused.into_iter().next() {
                return Err(RpcError::params(format!("replacement transaction {hash}: {}", error.message)));
            }
            if built.block.transactions().len() < expected {
                return Err(RpcError::params(
                    "a replacement transaction has a nonce gap or finds the block full",
                ));
            }
            branch.push(Entry { block: Arc::new(built.block), state: Some(built.state) });
        }
    }

    /// Signs what has to be signed, with the nonces that follow from the new branch.
    fn resolve(
        &self,
        replacements: Vec<Replacement>,
        parent: &Entry,
    ) -> Result<Vec<Recovered<TxEnvelope>>, RpcError> {
        let state = parent.state.clone().unwrap_or_default();
        let mut ahead: HashMap<Address, u64> = HashMap::new();
        let mut resolved = Vec::new();
        for replacement in replacements {
            let tx = match replacement {
                Replacement::Raw(raw) => decode(&raw)?,
                Replacement::Request(mut request) => {
                    // The branch is not the chain yet, so its gas cannot be estimated there: a share of the block.
                    request.gas.get_or_insert(self.config.gas_limit / 8);
                    let used = request.from.and_then(|from| ahead.get(&from)).copied().unwrap_or_default();
                    let from = request.from.unwrap_or_default();
                    self.sign(*request, |state| state.nonce(from) + used, &state)?
                }
            };
            *ahead.entry(tx.signer()).or_default() += 1;
            resolved.push(tx);
        }
        Ok(resolved)
    }

    /// Takes blocks back and keeps them as orphans; answers them oldest first.
    fn rewind(&mut self, depth: u64) -> Vec<Arc<Block>> {
        let mut removed = Vec::new();
        for _ in 0..depth {
            let Some(entry) = self.pop() else { break };
            removed.push(entry.block.clone());
            self.orphans.insert(entry.block.hash(), entry);
        }
        removed.reverse();
        removed
    }

    /// Remembers the chain as it is.
    pub(crate) fn snapshot(&mut self) -> u64 {
        let id = self.snapshots.last().map_or(1, |snapshot| snapshot.id + 1);
        if self.snapshots.len() >= MAX_SNAPSHOTS {
            self.snapshots.remove(0);
        }
        self.snapshots.push(Snapshot {
            id,
            entries: self.entries.clone(),
            pool: self.pool.clone(),
            time: self.time.clone(),
        });
        id
    }

    /// Brings a remembered chain back; that snapshot and later ones are used up. False when there is none.
    pub(crate) fn revert(&mut self, id: u64) -> bool {
        let Some(at) = self.snapshots.iter().position(|snapshot| snapshot.id == id) else { return false };
        let Some(snapshot) = self.snapshots.drain(at..).next() else { return false };
        let common = self
            .entries
            .iter()
            .zip(&snapshot.entries)
            .take_while(|(held, kept)| held.block.hash() == kept.block.hash())
            .count();
        while self.entries.len() > common && self.pop().is_some() {}
        snapshot.entries.into_iter().skip(common).for_each(|entry| self.push(entry));
        self.pool = snapshot.pool;
        self.time = snapshot.time;
        // What is mined next must differ from what was reverted, as it would on any other branch.
        self.branches += 1;
        true
    }
}
