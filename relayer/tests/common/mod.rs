// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A chain with the contracts, two nodes, an app, and what tests do with them.

#![allow(dead_code, unreachable_pub)]

pub mod database;
pub mod dying;
pub mod dying_chain;
pub mod proxy;
pub mod random_events;
pub mod scripts;

use std::{collections::BTreeSet, path::Path, sync::Arc, time::Duration};

use alloy::{
    primitives::{Address, B256, Bytes, keccak256},
    providers::{DynProvider, Provider},
    rpc::types::TransactionReceipt,
    signers::{SignerSync, local::PrivateKeySigner},
    sol_types::SolStruct,
    transports::BoxTransport,
};
use mandate_devchain::{Config as ChainConfig, DevChain, Mining};
use mandate_model::{
    bindings::{AppAuth, AppInit, DomainRegistry, KmsAuth, KmsCommittee, Node},
    deployment::Deployment,
    signed,
    wire::relayer::{Letter, LetterKind, Submission},
};
use mandate_relayer::{
    Config, Retry,
    chain::{Bounds, ChainReader, ChainView, Contracts, EndpointSource, Endpoints, Follower},
    config::ChainConfig as EndpointsConfig,
    store::{EffectState, OutboxEntry, OutboxQuery, SqliteStore, Store},
};
use mandate_runtime::{Ambient, config::Secret};

pub struct World {
    pub chain: DevChain,
    pub wallet: DynProvider,
    pub deployment: Deployment,
    pub nodes: Vec<PrivateKeySigner>,
    pub app: Address,
}

pub fn key(n: u8) -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&B256::repeat_byte(n)).unwrap()
}

pub fn code(n: u8) -> B256 {
    B256::repeat_byte(n)
}

/// The contracts, two nodes at the given URLs, one app with code hashes 1 to 9.
pub async fn world(finalized_lag: u64, urls: [&str; 2]) -> World {
    let config = ChainConfig { finalized_lag, safe_lag: finalized_lag / 2, ..ChainConfig::default() };
    let chain = DevChain::new(config).unwrap();
    let wallet = chain.wallet_provider();
    let deployment = deploy(chain.chain_id(), chain.accounts()[0], &wallet).await;
    let nodes = vec![key(0x51), key(0x52)];
    for (node, url) in nodes.iter().zip(urls) {
        admit(&wallet, &deployment, node.address(), url).await;
    }
    let app = register_app(&wallet, &deployment, 1).await;
    World { chain, wallet, deployment, nodes, app }
}

pub async fn deploy(chain_id: u64, owner: Address, wallet: &DynProvider) -> Deployment {
    let notice = "1".parse().unwrap();
    let implementation = *AppAuth::deploy(wallet).await.unwrap().address();
    let kms_auth = *KmsAuth::deploy(wallet, implementation, owner, owner, notice).await.unwrap().address();
    let committee =
        *KmsCommittee::deploy(wallet, owner, owner, notice, Default::default()).await.unwrap().address();
    let registry = DomainRegistry::deploy(wallet, kms_auth, owner).await.unwrap();
    sent(registry.setRecorder(payer().address(), true).send().await.unwrap()).await;
    Deployment {
        chain_id,
        kms_auth,
        app_implementation: implementation,
        committee,
        domain_registry: *registry.address(),
        governance_factory: None,
        receipt_anchor: None,
        role_council: owner,
        genesis_block: 1,
    }
}

pub async fn sent(
    pending: alloy::providers::PendingTransactionBuilder<alloy::network::Ethereum>,
) -> TransactionReceipt {
    let receipt = pending.get_receipt().await.unwrap();
    assert!(receipt.status());
    receipt
}

