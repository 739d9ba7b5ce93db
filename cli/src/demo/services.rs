// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The services of the demo: four KMS nodes, a relayer, a gateway and its agent, each on its own loopback sockets.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use alloy::{
    primitives::{Address, B256, FixedBytes, hex},
    providers::{DynProvider, Provider, ProviderBuilder},
    signers::local::PrivateKeySigner,
};
use mandate_acme::{AcmeConfig, AcmeIssuer, caa::guard::CaaMode, dns::Dns, keys::AgentKeys};
use mandate_gateway::{
    Gateway, IssuerFactory, Live, Parts, Settings,
    chain::VerifiedChain,
    provenance::{Agent, Deployed, Origin},
};
use mandate_guest::{Pinned, Quoter};
use mandate_kms::{Node, NodeKeys, Outside};
use mandate_model::{bindings::KmsAuth, compose::compose_hash, deployment::Deployment};
use mandate_relayer::{Config as RelayerConfig, config::EffectsConfig};
use mandate_runtime::{config::Secret, net::free_port};
use mandate_witness::{ChainSpec, Endpoint, Quorum, RpcWitnessSource, VerifiedReader};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{
    World,
    actors::Actor,
    guest::DemoGuest,
    issuer::EmbeddedIssuer,
    pebble::Pebble,
    setting::{BASE_DOMAIN, KMS_CODE, KMS_SALT},
};
use crate::{
    context::view,
    error::{CliError, Result},
};

/// How often a service looks at the chain.
const POLL: Duration = Duration::from_millis(100);
/// How long the gateway's agent serves its secret without a new proof. The chain's clock jumps in the story, this one does not.
const LEASE: Duration = Duration::from_secs(3_600);
/// How often the nodes' receipts are anchored.
const ANCHOR_EVERY: Duration = Duration::from_secs(5);
/// How many nodes there are: one of them may fail.
pub(crate) const NODES: u8 = 4;

const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A node's place: it can stop and come back.
#[derive(Debug)]
pub(crate) struct NodeSlot {
    pub(crate) config: mandate_kms::Config,
    seed: [u8; 32],
    pub(crate) running: Option<mandate_kms::Running>,
}

impl NodeSlot {
    /// Its keys. The seed is public: this committee keeps nothing of worth.
    pub(crate) fn keys(&self) -> Result<NodeKeys> {
        NodeKeys::from_seed(self.seed).map_err(CliError::data)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.config.listen)
    }

    async fn start(&mut self, world: &World, providers: Vec<DynProvider>) -> Result<()> {
        let outside = Outside {
            ambient: world.ambient.clone(),
            providers,
            verifier: world.pki.trust_anchors().into(),
            quoter: Some(Arc::new(kms_guest(world).await?)),
        };
        let started = Node::start_with_keys(self.config.clone(), self.keys()?, outside).await;
        let running = started.map_err(CliError::unavailable)?;
        self.config.listen = running.addr();
        self.running = Some(running);
        Ok(())
    }

    /// Stops it and waits for it.
    pub(crate) async fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.shutdown().await;
        }
    }

    /// Starts it again, on the same port and database, with these endpoints.
    pub(crate) async fn restart(&mut self, world: &World, providers: Vec<DynProvider>) -> Result<()> {
        self.stop().await;
        self.start(world, providers).await
    }
}

/// Everything that runs beside the chain.
#[derive(Debug)]
pub(crate) struct Services {
    pub(crate) nodes: Vec<NodeSlot>,
    pub(crate) relayer_url: String,
    pub(crate) gateway: mandate_gateway::Running,
    /// Which certificate authority there is.
    pub(crate) authority: &'static str,
    /// The root that clients trust.
    pub(crate) root_pem: String,
    pub(crate) gateway_socket: PathBuf,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
    _pebble: Option<Pebble>,
}

