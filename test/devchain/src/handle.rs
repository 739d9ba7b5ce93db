// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The handle that everybody holds: driving the chain from Rust.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, PoisonError, RwLock, Weak},
    time::Duration,
};

use alloy::{
    consensus::{TxEnvelope, transaction::Recovered},
    eips::BlockNumberOrTag,
    network::EthereumWallet,
    primitives::{Address, Bytes, TxHash},
    providers::{DynProvider, Provider, ProviderBuilder, RootProvider},
    rpc::client::RpcClient,
    signers::local::PrivateKeySigner,
};
use tokio::{sync::watch, task::AbortHandle};

use crate::{
    block::Block,
    chain::{Chain, Change},
    config::{Config, Mining},
    error::DevChainError,
    mine,
    reorg::{Reorged, Replacement},
};

/// How often an in-process provider looks for what it waits for.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// A development chain. Clones are handles on the same chain; the last one dropped ends it.
#[derive(Clone)]
pub struct DevChain {
    shared: Arc<Shared>,
}

pub(crate) struct Shared {
    chain: RwLock<Chain>,
    /// The length of the journal, for those who wait for it to grow.
    journal: watch::Sender<usize>,
    /// The task that mines by interval.
    miner: Mutex<Option<AbortHandle>>,
}

impl fmt::Debug for DevChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.read(|chain| {
            f.debug_struct("DevChain")
                .field("chain_id", &chain.config.chain_id)
                .field("height", &chain.height())
                .field("head", &chain.head().block.hash())
                .finish_non_exhaustive()
        })
    }
}

impl DevChain {
    /// Makes a chain that consists of its genesis block.
    ///
    /// # Errors
    /// The mnemonic is not one, or mining by interval was asked for outside of a tokio runtime.
    pub fn new(config: Config) -> Result<Self, DevChainError> {
        let mining = config.mining;
        let shared = Shared {
            chain: RwLock::new(Chain::new(config)?),
            journal: watch::Sender::new(0),
            miner: Mutex::new(None),
        };
        let chain = Self { shared: Arc::new(shared) };
        chain.set_mining(mining)?;
        Ok(chain)
    }

    /// The chain id.
    pub fn chain_id(&self) -> u64 {
        self.read(|chain| chain.config.chain_id)
    }

    /// The funded accounts, in order of derivation.
    pub fn accounts(&self) -> Vec<Address> {
        self.read(|chain| chain.accounts.clone())
    }

    /// The keys of the funded accounts, in the same order.
    pub fn signers(&self) -> Vec<PrivateKeySigner> {
        self.read(|chain| {
            chain.accounts.iter().filter_map(|account| chain.signers.get(account)).cloned().collect()
        })
    }

    /// The newest block.
    pub fn head(&self) -> Arc<Block> {
        self.read(|chain| chain.head().block.clone())
    }

    /// The canonical block of this number or tag; `pending` is answered as the newest.
    pub fn block(&self, tag: impl Into<BlockNumberOrTag>) -> Option<Arc<Block>> {
        let tag = tag.into();
        self.read(|chain| chain.entry(chain.number_of(tag)).map(|entry| entry.block.clone()))
    }

    /// An alloy client of this chain, in process.
    pub fn client(&self) -> RpcClient {
        let client = RpcClient::new(self.clone(), true);
        client.set_poll_interval(POLL_INTERVAL);
        client
    }

    /// An alloy provider of this chain, in process.
    pub fn provider(&self) -> RootProvider {
        RootProvider::new(self.client())
    }

    /// An alloy provider that signs for all funded accounts (the first by default) and fills in nonce, gas and fees.
    pub fn wallet_provider(&self) -> DynProvider {
        let mut signers = self.signers().into_iter();
        let mut wallet = signers.next().map(EthereumWallet::from).unwrap_or_default();
        signers.for_each(|signer| wallet.register_signer(signer));
        // alloy's default nonce filler counts for itself and would wait for ever after a reorg.
        ProviderBuilder::new()
            .with_simple_nonce_management()
            .wallet(wallet)
            .connect_client(self.client())
            .erased()
    }

    /// Makes this many blocks; the first takes in what waits.
    pub fn mine(&self, blocks: u64) {
        for _ in 0..blocks {
            self.write(Chain::mine);
        }
    }

    /// Takes in a signed, encoded transaction; with [`Mining::Auto`] it is mined on return.
    ///
    /// # Errors
    /// The transaction does not decode or cannot be in a block.
    pub fn submit(&self, raw: &[u8]) -> Result<TxHash, DevChainError> {
        let tx = mine::decode(raw)?;
        Ok(self.write(|chain| chain.submit(tx))?)
    }

    /// Takes in a transaction that was dropped by a reorg again.
    ///
    /// # Errors
    /// It cannot be in a block any more.
    pub fn resubmit(&self, tx: Recovered<TxEnvelope>) -> Result<TxHash, DevChainError> {
        Ok(self.write(|chain| chain.submit(tx))?)
    }

    /// The chain's present, which is the timestamp of the next block unless that would not be after its parent.
    pub fn now(&self) -> u64 {
        self.read(|chain| chain.time.now(&chain.config.clock))
    }

    /// Moves the chain's present forward. The next block shows it; no block is made here.
    pub fn increase_time(&self, seconds: u64) {
        self.write(|chain| chain.time.increase(seconds));
    }