pub async fn admit(wallet: &DynProvider, deployment: &Deployment, node_key: Address, url: &str) {
    let node = Node {
        nodeKey: node_key,
        operator: node_key,
        dealingKey: keccak256([node_key.as_slice(), b"d"].concat()),
        sealingKey: keccak256([node_key.as_slice(), b"s"].concat()),
        url: url.to_owned(),
        evidenceDigest: B256::repeat_byte(1),
        admittedFrom: Default::default(),
        expiresAt: "1000000000000".parse().unwrap(),
        attestedUntil: Default::default(),
    };
    sent(KmsCommittee::new(deployment.committee, wallet).admitNode(node).send().await.unwrap()).await;
}

pub async fn register_app(wallet: &DynProvider, deployment: &Deployment, salt: u8) -> Address {
    let owner = wallet.get_accounts().await.unwrap()[0];
    let init = AppInit {
        owner,
        guardian: owner,
        notice: "1".parse().unwrap(),
        codeHashes: (1..=9).map(code).collect(),
        devices: Vec::new(),
        anyDevice: true,
        teeKinds: vec![1],
        tcbFloor: 1,
        ..AppInit::default()
    };
    let auth = KmsAuth::new(deployment.kms_auth, wallet);
    let salt = B256::repeat_byte(salt);
    let app = auth.predictApp(owner, salt).call().await.unwrap();
    sent(auth.deployAndRegisterApp(init, salt).send().await.unwrap()).await;
    app
}

/// The key that pays: the last of the chain's accounts.
pub fn payer() -> PrivateKeySigner {
    use alloy::signers::local::{MnemonicBuilder, coins_bip39::English};
    let builder =
        MnemonicBuilder::<English>::default().phrase(mandate_devchain::JUNK_MNEMONIC).index(9).unwrap();
    builder.build().unwrap()
}

impl World {
    pub fn provider(&self) -> DynProvider {
        self.chain.provider().erased()
    }

    /// The chain itself as the only endpoint.
    pub fn endpoints(&self) -> Endpoints {
        self.endpoints_of(vec![("chain", BoxTransport::new(self.chain.clone()))], 1, Ambient::system())
    }

    /// Endpoints over transports, of which `quorum` must agree.
    pub fn endpoints_of(
        &self,
        transports: Vec<(&str, BoxTransport)>,
        quorum: usize,
        ambient: Ambient,
    ) -> Endpoints {
        let mut config = EndpointsConfig::with_endpoints([]);
        config.quorum = Some(quorum);
        config.request_timeout = Duration::from_secs(1);
        let source = |(name, transport): (&str, BoxTransport)| EndpointSource {
            name: name.to_owned(),
            transport,
            requests_per_second: None,
        };
        let sources = transports.into_iter().map(source).collect();
        Endpoints::of_transports(sources, &config, self.deployment.chain_id, ambient).unwrap()
    }

    pub fn contracts(&self) -> Contracts {
        Contracts::from(&self.deployment)
    }

    pub async fn store(&self, path: &Path) -> Arc<dyn Store> {
        Arc::new(SqliteStore::open(path, &self.contracts(), Ambient::system().clock).await.unwrap())
    }

    pub async fn memory(&self) -> Arc<dyn Store> {
        Arc::new(SqliteStore::in_memory(&self.contracts(), Ambient::system().clock).await.unwrap())
    }

    pub fn follower(&self, store: Arc<dyn Store>) -> Follower {
        self.follower_with(store, ChainView::default(), Bounds { reorg_window: 64, max_range: 50 })
    }

    pub fn follower_with(&self, store: Arc<dyn Store>, view: ChainView, bounds: Bounds) -> Follower {
        let reader = ChainReader::new(self.endpoints());
        let gateways = ["http://gateway:1".to_owned()];
        Follower::new(self.contracts(), reader, store, view, Ambient::system().clock, gateways, bounds)
    }

    pub async fn revoke(&self, app: Address, code_hash: B256) -> TransactionReceipt {
        sent(AppAuth::new(app, &self.wallet).revokeCode(code_hash, false).send().await.unwrap()).await
    }

