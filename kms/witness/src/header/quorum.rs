// SPDX-License-Identifier: Apache-2.0 OR MIT
//! k of n independent endpoints agree on a hash.
//!
//! Endpoints may differ in height: the highest height counts at which k of them, each having finalised at least that
//! height, name the same hash. A contradiction about finality latches; a contradiction about the head is a fork, which
//! time resolves.

mod memory;
mod tally;

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use alloy::{
    eips::BlockNumberOrTag,
    primitives::B256,
    providers::{DynProvider, Provider},
};
use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use mandate_model::wire::BlockRef;
use thiserror::Error;
use tokio::time::{Instant, timeout, timeout_at};

use self::{
    memory::Memory,
    tally::{Claims, candidates},
};
use super::{Contradiction, HeaderError, HeaderSource};

/// One RPC endpoint, with the name under which errors tell of it.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// For messages; should hold no credentials.
    pub name: String,
    /// The connection.
    pub provider: DynProvider,
}

/// How long endpoints are waited for.
#[derive(Debug, Clone, Copy)]
pub struct QuorumTimes {
    /// For one answer.
    pub request: Duration,
    /// For the rest, once a quorum has answered.
    pub grace: Duration,
}

impl Default for QuorumTimes {
    fn default() -> Self {
        Self { request: Duration::from_secs(5), grace: Duration::from_millis(250) }
    }
}

/// The quorum cannot work as it is configured.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("a quorum of {k} of {n} endpoints: it must be at least 1 and at most the number of endpoints")]
pub struct QuorumConfigError {
    /// The quorum.
    pub k: usize,
    /// The number of endpoints.
    pub n: usize,
}

/// Why one endpoint's answer does not count.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EndpointError {
    /// No answer in time.
    #[error("no answer in time")]
    Timeout,
    /// The transport or the endpoint failed.
    #[error("{0}")]
    Rpc(String),
    /// It serves another chain.
    #[error("it serves chain {got}, not chain {expected}")]
    WrongChain {
        /// The chain that is configured.
        expected: u64,
        /// The chain that it serves.
        got: u64,
    },
    /// It has no such block.
    #[error("it has no block {0}")]
    NoBlock(String),
    /// The header that it sent does not have the hash or the height that it should have.
    #[error("its header {got} is not the block that it names, {claimed}")]
    WrongHeader {
        /// The hash it claims.
        claimed: B256,
        /// What the header hashes to.
        got: B256,
    },
}

#[derive(Debug)]
struct Member {
    endpoint: Endpoint,
    chain_checked: AtomicBool,
}

/// The [`HeaderSource`] over k of n endpoints.
#[derive(Debug)]
pub struct Quorum {
    chain_id: u64,
    k: usize,
    members: Vec<Member>,
    times: QuorumTimes,
    memory: Mutex<Memory>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Finalized,
    Head,
}

impl Kind {
    fn tag(self) -> BlockNumberOrTag {
        match self {
            Self::Finalized => BlockNumberOrTag::Finalized,
            Self::Head => BlockNumberOrTag::Latest,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Finalized => "finalized",
            Self::Head => "head",
        }
    }
}

impl Quorum {
    /// `k` of `endpoints`, all of which must serve `chain_id`.
    pub fn new(chain_id: u64, k: usize, endpoints: Vec<Endpoint>) -> Result<Self, QuorumConfigError> {
        let n = endpoints.len();
        if k == 0 || k > n {
            return Err(QuorumConfigError { k, n });
        }
        let members =
            endpoints.into_iter().map(|endpoint| Member { endpoint, chain_checked: AtomicBool::new(false) });
        let (members, times, memory) = (members.collect(), QuorumTimes::default(), Mutex::default());
        Ok(Self { chain_id, k, members, times, memory })
    }

    /// Other waiting times.
    pub fn with_times(self, times: QuorumTimes) -> Self {
        Self { times, ..self }
    }

    /// Never hands out anything older than `newest`: for what was persisted before a restart.
    pub fn starting_at(self, newest: BlockRef) -> Self {
        Self { memory: Mutex::new(Memory::starting_at(Some(newest))), ..self }
    }

    /// Trusts nothing from the start: for a contradiction that was seen before a restart and that nobody has cleared.
    pub fn latched(self, contradiction: Contradiction) -> Self {
        self.memory().latched = Some(contradiction);
        self
    }

    /// The contradiction on which everything stopped, if any.
    pub fn contradiction(&self) -> Option<Contradiction> {
        self.memory().latched.clone()
    }

