// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a verifier has already, so that a witness can leave it out.
//!
//! Trie nodes and codes are kept under their own hash and found by nothing else. A lookup begins at the trusted state root
//! as ever, so a kept node counts exactly as long as the root still leads to it: an app whose storage root has not changed
//! is proven again by the proof of its account alone, and a kept node that nothing leads to any more is never looked at.
//! That is why keeping can make a read cheaper and never another one (G-5).

use std::{
    collections::HashMap,
    fmt,
    num::NonZeroUsize,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use alloy::primitives::{Address, B256, Bytes, keccak256};
use lru::LruCache;
use mandate_model::wire::{ViewCall, relayer::MAX_KNOWN};
use revm::bytecode::{Bytecode, BytecodeDecodeError};

use crate::execute::Execution;

/// Bytes of nodes and codes that are kept, unless told otherwise.
const DEFAULT_BUDGET: usize = 16 << 20;
/// Calls of which it is remembered what they used.
const CALLS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1023);
/// Contracts of which it is remembered what the latest call used.
const CONTRACTS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(255);

/// Codes that are kept ready to run.
const CODES: NonZeroUsize = NonZeroUsize::MIN.saturating_add(63);
/// Headers that are kept: those of the newest blocks are read at again and again.
const HEADERS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(15);

/// Nodes and codes of an earlier run by hash, and the accounts that it touched. Cheap to clone; never changes.
#[derive(Clone, Default)]
pub struct Known(Arc<Parts>);

#[derive(Default)]
struct Parts {
    by_hash: HashMap<B256, Bytes>,
    accounts: Vec<Address>,
    analysed: Option<Analysed>,
}

/// Codes as revm runs them, by hash: finding their jump destinations takes longer than running most calls.
type Analysed = Arc<Mutex<LruCache<B256, Bytecode>>>;

impl Known {
    /// Keeps `parts` under their hashes. `accounts` are those that the call is likely to touch again.
    pub fn new(parts: impl IntoIterator<Item = Bytes>, accounts: Vec<Address>) -> Self {
        let by_hash = parts.into_iter().map(|part| (keccak256(&part), part)).collect();
        Self(Arc::new(Parts { by_hash, accounts, analysed: None }))
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.0.by_hash.is_empty()
    }

    /// The hashes, for whoever is to leave these parts out; ascending.
    pub fn hashes(&self) -> Vec<B256> {
        let mut hashes: Vec<B256> = self.0.by_hash.keys().copied().collect();
        hashes.sort_unstable();
        hashes
    }

    pub(crate) fn get(&self, hash: &B256) -> Option<&Bytes> {
        self.0.by_hash.get(hash)
    }

    pub(crate) fn accounts(&self) -> &[Address] {
        &self.0.accounts
    }

    /// `code`, which has this hash, ready to run.
    pub(crate) fn bytecode(&self, hash: B256, code: &Bytes) -> Result<Bytecode, BytecodeDecodeError> {
        let analyse = || Bytecode::new_raw_checked(code.clone());
        match &self.0.analysed {
            None => analyse(),
            Some(analysed) => {
                let mut analysed = analysed.lock().unwrap_or_else(PoisonError::into_inner);
                analysed.try_get_or_insert(hash, analyse).cloned()
            }
        }
    }
}

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Known").field("parts", &self.0.by_hash.len()).finish_non_exhaustive()
    }
}

/// Keeps what verified reads used, within a budget of bytes; the least recently used part makes room. Clones share it.
///
/// Only what hung below a trusted state root is kept, so nobody can fill it with anything else.
#[derive(Clone)]
pub struct ProofCache(Arc<Mutex<Inner>>);

struct Inner {
    budget: usize,
    bytes: usize,
    parts: LruCache<B256, Bytes>,
    by_call: LruCache<(Address, B256), Arc<Used>>,
    by_contract: LruCache<Address, Arc<Used>>,
    headers: LruCache<B256, Bytes>,
    analysed: Analysed,
}

/// What one run used.
struct Used {
    hashes: Vec<B256>,
    accounts: Vec<Address>,
}

impl Default for ProofCache {
    fn default() -> Self {
        Self::new(DEFAULT_BUDGET)
    }
}

impl ProofCache {
    /// Keeps at most `budget` bytes of nodes and codes.
    pub fn new(budget: usize) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            budget,
            bytes: 0,
            parts: LruCache::unbounded(),
            by_call: LruCache::new(CALLS),
            by_contract: LruCache::new(CONTRACTS),
            headers: LruCache::new(HEADERS),
            analysed: Arc::new(Mutex::new(LruCache::new(CODES))),
        })))
    }

    /// What is kept of the last run of `call`, or else of the last call to the same contract.
    pub fn known(&self, call: &ViewCall) -> Known {
        let mut inner = self.inner();
        let inner = &mut *inner;
        let used = inner.by_call.get(&key(call)).or_else(|| inner.by_contract.get(&call.to)).cloned();
        let analysed = Some(inner.analysed.clone());
        let Some(used) = used else {
            return Known(Arc::new(Parts { analysed, ..Parts::default() }));
        };
        let part = |hash: &B256| inner.parts.get(hash).map(|part| (*hash, part.clone()));
        let by_hash = used.hashes.iter().filter_map(part).take(MAX_KNOWN).collect();
        Known(Arc::new(Parts { by_hash, accounts: used.accounts.clone(), analysed }))
    }

    /// Keeps what `execution` of `call` used.
    pub fn keep(&self, call: &ViewCall, execution: &Execution) {
        let mut inner = self.inner();
        let mut hashes = Vec::new();
        for (hash, part) in execution.parts() {
            hashes.push(*hash);
            inner.insert(*hash, part);
        }
        let used = Arc::new(Used { hashes, accounts: execution.accounts().to_vec() });
        let header = execution.header();
        inner.headers.get_or_insert(keccak256(header), || Bytes::copy_from_slice(header));
        inner.by_call.put(key(call), used.clone());
        inner.by_contract.put(call.to, used);
    }

    /// The header of the block with this hash, if something was read at it lately.
    pub(crate) fn header(&self, hash: B256) -> Option<Bytes> {
        self.inner().headers.get(&hash).cloned()
    }

    /// Bytes that are kept.
    pub fn bytes(&self) -> usize {
        self.inner().bytes
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn insert(&mut self, hash: B256, part: &Bytes) {
        if self.parts.get(&hash).is_none() {
            // A copy of its own: what came in may be a slice of something larger, which would be kept with it.
            self.bytes += part.len();
            self.parts.put(hash, Bytes::copy_from_slice(part));
        }
        while self.bytes > self.budget {
            let Some((_, oldest)) = self.parts.pop_lru() else { return };
            self.bytes = self.bytes.saturating_sub(oldest.len());
        }
    }
}

impl fmt::Debug for ProofCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = self.inner();
        f.debug_struct("ProofCache")
            .field("parts", &inner.parts.len())
            .field("bytes", &inner.bytes)
            .finish_non_exhaustive()
    }
}

fn key(call: &ViewCall) -> (Address, B256) {
    (call.to, keccak256(&call.data))
}