impl Drop for Services {
    fn drop(&mut self) {
        self.stop.cancel();
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Services {
    /// Starts all but the agents, which need the group key.
    pub(crate) async fn start(world: &World) -> Result<Self> {
        let deployment = world.deployment()?.clone();
        let gateway_socket = world.dir.join("gateway-agent.sock");
        let (gateway, authority, root_pem, pebble) =
            start_gateway(world, &deployment, &gateway_socket).await?;
        let (stop, mut tasks) = (CancellationToken::new(), Vec::new());
        let gateway_url = format!("http://{}", gateway.api_addr);
        let relayer = start_relayer(world, &deployment, gateway_url).await?;
        let relayer_url = format!("http://{}", relayer.address());
        tasks.push(tokio::spawn(relayer.run(stop.clone())));
        let mut nodes = Vec::new();
        for index in 1..=NODES {
            let mut slot = NodeSlot {
                config: node_config(&world.dir, index, &relayer_url, &deployment),
                seed: [index; 32],
                running: None,
            };
            slot.start(world, vec![rpc(&world.rpc_url())?]).await?;
            nodes.push(slot);
        }
        Ok(Self {
            nodes,
            relayer_url,
            gateway,
            authority,
            root_pem,
            gateway_socket,
            stop,
            tasks,
            _pebble: pebble,
        })
    }

    /// Stops everything and waits for it.
    pub(crate) async fn shutdown(mut self) {
        self.stop.cancel();
        for node in &mut self.nodes {
            node.stop().await;
        }
        for task in std::mem::take(&mut self.tasks) {
            // A service that panicked has said so.
            let _ = task.await;
        }
    }

    /// URLs of the nodes that run.
    pub(crate) fn node_urls(&self) -> impl Iterator<Item = String> {
        self.nodes.iter().filter(|n| n.running.is_some()).map(NodeSlot::url)
    }

    /// The gateway's API.
    pub(crate) fn gateway_url(&self) -> String {
        format!("http://{}", self.gateway.api_addr)
    }

    /// Starts the gateway's guest agent, whose measured configuration names `pinned`.
    pub(crate) async fn start_agent(
        &mut self,
        world: &super::World,
        pinned: &Pinned,
        quoter: Arc<dyn Quoter>,
    ) -> Result<()> {
        let config = mandate_guest::Config {
            socket: self.gateway_socket.clone(),
            operations: None,
            relayers: vec![self.relayer_url.clone()],
            generation: 0,
            lease: LEASE,
            retry: mandate_guest::config::RetryConfig { first: POLL, longest: Duration::from_secs(1) },
            chain: mandate_guest::config::ChainConfig {
                chain_id: pinned.chain_id,
                kms_auth: pinned.kms_auth,
                committee: pinned.committee,
                group_key: FixedBytes(pinned.group_key),
            },
            app: Default::default(),
            evidence: None,
            ingress: None,
            log: Default::default(),
        };
        let agent = mandate_guest::Service::start(config, world.ambient.clone(), quoter).await;
        let agent = agent.map_err(CliError::unavailable)?;
        let mut keys = agent.keys();
        self.tasks.push(tokio::spawn(agent.run(self.stop.clone())));
        let held = keys.wait_for(|state| matches!(state, mandate_guest::agent::KeyState::Held(_)));
        let held = tokio::time::timeout(Duration::from_secs(20), held).await;
        match held {
            Ok(Ok(_)) => Ok(()),
            _ => Err(CliError::unavailable("the gateway's agent got no secret within 20 s")),
        }
    }
}

/// A provider over real sockets.
pub(crate) fn rpc(url: &str) -> Result<DynProvider> {
    Ok(ProviderBuilder::new().connect_http(url.parse().map_err(CliError::data)?).erased())
}

fn node_config(dir: &Path, index: u8, relayer: &str, deployment: &Deployment) -> mandate_kms::Config {
    let mut chain = mandate_kms::config::ChainConfig::development(
        deployment.chain_id,
        deployment.kms_auth,
        deployment.committee,
    );
    chain.receipt_anchor = deployment.receipt_anchor;
    let data = dir.join(format!("node-{index}"));
    let mut config = mandate_kms::Config::development(ANY_PORT, data, relayer.to_owned(), chain);
    config.poll = POLL;
    config
}

async fn start_relayer(
    world: &World,
    deployment: &Deployment,
    gateway: String,
) -> Result<mandate_relayer::Service> {
    let signers = world.chain.dev.signers();
    let signer =
        signers.get(Actor::Relayer.index()).ok_or_else(|| CliError::data("no account for the relayer"))?;
    let mut chain = mandate_relayer::config::ChainConfig::new(&world.ws_url());
    chain.poll = POLL;
    let config = RelayerConfig {
        listen: ANY_PORT,
        gateways: vec![gateway],
        deployment: deployment.clone(),
        chain,
        store: mandate_relayer::config::StoreConfig::file(world.dir.join("relayer.sqlite")),
        signer: mandate_relayer::config::SignerConfig { key_file: None, key: Some(secret(signer)) },
        effects: EffectsConfig { anchor_every: ANCHOR_EVERY, ..EffectsConfig::default() },
        approvals: Default::default(),
        governance: Default::default(),
        webhooks: Vec::new(),
        sender: Default::default(),
        mailbox: Default::default(),
        api: Default::default(),
        log: Default::default(),
    };
    let ambient = world.ambient.clone();
    let endpoints =
        mandate_relayer::chain::Endpoints::new(&config.chain, deployment.chain_id, ambient.clone());
    let endpoints = endpoints.map_err(CliError::unavailable)?;
    mandate_relayer::Service::start(config, ambient, endpoints).await.map_err(CliError::unavailable)
}

/// The account's key, which everybody knows: it is the mnemonic's.
fn secret(signer: &PrivateKeySigner) -> Secret {
    Secret::new(hex::encode(signer.to_bytes()))
}

type StartedGateway = (mandate_gateway::Running, &'static str, String, Option<Pebble>);

async fn start_gateway(world: &World, deployment: &Deployment, socket: &Path) -> Result<StartedGateway> {
    // The authority must know the TLS port before the gateway has it.
    let tls_port = free_port().map_err(CliError::unavailable)?;
    let pebble = match world.embedded_issuer || !Pebble::is_installed() {
        true => None,
        false => Some(Pebble::start(&world.dir, tls_port).await.map_err(CliError::unavailable)?),
    };
    let keys = Arc::new(AgentKeys::new(Arc::clone(&world.ambient.net), socket));
    let (issuer, root_pem): (IssuerFactory, String) = match &pebble {
        Some(pebble) => {
            let extra_roots = CertificateDer::pem_slice_iter(pebble.ca_pem.as_bytes());
            let config = AcmeConfig {
                directory: pebble.directory_url.clone(),
                extra_roots: extra_roots.collect::<std::result::Result<_, _>>().map_err(CliError::data)?,
                issuer: "pebble.invalid".into(),
                timeout: Duration::from_secs(30),
                external_account: None,
                // The demo's names are nobody's, and neither is its authority.
                caa: CaaMode::Off,
            };
            let dns = Arc::new(Dns::new(Vec::new(), Vec::new(), Duration::ZERO, &world.ambient));
            let (keys, ambient) = (keys.clone(), world.ambient.clone());
            let factory: IssuerFactory = Box::new(move |challenges| {
                Ok(Arc::new(AcmeIssuer::new(config, keys, challenges, dns, ambient)?))
            });
            (factory, pebble.issuing_root_pem.clone())
        }
        None => {
            let embedded = EmbeddedIssuer::new()?;
            let root = embedded.root_pem().to_owned();
            (Box::new(move |_| Ok(Arc::new(embedded))), root)
        }
    };
    let authority =
        if pebble.is_some() { "Debian's pebble, by ACME (TLS-ALPN-01)" } else { "the embedded issuer" };
    let tls = SocketAddr::from((Ipv4Addr::LOCALHOST, tls_port));
    let mut settings = Settings::new(tls, ANY_PORT, BASE_DOMAIN.parse().map_err(CliError::data)?);
    settings.review = Duration::from_secs(1);
    let chain = Arc::new(verified_chain(world, deployment)?);
    let deployed = Deployed {
        chain_id: deployment.chain_id,
        kms_auth: deployment.kms_auth,
        domain_registry: deployment.domain_registry,
    };
    let agent = Some(Agent::new(Arc::clone(&world.ambient.net), socket));
    let parts = Parts {
        ambient: world.ambient.clone(),
        origin: Origin { deployed, agent },
        chain,
        verifier: world.pki.trust_anchors().into(),
        store: Default::default(),
        keys,
        issuer,
        admin: None,
        reload: None,
    };
    let mut live = Live::default();
    // The demo's apps are on this host.
    live.network.upstreams = vec!["127.0.0.0/8".parse().map_err(CliError::data)?];
    let gateway = Gateway::start(settings, live, parts).await.map_err(CliError::unavailable)?;
    Ok((gateway, authority, root_pem, pebble))
}

fn verified_chain(world: &World, deployment: &Deployment) -> Result<VerifiedChain> {
    let (provider, spec) = (rpc(&world.rpc_url())?, ChainSpec::dev(deployment.chain_id));
    let endpoint = Endpoint { name: "rpc".into(), provider: provider.clone() };
    let headers = Quorum::new(deployment.chain_id, 1, vec![endpoint]).map_err(CliError::data)?;
    let witnesses = RpcWitnessSource::new("rpc", provider, spec.clone());
    let reader = VerifiedReader::new(Arc::new(headers), Arc::new(witnesses), spec);
    let chain = VerifiedChain::new(reader, deployment.kms_auth, deployment.domain_registry);
    Ok(chain.with_committee(Some(deployment.committee)))
}

/// What a node runs: the KMS's own app, whose address is known before it is deployed.
async fn kms_guest(world: &World) -> Result<DemoGuest> {
    let (reader, salt) = (world.chain.reader(), B256::with_last_byte(KMS_SALT));
    let kms_auth = KmsAuth::new(world.deployment()?.kms_auth, &reader);
    let deployer = Actor::Deployer.address();
    let app = view::<_, _, KmsAuth::KmsAuthErrors>(kms_auth.predictApp(deployer, salt)).await?;
    Ok(world.guest(app, compose_hash(KMS_CODE)))
}

/// A node's address and where it is reached.
pub(crate) fn admission(
    slot: &NodeSlot,
    operator: Address,
    expires_at: u64,
) -> Result<mandate_model::bindings::Node> {
    use alloy::primitives::aliases::U40;
    let keys = slot.keys()?;
    Ok(mandate_model::bindings::Node {
        nodeKey: keys.address(),
        operator,
        dealingKey: keys.dealing_public(),
        sealingKey: keys.sealing_public(),
        url: slot.url(),
        evidenceDigest: B256::ZERO,
        admittedFrom: U40::ZERO,
        expiresAt: U40::from(expires_at),
        attestedUntil: U40::ZERO,
    })
}
