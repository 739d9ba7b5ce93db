// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Transactions: dry run, nonce, fee, signature, broadcast, receipt, finality.
//!
//! ```text
//! pending --dry run, sign, keep--> sent --receipt--> mined --finality--> done
//!    ^            refused |         ^ |                |
//!    |<-------------------'         | '-- nonce lost --|--> pending
//!    '------ reverted in a block ---+------------------'  (reorganised away: sent again)
//! ```
//! A transaction is kept in the store before it is broadcast, so a restart sends the same one again and never spends a
//! second nonce on one effect.

use std::{collections::HashMap, sync::Arc, time::Duration};

use alloy::{
    primitives::{Address, B256},
    providers::{DynProvider, Provider},
    rpc::types::TransactionReceipt,
    signers::local::PrivateKeySigner,
    transports::TransportError,
};
use mandate_model::wire::BlockRef;
use mandate_runtime::{Ambient, http::Health};
use thiserror::Error;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{
    chain::Contracts,
    config::SenderConfig,
    effects::{Refusal, refusal, transaction},
    redact::Redact,
    store::{InFlight, Landed, Lane, Lock, Next, Queued, SignedTx, Store, StoreError},
};

mod ask;
mod sign;
mod void;

use ask::Revert;
use sign::Fees;

/// Ticks without a receipt, though the nonce is spent, before the transaction counts as lost: behind one URL there may be
/// endpoints that lag.
const LOST_AFTER: u32 = 5;

/// Why a tick of the sender stopped. The next one goes on.
#[derive(Debug, Error)]
pub enum SendError {
    /// The endpoint.
    #[error("{method}: {source}")]
    Rpc {
        /// What was asked.
        method: &'static str,
        /// What came back.
        source: TransportError,
    },
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The key refused.
    #[error("signing: {0}")]
    Sign(#[from] alloy::signers::Error),
    /// The network asks for more than we pay.
    #[error("the base fee asks for {needed} wei per gas, above sender.max_fee_gwei ({most} wei)")]
    TooDear {
        /// What a transaction needs.
        needed: u128,
        /// The configured bound.
        most: u128,
    },
}

fn rpc(method: &'static str) -> impl FnOnce(TransportError) -> SendError {
    move |source| SendError::Rpc { method, source }
}

/// The worker of [`Lane::Chain`].
pub struct Sender {
    contracts: Contracts,
    ambient: Ambient,
    provider: DynProvider,
    store: Arc<dyn Store>,
    signer: PrivateKeySigner,
    config: SenderConfig,
    redact: Redact,
    memory: Memory,
}

/// What a restart may forget.
#[derive(Debug, Default)]
struct Memory {
    /// When a transaction was last broadcast in this run.
    sent_at: HashMap<B256, Duration>,
    /// Ticks for which an effect's nonce was spent without a receipt.
    missing: HashMap<String, u32>,
    /// The endpoint's last word on a transaction that it did not take, in this tick.
    not_taken: Option<String>,
}

impl Sender {
    /// A sender that goes on where the store ends.
    pub fn new(
        contracts: Contracts,
        ambient: Ambient,
        provider: DynProvider,
        store: Arc<dyn Store>,
        signer: PrivateKeySigner,
        config: SenderConfig,
        redact: Redact,
    ) -> Self {
        Self { contracts, ambient, provider, store, signer, config, redact, memory: Memory::default() }
    }

    /// Who pays.
    pub fn address(&self) -> Address {
        self.signer.address()
    }