    /// Sets the timestamp of the next block; time goes on from there.
    ///
    /// # Errors
    /// It is not after the head's.
    pub fn set_next_timestamp(&self, timestamp: u64) -> Result<(), DevChainError> {
        Ok(self.write(|chain| chain.time.set_next(chain.head().block.timestamp(), timestamp))?)
    }

    /// Replaces the newest `depth` blocks by a branch of at least that length which contains `replacement`, one list
    /// of transactions per block. The replaced blocks' times are kept. Subscribers see logs removed, then new heads.
    ///
    /// # Errors
    /// The depth reaches finalized blocks, or a replacement cannot be in its block; nothing has happened then.
    pub fn reorg(&self, depth: u64, replacement: Vec<Vec<Replacement>>) -> Result<Reorged, DevChainError> {
        Ok(self.write(|chain| chain.reorg(depth, replacement))?)
    }

    /// Takes the newest `depth` blocks back without replacement; answers them oldest first.
    ///
    /// # Errors
    /// The depth reaches finalized blocks.
    pub fn rollback(&self, depth: u64) -> Result<Vec<Arc<Block>>, DevChainError> {
        Ok(self.write(|chain| chain.rollback(depth))?)
    }

    /// Remembers the chain as it is, under the answered id.
    pub fn snapshot(&self) -> u64 {
        self.write(Chain::snapshot)
    }

    /// Brings a remembered chain back and forgets it. False when there is none of that id.
    pub fn revert(&self, snapshot: u64) -> bool {
        self.write(|chain| chain.revert(snapshot))
    }

    /// Makes a block each time `period` has passed.
    ///
    /// # Errors
    /// There is no tokio runtime to wait in.
    pub fn mine_every(&self, period: Duration) -> Result<(), DevChainError> {
        self.set_mining(Mining::Interval(period))
    }

    /// Sets when blocks are made.
    ///
    /// # Errors
    /// The interval is zero, or there is no tokio runtime to wait in.
    pub fn set_mining(&self, mining: Mining) -> Result<(), DevChainError> {
        let task = match mining {
            Mining::Interval(Duration::ZERO) => return Err(DevChainError::ZeroInterval),
            Mining::Interval(period) => {
                let runtime = tokio::runtime::Handle::try_current().map_err(|_| DevChainError::NoRuntime)?;
                Some(runtime.spawn(mine_by_interval(Arc::downgrade(&self.shared), period)).abort_handle())
            }
            Mining::Auto | Mining::Manual => None,
        };
        self.write(|chain| chain.mining = mining);
        let mut miner = self.shared.miner.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(former) = std::mem::replace(&mut *miner, task) {
            former.abort();
        }
        Ok(())
    }

    /// Everything that happens from now on.
    pub fn changes(&self) -> Changes {
        let journal = self.shared.journal.subscribe();
        let seen = self.read(|chain| chain.journal.len());
        Changes { chain: Arc::downgrade(&self.shared), journal, seen, ready: VecDeque::new() }
    }

    /// The code at an address in the newest state; empty when there is none.
    pub fn code(&self, address: Address) -> Bytes {
        self.read(|chain| chain.head_state().code(address))
    }

    pub(crate) fn read<T>(&self, look: impl FnOnce(&Chain) -> T) -> T {
        // A panic under the lock would be a bug here; going on with the state it left beats panicking again.
        look(&self.shared.chain.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn write<T>(&self, change: impl FnOnce(&mut Chain) -> T) -> T {
        let mut chain = self.shared.chain.write().unwrap_or_else(PoisonError::into_inner);
        let answer = change(&mut chain);
        let length = chain.journal.len();
        drop(chain);
        // Two writers may get here in either order; the larger length is the truth.
        self.shared.journal.send_if_modified(|known| {
            let grown = length > *known;
            *known = length.max(*known);
            grown
        });
        answer
    }
}

async fn mine_by_interval(shared: Weak<Shared>, period: Duration) {
    loop {
        tokio::time::sleep(period).await;
        let Some(shared) = shared.upgrade() else { return };
        DevChain { shared }.mine(1);
    }
}

/// The changes of a chain, each exactly once and in order.
#[derive(Debug)]
pub struct Changes {
    chain: Weak<Shared>,
    journal: watch::Receiver<usize>,
    seen: usize,
    ready: VecDeque<Change>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Changes {
    /// The next change; `None` once the chain is gone. Safe to drop while it waits.
    pub async fn next(&mut self) -> Option<Change> {
        self.next_indexed().await.map(|(_, change)| change)
    }

    /// The next change with its place in the journal.
    pub(crate) async fn next_indexed(&mut self) -> Option<(usize, Change)> {
        loop {
            if let Some(change) = self.ready.pop_front() {
                return Some((self.seen - self.ready.len() - 1, change));
            }
            // Marked as seen before looking, so that a change in between wakes us again.
            self.journal.borrow_and_update();
            if self.fetch()? {
                continue;
            }
            self.journal.changed().await.ok()?;
        }
    }

    fn fetch(&mut self) -> Option<bool> {
        let chain = DevChain { shared: self.chain.upgrade()? };
        let news = chain.read(|chain| chain.journal.get(self.seen..).unwrap_or_default().to_vec());
        self.seen += news.len();
        self.ready.extend(news);
        Some(!self.ready.is_empty())
    }
}
