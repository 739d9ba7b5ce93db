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
    primitives::{Address, B256, U256, keccak256},
    providers::{DynProvider, Provider},
    signers::local::PrivateKeySigner,
    transports::TransportError,
};
use mandate_runtime::{Ambient, http::Health};
use thiserror::Error;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{
    chain::Contracts,
    config::SenderConfig,
    effects::{
        Refusal, refusal, transaction,
        webhook::{Occurrence, Subscription},
    },
    redact::Redact,
    store::{InFlight, Lane, Lock, Next, Queued, SignedTx, Store, StoreError},
};

mod ask;
mod balance;
mod gaps;
mod sign;
mod tell;
mod void;
mod watch;

use ask::Revert;
use gaps::Nonces;
use sign::Fees;

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
    /// The account has less than a transaction may cost. What waits goes on waiting.
    #[error("{payer} has {balance} wei and a transaction may cost {needed}: send it some")]
    CannotPay {
        /// Who pays.
        payer: Address,
        /// What it has, in wei.
        balance: U256,
        /// What is needed, in wei.
        needed: U256,
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
    webhooks: Vec<Subscription>,
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
    /// What the account has.
    purse: balance::Purse,
    /// Nonces that nothing has.
    gaps: gaps::Gaps,
    /// No nonce below this one is free, whatever an endpoint that lags says.
    floor: u64,
    /// Ticks for which the endpoint said otherwise; then the floor was reorganised away.
    below_floor: u32,
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
        let (memory, webhooks) = (Memory::default(), Vec::new());
        Self { contracts, ambient, provider, store, signer, config, redact, memory, webhooks }
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
                let ticked = self.tick().await;
                self.report_balance(&health);
                let wait = match ticked {
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
        self.watch_balance().await?;
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
        let all = in_flight.clone();
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
        self.send_pending(&still, &all).await?;
        Ok(watched + usize::from(self.store.next_due(Lane::Chain).await?.is_some()))
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

    /// Sends what waits, as far as the window allows. `all` are in flight or were when this tick began.
    async fn send_pending(&mut self, still: &[InFlight], all: &[InFlight]) -> Result<(), SendError> {
        let room = self.config.in_flight.saturating_sub(still.len());
        let room = u32::try_from(room).unwrap_or(u32::MAX);
        let claimed = self.store.claim(Lane::Chain, room).await?;
        if claimed.is_empty() && still.is_empty() {
            return Ok(());
        }
        let next = self.next_nonce().await?;
        let mut nonces = Nonces::new(self.at_least_floor(next), all);
        if claimed.is_empty() {
            return self.fill_gaps(&nonces).await;
        }
        let mut renewed = self.ambient.clock.monotonic();
        for queued in claimed {
            let now = self.ambient.clock.monotonic();
            if now.saturating_sub(renewed) >= self.store.lease() / 3 {
                // Many dry runs take longer than a lease. Once the lock was lost, nothing is kept.
                self.store.extend(self.lock()).await?;
                self.store.renew(Lane::Chain).await?;
                renewed = now;
            }
            let nonce = nonces.free();
            if self.send(&queued, nonce).await? {
                nonces.take(nonce);
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
        if self.is_filled(queued, nonce) {
            self.store.complete(queued.key.clone(), Vec::new()).await?;
            return Ok(false);
        }
        let dry = match self.is_for_its_app(&queued.effect).await? {
            Ok(false) => {
                tracing::warn!(effect = %queued.key, "nothing is recorded: the domain is another app's by now");
                self.store.complete(queued.key.clone(), Vec::new()).await?;
                return Ok(false);
            }
            Ok(true) => self.dry_run(&call).await?,
            Err(revert) => Err(revert),
        };
        let dry = match dry {
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
        self.can_pay(gas, fees).await?;
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
        if give_up {
            // Before it is noted: a crash in between tells it again, under the same key.
            let what = format!("{} was given up: {why}; its key is {key}", queued.effect.kind());
            self.tell(&format!("given_up:{}", keccak256(&key)), Occurrence::Incident { app: None, what })
                .await?;
        }
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
