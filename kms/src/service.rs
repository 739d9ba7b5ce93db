// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One node, from configuration to running tasks.

use std::{
    net::SocketAddr,
    os::unix::fs::DirBuilderExt,
    sync::{Arc, Mutex},
    time::Duration,
};

use alloy::{
    primitives::Address,
    providers::{DynProvider, Provider},
};
use futures::future::join_all;
use mandate_attestation::{TrustAnchors, Verifier};
use mandate_runtime::{
    Ambient,
    http::{Client, Health, serve},
    net::Listener,
    redact::without_urls,
};
use mandate_witness::{
    ChainSpec, Contradiction, Endpoint, Freshness, MAX_WITNESS, Quorum, QuorumConfigError,
};
use thiserror::Error;
use tokio::{sync::Notify, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    anchor::Anchoring,
    api::{self, Api},
    beacon::Beacon,
    ceremony::{Context, driver::Driver},
    chain::{Chain, ChainJudge, ChainParts, Judge, RelayerWitness},
    config::Config,
    keys::{KeyFileError, NodeKeys},
    node::{Loop, Progress},
    receipts::{ReceiptError, ReceiptLog},
    relayer::Relayer,
    release::{Releaser, ReleaserParts},
    revocation::Revocations,
    shares::Shares,
    store::{Owner, Store, StoreError},
};

