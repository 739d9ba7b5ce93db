// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Everything that runs in the demo, and what the steps have learnt so far.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use alloy::primitives::{Address, B256};
use mandate_attestation::dev_pki::DevPki;
use mandate_devchain::{Config, DevChain, Server};
use mandate_guest::{Fetched, KeyClient, KeyError, Pinned};
use mandate_model::{
    deployment::Deployment,
    wire::{kms::NodeStatus, relayer::CommitteeView},
};
use mandate_runtime::{Ambient, http::Client};
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::{task::JoinHandle, time::Instant};

use super::{
    Options,
    actors::Actor,
    app::App,
    chain::{Chain, tell},
    guest::{DemoGuest, V2, compose},
    report::{Kind, Teller},
    services::Services,
    setting::{DOMAIN, VOTING_DELAY},
    steps::Vouched,
};
use crate::error::{CliError, Code, Result};

/// Between two blocks when nobody sends a transaction.
const BLOCK_TIME: Duration = Duration::from_millis(200);
/// How long the demo waits for a service to do its part.
const PATIENCE: Duration = Duration::from_secs(45);
/// Between two looks at a service.
const LOOK: Duration = Duration::from_millis(20);

/// The running demo.
#[derive(Debug)]
pub struct World {
    /// For sockets, databases and the config file.
    pub dir: PathBuf,
    pub(crate) ambient: Ambient,
    pub(crate) chain: Chain,
    pub(crate) pki: Arc<DevPki>,
    pub(crate) embedded_issuer: bool,
    pub(crate) deployment: Option<Deployment>,
    pub(crate) governor: Address,
    pub(crate) app: Address,
    pub(crate) services: Option<Services>,
    pub(crate) pinned: Option<Pinned>,
    pub(crate) secret: Option<Fetched>,
    /// The gateway's own app and code.
    pub(crate) gateway_app: (Address, B256),
    pub(crate) instances: Vec<App>,
    /// The registration of v2's instance.
    pub(crate) vouched: Option<Vouched>,
    /// From the guardian's transaction to the closed connection.
    pub revocation_effect: Option<Duration>,
    rpc: Server,
    ticker: JoinHandle<()>,
}

/// What the hints after `--keep` name.
#[derive(Debug)]
pub(crate) struct Play {
    pub(crate) app: Address,
    pub(crate) governor: Address,
    pub(crate) kms_auth: Address,
    pub(crate) domain: &'static str,
    pub(crate) code: B256,
    pub(crate) next_code: B256,
    pub(crate) developer: usize,
    pub(crate) voter: usize,
    pub(crate) voting_delay: Duration,
}

impl Drop for World {
    fn drop(&mut self) {
        self.ticker.abort();
    }
}