    /// Works until `stop` fires: at every ring of `bell`, and every `poll` while something is open.
    pub(crate) async fn run(
        mut self,
        bell: Arc<Notify>,
        poll: Duration,
        health: Health,
        stop: CancellationToken,
    ) {
        let (store, lock) = (Arc::clone(&self.store), self.lock());
        let work = async move {
            loop {
                let wait = match self.tick().await {
                    Ok(open) => {
                        match self.memory.not_taken.take() {
                            Some(why) => health.fail("sender", format!("a transaction is not taken: {why}")),
                            None => health.ok("sender"),
                        }
                        if open == 0 { IDLE } else { poll }
                    }
                    Err(error) => {
                        let why = self.redact.text(&error);
                        tracing::warn!(%why, "cannot send transactions");
                        health.fail("sender", why);
                        poll
                    }
                };
                tokio::select! {
                    () = bell.notified() => {}
                    () = self.ambient.clock.sleep(wait) => {}
                }
            }
        };
        stop.run_until_cancelled_owned(work).await;
        let given_back = async {
            store.release(Lane::Chain).await?;
            store.let_go(lock).await
        };
        if let Err(error) = given_back.await {
            tracing::warn!(%error, "other relayers wait for the end of this one's leases");
        }
    }

    fn lock(&self) -> Lock {
        Lock::Signer(self.address())
    }

    /// Looks after what is in flight, then sends what waits, unless another relayer is at it with the same key. Tells how many
    /// effects are open, those that only wait counting as one.
    ///
    /// # Errors
    /// When endpoint or store fail; the next tick goes on.
    pub async fn tick(&mut self) -> Result<usize, SendError> {
        let waits = self.store.next_due(Lane::Chain).await?.is_some();
        if !waits && self.store.in_flight(self.address()).await?.is_empty() {
            return Ok(0);
        }
        if !self.store.hold(self.lock()).await? {
            return Ok(1);
        }
        let open = self.work().await;
        if open.is_err() {
            self.store.release(Lane::Chain).await?;
        }
        // Between ticks the lock is free: whichever relayer has something to send need not wait for another.
        self.store.let_go(self.lock()).await?;
        open
    }

    async fn work(&mut self) -> Result<usize, SendError> {
        // Read under the lock: nobody else adds a nonce from here on.
        let in_flight = self.store.in_flight(self.address()).await?;
        let mut waiting = Vec::new();
        for effect in in_flight {
            match effect.mined {
                Some(block) => self.watch_mined(&effect.key, block, &effect).await?,
                None => waiting.push(effect),
            }
        }
        // One that lands in this tick counts as open: its block may be final already, and the next bell far away.
        let watched = waiting.len();
        let still = self.watch_sent(waiting).await?;
        self.send_pending(&still).await?;
        Ok(watched + usize::from(self.store.next_due(Lane::Chain).await?.is_some()))
    }

    /// A mined transaction: done once its block is final, sent again once its block is gone.
    async fn watch_mined(&mut self, key: &str, block: BlockRef, effect: &InFlight) -> Result<(), SendError> {
        let progress = self.store.progress().await?;
        if let Some(ours) = self.store.block_hash(block.number).await?
            && ours != block.hash
        {
            tracing::warn!(
                effect = key,
                block = block.number,
                "its block was reorganised away: sending again"
            );
            return Ok(self.store.mined(key.to_owned(), None).await?);
        }
        if progress.finalized.is_none_or(|f| f.number < block.number) {
            return Ok(());
        }
        match self.receipt(effect).await? {
            Some(receipt) if receipt.block_hash == Some(block.hash) => {
                metrics::counter!("mandate_relayer_effects_total", "kind" => effect.effect.kind(), "outcome" => "done")
                    .increment(1);
                Ok(self.store.complete(key.to_owned(), Vec::new()).await?)
            }
            _ => Ok(self.store.mined(key.to_owned(), None).await?),
        }
    }

    /// Sent transactions: those that still wait for a block.
    async fn watch_sent(&mut self, waiting: Vec<InFlight>) -> Result<Vec<InFlight>, SendError> {
        if waiting.is_empty() {
            return Ok(waiting);
        }
        let next = self.next_nonce().await?;
        let mut still = Vec::new();
        for effect in waiting {
            match self.receipt(&effect).await? {
                Some(receipt) => self.landed(&effect, &receipt).await?,
                None if self.is_lost(&effect, next) => {
                    tracing::warn!(effect = %effect.key, "its nonce went to another transaction: trying anew");
                    self.store
                        .unsend(effect.key.clone(), "the nonce went to another transaction".to_owned())
                        .await?;
                }
                None => {
                    self.broadcast_again(&effect).await?;
                    still.push(effect);
                }
            }
        }
        Ok(still)
    }

