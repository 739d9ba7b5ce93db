// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The canonical chain, what was dropped from it, and everything that waits beside it.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use alloy::{
    consensus::{Header, TxEnvelope, transaction::Recovered},
    eips::{BlockId, BlockNumberOrTag, RpcBlockHash},
    primitives::{Address, B256, Bytes, TxHash},
    signers::local::PrivateKeySigner,
};

use crate::{
    block::{Block, Mined},
    build::{self, Built, Site},
    config::{Config, Mining},
    error::{DevChainError, RpcError},
    filters::Filters,
    pool::Pool,
    reorg::Snapshot,
    state::{Ancestors, State},
    time::Time,
};

/// How far back the `BLOCKHASH` opcode sees.
const BLOCK_HASH_HISTORY: u64 = 256;

/// A block with the state after it, if that is still kept.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) block: Arc<Block>,
    pub(crate) state: Option<State>,
}

/// Something that happened to the canonical chain or its pool, in the order in which it did.
#[derive(Clone, Debug)]
pub enum Change {
    /// A block became the head.
    Added(Arc<Block>),
    /// The head was taken back.
    Removed(Arc<Block>),
    /// A transaction arrived.
    Pending(TxHash),
}

/// Everything behind the lock.
#[derive(Debug)]
pub(crate) struct Chain {
    pub(crate) config: Config,
    pub(crate) signers: BTreeMap<Address, PrivateKeySigner>,
    /// The accounts in order of derivation.
    pub(crate) accounts: Vec<Address>,
    pub(crate) entries: Vec<Entry>,
    pub(crate) numbers: HashMap<B256, u64>,
    pub(crate) orphans: HashMap<B256, Entry>,
    pub(crate) locations: HashMap<TxHash, (u64, usize)>,
    pub(crate) pool: Pool,
    /// All changes since the start: filters and subscriptions are positions in it.
    pub(crate) journal: Vec<Change>,
    pub(crate) filters: Filters,
    pub(crate) time: Time,
    pub(crate) mining: Mining,
    pub(crate) branches: u64,
    pub(crate) snapshots: Vec<Snapshot>,
}

/// A state to execute on: everything a call needs, detached from the lock.
#[derive(Clone, Debug)]
pub(crate) struct Moment {
    pub(crate) header: Header,
    pub(crate) state: State,
    pub(crate) ancestors: Ancestors,
    pub(crate) chain_id: u64,
}

impl Chain {
    pub(crate) fn new(config: Config) -> Result<Self, DevChainError> {
        let signers = config.signers()?;
        let accounts: Vec<Address> = signers.iter().map(PrivateKeySigner::address).collect();
        let balances = accounts.iter().map(|account| (*account, config.balance));
        let state = State::funded(balances.chain(config.funded.iter().copied()));
        let timestamp = config.genesis_timestamp.unwrap_or_else(|| (config.clock)());
        let genesis = Arc::new(build::genesis(&config, &state, timestamp));
        Ok(Self {
            signers: accounts.iter().copied().zip(signers).collect(),
            accounts,
            numbers: HashMap::from([(genesis.hash(), 0)]),
            entries: vec![Entry { block: genesis, state: Some(state) }],
            orphans: HashMap::new(),
            locations: HashMap::new(),
            pool: Pool::default(),
            journal: Vec::new(),
            filters: Filters::default(),
            time: Time::default(),
            mining: config.mining,
            branches: 0,
            snapshots: Vec::new(),
            config,
        })
    }

    /// The newest block.
    #[expect(clippy::expect_used, reason = "block 0 is never removed")]
    pub(crate) fn head(&self) -> &Entry {
        self.entries.last().expect("a chain has its genesis block")
    }

    pub(crate) fn height(&self) -> u64 {
        self.head().block.number()
    }

    /// The state of the head, which is always kept.
    pub(crate) fn head_state(&self) -> State {
        self.head().state.clone().unwrap_or_default()
    }

    pub(crate) fn entry(&self, number: u64) -> Option<&Entry> {
        self.entries.get(usize::try_from(number).ok()?)
    }

    /// The canonical block number behind a number or tag; `pending` is the caller's to handle.
    pub(crate) fn number_of(&self, tag: BlockNumberOrTag) -> u64 {
        let height = self.height();
        match tag {
            BlockNumberOrTag::Latest | BlockNumberOrTag::Pending => height,
            BlockNumberOrTag::Safe => height.saturating_sub(self.config.safe_lag),
            BlockNumberOrTag::Finalized => height.saturating_sub(self.config.finalized_lag),
            BlockNumberOrTag::Earliest => 0,
            BlockNumberOrTag::Number(number) => number,
        }
    }

    /// A block by its hash, also one that a reorg dropped.
    pub(crate) fn by_hash(&self, hash: &B256) -> Option<&Entry> {
        match self.numbers.get(hash) {
            Some(number) => self.entry(*number),
            None => self.orphans.get(hash),
        }
    }

    /// The block that `id` names, if there is one. Not for `pending`.
    pub(crate) fn find(&self, id: BlockId) -> Result<Option<&Entry>, RpcError> {
        match id {
            BlockId::Number(tag) => Ok(self.entry(self.number_of(tag))),
            BlockId::Hash(RpcBlockHash { block_hash, require_canonical }) => {
                if require_canonical == Some(true) && !self.numbers.contains_key(&block_hash) {
                    return Err(RpcError::server("hash is not currently canonical"));
                }
                Ok(self.by_hash(&block_hash))
            }
        }
    }

