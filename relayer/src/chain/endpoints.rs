// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The endpoints: each behind layers of its own, all of them as one provider, and k of them agreeing on what is final.
//!
//! ```text
//! provider ── Failover ─┬─ RetryBackoff ── Guard ── Link ── endpoint-1
//!                       └─ RetryBackoff ── Guard ── Link ── endpoint-2
//! ```
//! The provider is for whatever names its block or may be stale for a moment. Following reads endpoints one by one.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use alloy::{
    eips::BlockNumberOrTag,
    providers::{DynProvider, Provider, RootProvider},
    rpc::{
        client::{RpcClient, RpcClientInner},
        types::Header,
    },
    transports::{BoxTransport, TransportError, layers::RetryBackoffLayer},
};
use futures::{StreamExt, stream::FuturesUnordered};
use mandate_model::wire::BlockRef;
use mandate_runtime::Ambient;
use mandate_witness::{Endpoint, HeaderError, HeaderSource, Quorum, QuorumConfigError, QuorumTimes};
use thiserror::Error;
use tokio::sync::Notify;
use tower::Layer;

use crate::{config::ChainConfig, metrics};

mod failover;
mod guard;
mod heads;
mod health;
mod http;
mod link;
mod pace;
mod refusal;

pub(crate) use self::http::is_too_long;
pub(crate) use health::Health;
pub(crate) use refusal::{Meaning, meaning};

use failover::{Failover, ranked};
use guard::Guard;
use link::Link;
use pace::Pace;
use refusal::WhenTooOften;

/// Attempts after the first when an endpoint says "not so often".
const RETRIES: u32 = 2;
/// Milliseconds between them, where the endpoint does not say how long.
const BACKOFF: u64 = 200;
/// Requests over one connection have ids of their own, whoever makes them.
const POOL_IDS: u64 = 1 << 48;
/// How long the others are waited for once the first showed its head, or once enough agreed on finality.
const GRACE: Duration = Duration::from_millis(250);

/// One endpoint.
pub(crate) struct Member {
    pub(crate) health: Arc<Health>,
    pub(crate) provider: DynProvider,
    transport: BoxTransport,
    link: Link,
    /// Set while its subscription tells of heads, so that it need not be asked.
    watch: heads::Watch,
}

impl std::fmt::Debug for Member {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Member").field("health", &self.health).finish_non_exhaustive()
    }
}

impl Member {
    pub(crate) fn name(&self) -> &str {
        self.health.name()
    }

    /// Its newest header, as far as it showed one.
    pub(crate) fn tip(&self) -> Option<Header> {
        self.health.tip()
    }

    /// Its header at a height. The hash is checked to be the header's.
    pub(crate) async fn header(&self, at: BlockNumberOrTag) -> Result<Option<Header>, TransportError> {
        let block = self.provider.get_block_by_number(at).await?;
        Ok(block
            .map(|block| block.header)
            .filter(|header| is_whole(header) && at.as_number().is_none_or(|number| number == header.number)))
    }

    /// Takes note of a header that it showed as its newest.
    fn show(&self, header: Header) -> bool {
        if !is_whole(&header) {
            self.health.distrust("a header that does not have its hash");
            return false;
        }
        metrics::ENDPOINT_HEAD.set(header.number as f64, [self.name()]);
        self.health.set_tip(header)
    }
}

/// Whether a header has the hash under which it was sent.
pub(crate) fn is_whole(header: &Header) -> bool {
    header.inner.hash_slow() == header.hash
}

/// Why it is not certain which chain is followed.
#[derive(Debug, Error)]
pub enum ChainIdError {
    /// An endpoint serves another chain.
    #[error("{name} serves chain {found}, the deployment is on chain {expected}")]
    Other {
        /// Which endpoint.
        name: String,
        /// The configured chain.
        expected: u64,
        /// The endpoint's.
        found: u64,
    },
    /// Too few endpoints answer.
    #[error("only {answered} of the {needed} endpoints needed answer: {why}")]
    TooFew {
        /// How many do.
        answered: usize,
        /// The quorum.
        needed: usize,
        /// What the others say.
        why: String,
    },
}

/// How an endpoint is reached.
pub struct EndpointSource {
    /// For logs and metrics; holds no credentials.
    pub name: String,
    /// The connection.
    pub transport: BoxTransport,
    /// The most that it is asked.
    pub requests_per_second: Option<NonZeroU32>,
}

/// All endpoints.
#[derive(Debug, Clone)]
pub struct Endpoints(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    chain_id: u64,
    quorum: usize,
    members: Arc<[Arc<Member>]>,
    finality: Quorum,
    provider: DynProvider,
    wake: Arc<Notify>,
    ambient: Ambient,
    silent_after: Duration,
}

