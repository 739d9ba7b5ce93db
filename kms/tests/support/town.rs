// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A development chain with the contracts, a carrier in the relayer's place, and nodes on loopback sockets.

#![allow(dead_code, unreachable_pub)]

mod asking;
pub mod members;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use alloy::{
    primitives::{Address, B256, aliases::U40},
    providers::{DynProvider, Provider},
};
use axum::{
    Router,
    extract::{Path, State},
    routing::{get, post},
};
use mandate_attestation::dev_pki::{DevGuest, DevPki};
use mandate_devchain::{Config as ChainSettings, DevChain};
use mandate_kms::{
    Config, Node, NodeKeys, Outside, Running,
    config::ChainConfig,
    store::{Owner, Store},
};
use mandate_model::{
    bindings::{self, AppAuth, AppInit, KmsAuth, KmsCommittee},
    wire::{
        kms::NodeStatus,
        relayer::{Delivered, Letter, LetterKind, Submission, Vouch, WitnessRequest, WitnessResponse},
    },
};
use mandate_runtime::{
    Ambient, Clock, Net,
    clock::SystemClock,
    entropy::SeededEntropy,
    http::{ApiError, ApiJson, Client, serve},
    net::TcpNet,
};
use mandate_witness::{ChainSpec, build};
use tokio_util::sync::CancellationToken;

pub const CODE: B256 = B256::repeat_byte(0x0c);
const YEAR: u64 = 365 * 24 * 3_600;

/// Carries what nodes send, as a relayer would, and can be told to misbehave.
pub struct Carrier {
    chain: DevChain,
    provider: DynProvider,
    committee: Address,
    letters: Mutex<HashMap<Address, Vec<Letter>>>,
    /// One transaction at a time, from an account that nobody else uses.
    sending: tokio::sync::Mutex<Address>,
    /// Serves witnesses with a changed byte.
    pub lies: AtomicBool,
    /// Takes submissions and drops them.
    pub drops: AtomicBool,
}

impl Carrier {
    async fn submit(&self, submission: Submission) -> Result<(), ApiError> {
        if self.drops.load(Ordering::SeqCst) {
            return Ok(());
        }
        let committee = KmsCommittee::new(self.committee, &self.provider);
        let call = match submission {
            Submission::DealerLog { round, node, log, signature } => {
                committee.postDealerLog(round, node, log, signature).into_transaction_request()
            }
            Submission::Confirmation { round, node, group_key, polynomial, signature } => committee
                .confirmOutput(round, node, group_key, polynomial, signature)
                .into_transaction_request(),
            Submission::Attestation { node, evidence_digest, until, vouches, .. } => {
                let vouch = |vouch: Vouch| bindings::Vouch { voter: vouch.voter, signature: vouch.signature };
                let vouches = vouches.into_iter().map(vouch).collect();
                committee
                    .attestNode(node, evidence_digest, U40::from(until), vouches)
                    .into_transaction_request()
            }
            Submission::Nonce { node, nonce, signature } => {
                committee.publishNonce(node, nonce, signature).into_transaction_request()
            }
        };
        let account = self.sending.lock().await;
        let sent = self.provider.send_transaction(call.from(*account)).await;
        sent.map(|_| ()).map_err(ApiError::bad_gateway)
    }
}

fn routes(carrier: Arc<Carrier>) -> Router {
    async fn witness(
        State(carrier): State<Arc<Carrier>>,
        ApiJson(request): ApiJson<WitnessRequest>,
    ) -> Result<ApiJson<WitnessResponse>, ApiError> {
        let spec = ChainSpec::dev(carrier.chain.chain_id());
        let witness = build(&carrier.provider, &spec, request.block_hash, &request.call).await;
        let mut witness = witness.map_err(ApiError::bad_gateway)?.encode();
        if carrier.lies.load(Ordering::SeqCst)
            && let Some(byte) = witness.last_mut()
        {
            *byte ^= 1;
        }
        Ok(ApiJson(WitnessResponse { witness: witness.into() }))
    }

    async fn submit(
        State(carrier): State<Arc<Carrier>>,
        ApiJson(submission): ApiJson<Submission>,
    ) -> Result<(), ApiError> {
        carrier.submit(submission).await
    }

    async fn post_letter(State(carrier): State<Arc<Carrier>>, ApiJson(letter): ApiJson<Letter>) {
        carrier.letters.lock().unwrap().entry(letter.to).or_default().push(letter);
    }

    async fn letters(
        State(carrier): State<Arc<Carrier>>,
        Path(node): Path<Address>,
    ) -> ApiJson<Vec<Delivered>> {
        let letters = carrier.letters.lock().unwrap().get(&node).cloned().unwrap_or_default();
        ApiJson(letters.into_iter().zip(1..).map(|(letter, cursor)| Delivered { cursor, letter }).collect())
    }

    Router::new()
        .route("/v1/witness", post(witness))
        .route("/v1/submissions", post(submit))
        .route("/v1/mailbox", post(post_letter))
        .route("/v1/mailbox/{node}", get(letters))
        .with_state(carrier)
}

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
        let carrier = Arc::new(Carrier {
            chain: chain.clone(),
            provider: provider.clone(),
            committee,
            letters: Mutex::default(),
            sending: tokio::sync::Mutex::new(chain.accounts()[1]),
            lies: AtomicBool::new(false),
            drops: AtomicBool::new(false),
        });
        let listener = TcpNet.listen(super::loopback()).await.unwrap();
        let relayer = format!("http://{}", listener.local_addr().unwrap());
        let stop = CancellationToken::new();
        tokio::spawn(serve(listener, routes(carrier.clone()), stop.clone()));
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
        let entropy =
            Arc::new(SeededEntropy::from_u64(u64::from(n) + 1_000 * clock.monotonic().as_nanos() as u64));
        let ambient = Ambient { clock, entropy, net: Arc::new(TcpNet) };
        let outside = Outside {
            ambient,
            providers: vec![self.chain.provider().erased()],
            verifier: self.pki.trust_anchors().into(),
            quoter: self.quoter(n),
        };
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
        let image = DevGuest::new(Address::ZERO, CODE);
        let policy = KmsAuth::new(self.kms_auth, &self.provider);
        self.allow_image(image.os_image_hash()).await;
        let owner = self.chain.accounts()[0];
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
        let app = policy.predictApp(owner, B256::ZERO).call().await.unwrap();
        self.mined(policy.deployAndRegisterApp(init, B256::ZERO).into_transaction_request()).await;
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
        let is_ack = |letter: &&Letter| letter.kind == LetterKind::Ack;
        let count = || self.carrier.letters.lock().unwrap().values().flatten().filter(is_ack).count();
        self.patiently("acknowledgements", async || count() >= acks).await;
    }

    /// Waits until the dealer logs of `dealers` are on chain.
    pub async fn until_posted(&self, dealers: &[u8]) {
        let committee = KmsCommittee::new(self.committee, &self.provider);
        let are_there = async || {
            for n in dealers {
                if committee.dealerLog(1, Self::keys(*n).address()).call().await.unwrap().is_zero() {
                    return false;
                }
            }
            true
        };
        self.patiently("dealer logs", are_there).await;
    }

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
