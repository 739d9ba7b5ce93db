// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the relayer asks its endpoint.

use std::collections::{BTreeMap, BTreeSet};

use alloy::{
    eips::BlockNumberOrTag,
    primitives::{Address, B256},
    providers::{DynProvider, Provider},
    rpc::types::{Filter, Header, Log},
    transports::TransportError,
};
use mandate_model::{
    bindings::{KmsCommittee, Node},
    wire::BlockRef,
};
use thiserror::Error;

use crate::store::StoredLog;

/// Addresses per filter; endpoints refuse long lists.
const ADDRESSES: usize = 500;

/// Why the endpoint's answer is of no use.
#[derive(Debug, Error)]
pub enum ReadError {
    /// It did not answer.
    #[error("{method}: {source}")]
    Rpc {
        /// What was asked.
        method: &'static str,
        /// What came back.
        source: TransportError,
    },
    /// A contract call failed.
    #[error("{what}: {source}")]
    Call {
        /// What was called.
        what: &'static str,
        /// What came back.
        source: Box<alloy::contract::Error>,
    },
    /// It does not have a block that it should have.
    #[error("the endpoint does not know block {0}: it may lag, or the block was reorganised away")]
    UnknownBlock(String),
    /// It sent a log without its place, or from a place that was not asked for.
    #[error("the endpoint sent a log that does not belong to blocks {from} to {to}")]
    StrayLog {
        /// First block.
        from: u64,
        /// Last block.
        to: u64,
    },
}

impl ReadError {
    /// Whether the endpoint answered and refused, as it does when a range holds too many logs.
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self, Self::Rpc { source, .. } if source.as_error_resp().is_some())
    }
}

/// An endpoint.
#[derive(Debug, Clone)]
pub struct ChainReader {
    provider: DynProvider,
}

impl ChainReader {
    /// Reads through `provider`.
    pub fn new(provider: DynProvider) -> Self {
        Self { provider }
    }

    /// The newest header.
    ///
    /// # Errors
    /// When the endpoint does not give it.
    pub async fn head(&self) -> Result<Header, ReadError> {
        self.tagged(BlockNumberOrTag::Latest)
            .await?
            .ok_or_else(|| ReadError::UnknownBlock("latest".to_owned()))
    }

    /// The newest finalised header, if the chain has one yet.
    ///
    /// # Errors
    /// When the endpoint does not answer.
    pub async fn finalized(&self) -> Result<Option<Header>, ReadError> {
        self.tagged(BlockNumberOrTag::Finalized).await
    }

    /// The header at a height.
    ///
    /// # Errors
    /// When the endpoint does not give it.
    pub async fn at(&self, number: u64) -> Result<Header, ReadError> {
        self.tagged(BlockNumberOrTag::Number(number))
            .await?
            .ok_or_else(|| ReadError::UnknownBlock(number.to_string()))
    }

    /// The header with a hash.
    ///
    /// # Errors
    /// When the endpoint does not give it.
    pub async fn by_hash(&self, hash: B256) -> Result<Header, ReadError> {
        let block = self.provider.get_block_by_hash(hash).await;
        let block = block.map_err(|source| ReadError::Rpc { method: "eth_getBlockByHash", source })?;
        block.map(|b| b.header).ok_or_else(|| ReadError::UnknownBlock(hash.to_string()))
    }

    async fn tagged(&self, tag: BlockNumberOrTag) -> Result<Option<Header>, ReadError> {
        let block = self.provider.get_block_by_number(tag).await;
        let block = block.map_err(|source| ReadError::Rpc { method: "eth_getBlockByNumber", source })?;
        Ok(block.map(|b| b.header))
    }

    /// Logs of one block, asked for by its hash: an endpoint that does not have the block says so instead of "none".
    ///
    /// # Errors
    /// When the endpoint does not give them.
    pub async fn logs_of(
        &self,
        block: BlockRef,
        of: &BTreeSet<Address>,
    ) -> Result<Vec<StoredLog>, ReadError> {
        let logs = self.logs(of, |filter| filter.at_block_hash(block.hash)).await?;
        let logs = stored(logs, block.number, block.number)?;
        match logs.iter().all(|log| log.block_hash == block.hash) {
            true => Ok(logs),
            false => Err(ReadError::StrayLog { from: block.number, to: block.number }),
        }
    }

    /// Logs of blocks `from..=to`.
    ///
    /// # Errors
    /// When the endpoint does not give them.
    pub async fn logs_between(
        &self,
        from: u64,
        to: u64,
        of: &BTreeSet<Address>,
    ) -> Result<Vec<StoredLog>, ReadError> {
        stored(self.logs(of, |filter| filter.from_block(from).to_block(to)).await?, from, to)
    }

    async fn logs(
        &self,
        of: &BTreeSet<Address>,
        select: impl Fn(Filter) -> Filter,
    ) -> Result<Vec<Log>, ReadError> {
        let addresses: Vec<Address> = of.iter().copied().collect();
        let mut logs = Vec::new();
        for some in addresses.chunks(ADDRESSES) {
            let filter = select(Filter::new()).address(some.to_vec());
            let found = self.provider.get_logs(&filter).await;
            logs.extend(found.map_err(|source| ReadError::Rpc { method: "eth_getLogs", source })?);
        }
        self.add_times(&mut logs).await?;
        Ok(logs)
    }

    /// Not every endpoint tells the time of a log's block; the header does.
    async fn add_times(&self, logs: &mut [Log]) -> Result<(), ReadError> {
        let mut known: BTreeMap<B256, u64> = BTreeMap::new();
        for log in logs.iter_mut().filter(|log| log.block_timestamp.is_none()) {
            let Some(hash) = log.block_hash else { continue };
            let time = match known.get(&hash) {
                Some(time) => *time,
                None => self.by_hash(hash).await?.timestamp,
            };
            known.insert(hash, time);
            log.block_timestamp = Some(time);
        }
        Ok(())
    }

    /// The registered nodes at a block.
    ///
    /// # Errors
    /// When the endpoint does not give them.
    pub async fn nodes(&self, committee: Address, block: B256) -> Result<Vec<Node>, ReadError> {
        let contract = KmsCommittee::new(committee, &self.provider);
        let nodes = contract.nodes().block(block.into()).call().await;
        nodes.map_err(|e| ReadError::Call { source: Box::new(e), what: "KmsCommittee.nodes()" })
    }
}

/// In the order of the chain; without logs that a reorganisation removed.
fn stored(logs: Vec<Log>, from: u64, to: u64) -> Result<Vec<StoredLog>, ReadError> {
    let mut all = Vec::with_capacity(logs.len());
    for log in logs.into_iter().filter(|log| !log.removed) {
        let one = stored_log(log).filter(|log| (from..=to).contains(&log.block_number));
        all.push(one.ok_or(ReadError::StrayLog { from, to })?);
    }
    all.sort_by_key(|log| (log.block_number, log.log_index));
    all.dedup();
    Ok(all)
}

fn stored_log(log: Log) -> Option<StoredLog> {
    Some(StoredLog {
        block_number: log.block_number?,
        block_hash: log.block_hash?,
        timestamp: log.block_timestamp?,
        tx_hash: log.transaction_hash?,
        log_index: log.log_index?,
        address: log.address(),
        topics: log.topics().to_vec(),
        data: log.inner.data.data,
    })
}