impl Endpoints {
    /// The endpoints of a configuration. Nothing is connected before it is needed.
    ///
    /// # Errors
    /// When the quorum is not possible.
    pub fn new(config: &ChainConfig, chain_id: u64, ambient: Ambient) -> Result<Self, QuorumConfigError> {
        let links = config.endpoints.iter().enumerate().map(|(index, endpoint)| {
            let link = Link::to(endpoint.url.clone(), config.max_answer);
            (config.name(index), link, endpoint.requests_per_second)
        });
        Self::build(links.collect(), config, chain_id, ambient)
    }

    /// Endpoints that are connected already: for a chain in the same process. Those of `config` are not used.
    ///
    /// # Errors
    /// When the quorum is not possible.
    pub fn of_transports(
        sources: Vec<EndpointSource>,
        config: &ChainConfig,
        chain_id: u64,
        ambient: Ambient,
    ) -> Result<Self, QuorumConfigError> {
        let links = sources
            .into_iter()
            .map(|source| (source.name, Link::ready(source.transport), source.requests_per_second));
        Self::build(links.collect(), config, chain_id, ambient)
    }

    fn build(
        links: Vec<(String, Link, Option<NonZeroU32>)>,
        config: &ChainConfig,
        chain_id: u64,
        ambient: Ambient,
    ) -> Result<Self, QuorumConfigError> {
        let alone = links.len() == 1;
        let local = links.iter().all(|(_, link, _)| link.is_local());
        let quorum = config.quorum.unwrap_or(links.len() / 2 + 1);
        let member = |(name, link, rate): (String, Link, Option<NonZeroU32>)| {
            let clock = || Arc::clone(&ambient.clock);
            let health = Arc::new(Health::new(name, alone, clock(), Arc::clone(&ambient.entropy)));
            let pace = rate.map(Pace::new);
            let guard = Guard::new(
                link.clone(),
                Arc::clone(&health),
                pace,
                config.request_timeout,
                chain_id,
                clock(),
            );
            // The rate is ours to keep (`Guard`); the layer's own budget of compute units is left open.
            let layer = RetryBackoffLayer::new_with_policy(RETRIES, BACKOFF, u64::MAX, WhenTooOften);
            let transport = BoxTransport::new(layer.layer(guard));
            let provider = RootProvider::new(RpcClient::new(transport.clone(), link.is_local())).erased();
            Arc::new(Member { health, provider, transport, link, watch: heads::Watch::new(clock()) })
        };
        let members: Arc<[Arc<Member>]> = links.into_iter().map(member).collect();
        let named = |member: &Arc<Member>| Endpoint {
            name: member.name().to_owned(),
            provider: member.provider.clone(),
        };
        let times = QuorumTimes { request: config.request_timeout, grace: GRACE };
        let finality = Quorum::new(chain_id, quorum, members.iter().map(named).collect())?.with_times(times);
        let pool = RpcClientInner::new(Failover(Arc::clone(&members)), local).with_id(POOL_IDS);
        let provider = RootProvider::new(RpcClient::from_inner(pool)).erased();
        let silent_after = config.silent_after;
        let wake = Arc::default();
        Ok(Self(Arc::new(Inner {
            chain_id,
            quorum,
            members,
            finality,
            provider,
            wake,
            ambient,
            silent_after,
        })))
    }

    pub(crate) fn ambient(&self) -> &Ambient {
        &self.0.ambient
    }

    /// All of them as one. A range of logs is refused here: see [`crate::chain::ChainReader::logs_between`].
    pub fn provider(&self) -> DynProvider {
        self.0.provider.clone()
    }

    /// How many must agree.
    pub fn quorum(&self) -> usize {
        self.0.quorum
    }

    /// Rung whenever an endpoint shows a new head.
    pub fn wake(&self) -> Arc<Notify> {
        Arc::clone(&self.0.wake)
    }

    pub(crate) fn members(&self) -> &[Arc<Member>] {
        &self.0.members
    }

    /// Those that may be asked, best first.
    pub(crate) fn ranked(&self) -> Vec<&Arc<Member>> {
        ranked(&self.0.members)
    }

    /// How many have not been caught in a lie lately, apart from one.
    pub(crate) fn trusted_but(&self, name: &str) -> usize {
        let others = self.0.members.iter().filter(|member| member.name() != name);
        others.filter(|member| member.health.is_trusted()).count()
    }

