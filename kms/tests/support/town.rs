// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A development chain with the contracts, a carrier in the relayer's place, and nodes on loopback sockets.

#![allow(dead_code, unreachable_pub)]

pub mod asking;
pub mod carrier;
pub mod doomed;
pub mod members;
pub mod seized;
pub mod villain;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use alloy::{
    primitives::{Address, B256, aliases::U40},
    providers::{DynProvider, Provider},
};
use carrier::Carrier;
use mandate_attestation::{
    TrustAnchors,
    dev_pki::{DevGuest, DevPki},
};
use mandate_devchain::{Config as ChainSettings, DevChain};
use mandate_kms::{
    Config, Node, NodeKeys, Outside, Running, StartError,
    config::ChainConfig,
    store::{Owner, Store},
};
use mandate_model::{
    bindings::{AppAuth, AppInit, KmsAuth, KmsCommittee},
    wire::{kms::NodeStatus, relayer::LetterKind},
};
use mandate_runtime::{
    Ambient, Clock, Net,
    clock::SystemClock,
    entropy::SeededEntropy,
    http::{Client, serve},
    net::TcpNet,
};
use tokio_util::sync::CancellationToken;

pub const CODE: B256 = B256::repeat_byte(0x0c);
const YEAR: u64 = 365 * 24 * 3_600;

/// Everything that a node needs around it.
pub struct Town {
    pub chain: DevChain,
    pub provider: DynProvider,
    pub kms_auth: Address,
    pub committee: Address,
    pub carrier: Arc<Carrier>,
    pub pki: Arc<DevPki>,
    pub client: Client,
    /// What each node proves that it runs; nothing for those that bring no evidence.
    guests: Mutex<HashMap<u8, DevGuest>>,
    relayer: String,
    dirs: tempfile::TempDir,
    _stop: tokio_util::sync::DropGuard,
}

impl Town {
    /// A committee whose owner's word is enough.
    pub async fn found() -> Self {
        Self::found_with(0).await
    }

    /// A committee whose members must vouch for each other, for so many seconds.
    pub async fn found_with(attestation_period: u64) -> Self {
        let chain = DevChain::new(ChainSettings::default()).unwrap();
        let provider = chain.wallet_provider();
        let owner = chain.accounts()[0];
        let implementation = *AppAuth::deploy(&provider).await.unwrap().address();
        let policy = KmsAuth::deploy(&provider, implementation, owner, owner, U40::ZERO).await.unwrap();
        let (none, period) = (U40::ZERO, U40::from(attestation_period));
        let committee = KmsCommittee::deploy(&provider, owner, owner, none, period).await.unwrap();
        let committee = *committee.address();
        let carrier = Arc::new(Carrier::new(chain.clone(), provider.clone(), committee));
        let listener = TcpNet.listen(super::loopback()).await.unwrap();
        let relayer = format!("http://{}", listener.local_addr().unwrap());
        let stop = CancellationToken::new();
        tokio::spawn(serve(listener, carrier::routes(carrier.clone()), stop.clone()));
        chain.mine_every(Duration::from_millis(50)).unwrap();
        Self {
            kms_auth: *policy.address(),
            chain,
            provider,
            committee,
            carrier,
            pki: Arc::new(DevPki::from_seed([9; 32])),
            client: Client::new(Arc::new(TcpNet)).timeout(Duration::from_secs(60)),
            guests: Mutex::default(),
            relayer,
            dirs: tempfile::tempdir().unwrap(),
            _stop: stop.drop_guard(),
        }
    }

    pub fn keys(n: u8) -> NodeKeys {
        NodeKeys::from_seed([n; 32]).unwrap()
    }

    pub fn data_dir(&self, n: u8) -> std::path::PathBuf {
        self.dirs.path().join(n.to_string())
    }

    pub fn config(&self, n: u8) -> Config {
        let chain = ChainConfig::development(self.chain.chain_id(), self.kms_auth, self.committee);
        let mut config =
            Config::development(super::loopback(), self.data_dir(n), self.relayer.clone(), chain);
        config.poll = Duration::from_millis(50);
        config.lease = Duration::from_secs(60);
        config
    }

    pub async fn start(&self, n: u8) -> Running {
        self.start_with(n, self.config(n), Arc::new(SystemClock::new())).await
    }

    pub async fn start_with(&self, n: u8, config: Config, clock: Arc<dyn Clock>) -> Running {
        self.starting(n, config, clock).await.unwrap()
    }

    /// A start that any runtime can run.
    fn starting(
        &self,
        n: u8,
        config: Config,
        clock: Arc<dyn Clock>,
    ) -> impl Future<Output = Result<Running, StartError>> + Send + use<> {
        let entropy =
            Arc::new(SeededEntropy::from_u64(u64::from(n) + 1_000 * clock.monotonic().as_nanos() as u64));
        let ambient = Ambient { clock, entropy, net: Arc::new(TcpNet) };
        let outside = Outside {
            ambient,
            providers: vec![self.chain.provider().erased()],
            verifier: self.pki.trust_anchors().into(),
            quoter: self.quoter(n),
        };
        Node::start_with_keys(config, Self::keys(n), outside)
    }

