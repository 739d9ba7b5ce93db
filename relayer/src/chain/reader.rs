// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the relayer asks its endpoints, and how far it believes them.
//!
//! | what | why it can be relied on |
//! |---|---|
//! | a header | its hash is computed here, and it is asked for by hash, or several endpoints agree |
//! | the logs of one block | its bloom filter rules them out, or its receipts hash to its receipts root (`receipts`) |
//! | the logs of a range | k endpoints give the same (`ranges`) |
//! | the nodes | one endpoint's word: a wrong list makes pushes go astray, and nodes read the chain themselves |

use std::collections::BTreeSet;

use alloy::{
    eips::{BlockId, BlockNumberOrTag},
    primitives::{Address, B256},
    providers::Provider,
    rpc::types::{Header, Log},
    transports::TransportError,
};
use mandate_model::{
    bindings::{KmsCommittee, Node},
    wire::BlockRef,
};
use thiserror::Error;

use super::endpoints::{Endpoints, Meaning, Member, is_whole, meaning};
use crate::store::StoredLog;

mod ranges;
mod receipts;

pub(crate) use ranges::Fetched;

/// Why what was read is of no use.
#[derive(Debug, Error)]
pub enum ReadError {
    /// No endpoint answered.
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
    /// Nobody has a block that somebody should have.
    #[error("no endpoint has block {0}: they may lag, or the block was reorganised away")]
    UnknownBlock(String),
    /// Too few endpoints have the same block at a height that should be settled.
    #[error("only {found} of the {needed} endpoints needed have the same block {number}")]
    TooFew {
        /// Height.
        number: u64,
        /// The largest group that agrees.
        found: usize,
        /// The quorum.
        needed: usize,
    },
    /// An endpoint sent a log without its place, or from a place that was not asked for.
    #[error("an endpoint sent a log that does not belong to blocks {from} to {to}")]
    StrayLog {
        /// First block.
        from: u64,
        /// Last block.
        to: u64,
    },
    /// The answer would hold too much, or may have been cut.
    #[error("blocks {from} to {to} hold too many logs for one answer")]
    TooMuch {
        /// First block.
        from: u64,
        /// Last block.
        to: u64,
    },
    /// Endpoints gave different logs for the same blocks.
    #[error("endpoints gave different logs for blocks {from} to {to}: {who}")]
    Disagree {
        /// First block.
        from: u64,
        /// Last block.
        to: u64,
        /// Their names, and how many logs each gave.
        who: String,
    },
    /// Nobody's logs of a block could be proven.
    #[error("the logs of block {number} cannot be proven or agreed on: {why}")]
    Unproven {
        /// Height.
        number: u64,
        /// What was tried.
        why: String,
    },
}

/// Reads through endpoints.
#[derive(Debug, Clone)]
pub struct ChainReader {
    endpoints: Endpoints,
}

impl ChainReader {
    /// Reads through `endpoints`.
    pub fn new(endpoints: Endpoints) -> Self {
        Self { endpoints }
    }

    pub(crate) fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// One endpoint's header at a height.
    pub(crate) async fn at(&self, member: &Member, number: u64) -> Result<Header, ReadError> {
        let header = member.header(BlockNumberOrTag::Number(number)).await;
        let header = header.map_err(|source| ReadError::Rpc { method: "eth_getBlockByNumber", source })?;
        header.ok_or_else(|| ReadError::UnknownBlock(number.to_string()))
    }

    /// The block at a height that k endpoints have.
    pub(crate) async fn agreed_at(&self, number: u64) -> Result<BlockRef, ReadError> {
        ranges::that_agree(&self.endpoints, number).await.map(|(header, _)| block_ref(&header))
    }

    /// The header with a hash, from whoever has it.
    ///
    /// # Errors
    /// When no endpoint gives it.
    pub async fn by_hash(&self, hash: B256) -> Result<Header, ReadError> {
        let block = self.endpoints.provider().get_block_by_hash(hash).await;
        let block = block.map_err(|source| ReadError::Rpc { method: "eth_getBlockByHash", source })?;
        let header = block.map(|b| b.header).filter(|header| header.hash == hash && is_whole(header));
        header.ok_or_else(|| ReadError::UnknownBlock(hash.to_string()))
    }

    /// The registered nodes at a block.
    ///
    /// # Errors
    /// When no endpoint gives them.
    pub async fn nodes(&self, committee: Address, block: B256) -> Result<Vec<Node>, ReadError> {
        self.nodes_at(committee, block.into()).await
    }

    /// The registered nodes in the newest state that some endpoint has.
    pub(crate) async fn newest_nodes(&self, committee: Address) -> Result<Vec<Node>, ReadError> {
        self.nodes_at(committee, BlockId::latest()).await
    }

    async fn nodes_at(&self, committee: Address, block: BlockId) -> Result<Vec<Node>, ReadError> {
        let contract = KmsCommittee::new(committee, self.endpoints.provider());
        let nodes = contract.nodes().block(block).call().await;
        nodes.map_err(|e| ReadError::Call { source: Box::new(e), what: "KmsCommittee.nodes()" })
    }

    /// The logs of one block. Nothing is asked when the block's bloom filter rules them out.
    ///
    /// # Errors
    /// When no endpoint gives logs that can be relied on.
    pub(crate) async fn logs_of(
        &self,
        header: &Header,
        of: &BTreeSet<Address>,
    ) -> Result<Vec<StoredLog>, ReadError> {
        match receipts::may_hold(header, of) {
            true => receipts::logs(&self.endpoints, header, of).await,
            false => Ok(Vec::new()),
        }
    }

    /// The logs of blocks `from..=to`, on which k endpoints that have the same block `to` agree.
    ///
    /// # Errors
    /// [`ReadError::TooMuch`] when fewer blocks must be asked for; otherwise when too few endpoints answer or agree.
    pub(crate) async fn logs_between(
        &self,
        from: u64,
        to: u64,
        of: &BTreeSet<Address>,
    ) -> Result<Fetched, ReadError> {
        ranges::logs(&self.endpoints, from, to, of).await
    }
}

/// In the order of the chain; without logs that a reorganisation removed.
fn stored(logs: Vec<Log>, from: u64, to: u64) -> Result<Vec<StoredLog>, ReadError> {
    let mut all = Vec::with_capacity(logs.len());
    for log in logs.into_iter().filter(|log| !log.removed) {
        let one = stored_log(log).filter(|log| (from..=to).contains(&log.block_number));
        all.push(one.ok_or(ReadError::StrayLog { from, to })?);
    }
    all.sort_by_key(place);
    all.dedup();
    // Two different logs at one place, or two blocks of one height.
    let odd = all.windows(2).any(|pair| match pair {
        [a, b] => place(a) == place(b) || (a.block_number == b.block_number && a.block_hash != b.block_hash),
        _ => false,
    });
    if odd { Err(ReadError::StrayLog { from, to }) } else { Ok(all) }
}

fn place(log: &StoredLog) -> (u64, u64) {
    (log.block_number, log.log_index)
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

pub(crate) fn block_ref(header: &Header) -> BlockRef {
    BlockRef { number: header.number, hash: header.hash }
}

/// Whether fewer blocks must be asked for.
fn is_too_much(error: &TransportError) -> bool {
    meaning(error) == Meaning::TooMuch
}