    /// Whether k endpoints serve our chain and none serves another.
    ///
    /// # Errors
    /// When one says that it serves another chain, or fewer than k answer.
    pub async fn check_chain(&self) -> Result<(), ChainIdError> {
        let ask = |member: &Arc<Member>| {
            let member = Arc::clone(member);
            async move { member.provider.get_chain_id().await.map_err(|e| format!("{}: {e}", member.name())) }
        };
        let answers = futures::future::join_all(self.0.members.iter().map(ask)).await;
        if let Some((name, found)) = self.strangers().into_iter().next() {
            return Err(ChainIdError::Other { name, expected: self.0.chain_id, found });
        }
        let failures: Vec<String> = answers.into_iter().filter_map(Result::err).collect();
        let (answered, needed) = (self.0.members.len() - failures.len(), self.0.quorum);
        match answered >= needed {
            true => Ok(()),
            false => Err(ChainIdError::TooFew { answered, needed, why: failures.join("; ") }),
        }
    }

    /// Endpoints that serve another chain now, with its id.
    pub(crate) fn strangers(&self) -> Vec<(String, u64)> {
        let stranger =
            |member: &Arc<Member>| member.health.wrong_chain().map(|found| (member.name().to_owned(), found));
        self.0.members.iter().filter_map(stranger).collect()
    }

    /// Asks every endpoint that does not tell by itself for its newest header, and waits until all have answered, but not
    /// long for the slow ones: they ring when they have.
    ///
    /// # Errors
    /// When nobody answered and no header is known.
    pub(crate) async fn refresh(&self) -> Result<(), TransportError> {
        let silent: Vec<_> =
            self.0.members.iter().filter(|member| !member.watch.is_live()).cloned().collect();
        let asked = silent.into_iter().filter_map(|member| self.ask_for_head(member));
        let mut waiting: FuturesUnordered<_> = asked.collect();
        let mut error = None;
        let mut deadline = None;
        while let Some(answer) = next_before(&mut waiting, deadline).await {
            match answer {
                Ok(Ok(())) => {
                    let at = || tokio::time::Instant::now() + GRACE;
                    deadline = Some(deadline.unwrap_or_else(at));
                }
                Ok(Err(failure)) => error = Some(failure),
                Err(_) => {}
            }
        }
        match error.filter(|_| self.0.members.iter().all(|member| member.tip().is_none())) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// In a task of its own, so that a slow answer is not lost; nothing while one is under way.
    fn ask_for_head(
        &self,
        member: Arc<Member>,
    ) -> Option<tokio::task::JoinHandle<Result<(), TransportError>>> {
        let asking = member.watch.asking()?;
        let wake = self.wake();
        Some(tokio::spawn(async move {
            let header = member.header(BlockNumberOrTag::Latest).await;
            drop(asking);
            if let Some(header) = header?
                && member.show(header)
            {
                wake.notify_one();
            }
            Ok(())
        }))
    }

    /// The newest block that k endpoints call final.
    ///
    /// # Errors
    /// When too few agree, or they contradict each other.
    pub async fn finalized(&self) -> Result<BlockRef, HeaderError> {
        self.0.finality.finalized().await
    }

    /// The contradiction about finality on which everything that is final stopped, for the operator.
    pub fn contradiction(&self) -> Option<mandate_witness::Contradiction> {
        self.0.finality.contradiction()
    }

    /// Trusts `newest` from now on, or whatever k endpoints say next.
    pub fn clear_contradiction(&self, newest: Option<BlockRef>) {
        self.0.finality.clear_contradiction(newest);
    }

    /// An operator has looked: everybody is trusted again until caught anew.
    pub(crate) fn forgive(&self) {
        self.0.members.iter().for_each(|member| member.health.forgive());
    }

    /// Which chain is followed.
    pub fn chain_id(&self) -> u64 {
        self.0.chain_id
    }

    /// What each trusted endpoint that answers has at `number`, best endpoint first.
    pub(crate) async fn headers_at(&self, number: u64) -> Vec<(Arc<Member>, Header)> {
        let ask = |member: &Arc<Member>| {
            let member = Arc::clone(member);
            async move {
                let header = member.header(number.into()).await.ok().flatten()?;
                Some((member, header))
            }
        };
        let trusted = self.ranked().into_iter().filter(|member| member.health.is_trusted());
        let answers = futures::future::join_all(trusted.map(ask)).await;
        answers.into_iter().flatten().collect()
    }
}

async fn next_before<F: Future + Unpin>(
    waiting: &mut FuturesUnordered<F>,
    deadline: Option<tokio::time::Instant>,
) -> Option<F::Output> {
    match deadline {
        None => waiting.next().await,
        Some(at) => tokio::time::timeout_at(at, waiting.next()).await.ok().flatten(),
    }
}
