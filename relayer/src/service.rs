// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The parts together: built from a configuration, started, and run until told to stop.

use std::{net::SocketAddr, sync::Arc};

use alloy::{
    primitives::Address,
    providers::{DynProvider, Provider},
    transports::TransportError,
};
use futures::future::FutureExt;
use mandate_runtime::{
    Ambient,
    http::{Client, Health, serve_with},
    net::Listener,
};
use thiserror::Error;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{
    api::{self, Api},
    approvals::Approvals,
    chain::{Bounds, ChainIdError, ChainReader, ChainView, Contracts, Endpoints, Follower, Latches},
    config::{Config, SignerError},
    effects::{
        Dispatcher, Outside,
        webhook::{WebhookError, Webhooks},
    },
    listing::Listing,
    mailbox::Mailbox,
    metrics,
    periodic::Periodic,
    redact::Redact,
    sender::Sender,
    store::{self, Store, StoreError},
    submissions::Submissions,
    witness::Witnesses,
};

mod following;

use following::Following;

/// Why a relayer did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The endpoints did not answer.
    #[error("chain.endpoints: {0}")]
    Rpc(String),
    /// An endpoint is of another chain.
    #[error("chain.endpoints: {name} serves chain {found}, the deployment is on chain {expected}")]
    WrongChain {
        /// Which endpoint.
        name: String,
        /// The configured chain.
        expected: u64,
        /// The endpoint's.
        found: u64,
    },
    /// A contract is not where the configuration says.
    #[error("deployment.{name}: there is no contract at {address}")]
    NoContract {
        /// Which one.
        name: &'static str,
        /// Where.
        address: Address,
    },
    /// No key.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// A webhook.
    #[error(transparent)]
    Webhook(#[from] WebhookError),
    /// The database.
    #[error("store: {0}")]
    Store(#[from] StoreError),
    /// The API's address cannot be bound.
    #[error("listen: cannot bind {addr}: {source}")]
    Bind {
        /// Which.
        addr: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
}

/// A relayer whose socket is bound and whose parts are connected.
pub struct Service {
    config: Config,
    ambient: Ambient,
    endpoints: Endpoints,
    provider: DynProvider,
    contracts: Contracts,
    store: Arc<dyn Store>,
    view: ChainView,
    latches: Latches,
    sender: Sender,
    webhooks: Webhooks,
    listener: Listener,
    address: SocketAddr,
    redact: Redact,
    health: Health,
}

impl Service {
    /// Checks the chain, opens the database and binds the socket. Nothing is sent before [`Service::run`].
    ///
    /// # Errors
    /// When something that it needs is missing or is not what the configuration says.
    pub async fn start(config: Config, ambient: Ambient, endpoints: Endpoints) -> Result<Self, StartError> {
        let signer = config.signer.signer()?;
        let contracts = Contracts::from(&config.deployment);
        let redact = Redact::all(config.chain.endpoints.iter().map(|endpoint| &endpoint.url));
        check_chain(&endpoints, &contracts, &redact).await?;
        let provider = endpoints.provider();
        let store = store::open(&config.store, &contracts, Arc::clone(&ambient.clock)).await?;
        let bind = |source| StartError::Bind { addr: config.listen, source };
        let listener = ambient.net.listen(config.listen).await.map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;
        let sender = Sender::new(
            contracts,
            ambient.clone(),
            provider.clone(),
            Arc::clone(&store),
            signer,
            config.sender.clone(),
            redact.clone(),
        )
        .telling(config.plan().webhooks);
        let webhooks = Webhooks::new(&config.webhooks, ambient.clone())?;
        Ok(Self {
            config,
            ambient,
            endpoints,
            provider,
            contracts,
            store,
            view: ChainView::default(),
            latches: Latches::default(),
            sender,
            webhooks,
            listener,
            address,
            redact,
            health: Health::new(),
        })
    }

    /// Where the API is served.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Who pays for transactions.
    pub fn payer(&self) -> Address {
        self.sender.address()
    }

    /// Ring it to look at the chain at once.
    pub fn wake(&self) -> Arc<Notify> {
        self.endpoints.wake()
    }

    /// What holds grants back.
    pub fn latches(&self) -> Latches {
        self.latches.clone()
    }

    /// What `/healthz` shows.
    pub fn health(&self) -> Health {
        self.health.clone()
    }

    /// Works until `stop` fires, then lets running requests end.
    pub async fn run(self, stop: CancellationToken) {
        tracing::info!(address = %self.address, payer = %self.payer(), chain = self.contracts.chain_id, "relayer runs");
        let (http_bell, chain_bell) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        metrics::describe();
        let clock = || Arc::clone(&self.ambient.clock);
        let caps = self.config.api.caps(clock());
        let router = api::router(Arc::new(self.api(&chain_bell, &stop)), caps, clock());
        let options = self.config.api.serve_options();
        let dispatcher = self.dispatcher(&http_bell, &chain_bell);
        let following = Following {
            follower: self.follower(),
            wake: self.endpoints.wake(),
            http_bell: Arc::clone(&http_bell),
            chain_bell: Arc::clone(&chain_bell),
            poll: self.config.chain.poll,
            stall_after: self.config.chain.stall_after,
            redact: self.redact.clone(),
            health: self.health.clone(),
            ambient: self.ambient.clone(),
        };
        let periodic = Periodic {
            contracts: self.contracts,
            store: Arc::clone(&self.store),
            view: self.view.clone(),
            clock: Arc::clone(&self.ambient.clock),
            anchor_every: self.config.effects.anchor_every,
            bell: Arc::clone(&http_bell),
        };
        let listing = Listing {
            contracts: self.contracts,
            store: Arc::clone(&self.store),
            client: Client::new(Arc::clone(&self.ambient.net)),
            gateways: self.config.gateways.clone(),
            every: self.config.effects.list_every,
            clock: Arc::clone(&self.ambient.clock),
            chain_bell: Arc::clone(&chain_bell),
        };
        tokio::join!(
            serve_with(self.listener, router, stop.clone(), options).boxed(),
            following.run(stop.clone()).boxed(),
            dispatcher.run(stop.clone()).boxed(),
            self.sender.run(chain_bell, self.config.chain.poll, self.health, stop.clone()).boxed(),
            periodic.run(stop.clone()).boxed(),
            listing.run(stop.clone()).boxed(),
            self.endpoints.watch_heads(stop.clone()).boxed(),
        );
        tracing::info!("relayer stopped");
    }

    fn follower(&self) -> Follower {
        let bounds =
            Bounds { reorg_window: self.config.chain.reorg_window, max_range: self.config.chain.max_range };
        Follower::new(
            self.contracts,
            ChainReader::new(self.endpoints.clone()),
            Arc::clone(&self.store),
            self.view.clone(),
            Arc::clone(&self.ambient.clock),
            self.config.gateways.iter().map(|url| url.trim_end_matches('/').to_owned()),
            bounds,
        )
        .planning(self.config.plan())
        .with_latches(self.latches.clone())
    }

    fn dispatcher(&self, bell: &Arc<Notify>, chain_bell: &Arc<Notify>) -> Dispatcher {
        Dispatcher {
            contracts: self.contracts,
            ambient: self.ambient.clone(),
            provider: self.provider.clone(),
            store: Arc::clone(&self.store),
            client: Client::new(Arc::clone(&self.ambient.net)),
            gateways: self.config.gateways.clone(),
            config: self.config.effects.clone(),
            outside: Outside {
                webhooks: Some(self.webhooks.clone()),
                subscriptions: self.config.plan().webhooks,
                governance: self.config.governance.clone(),
            },
            bell: Arc::clone(bell),
            chain_bell: Arc::clone(chain_bell),
        }
    }

    fn api(&self, chain_bell: &Arc<Notify>, stop: &CancellationToken) -> Api {
        let clock = || Arc::clone(&self.ambient.clock);
        let (contracts, mailbox) = (self.contracts, self.config.mailbox.clone());
        Api {
            contracts,
            provider: self.provider.clone(),
            store: Arc::clone(&self.store),
            mailbox: Mailbox::new(
                contracts,
                self.provider.clone(),
                Arc::clone(&self.store),
                self.view.clone(),
                clock(),
                mailbox.clone(),
                stop.clone(),
            ),
            approvals: Approvals::new(
                contracts,
                self.provider.clone(),
                Arc::clone(&self.store),
                self.view.clone(),
                clock(),
                self.config.approvals.clone(),
                self.payer(),
                Arc::clone(chain_bell),
            ),
            submissions: Submissions::new(
                contracts,
                self.provider.clone(),
                Arc::clone(&self.store),
                self.view.clone(),
                clock(),
                mailbox,
                Arc::clone(chain_bell),
            ),
            witnesses: Witnesses::new(
                self.provider.clone(),
                contracts.chain_id,
                self.config.api.clone(),
                clock(),
            ),
            proposals: api::Proposals::default(),
            time: api::BlockTime::default(),
            writable: api::Writable::new(clock()),
            depths: api::Depths::default(),
            health: self.health.clone(),
            redact: self.redact.clone(),
        }
    }
}

async fn check_chain(
    endpoints: &Endpoints,
    contracts: &Contracts,
    redact: &Redact,
) -> Result<(), StartError> {
    endpoints.check_chain().await.map_err(|error| match error {
        ChainIdError::Other { name, expected, found } => StartError::WrongChain { name, expected, found },
        other => StartError::Rpc(redact.text(other)),
    })?;
    let provider = endpoints.provider();
    let failed = |e: TransportError| StartError::Rpc(redact.text(e));
    for (name, address) in [
        ("kms_auth", contracts.kms_auth),
        ("committee", contracts.committee),
        ("domain_registry", contracts.domain_registry),
    ] {
        if provider.get_code_at(address).await.map_err(failed)?.is_empty() {
            return Err(StartError::NoContract { name, address });
        }
    }
    Ok(())
}