    async fn receipt(&self, effect: &InFlight) -> Result<Option<TransactionReceipt>, SendError> {
        for tx in effect.txs.iter().rev() {
            let receipt = self.provider.get_transaction_receipt(tx.hash).await;
            if let Some(receipt) = receipt.map_err(rpc("eth_getTransactionReceipt"))? {
                return Ok(Some(receipt));
            }
        }
        Ok(None)
    }

    async fn landed(&mut self, effect: &InFlight, receipt: &TransactionReceipt) -> Result<(), SendError> {
        let key = effect.key.clone();
        self.memory.missing.remove(&key);
        for tx in &effect.txs {
            self.memory.sent_at.remove(&tx.hash);
        }
        let (Some(number), Some(hash)) = (receipt.block_number, receipt.block_hash) else { return Ok(()) };
        let tx = receipt.transaction_hash;
        if effect.cancelled && self.is_void(effect, tx) {
            tracing::info!(effect = %key, %tx, "cancelled: its nonce is used up");
            return Ok(self.store.unsend(key, "cancelled".to_owned()).await?);
        }
        if receipt.status() {
            tracing::info!(effect = %key, %tx, block = number, "mined");
            return Ok(self.store.mined(key, Some(Landed { block: BlockRef { number, hash }, tx })).await?);
        }
        // The state changed between dry run and block; the next dry run tells whether anything is left to do.
        tracing::warn!(effect = %key, %tx, block = number, "reverted");
        Ok(self.store.unsend(key, format!("transaction {tx} reverted")).await?)
    }

    fn is_lost(&mut self, effect: &InFlight, next: u64) -> bool {
        if effect.txs.iter().all(|tx| tx.nonce >= next) {
            self.memory.missing.remove(&effect.key);
            return false;
        }
        let missing = self.memory.missing.entry(effect.key.clone()).or_default();
        *missing += 1;
        *missing >= LOST_AFTER && self.memory.missing.remove(&effect.key).is_some()
    }

    /// Once after a restart or a reorganisation, and with a higher fee when no block takes it.
    async fn broadcast_again(&mut self, effect: &InFlight) -> Result<(), SendError> {
        let Some(newest) = effect.txs.last() else { return Ok(()) };
        if effect.cancelled && !self.is_void(effect, newest.hash) {
            return self.bump(effect, newest).await;
        }
        let now = self.ambient.clock.monotonic();
        match self.memory.sent_at.get(&newest.hash) {
            None => self.broadcast(&effect.key, newest).await,
            Some(at) if now.saturating_sub(*at) >= self.config.bump_after => {
                self.bump(effect, newest).await?
            }
            Some(_) => {}
        }
        Ok(())
    }

    async fn bump(&mut self, effect: &InFlight, old: &SignedTx) -> Result<(), SendError> {
        let Some(call) = self.call_of(effect) else { return Ok(()) };
        let market = self.fees().await?;
        let fees = Fees::replacing(old).at_least(market);
        if fees.max_fee > self.most() {
            tracing::warn!(effect = %effect.key, "at the highest fee that is allowed; waiting for a block");
            self.broadcast(&effect.key, old).await;
            return Ok(());
        }
        match self.estimate(&call).await? {
            Ok(gas) => {
                let tx = sign::sign(&self.signer, self.contracts.chain_id, &call, old.nonce, gas, fees)?;
                if self.store.keep_transaction(effect.key.clone(), tx.clone()).await? {
                    self.broadcast(&effect.key, &tx).await;
                }
            }
            // What it wants has come about, or cannot any more; the nonce must still be used up.
            Err(_) => self.broadcast(&effect.key, old).await,
        }
        Ok(())
    }

