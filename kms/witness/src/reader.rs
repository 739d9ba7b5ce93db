// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Typed reads of contracts, each proven at one block.

use std::{fmt, sync::Arc, time::Duration};

use alloy::{primitives::Address, sol_types::SolCall};
use mandate_model::wire::{BlockRef, ViewCall};

use crate::{
    codec::Witness,
    error::Undecided,
    execute::{Execution, TrustedHeader, execute_at},
    header::HeaderSource,
    known::{Known, ProofCache},
    source::WitnessSource,
    spec::ChainSpec,
};

/// At which block to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// The newest finalised one: for everything that grants.
    Finalized,
    /// The newest one: for everything that revokes.
    Head,
}

/// A value, and the block at which it was proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read<T> {
    /// What the contract answered.
    pub value: T,
    /// At which block.
    pub block: BlockRef,
    /// That block's timestamp.
    pub timestamp: u64,
    /// What proves it.
    pub execution: Execution,
}

type Now = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Reads contracts at blocks that its header source trusts, through witnesses that it verifies itself.
#[derive(Clone)]
pub struct VerifiedReader {
    headers: Arc<dyn HeaderSource>,
    witnesses: Arc<dyn WitnessSource>,
    spec: ChainSpec,
    cache: Option<ProofCache>,
    max_age: Option<(u64, Now)>,
}

impl fmt::Debug for VerifiedReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifiedReader")
            .field("headers", &self.headers)
            .field("witnesses", &self.witnesses)
            .field("spec", &self.spec)
            .finish_non_exhaustive()
    }
}

impl VerifiedReader {
    /// A reader without a limit to a header's age.
    pub fn new(headers: Arc<dyn HeaderSource>, witnesses: Arc<dyn WitnessSource>, spec: ChainSpec) -> Self {
        Self { headers, witnesses, spec, cache: None, max_age: None }
    }

    /// Refuses headers whose timestamp is more than `max_age` before `now` (Unix seconds).
    pub fn with_max_age(self, max_age: Duration, now: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self { max_age: Some((max_age.as_secs(), Arc::new(now))), ..self }
    }

    /// Keeps in `cache` what was proven, and asks witness sources for the rest only.
    pub fn with_cache(self, cache: ProofCache) -> Self {
        Self { cache: Some(cache), ..self }
    }

    /// The chain's rules.
    pub fn spec(&self) -> &ChainSpec {
        &self.spec
    }

    /// The block that is trusted now. Read several things at it with [`VerifiedReader::read_at`].
    pub async fn block(&self, at: At) -> Result<BlockRef, Undecided> {
        Ok(match at {
            At::Finalized => self.headers.finalized().await?,
            At::Head => self.headers.head().await?,
        })
    }

    /// Reads at the newest trusted block of this kind.
    pub async fn read<C: SolCall>(
        &self,
        to: Address,
        call: &C,
        at: At,
    ) -> Result<Read<C::Return>, Undecided> {
        let block = self.block(at).await?;
        self.read_at(block, to, call).await
    }

    /// Reads at `block`, which must come from [`VerifiedReader::block`] or an earlier read.
    pub async fn read_at<C: SolCall>(
        &self,
        block: BlockRef,
        to: Address,
        call: &C,
    ) -> Result<Read<C::Return>, Undecided> {
        let view = ViewCall { to, data: call.abi_encode().into() };
        let known = self.cache.as_ref().map(|cache| cache.known(&view)).unwrap_or_default();
        let mut verified = match self.by_cache(&known, block, &view) {
            Some(done) => Ok(done),
            None => self.verify(&known, block, &view).await,
        };
        if !known.is_empty() && verified.as_ref().is_err_and(Undecided::blames_source) {
            // The source may have left out what it should not have.
            verified = self.verify(&Known::default(), block, &view).await;
        }
        let (timestamp, execution) = verified?;
        let value = C::abi_decode_returns_validate(execution.output()).map_err(|e| Undecided::Malformed {
            contract: to,
            function: C::SIGNATURE,
            why: e.to_string(),
        })?;
        if let Some(cache) = &self.cache {
            cache.keep(&view, &execution);
        }
        Ok(Read { value, block, timestamp, execution })
    }

    /// What can be proven with what is kept alone: at a block that was read at before, often everything. Nobody is asked.
    fn by_cache(&self, known: &Known, block: BlockRef, view: &ViewCall) -> Option<(u64, Execution)> {
        let header = self.cache.as_ref()?.header(block.hash).filter(|_| !known.is_empty())?;
        let nothing_else = Witness::new(header, Vec::new(), Vec::new()).ok()?;
        let header = TrustedHeader::verify(nothing_else.header(), block).ok()?;
        self.check_age(header.timestamp()).ok()?;
        let execution = execute_at(&header, known, &nothing_else, &self.spec, view).ok()?;
        Some((header.timestamp(), execution))
    }

    async fn verify(
        &self,
        known: &Known,
        block: BlockRef,
        view: &ViewCall,
    ) -> Result<(u64, Execution), Undecided> {
        let witness = self.witnesses.witness_beyond(known, block.hash, view).await?;
        let header = TrustedHeader::verify(witness.header(), block)?;
        self.check_age(header.timestamp())?;
        Ok((header.timestamp(), execute_at(&header, known, &witness, &self.spec, view)?))
    }

    fn check_age(&self, timestamp: u64) -> Result<(), Undecided> {
        let Some((max_age, now)) = &self.max_age else { return Ok(()) };
        let (max_age, now) = (*max_age, now());
        if now.saturating_sub(timestamp) > max_age {
            return Err(Undecided::Stale { timestamp, now, max_age });
        }
        Ok(())
    }
}