impl World {
    /// Step 1: the chain.
    pub(crate) async fn begin(options: Options, teller: &mut Teller<'_>) -> Result<Self> {
        let dev = DevChain::new(Config::default()).map_err(CliError::data)?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, options.rpc_port));
        let rpc = dev.serve(address).await.map_err(|e| {
            CliError::new(
                Code::Unavailable,
                format!("cannot serve the chain on {address}: {e}; --rpc-port names another port"),
            )
        })?;
        let facts = [
            ("chain_id", json!(dev.chain_id())),
            ("http", json!(rpc.http_url())),
            ("websocket", json!(rpc.ws_url())),
        ];
        let genesis = dev.head().number();
        teller.at(Kind::Done, "an in-process revm chain serves JSON-RPC", Some(genesis), None, &facts);
        let text = format!(
            "it finalises two blocks behind its head, and mines each transaction at once and a block every {} ms",
            BLOCK_TIME.as_millis()
        );
        teller.tell(Kind::Done, text);
        let ticker = tokio::spawn(tick(dev.clone()));
        let chain = Chain::new(dev)?;
        let paid = chain.pay(Actor::Deployer, Actor::Developer.address()).await?;
        tell(teller, Kind::Done, "its first transaction: the deployer gives the developer 1 ETH", &paid);
        Ok(Self {
            dir: options.dir,
            ambient: Ambient::system(),
            chain,
            // A fixed seed: this root signs nothing that anybody should believe.
            pki: Arc::new(DevPki::from_seed([7; 32])),
            embedded_issuer: options.embedded_issuer,
            deployment: None,
            governor: Address::ZERO,
            app: Address::ZERO,
            services: None,
            pinned: None,
            secret: None,
            gateway_app: Default::default(),
            instances: Vec::new(),
            vouched: None,
            revocation_effect: None,
            rpc,
            ticker,
        })
    }

    /// Names and addresses to play with once the story is told.
    pub(crate) fn play(&self) -> Play {
        Play {
            app: self.app,
            governor: self.governor,
            kms_auth: self.deployment.as_ref().map(|d| d.kms_auth).unwrap_or_default(),
            domain: DOMAIN,
            code: compose(V2).1,
            next_code: compose("v3").1,
            developer: Actor::Developer.index(),
            voter: Actor::Alice.index(),
            voting_delay: VOTING_DELAY,
        }
    }

    /// Stops every service and waits for it.
    pub async fn shutdown(mut self) {
        if let Some(services) = self.services.take() {
            services.shutdown().await;
        }
    }

    /// The chain's HTTP endpoint.
    pub fn rpc_url(&self) -> String {
        self.rpc.http_url()
    }

    /// The chain's WebSocket endpoint.
    pub fn ws_url(&self) -> String {
        self.rpc.ws_url()
    }

    pub(crate) fn deployment(&self) -> Result<&Deployment> {
        self.deployment.as_ref().ok_or_else(|| CliError::data("nothing is deployed yet"))
    }

    pub(crate) fn services(&self) -> Result<&Services> {
        self.services.as_ref().ok_or_else(|| CliError::data("no service runs yet"))
    }

    pub(crate) fn pinned(&self) -> Result<Pinned> {
        self.pinned.ok_or_else(|| CliError::data("there is no group key yet"))
    }

    /// A guest of the app with `code`.
    pub(crate) fn guest(&self, app: Address, code: B256) -> DemoGuest {
        DemoGuest::new(Arc::clone(&self.pki), Arc::clone(&self.ambient.clock), app, code)
    }

    /// The committee as the relayer tells it.
    pub(crate) async fn committee(&self) -> Result<CommitteeView> {
        let relayers = [self.services()?.relayer_url.clone()];
        KeyClient::new(&self.ambient).committee(&relayers, 0).await.map_err(CliError::refused)
    }

    /// `guest` asks the committee for its secret.
    pub(crate) async fn fetch(&self, guest: &DemoGuest) -> Result<std::result::Result<Fetched, KeyError>> {
        let client = KeyClient::new(&self.ambient).node_timeout(Duration::from_secs(5));
        Ok(client.fetch(&self.pinned()?, &self.committee().await?, 0, guest).await)
    }

    /// Waits until what is on chain now is final and every node has verified it.
    pub(crate) async fn settle(&self) -> Result<()> {
        let height = self.chain.dev.head().number();
        let Some(services) = &self.services else { return Ok(()) };
        for url in services.node_urls() {
            let status = || self.look::<NodeStatus>(format!("{url}/v1/node"));
            let done = |s: &NodeStatus| s.finalized >= height && s.fresh;
            self.until(&format!("node {url} to verify block {height}"), status, done).await?;
        }
        Ok(())
    }

    /// Asks a service, nothing when it does not answer.
    pub(crate) async fn look<T: DeserializeOwned>(&self, url: String) -> Option<T> {
        Client::new(Arc::clone(&self.ambient.net)).get_json(&url).await.ok()
    }

    /// Looks until `done`.
    pub(crate) async fn until<T, F>(
        &self,
        what: &str,
        look: impl Fn() -> F,
        done: impl Fn(&T) -> bool,
    ) -> Result<T>
    where
        F: Future<Output = Option<T>>,
    {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(seen) = look().await.filter(&done) {
                return Ok(seen);
            }
            if Instant::now() > deadline {
                return Err(CliError::unavailable(format!("waited {} s for {what}", PATIENCE.as_secs())));
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

async fn tick(chain: DevChain) {
    loop {
        tokio::time::sleep(BLOCK_TIME).await;
        chain.mine(1);
    }
}
