// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A chain, a relayer and as many nodes as are wanted, in one process and on loopback sockets.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use alloy::{
    primitives::{Address, B256, U256, aliases::U40},
    providers::{DynProvider, Provider},
    rpc::types::TransactionRequest,
    sol_types::SolCall,
    transports::BoxTransport,
};
use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt, future::BoxFuture, stream};
use mandate_attestation::{
    Evidence, Quoter, QuoterError,
    dev_pki::{DevGuest, DevPki},
};
use mandate_devchain::{Config as ChainSettings, DevChain};
use mandate_guest::{KeyClient, Pinned};
use mandate_kms::{Config as NodeConfig, Node, NodeKeys, Outside, Running, config::ChainConfig};
use mandate_model::{
    bindings::{AppAuth, AppInit, DomainRegistry, KmsAuth, KmsCommittee, Node as Registered, ReceiptAnchor},
    deployment::Deployment,
    wire::{kms::NodeStatus, relayer::CommitteeView},
};
use mandate_relayer::{
    Config as RelayerConfig, Service,
    chain::{EndpointSource, Endpoints},
};
use mandate_runtime::{Ambient, Clock, clock::SystemClock, config::Secret, http::Client, net::TcpNet};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// What every app of the town runs.
pub(super) const CODE: B256 = B256::repeat_byte(0x0c);
const GENESIS: u8 = 1;
/// Longer than any ceremony takes here: nobody is missing, so that no window is waited for.
const WINDOW: u64 = 100_000;
const POLL: Duration = Duration::from_millis(20);
const BLOCK: Duration = Duration::from_millis(50);
const LEASE: Duration = Duration::from_secs(24 * 3_600);
const PATIENCE: Duration = Duration::from_secs(120);
/// Transactions that are on their way at a time.
const AT_ONCE: usize = 64;

pub(super) struct Town {
    pub(super) chain: DevChain,
    pub(super) deployment: Deployment,
    pub(super) pki: Arc<DevPki>,
    pub(super) nodes: Vec<Running>,
    pub(super) relayer: String,
    wallet: DynProvider,
    http: Client,
    stop: CancellationToken,
    relaying: JoinHandle<()>,
    _dir: tempfile::TempDir,
}

impl Town {
    /// A chain with the contracts, a relayer, and `n` admitted nodes.
    pub(super) async fn found(n: u8) -> Result<Self> {
        let settings = ChainSettings { finalized_lag: 2, safe_lag: 1, ..ChainSettings::default() };
        let chain = DevChain::new(settings)?;
        let wallet = chain.wallet_provider();
        let deployment = deploy(&chain, &wallet).await?;
        let dir = tempfile::tempdir()?;
        let stop = CancellationToken::new();
        let (relayer, relaying) = relayer(&chain, &deployment, &dir, stop.clone()).await?;
        let mut town = Self {
            chain,
            deployment,
            pki: Arc::new(DevPki::from_seed([9; 32])),
            nodes: Vec::new(),
            relayer,
            wallet,
            http: Client::new(Arc::new(TcpNet)).timeout(PATIENCE),
            stop,
            relaying,
            _dir: dir,
        };
        for seed in 1..=n {
            let node = town.start(seed).await?;
            town.admit(seed, node.url()).await?;
            town.nodes.push(node);
        }
        town.chain.mine_every(BLOCK)?;
        Ok(town)
    }

    async fn start(&self, seed: u8) -> Result<Running> {
        let at = &self.deployment;
        let chain = ChainConfig::development(at.chain_id, at.kms_auth, at.committee);
        let data = self._dir.path().join(seed.to_string());
        let mut config = NodeConfig::development(loopback(), data, self.relayer.clone(), chain);
        (config.poll, config.lease) = (POLL, LEASE);
        // Every guest of a benchmark has the same address.
        config.nonces.per_peer = config.nonces.capacity;
        let outside = Outside {
            ambient: Ambient::system(),
            providers: vec![self.chain.provider().erased()],
            verifier: self.pki.trust_anchors().into(),
            quoter: None,
        };
        Ok(Node::start_with_keys(config, NodeKeys::from_seed([seed; 32])?, outside).await?)
    }