    /// For the operator who has looked: forgets the contradiction and what was seen, and trusts `newest` from now on,
    /// or whatever the quorum says next.
    pub fn clear_contradiction(&self, newest: Option<BlockRef>) {
        *self.memory() = Memory::starting_at(newest);
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn newest(&self, kind: Kind) -> Result<BlockRef, HeaderError> {
        self.memory().check_latch()?;
        let mut claims = Claims::default();
        let mut reports = Vec::new();
        for (index, answer) in self.ask(self.everyone(), kind.tag()).await {
            match answer {
                Ok(block) => claims.add(index, block),
                Err(error) => reports.push(self.report(index, &error)),
            }
        }
        self.check_claims(kind, &claims)?;
        let mut agreed = claims.tips().iter().map(|(_, tip)| claims.largest(tip.number).0).max().unwrap_or(0);
        for height in candidates(&claims.tips(), self.k) {
            let (behind, errors) = self.complete(&mut claims, height).await;
            reports.extend(errors);
            self.check_claims(kind, &claims)?;
            let (count, hash) = claims.largest(height);
            agreed = agreed.max(count);
            if let Some(hash) = hash.filter(|_| count >= self.k) {
                return self.settle(kind, BlockRef { number: height, hash });
            }
            // At the head a fork can be a few blocks deep; below every tip there is nothing more to learn.
            if !behind && kind == Kind::Finalized {
                break;
            }
        }
        reports.extend(
            claims.tips().iter().map(|(index, b)| format!("{}: {} {}", self.name(*index), b.number, b.hash)),
        );
        Err(HeaderError::NoQuorum { what: kind.name(), agreed, needed: self.k, reports })
    }

    /// Asks those whose tip is above `height` for their block at it. Whether anybody's tip is below.
    async fn complete(&self, claims: &mut Claims, height: u64) -> (bool, Vec<String>) {
        let tips = claims.tips();
        let above =
            tips.iter().filter(|(i, b)| b.number > height && !claims.has(*i, height)).map(|(i, _)| *i);
        let mut errors = Vec::new();
        for (index, answer) in self.ask(above.collect(), BlockNumberOrTag::Number(height)).await {
            match answer {
                Ok(block) => claims.add(index, block),
                Err(error) => errors.push(self.report(index, &error)),
            }
        }
        (tips.iter().any(|(_, b)| b.number < height), errors)
    }

    fn check_claims(&self, kind: Kind, claims: &Claims) -> Result<(), HeaderError> {
        if kind == Kind::Head {
            return Ok(());
        }
        let mut memory = self.memory();
        for (index, block) in claims.all() {
            memory.note_final(block, self.name(index))?;
        }
        memory.check_latch()
    }

    fn settle(&self, kind: Kind, block: BlockRef) -> Result<BlockRef, HeaderError> {
        let mut memory = self.memory();
        memory.check_latch()?;
        Ok(match kind {
            Kind::Finalized => memory.advance_finalized(block),
            Kind::Head => memory.advance_head(block),
        })
    }

    fn everyone(&self) -> Vec<usize> {
        (0..self.members.len()).collect()
    }

    fn name(&self, index: usize) -> &str {
        self.members.get(index).map_or("?", |m| m.endpoint.name.as_str())
    }

    fn report(&self, index: usize, error: &EndpointError) -> String {
        format!("{}: {error}", self.name(index))
    }

    /// Asks all of `indices` at once; once k have answered, the others have only the grace period left.
    async fn ask(
        &self,
        indices: Vec<usize>,
        block: BlockNumberOrTag,
    ) -> Vec<(usize, Result<BlockRef, EndpointError>)> {
        let mut waiting: FuturesUnordered<_> = indices
            .iter()
            .filter_map(|index| self.members.get(*index).map(|member| (*index, member)))
            .map(|(index, member)| self.ask_one(member, block).map(move |answer| (index, answer)))
            .collect();
        let mut answers = Vec::new();
        let mut deadline = Instant::now() + self.times.request;
        let mut good = 0;
        while let Ok(Some((index, answer))) = timeout_at(deadline, waiting.next()).await {
            good += usize::from(answer.is_ok());
            answers.push((index, answer));
            if good == self.k {
                deadline = deadline.min(Instant::now() + self.times.grace);
            }
        }
        for index in indices {
            if !answers.iter().any(|(i, _)| *i == index) {
                answers.push((index, Err(EndpointError::Timeout)));
            }
        }
        answers
    }

    async fn ask_one(&self, member: &Member, block: BlockNumberOrTag) -> Result<BlockRef, EndpointError> {
        let answer = async {
            self.check_chain(member).await?;
            fetch(&member.endpoint.provider, block).await
        };
        timeout(self.times.request, answer).await.unwrap_or(Err(EndpointError::Timeout))
    }

    async fn check_chain(&self, member: &Member) -> Result<(), EndpointError> {
        if member.chain_checked.load(Ordering::Relaxed) {
            return Ok(());
        }
        let got =
            member.endpoint.provider.get_chain_id().await.map_err(|e| EndpointError::Rpc(e.to_string()))?;
        if got != self.chain_id {
            return Err(EndpointError::WrongChain { expected: self.chain_id, got });
        }
        member.chain_checked.store(true, Ordering::Relaxed);
        Ok(())
    }
}

async fn fetch(provider: &DynProvider, wanted: BlockNumberOrTag) -> Result<BlockRef, EndpointError> {
    let block = provider
        .get_block_by_number(wanted)
        .await
        .map_err(|e| EndpointError::Rpc(e.to_string()))?
        .ok_or_else(|| EndpointError::NoBlock(wanted.to_string()))?;
    let (claimed, header) = (block.header.hash, block.header.inner);
    // The height is trusted with the hash, so the hash must be that of a header with this height.
    let got = header.hash_slow();
    if got != claimed || wanted.as_number().is_some_and(|n| n != header.number) {
        return Err(EndpointError::WrongHeader { claimed, got });
    }
    Ok(BlockRef { number: header.number, hash: got })
}

impl HeaderSource for Quorum {
    fn finalized(&self) -> BoxFuture<'_, Result<BlockRef, HeaderError>> {
        Box::pin(self.newest(Kind::Finalized))
    }

    fn head(&self) -> BoxFuture<'_, Result<BlockRef, HeaderError>> {
        Box::pin(self.newest(Kind::Head))
    }
}