    /// The block and state that `id` names.
    pub(crate) fn moment(&self, id: BlockId) -> Result<Moment, RpcError> {
        if id == BlockId::pending() {
            return Ok(self.pending_moment());
        }
        let entry = self.find(id)?.ok_or_else(|| RpcError::server("header not found"))?;
        let header = entry.block.header().clone();
        let state = entry.state.clone().ok_or_else(|| {
            RpcError::server(format!("the state of block {} is no longer kept", header.number))
        })?;
        let ancestors = self.ancestors(&header);
        Ok(Moment { header, state, ancestors, chain_id: self.config.chain_id })
    }

    /// The next block as it would be made now.
    pub(crate) fn pending_moment(&self) -> Moment {
        let built = self.preview();
        let header = built.block.header().clone();
        let ancestors = self.ancestors(&header);
        Moment { header, state: built.state, ancestors, chain_id: self.config.chain_id }
    }

    /// The next block as it would be made now, without making it.
    pub(crate) fn preview(&self) -> Built {
        let timestamp = self.time.preview(&self.config.clock, self.head().block.timestamp());
        self.build(timestamp, self.pool.by_arrival())
    }

    /// Builds a block on the head.
    pub(crate) fn build(&self, timestamp: u64, txs: Vec<Recovered<TxEnvelope>>) -> Built {
        self.build_branch(self.head(), &[], timestamp, txs)
    }

    /// Builds a block on the last of `branch`, which starts at the canonical block `fork`; on `fork` if it is empty.
    pub(crate) fn build_branch(
        &self,
        fork: &Entry,
        branch: &[Entry],
        timestamp: u64,
        txs: Vec<Recovered<TxEnvelope>>,
    ) -> Built {
        let parent = branch.last().unwrap_or(fork);
        let state = parent.state.clone().unwrap_or_default();
        let mut ancestors = self.hashes_until(fork.block.number());
        ancestors.hashes.extend(branch.iter().map(|entry| entry.block.hash()));
        let site = Site {
            config: &self.config,
            parent: parent.block.header(),
            parent_hash: parent.block.hash(),
            state: &state,
            ancestors: &ancestors,
            timestamp,
            extra_data: self.marker(),
        };
        build::build(&site, txs)
    }

    fn marker(&self) -> Bytes {
        match self.branches {
            0 => Bytes::new(),
            branch => format!("branch {branch}").into_bytes().into(),
        }
    }

    /// The hashes that a call in the block of `header` sees. An orphan's ancestors are found along its parents.
    fn ancestors(&self, header: &Header) -> Ancestors {
        let mut orphaned = Vec::new();
        let mut parent = header.parent_hash;
        let mut below = header.number;
        while let Some(entry) = self.orphans.get(&parent) {
            orphaned.push(parent);
            parent = entry.block.header().parent_hash;
            below = entry.block.number();
        }
        let Some(last) = below.checked_sub(1) else { return Ancestors::default() };
        let mut ancestors = self.hashes_until(last);
        ancestors.hashes.extend(orphaned.into_iter().rev());
        ancestors
    }

    /// The hashes of the canonical blocks up to and including `last`.
    fn hashes_until(&self, last: u64) -> Ancestors {
        let first = (last + 1).saturating_sub(BLOCK_HASH_HISTORY);
        let hashes = (first..=last).filter_map(|number| Some(self.entry(number)?.block.hash()));
        Ancestors { first, hashes: hashes.collect() }
    }

    /// Makes an entry the new head.
    pub(crate) fn push(&mut self, entry: Entry) {
        let block = entry.block.clone();
        self.orphans.remove(&block.hash());
        self.numbers.insert(block.hash(), block.number());
        for (index, mined) in block.transactions().iter().enumerate() {
            self.locations.insert(mined.hash(), (block.number(), index));
        }
        self.entries.push(entry);
        self.journal.push(Change::Added(block));
        self.forget_old_state();
    }

    /// Takes the head back. Block 0 stays.
    pub(crate) fn pop(&mut self) -> Option<Entry> {
        if self.entries.len() < 2 {
            return None;
        }
        let entry = self.entries.pop()?;
        self.numbers.remove(&entry.block.hash());
        for mined in entry.block.transactions() {
            self.locations.remove(&mined.hash());
        }
        self.journal.push(Change::Removed(entry.block.clone()));
        Some(entry)
    }

    fn forget_old_state(&mut self) {
        let Some(kept) = self.config.state_history else { return };
        let oldest = self.height().saturating_sub(kept.max(1));
        if let Some(entry) = usize::try_from(oldest).ok().and_then(|index| self.entries.get_mut(index)) {
            entry.state = None;
        }
        self.orphans.retain(|_, orphan| orphan.block.number() > oldest);
    }

    /// A mined transaction with the block it is in.
    pub(crate) fn mined(&self, hash: &TxHash) -> Option<(&Arc<Block>, u64, &Mined)> {
        let (number, index) = self.locations.get(hash)?;
        let block = &self.entry(*number)?.block;
        Some((block, *index as u64, block.transactions().get(*index)?))
    }
}