    /// Sends what waits, as far as the window allows.
    async fn send_pending(&mut self, in_flight: &[InFlight]) -> Result<(), SendError> {
        let room = self.config.in_flight.saturating_sub(in_flight.len());
        let room = u32::try_from(room).unwrap_or(u32::MAX);
        let claimed = self.store.claim(Lane::Chain, room).await?;
        if claimed.is_empty() {
            return Ok(());
        }
        let used = in_flight.iter().flat_map(|effect| &effect.txs).map(|tx| tx.nonce + 1).max().unwrap_or(0);
        let mut nonce = self.next_nonce().await?.max(used);
        let mut renewed = self.ambient.clock.monotonic();
        for queued in claimed {
            let now = self.ambient.clock.monotonic();
            if now.saturating_sub(renewed) >= self.store.lease() / 3 {
                // Many dry runs take longer than a lease. Once the lock was lost, nothing is kept.
                self.store.extend(self.lock()).await?;
                self.store.renew(Lane::Chain).await?;
                renewed = now;
            }
            if self.send(&queued, nonce).await? {
                nonce += 1;
            }
        }
        Ok(())
    }

    /// Dry run, then the transaction. Tells whether the nonce was used.
    async fn send(&mut self, queued: &Queued, nonce: u64) -> Result<bool, SendError> {
        let Some(call) = transaction(&self.contracts, &queued.effect) else {
            self.store
                .attempt_failed(queued.key.clone(), "not a transaction".to_owned(), Next::GiveUp)
                .await?;
            return Ok(false);
        };
        let dry = match self.dry_run(&call).await? {
            Ok(()) => self.estimate(&call).await?,
            Err(revert) => Err(revert),
        };
        let gas = match dry {
            Ok(gas) => gas,
            Err(revert) => {
                self.refused(queued, &revert).await?;
                return Ok(false);
            }
        };
        let fees = self.fees().await?;
        if fees.max_fee > self.most() {
            return Err(SendError::TooDear { needed: fees.max_fee, most: self.most() });
        }
        let tx = sign::sign(&self.signer, self.contracts.chain_id, &call, nonce, gas, fees)?;
        let kept = self.store.keep_transaction(queued.key.clone(), tx.clone()).await?;
        if kept {
            self.broadcast(&queued.key, &tx).await;
        }
        Ok(kept)
    }

    async fn refused(&mut self, queued: &Queued, revert: &Revert) -> Result<(), SendError> {
        let key = queued.key.clone();
        if refusal(&revert.data) == Refusal::AlreadySo {
            tracing::info!(effect = %key, "the chain shows it already");
            return Ok(self.store.complete(key, Vec::new()).await?);
        }
        let why = revert.to_string();
        let give_up = queued.attempts + 1 >= self.config.attempts;
        tracing::warn!(effect = %key, %why, attempt = queued.attempts + 1, give_up, "dry run refused");
        let next = match give_up {
            true => Next::GiveUp,
            false => Next::After(self.config.retry.delay(queued.attempts, &*self.ambient.entropy)),
        };
        Ok(self.store.attempt_failed(key, why, next).await?)
    }

    /// A refusal here is no failure of the tick: the transaction is kept and broadcast again.
    async fn broadcast(&mut self, key: &str, tx: &SignedTx) {
        match self.provider.send_raw_transaction(&tx.raw).await {
            Ok(_) => {
                self.memory.sent_at.insert(tx.hash, self.ambient.clock.monotonic());
                tracing::info!(effect = key, tx = %tx.hash, nonce = tx.nonce, "sent");
            }
            Err(error) => {
                let why = self.redact.text(&error);
                tracing::warn!(effect = key, tx = %tx.hash, nonce = tx.nonce, %why, "not taken");
                self.memory.not_taken = Some(why);
            }
        }
    }
}

/// How long to wait when nothing is open: other relayers and the operator do not ring.
const IDLE: Duration = Duration::from_secs(5);