    pub async fn approve(&self, name: &str) -> TransactionReceipt {
        let registry = DomainRegistry::new(self.deployment.domain_registry, &self.wallet);
        sent(registry.approveDomain(name.to_owned(), self.app).send().await.unwrap()).await
    }

    pub fn sign(&self, by: &PrivateKeySigner, message: &impl SolStruct) -> Bytes {
        let hash = message.eip712_signing_hash(&self.contracts().signing_domain());
        by.sign_hash_sync(&hash).unwrap().as_bytes().into()
    }

    pub fn letter(&self, from: &PrivateKeySigner, to: Address, round: u64, body: &[u8]) -> Letter {
        let message = signed::Letter { to, round, kind: "dealing".to_owned(), bodyHash: keccak256(body) };
        Letter {
            from: from.address(),
            to,
            round,
            kind: LetterKind::Dealing,
            body: Bytes::copy_from_slice(body),
            signature: self.sign(from, &message),
        }
    }

    pub fn nonce(&self, node: &PrivateKeySigner, n: u8) -> Submission {
        let nonce = B256::repeat_byte(n);
        Submission::Nonce {
            node: node.address(),
            nonce,
            signature: self.sign(node, &signed::Nonce { nonce }),
        }
    }

    /// Lets the next transactions wait for a block, or be mined at once again.
    pub fn automine(&self, on: bool) {
        self.chain.set_mining(if on { Mining::Auto } else { Mining::Manual }).unwrap();
    }

    /// A service's configuration with the given gateways.
    pub fn config(&self, dir: &Path, gateways: &[String]) -> Config {
        let listen = ([127, 0, 0, 1], 0).into();
        let mut config =
            Config::new(listen, self.deployment.clone(), "http://127.0.0.1:1", dir.join("relayer.sqlite"));
        config.gateways = gateways.to_vec();
        config.chain.poll = Duration::from_millis(20);
        config.signer.key = Some(Secret::new(payer().to_bytes().to_string()));
        config.effects.retry = Retry { first: Duration::from_millis(5), most: Duration::from_millis(40) };
        config.effects.attempts = 1_000;
        config
    }
}

/// Ticks until nothing is new.
pub async fn settle(follower: &mut Follower) {
    for _ in 0..50 {
        let ticked = follower.tick().await.unwrap();
        if ticked.blocks == 0 && ticked.rolled_back == 0 && !ticked.unfinished {
            return;
        }
    }
    panic!("the follower never comes to rest");
}

/// Everything that waits.
pub async fn waiting(store: &Arc<dyn Store>) -> Vec<OutboxEntry> {
    let query = OutboxQuery { state: Some(EffectState::Pending), limit: 10_000, ..OutboxQuery::default() };
    store.outbox(query).await.unwrap()
}

/// Its keys.
pub async fn keys(store: &Arc<dyn Store>) -> BTreeSet<String> {
    waiting(store).await.into_iter().map(|entry| entry.key).collect()
}

/// Waits until `holds`, for as long as a slow machine may need.
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let patience = tokio::time::Instant::now() + Duration::from_secs(30);
    while !holds().await {
        assert!(tokio::time::Instant::now() < patience, "{what} never happened");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

impl World {
    /// The configuration of the real program, as an operator writes it.
    pub fn program_config(&self, rpc: &str, port: u16, database: &Path) -> String {
        let d = &self.deployment;
        format!(
            r#"listen = "127.0.0.1:{port}"
[chain]
poll = "50ms"
[[chain.endpoints]]
url = "{rpc}"
[store]
path = {database:?}
[mailbox]
max_wait = "10ms"
[log]
filter = "warn"
[deployment]
chain_id = {}
genesis_block = {}
kms_auth = "{}"
committee = "{}"
domain_registry = "{}"
app_implementation = "{}"
role_council = "{}"
"#,
            d.chain_id,
            d.genesis_block,
            d.kms_auth,
            d.committee,
            d.domain_registry,
            d.app_implementation,
            d.role_council
        )
    }
}