    /// Starts a node that asks these chains, all of which must agree, and believes these anchors.
    pub async fn start_that_asks(&self, n: u8, chains: &[&DevChain], anchors: TrustAnchors) -> Running {
        let mut config = self.config(n);
        config.chain.quorum = chains.len();
        let clock = Arc::new(SystemClock::new());
        let entropy = Arc::new(SeededEntropy::from_u64(clock.monotonic().as_nanos() as u64));
        let ambient = Ambient { clock, entropy, net: Arc::new(TcpNet) };
        let providers = chains.iter().map(|chain| chain.provider().erased()).collect();
        let outside = Outside { ambient, providers, verifier: anchors.into(), quoter: None };
        Node::start_with_keys(config, Self::keys(n), outside).await.unwrap()
    }

    /// Registers the nodes and opens the first ceremony.
    pub async fn open_genesis(&self, nodes: &[u8]) {
        self.admit(nodes).await;
        self.open_ceremony(1).await;
    }

    /// Registers nodes.
    pub async fn admit(&self, nodes: &[u8]) {
        for n in nodes {
            self.admit_at(*n, String::new()).await;
        }
    }

    /// Opens a ceremony of this kind.
    pub async fn open_ceremony(&self, kind: u8) {
        let window = U40::from(100_000);
        let committee = KmsCommittee::new(self.committee, &self.provider);
        self.mined(committee.openCeremony(kind, window, window).into_transaction_request()).await;
    }

    /// The database of a node that does not run.
    pub fn store(&self, n: u8) -> Store {
        let (node, chain_id) = (Self::keys(n).address(), self.chain.chain_id());
        let owner = Owner { node, chain_id, kms_auth: self.kms_auth, committee: self.committee };
        Store::open(&self.data_dir(n), &owner).unwrap()
    }

    /// Allows the OS image, once.
    async fn allow_image(&self, hash: B256) {
        let policy = KmsAuth::new(self.kms_auth, &self.provider);
        if policy.osImageState(hash).call().await.unwrap().state == 0 {
            self.mined(policy.scheduleOsImage(hash, String::new()).into_transaction_request()).await;
        }
    }

    /// Registers an app that allows `CODE` on the development device, and answers its id.
    pub async fn register_app(&self) -> Address {
        self.allow_image(DevGuest::new(Address::ZERO, CODE).os_image_hash()).await;
        self.register(B256::ZERO).await
    }

    /// Registers a second one.
    pub async fn register_another_app(&self) -> Address {
        self.register(B256::repeat_byte(1)).await
    }

    async fn register(&self, salt: B256) -> Address {
        let (image, owner) = (DevGuest::new(Address::ZERO, CODE), self.chain.accounts()[0]);
        let init = AppInit {
            owner,
            guardian: owner,
            notice: U40::ZERO,
            codeHashes: vec![CODE],
            devices: vec![image.device_id()],
            anyDevice: false,
            teeKinds: vec![1],
            tcbFloor: 1,
            ..AppInit::default()
        };
        let policy = KmsAuth::new(self.kms_auth, &self.provider);
        let app = policy.predictApp(owner, salt).call().await.unwrap();
        self.mined(policy.deployAndRegisterApp(init, salt).into_transaction_request()).await;
        app
    }

    pub async fn mined(&self, request: alloy::rpc::types::TransactionRequest) -> u64 {
        let receipt = self.provider.send_transaction(request).await.unwrap().get_receipt().await.unwrap();
        assert!(receipt.status(), "the transaction failed");
        receipt.block_number.unwrap()
    }

    pub async fn status(&self, node: &Running) -> NodeStatus {
        self.client.get_json(&format!("{}/v1/node", node.url())).await.unwrap()
    }

    /// Waits for what has no other sign than the node's own word.
    pub async fn until(&self, node: &Running, what: &str, is_so: impl Fn(&NodeStatus) -> bool) {
        let reached = async {
            while !is_so(&self.status(node).await) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        if tokio::time::timeout(Duration::from_secs(90), reached).await.is_err() {
            panic!("{what}: {:?}, {:?}", self.status(node).await, node.health().problems());
        }
    }

    /// Waits until this many acknowledgements are under way.
    pub async fn until_acknowledged(&self, acks: usize) {
        let count = || self.carrier.letters().iter().filter(|l| l.kind == LetterKind::Ack).count();
        self.patiently("acknowledgements", async || count() >= acks).await;
    }

    /// Waits until the dealer logs of `dealers` of the first round are on chain.
    pub async fn until_posted(&self, dealers: &[u8]) {
        self.patiently("dealer logs", async || {
            let posted = self.posted(1, dealers).await;
            posted.len() == dealers.len()
        })
        .await;
    }

    /// Who of `dealers` has a log of `round` on chain.
    pub async fn posted(&self, round: u64, dealers: &[u8]) -> Vec<u8> {
        let committee = KmsCommittee::new(self.committee, &self.provider);
        let mut posted = Vec::new();
        for n in dealers {
            if !committee.dealerLog(round, Self::keys(*n).address()).call().await.unwrap().is_zero() {
                posted.push(*n);
            }
        }
        posted
    }

    /// Lets the chain's time pass and waits until that is final.
    pub async fn pass(&self, seconds: u64) {
        self.chain.increase_time(seconds);
        self.chain.mine(1);
        self.final_block(self.chain.head().number()).await;
    }

    /// Waits for what nothing tells but a look.
    pub async fn patiently(&self, what: &str, mut is_so: impl AsyncFnMut() -> bool) {
        let reached = async {
            while !is_so().await {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(90), reached).await.unwrap_or_else(|_| panic!("no {what}"));
    }

    pub async fn final_block(&self, number: u64) {
        while self.chain.block(alloy::eips::BlockNumberOrTag::Finalized).is_none_or(|b| b.number() < number) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
