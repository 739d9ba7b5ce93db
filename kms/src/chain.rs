// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The chain as this node sees it: every value proven against a header that its own endpoints agree on (G-5).
//!
//! Witnesses come from the relayer, which may have them ready. What it cannot or will not prove is asked of the node's own
//! endpoints, so a lying relayer costs time and nothing else.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use alloy::{primitives::Address, providers::DynProvider, sol_types::SolCall};
use mandate_runtime::{Clock, redact::without_urls};
use mandate_witness::{
    At, BlockRef, ChainSpec, HeaderSource, ProofCache, Read, RpcWitnessSource, Undecided, VerifiedReader,
};

mod anchor;
pub(crate) mod board;
mod committee;
mod judge;
mod relayer_witness;

pub(crate) use anchor::Anchored;
pub(crate) use judge::ChainJudge;
pub use judge::{CommitteeRules, Judge, Judgement, Pause};
pub(crate) use relayer_witness::RelayerWitness;

/// How long a relayer that gave a bad witness is not asked again, in seconds.
const RELAYER_PAUSE: u64 = 10;

/// Verified reads of the deployment's contracts.
#[derive(Debug, Clone)]
pub(crate) struct Chain {
    by_relayer: VerifiedReader,
    by_rpc: Vec<VerifiedReader>,
    paused_until: Arc<AtomicU64>,
    clock: Arc<dyn Clock>,
    providers: Vec<DynProvider>,
    kms_auth: Address,
    committee: Address,
}

/// What a [`Chain`] is made of.
pub(crate) struct ChainParts {
    pub(crate) headers: Arc<dyn HeaderSource>,
    pub(crate) relayer: RelayerWitness,
    pub(crate) providers: Vec<DynProvider>,
    pub(crate) spec: ChainSpec,
    pub(crate) max_age: Option<Duration>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) kms_auth: Address,
    pub(crate) committee: Address,
}

impl Chain {
    pub(crate) fn new(parts: ChainParts) -> Self {
        let ChainParts { headers, relayer, providers, spec, max_age, clock, kms_auth, committee } = parts;
        // One for all: what one source proved, no other need prove again.
        let cache = ProofCache::default();
        let limited = |reader: VerifiedReader| {
            let reader = reader.with_cache(cache.clone());
            match max_age {
                Some(max_age) => {
                    let clock = clock.clone();
                    reader.with_max_age(max_age, move || clock.unix())
                }
                None => reader,
            }
        };
        let by_relayer = limited(VerifiedReader::new(headers.clone(), Arc::new(relayer), spec.clone()));
        let by_rpc = providers
            .iter()
            .enumerate()
            .map(|(index, provider)| {
                let source = RpcWitnessSource::new(format!("rpc {index}"), provider.clone(), spec.clone());
                limited(VerifiedReader::new(headers.clone(), Arc::new(source), spec.clone()))
            })
            .collect();
        let paused_until = Arc::default();
        Self { by_relayer, by_rpc, paused_until, clock, providers, kms_auth, committee }
    }

    /// The block that the node's endpoints agree on.
    pub(crate) async fn block(&self, at: At) -> Result<BlockRef, Undecided> {
        self.by_relayer.block(at).await
    }

    /// Reads at `block`, which must come from [`Chain::block`].
    async fn read<C: SolCall + Sync>(
        &self,
        block: BlockRef,
        to: Address,
        call: &C,
    ) -> Result<Read<C::Return>, Undecided> {
        let mut last = None;
        if self.clock.monotonic().as_secs() >= self.paused_until.load(Ordering::Relaxed) {
            match self.by_relayer.read_at(block, to, call).await {
                Err(error) if error.blames_source() => {
                    tracing::debug!(error = %without_urls(&error.to_string()), "the relayer's witness is no use; asking the node's own endpoints");
                    let until = self.clock.monotonic().as_secs().saturating_add(RELAYER_PAUSE);
                    self.paused_until.store(until, Ordering::Relaxed);
                    last = Some(error);
                }
                decided => return decided,
            }
        }
        for reader in &self.by_rpc {
            match reader.read_at(block, to, call).await {
                Err(error) if error.blames_source() => last = Some(error),
                decided => return decided,
            }
        }
        Err(last.unwrap_or(Undecided::Evm { why: "no witness source is configured".to_owned() }))
    }
}