/// How long the relayer may take for one answer.
const RELAYER_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the database may be in use after everything was told to stop.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long an endpoint may take to say which chain it serves.
const ENDPOINT_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a node did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The key file.
    #[error(transparent)]
    Keys(#[from] KeyFileError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The receipts.
    #[error(transparent)]
    Receipts(#[from] ReceiptError),
    /// The endpoints.
    #[error(transparent)]
    Quorum(#[from] QuorumConfigError),
    /// An endpoint serves another chain.
    #[error("rpc {index} serves chain {got}, this node is for chain {expected}")]
    WrongChain {
        /// Its place in the list.
        index: usize,
        /// The configured chain.
        expected: u64,
        /// What it serves.
        got: u64,
    },
    /// Not one endpoint answers.
    #[error("none of the {count} RPC endpoints answers; the first says: {first}")]
    NoEndpoint {
        /// How many there are.
        count: usize,
        /// What the first one said.
        first: String,
    },
    /// The address to listen on.
    #[error("cannot listen on {addr}: {source}")]
    Listen {
        /// Where.
        addr: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// A committee node.
#[derive(Debug)]
pub struct Node;

impl Node {
    /// Starts a node whose keys are in the configuration's key file, which is made when there is none.
    pub async fn start(
        config: Config,
        ambient: Ambient,
        providers: Vec<DynProvider>,
        verifier: impl Into<Verifier>,
    ) -> Result<Running, StartError> {
        let mut directory = std::fs::DirBuilder::new();
        directory
            .recursive(true)
            .mode(0o700)
            .create(&config.data_dir)
            .map_err(|source| StoreError::Directory { path: config.data_dir.clone(), source })?;
        let keys = NodeKeys::load_or_create(&config.key_path(), &*ambient.entropy)?;
        Self::start_with_keys(config, keys, ambient, providers, verifier).await
    }

    /// For the operator who has looked: lets a node that stopped on a contradiction about finality start again. What it was.
    pub fn clear_latch(config: &Config, ambient: &Ambient) -> Result<Option<Contradiction>, StartError> {
        let keys = NodeKeys::load_or_create(&config.key_path(), &*ambient.entropy)?;
        Ok(Store::open(&config.data_dir, &owner(config, &keys))?.clear_latch()?)
    }

    /// Starts a node with these keys.
    pub async fn start_with_keys(
        config: Config,
        keys: NodeKeys,
        ambient: Ambient,
        providers: Vec<DynProvider>,
        verifier: impl Into<Verifier>,
    ) -> Result<Running, StartError> {
        let listener = ambient.net.listen(config.listen).await;
        let refused = |source| StartError::Listen { addr: config.listen, source };
        let listener = listener.map_err(refused)?;
        let addr = listener.local_addr().map_err(refused)?;
        check_endpoints(&config, &providers).await?;
        let parts = Parts::build(&config, keys, ambient, providers, verifier.into())?;
        Ok(parts.run(listener, addr))
    }
}

/// A node that runs. Dropping it stops the node.
#[derive(Debug)]
pub struct Running {
    addr: SocketAddr,
    node: Address,
    health: Health,
    stop: CancellationToken,
    closed: CancellationToken,
    tasks: JoinSet<()>,
}

impl Running {
    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its base URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Its secp256k1 address, by which the committee knows it.
    pub fn node(&self) -> Address {
        self.node
    }

    /// What it says of itself at `/healthz`.
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// Fires when the node is to stop; fire it to stop the node.
    pub fn token(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Returns when the node has stopped.
    pub async fn wait(mut self) {
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a task of the node ended badly; stopping");
            }
            // The node is of one piece: without its loop, or without its API, it stops.
            self.stop.cancel();
        }
        // Work that cannot be broken off, a write for example, may still hold the database.
        if tokio::time::timeout(CLOSE_TIMEOUT, self.closed.cancelled()).await.is_err() {
            tracing::warn!(node = %self.node, "the database is still in use");
        }
    }

    /// Stops the node and waits until its data directory can be opened again.
    pub async fn shutdown(self) {
        self.stop.cancel();
        self.wait().await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Everything that runs.
struct Parts {
    node: Address,
    closed: CancellationToken,
    api: Arc<Api>,
    health: Health,
    looping: Loop,
}

impl Parts {
    fn build(
        config: &Config,
        keys: NodeKeys,
        ambient: Ambient,
        providers: Vec<DynProvider>,
        verifier: Verifier,
    ) -> Result<Self, StartError> {
        let (keys, chain) = (Arc::new(keys), &config.chain);
        let node = keys.address();
        let store = Store::open(&config.data_dir, &owner(config, &keys))?;
        let closed = store.closed();
        let (chain_id, committee) = (chain.chain_id, chain.committee);
        let context = Context { keys: keys.clone(), store: store.clone(), chain_id, committee };
        let dev_anchors = verifier.anchors().is_development();
        announce(node, verifier.anchors());
        let receipts = ReceiptLog::open(store.clone(), keys, context.domain(), dev_anchors)?;
        let client = Client::new(ambient.net.clone()).timeout(RELAYER_TIMEOUT);
        let relayer = Relayer::new(client.clone(), &config.relayer);
        let chain = open_chain(config, &ambient, providers, client, &store)?;
        let judge: Arc<dyn Judge> = Arc::new(ChainJudge(chain.clone()));
        let revocations = Revocations::open(store.clone(), judge.clone())?;
        let freshness = Arc::new(Mutex::new(Freshness::new(config.lease)));
        let (shares, progress, health) = (Shares::default(), Arc::<Progress>::default(), Health::new());
        let releaser = Releaser::new(ReleaserParts {
            node,
            chain_id,
            kms_auth: config.chain.kms_auth,
            verifier,
            ambient: ambient.clone(),
            nonces: config.nonces.limits(),
            judge,
            freshness: freshness.clone(),
            shares: shares.clone(),
            receipts: receipts.clone(),
            revocations: revocations.clone(),
        });
        let anchoring = Anchoring::new(
            config.chain.receipt_anchor,
            chain_id,
            chain.clone(),
            receipts.clone(),
            context.keys.clone(),
            ambient.clock.clone(),
        );
        let look = Arc::<Notify>::default();
        let api = Arc::new(Api {
            node,
            releaser,
            revocations: revocations.clone(),
            receipts: receipts.clone(),
            anchoring,
            look: look.clone(),
            shares: shares.clone(),
            freshness: freshness.clone(),
            progress: progress.clone(),
            clock: ambient.clock.clone(),
            dev_anchors,
            releases: Api::release_permits(),
            notices: Api::notice_permits(),
            strikes: Mutex::default(),
        });
        let beacon = Beacon::new(context.clone(), relayer.clone(), ambient.clone(), freshness.clone());
        let driver = Driver::new(context, chain.clone(), relayer, ambient.clone(), shares);
        let looping = Loop {
            node,
            poll: config.poll,
            ambient,
            chain,
            beacon,
            driver,
            revocations,
            receipts,
            store,
            freshness,
            progress,
            health: health.clone(),
            look,
            seen: None,
            noted: None,
        };
        Ok(Self { node, closed, api, health, looping })
    }

    fn run(self, listener: Listener, addr: SocketAddr) -> Running {
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let router = api::router(self.api, self.health.clone());
        tasks.spawn(serve(listener, router, stop.clone()));
        tasks.spawn(self.looping.run(stop.clone()));
        tracing::info!(node = %self.node, %addr, "the node runs");
        Running { addr, node: self.node, health: self.health, stop, closed: self.closed, tasks }
    }
}

fn owner(config: &Config, keys: &NodeKeys) -> Owner {
    let chain = &config.chain;
    let (chain_id, kms_auth, committee) = (chain.chain_id, chain.kms_auth, chain.committee);
    Owner { node: keys.address(), chain_id, kms_auth, committee }
}

/// Refuses what an operator must put right. An endpoint that is silent for the moment is not among that, all of them are.
async fn check_endpoints(config: &Config, providers: &[DynProvider]) -> Result<(), StartError> {
    let ask = |provider: &DynProvider| {
        let provider = provider.clone();
        async move {
            match tokio::time::timeout(ENDPOINT_TIMEOUT, provider.get_chain_id()).await {
                Ok(answer) => answer.map_err(|e| without_urls(&e.to_string()).into_owned()),
                Err(_) => Err("no answer in time".to_owned()),
            }
        }
    };
    let answers = join_all(providers.iter().map(ask)).await;
    let expected = config.chain.chain_id;
    for (index, answer) in answers.iter().enumerate() {
        match answer {
            Ok(got) if *got != expected => return Err(StartError::WrongChain { index, expected, got: *got }),
            Ok(_) => {}
            Err(error) => tracing::warn!(index, %error, "an RPC endpoint does not answer"),
        }
    }
    match answers.iter().find_map(|answer| answer.as_ref().err()) {
        Some(first) if answers.iter().all(Result::is_err) => {
            Err(StartError::NoEndpoint { count: answers.len(), first: first.clone() })
        }
        _ => Ok(()),
    }
}

/// Says under which anchors the node believes evidence, at every start.
fn announce(node: Address, anchors: &TrustAnchors) {
    if anchors.is_development() {
        tracing::warn!(%node, ?anchors, "DEVELOPMENT TRUST ANCHORS: evidence proves nothing about real hardware; every receipt says so");
    } else {
        tracing::info!(%node, ?anchors, "the vendors' own trust anchors");
    }
}

fn open_chain(
    config: &Config,
    ambient: &Ambient,
    providers: Vec<DynProvider>,
    client: Client,
    store: &Store,
) -> Result<Chain, StartError> {
    let endpoint = |(index, provider): (usize, &DynProvider)| Endpoint {
        name: format!("rpc {index}"),
        provider: provider.clone(),
    };
    let endpoints = providers.iter().enumerate().map(endpoint).collect();
    let mut headers = Quorum::new(config.chain.chain_id, config.chain.quorum, endpoints)?;
    if let Some(newest) = store.newest_final()? {
        headers = headers.starting_at(newest);
    }
    if let Some(contradiction) = store.latch()? {
        tracing::error!(%contradiction, "finality contradicted itself before this start; nothing is trusted until --clear-latch");
        headers = headers.latched(contradiction);
    }
    // A witness travels in hex inside of JSON.
    let client = client.max_body(2 * MAX_WITNESS + 4_096);
    Ok(Chain::new(ChainParts {
        headers: Arc::new(headers),
        relayer: RelayerWitness::new(client, &config.relayer),
        providers,
        // Validated with the configuration.
        spec: config.chain.spec().unwrap_or_else(|| ChainSpec::dev(config.chain.chain_id)),
        max_age: config.chain.max_age,
        clock: ambient.clock.clone(),
        kms_auth: config.chain.kms_auth,
        committee: config.chain.committee,
    }))
}
