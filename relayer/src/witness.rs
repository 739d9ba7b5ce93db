// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Witnesses on request. All nodes ask the same question at the same block, so each is built once.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use alloy::{
    primitives::{Address, B256, Bytes},
    providers::DynProvider,
    sol_types::SolCall,
};
use mandate_model::wire::{
    BlockRef, ViewCall,
    relayer::{MAX_KNOWN, WitnessRequest},
};
use mandate_runtime::{
    Clock,
    http::{PeerKey, Rates},
};
use mandate_witness::{BuildError, ChainSpec, CodecError, Undecided, Witness};
use thiserror::Error;
use tokio::sync::{OnceCell, Semaphore};

use crate::{
    config::ApiConfig,
    metrics::{WITNESS_SECONDS, WITNESSES},
};

/// The longest call data.
const MAX_CALL: usize = 16 << 10;

/// Why there is no witness.
#[derive(Debug, Error)]
pub enum WitnessError {
    /// The call is too long.
    #[error("call data has {0} bytes; at most {MAX_CALL} are taken")]
    TooLong(usize),
    /// What the asker has is told wrongly.
    #[error("`known` must be at most {MAX_KNOWN} hashes in ascending order")]
    Known,
    /// The asker had so many built that it must wait.
    #[error("too many different witnesses for this address; come back in {0:?}")]
    TooOften(Duration),
    /// It could not be built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// Not within the time that a request may take.
    #[error("the endpoint took too long to prove the call")]
    Timeout,
    /// The endpoint's proof proves nothing.
    #[error("the endpoint's proof is no use: {0}")]
    Unproven(#[from] Undecided),
    /// What was built does not decode.
    #[error(transparent)]
    Malformed(#[from] CodecError),
    /// The contract answered what it must not.
    #[error("the contract's answer does not decode: {0}")]
    Answer(#[from] alloy::sol_types::Error),
    /// The relayer is stopping.
    #[error("shutting down")]
    Closed,
}

type Key = (B256, Address, Bytes);

/// Builds and keeps witnesses.
#[derive(Clone)]
pub struct Witnesses {
    provider: DynProvider,
    spec: Arc<ChainSpec>,
    config: ApiConfig,
    permits: Arc<Semaphore>,
    /// Builds per asker: what is kept already costs nothing and is not counted.
    rates: Rates,
    clock: Arc<dyn Clock>,
    cache: Arc<Mutex<Cache>>,
}

#[derive(Default)]
struct Cache {
    by_key: HashMap<Key, Arc<OnceCell<Bytes>>>,
    order: VecDeque<Key>,
}

impl Witnesses {
    /// Witnesses of the chain with `chain_id`, made with `provider`.
    pub fn new(provider: DynProvider, chain_id: u64, config: ApiConfig, clock: Arc<dyn Clock>) -> Self {
        let spec = ChainSpec::public(chain_id).unwrap_or_else(|| ChainSpec::dev(chain_id));
        let permits = Arc::new(Semaphore::new(config.witness_concurrency));
        let rates = Rates::new(config.build_rate(), Arc::clone(&clock));
        Self { provider, spec: Arc::new(spec), config, permits, rates, clock, cache: Arc::default() }
    }

    /// The encoded witness, without what the asker has.
    ///
    /// # Errors
    /// When the endpoint cannot prove the call in time, or `asker` had too many built.
    pub async fn witness(&self, request: &WitnessRequest, asker: PeerKey) -> Result<Bytes, WitnessError> {
        if request.call.data.len() > MAX_CALL {
            return Err(WitnessError::TooLong(request.call.data.len()));
        }
        let known = &request.known;
        if known.len() > MAX_KNOWN || !known.is_sorted_by(|a, b| a < b) {
            return Err(WitnessError::Known);
        }
        let whole = self.whole(request, asker).await?;
        if known.is_empty() {
            return Ok(whole);
        }
        Ok(Witness::decode(&whole)?.without(known).encode().into())
    }

    async fn whole(&self, request: &WitnessRequest, asker: PeerKey) -> Result<Bytes, WitnessError> {
        let key = (request.block_hash, request.call.to, request.call.data.clone());
        if let Some(kept) = self.kept(&key) {
            WITNESSES.add(1, ["kept"]);
            return Ok(kept);
        }
        // Before it gets a place: who is refused must not push out what others asked for.
        self.rates.take(asker).map_err(WitnessError::TooOften)?;
        let slot = self.slot(key);
        let built = slot.get_or_try_init(|| self.build(request));
        let built = tokio::time::timeout(self.config.witness_timeout, built).await;
        let built = built.map_err(|_| WitnessError::Timeout).flatten().cloned();
        WITNESSES.add(1, [if built.is_ok() { "built" } else { "failed" }]);
        built
    }

    /// What the contract at `to` answers at `block`, executed on proven state.
    ///
    /// # Errors
    /// When the endpoint cannot prove it in time, or the contract reverts.
    pub async fn read<C: SolCall>(
        &self,
        block: BlockRef,
        to: Address,
        call: &C,
        asker: PeerKey,
    ) -> Result<C::Return, WitnessError> {
        let view = ViewCall { to, data: call.abi_encode().into() };
        let request = WitnessRequest { block_hash: block.hash, call: view, known: Vec::new() };
        let bytes = self.witness(&request, asker).await?;
        let witness = Witness::decode(&bytes)?;
        let answer = mandate_witness::execute(&witness, block, &self.spec, &request.call)?;
        Ok(C::abi_decode_returns_validate(&answer)?)
    }

    async fn build(&self, request: &WitnessRequest) -> Result<Bytes, WitnessError> {
        let _permit = self.permits.acquire().await.map_err(|_| WitnessError::Closed)?;
        let started = self.clock.monotonic();
        let witness =
            mandate_witness::build(&self.provider, &self.spec, request.block_hash, &request.call).await?;
        WITNESS_SECONDS.record(self.clock.monotonic().saturating_sub(started), []);
        Ok(witness.encode().into())
    }

    fn kept(&self, key: &Key) -> Option<Bytes> {
        let cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.by_key.get(key).and_then(|slot| slot.get().cloned())
    }

    /// The place of one witness; the oldest makes room.
    fn slot(&self, key: Key) -> Arc<OnceCell<Bytes>> {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = cache.by_key.get(&key) {
            return Arc::clone(slot);
        }
        while cache.order.len() >= self.config.witness_cache.max(1) {
            if let Some(oldest) = cache.order.pop_front() {
                cache.by_key.remove(&oldest);
            }
        }
        let slot = Arc::<OnceCell<Bytes>>::default();
        cache.by_key.insert(key.clone(), Arc::clone(&slot));
        cache.order.push_back(key);
        slot
    }
}