    async fn admit(&self, seed: u8, url: String) -> Result<()> {
        let keys = NodeKeys::from_seed([seed; 32])?;
        let node = Registered {
            nodeKey: keys.address(),
            operator: self.owner()?,
            dealingKey: keys.dealing_public(),
            sealingKey: keys.sealing_public(),
            url,
            evidenceDigest: B256::ZERO,
            admittedFrom: U40::ZERO,
            expiresAt: U40::from(self.chain.now() + 1_000_000_000),
            attestedUntil: U40::ZERO,
        };
        self.tell(self.deployment.committee, KmsCommittee::admitNodeCall { node_: node }).await
    }

    /// The first ceremony, from its opening to the moment at which every node holds its share. Every node has its lease before.
    pub(super) async fn genesis(&self) -> Result<Duration> {
        self.until(|status| status.fresh).await?;
        let window = U40::from(WINDOW);
        let call =
            KmsCommittee::openCeremonyCall { kind: GENESIS, dealWindow: window, confirmWindow: window };
        let begin = Instant::now();
        self.tell(self.deployment.committee, call).await?;
        self.until(|status| status.epoch == 1).await?;
        Ok(begin.elapsed())
    }

    /// Waits until every node says so of itself.
    async fn until(&self, is_so: impl Fn(&NodeStatus) -> bool) -> Result<()> {
        for node in &self.nodes {
            let (url, begin) = (format!("{}/v1/node", node.url()), Instant::now());
            while !is_so(&self.http.get_json::<NodeStatus>(&url).await?) {
                let problems = node.health().problems();
                ensure!(begin.elapsed() < PATIENCE, "node {} does not get there: {problems:?}", node.node());
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        Ok(())
    }

    /// So many apps that allow [`CODE`] on the development device.
    pub(super) async fn register(&self, apps: usize) -> Result<Vec<Address>> {
        let (owner, guest) = (self.owner()?, DevGuest::new(Address::ZERO, CODE));
        let kms_auth = self.deployment.kms_auth;
        let image =
            KmsAuth::scheduleOsImageCall { osImageHash: guest.os_image_hash(), sourceUri: String::new() };
        self.tell(kms_auth, image).await?;
        let init = AppInit {
            owner,
            guardian: owner,
            codeHashes: vec![CODE],
            devices: vec![guest.device_id()],
            teeKinds: vec![1],
            tcbFloor: 1,
            ..AppInit::default()
        };
        let policy = KmsAuth::new(kms_auth, &self.wallet);
        let ids = stream::iter(0..apps)
            .map(|n| {
                let (salt, init, policy) = (B256::from(U256::from(n)), init.clone(), &policy);
                async move {
                    let app = policy.predictApp(owner, salt).call().await?;
                    self.tell(kms_auth, KmsAuth::deployAndRegisterAppCall { init, salt }).await?;
                    anyhow::Ok(app)
                }
            })
            .buffered(AT_ONCE)
            .try_collect()
            .await?;
        self.settled().await?;
        Ok(ids)
    }

    /// Waits until the present head is final.
    async fn settled(&self) -> Result<()> {
        let head = self.chain.head().number();
        let finalized = alloy::eips::BlockNumberOrTag::Finalized;
        while self.chain.block(finalized).is_none_or(|block| block.number() < head) {
            tokio::time::sleep(BLOCK).await;
        }
        Ok(())
    }

    async fn tell(&self, to: Address, call: impl SolCall) -> Result<()> {
        let request = TransactionRequest::default().to(to).input(call.abi_encode().into());
        let receipt = self.wallet.send_transaction(request).await?.get_receipt().await?;
        ensure!(receipt.status(), "transaction {} failed", receipt.transaction_hash);
        Ok(())
    }

    fn owner(&self) -> Result<Address> {
        self.chain.accounts().first().copied().context("no account")
    }

    /// What guests were told together with their code.
    pub(super) async fn pinned(&self) -> Result<Pinned> {
        let committee = KmsCommittee::new(self.deployment.committee, &self.wallet);
        let epoch = committee.currentEpoch().call().await?;
        Ok(Pinned {
            chain_id: self.deployment.chain_id,
            kms_auth: self.deployment.kms_auth,
            committee: self.deployment.committee,
            group_key: epoch.groupKey.as_ref().try_into()?,
        })
    }

    /// The committee as the relayer shows it, once it has seen it.
    pub(super) async fn view(&self) -> Result<CommitteeView> {
        let (client, relayers) = (KeyClient::new(&Ambient::system()), [self.relayer.clone()]);
        let begin = Instant::now();
        loop {
            match client.committee(&relayers, 0).await {
                Ok(view) if view.epoch == 1 => return Ok(view),
                _ => ensure!(begin.elapsed() < PATIENCE, "the relayer shows no committee"),
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// A guest of this app.
    pub(super) fn guest(&self, app: Address) -> TownGuest {
        TownGuest { pki: self.pki.clone(), guest: DevGuest::new(app, CODE) }
    }

    pub(super) async fn shutdown(self) {
        for node in self.nodes {
            node.shutdown().await;
        }
        self.stop.cancel();
        let _ended = self.relaying.await;
    }
}

/// Proves itself by the development PKI, as if its hardware took no time.
#[derive(Debug, Clone)]
pub(super) struct TownGuest {
    pki: Arc<DevPki>,
    pub(super) guest: DevGuest,
}

impl Quoter for TownGuest {
    fn evidence(&self, report_data: [u8; 64]) -> BoxFuture<'_, Result<Evidence, QuoterError>> {
        let evidence = self.pki.evidence(&self.guest, report_data, SystemClock::new().unix());
        Box::pin(async move { Ok(evidence) })
    }
}

pub(super) fn loopback() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

async fn deploy(chain: &DevChain, wallet: &DynProvider) -> Result<Deployment> {
    let (owner, none) = (*chain.accounts().first().context("no account")?, U40::ZERO);
    let implementation = *AppAuth::deploy(wallet).await?.address();
    let kms_auth = *KmsAuth::deploy(wallet, implementation, owner, owner, none).await?.address();
    let committee = *KmsCommittee::deploy(wallet, owner, owner, none, none).await?.address();
    let domain_registry = *DomainRegistry::deploy(wallet, kms_auth, owner).await?.address();
    let anchor = *ReceiptAnchor::deploy(wallet, committee).await?.address();
    Ok(Deployment {
        chain_id: chain.chain_id(),
        kms_auth,
        app_implementation: implementation,
        committee,
        domain_registry,
        role_council: owner,
        governance_factory: None,
        receipt_anchor: Some(anchor),
        genesis_block: 1,
    })
}

async fn relayer(
    chain: &DevChain,
    deployment: &Deployment,
    dir: &tempfile::TempDir,
    stop: CancellationToken,
) -> Result<(String, JoinHandle<()>)> {
    let database = dir.path().join("relayer.sqlite");
    let mut config = RelayerConfig::new(loopback(), deployment.clone(), "http://127.0.0.1:1", database);
    config.chain.poll = POLL;
    let payer = chain.signers().pop().context("no account")?;
    config.signer.key = Some(Secret::new(hex::encode(payer.to_bytes())));
    let source = EndpointSource {
        name: "chain".to_owned(),
        transport: BoxTransport::new(chain.clone()),
        requests_per_second: None,
    };
    let endpoints =
        Endpoints::of_transports(vec![source], &config.chain, deployment.chain_id, Ambient::system())?;
    let service = Service::start(config, Ambient::system(), endpoints).await?;
    let url = format!("http://{}", service.address());
    Ok((url, tokio::spawn(service.run(stop))))
}
