// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reorganisations on anvil, over HTTP and WebSocket: another implementation of a chain than the dev chain.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod common;

use std::{
    collections::BTreeSet,
    env::consts::{ARCH, OS},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use alloy::{
    eips::BlockNumberOrTag,
    network::TransactionBuilder,
    node_bindings::{Anvil, AnvilInstance},
    primitives::{Address, B256, Bytes},
    providers::{DynProvider, Provider, ProviderBuilder, ext::AnvilApi},
    rpc::types::{
        Filter, TransactionRequest,
        anvil::{ReorgOptions, TransactionData},
    },
    signers::local::PrivateKeySigner,
    sol_types::SolCall,
};
use common::{
    admit, deploy, key, keys,
    proxy::{Faults, Proxy, harmless},
    register_app, settle,
};
use mandate_model::{
    bindings::{AppAuth, DomainRegistry},
    deployment::Deployment,
};
use mandate_relayer::{
    chain::{Bounds, ChainReader, ChainView, Contracts, Endpoints, Follower},
    config::ChainConfig,
    store::{Lock, SqliteStore, Step, Store},
};
use mandate_runtime::{Ambient, clock::ManualClock};

/// The pinned binary, as `npm install` puts it there.
fn anvil() -> PathBuf {
    let system = if OS == "macos" { "darwin" } else { OS };
    let machine = if ARCH == "x86_64" { "amd64" } else { "arm64" };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let path = root.join(format!("node_modules/@foundry-rs/anvil-{system}-{machine}/bin/anvil"));
    assert!(path.exists(), "{} is missing: run `npm ci` at the root of the repository", path.display());
    path
}

struct Rig {
    anvil: AnvilInstance,
    wallet: DynProvider,
    owner: Address,
    deployment: Deployment,
    app: Address,
}

/// Finality is 80 blocks behind the head. Every state stays in memory: of a block whose parent's state it had put on disk and
/// which it then replaces, this version of anvil has none.
async fn rig() -> Rig {
    let arguments = ["--slots-in-an-epoch", "40", "--prune-history", "100000"];
    let anvil = Anvil::at(anvil()).args(arguments).spawn();
    let signer: PrivateKeySigner = anvil.keys()[0].clone().into();
    let owner = signer.address();
    // The default filler counts nonces itself, and waits forever for one that a reorganisation took back.
    let wallet = ProviderBuilder::default()
        .with_gas_estimation()
        .with_simple_nonce_management()
        .fetch_chain_id()
        .wallet(signer)
        .connect_http(anvil.endpoint_url())
        .erased();
    wallet.client().set_poll_interval(Duration::from_millis(10));
    let deployment = deploy(31_337, owner, &wallet).await;
    for n in [0x51, 0x52] {
        admit(&wallet, &deployment, key(n).address(), &format!("http://node-{n}:1")).await;
    }
    let app = register_app(&wallet, &deployment, 1).await;
    Rig { anvil, wallet, owner, deployment, app }
}

impl Rig {
    async fn store(&self) -> Arc<dyn Store> {
        let contracts = Contracts::from(&self.deployment);
        Arc::new(SqliteStore::in_memory(&contracts, Ambient::system().clock).await.unwrap())
    }

    fn relayer(&self, store: &Arc<dyn Store>) -> Follower {
        let config =
            ChainConfig::with_endpoints([self.anvil.endpoint().as_str(), self.anvil.ws_endpoint().as_str()]);
        self.relayer_over(&config, store, Ambient::system())
    }

    fn relayer_over(&self, config: &ChainConfig, store: &Arc<dyn Store>, ambient: Ambient) -> Follower {
        let endpoints = Endpoints::new(config, 31_337, ambient.clone()).unwrap();
        Follower::new(
            Contracts::from(&self.deployment),
            ChainReader::new(endpoints),
            Arc::clone(store),
            ChainView::default(),
            ambient.clock,
            ["http://gateway:1".to_owned()],
            Bounds { reorg_window: 70, max_range: 50 },
        )
    }

    fn deny(&self, n: u8) -> TransactionRequest {
        self.call(self.app, AppAuth::denyDeviceCall { deviceId: B256::repeat_byte(n) }.abi_encode())
    }

    fn approve(&self, n: u8) -> TransactionRequest {
        let call = DomainRegistry::approveDomainCall { name: format!("d{n}.example"), app: self.app };
        self.call(self.deployment.domain_registry, call.abi_encode())
    }

    fn call(&self, to: Address, data: Vec<u8>) -> TransactionRequest {
        TransactionRequest::default()
            .with_from(self.owner)
            .with_to(to)
            .with_input(data)
            .with_gas_limit(500_000)
    }

    async fn send(&self, request: TransactionRequest) {
        let receipt = self.wallet.send_transaction(request).await.unwrap().get_receipt().await.unwrap();
        assert!(receipt.status());
    }

    async fn mine(&self, blocks: u64) {
        if blocks > 0 {
            self.wallet.anvil_mine(Some(blocks), None).await.unwrap();
        }
    }

    async fn reorg(&self, depth: u64, moved: Vec<(TransactionRequest, u64)>) {
        let tx_block_pairs =
            moved.into_iter().map(|(tx, block)| (TransactionData::JSON(tx), block)).collect();
        self.wallet.anvil_reorg(ReorgOptions { depth, tx_block_pairs }).await.unwrap();
    }

    /// Where the chain has logs of the watched contracts now.
    async fn canonical(&self, store: &Arc<dyn Store>) -> Vec<(u64, B256, u64, B256, Bytes)> {
        let apps = store.apps().await.unwrap().into_iter().map(|record| record.app);
        let watched: Vec<_> = Contracts::from(&self.deployment).fixed().into_iter().chain(apps).collect();
        let filter = Filter::new().address(watched).from_block(1).to_block(BlockNumberOrTag::Latest);
        let logs = self.wallet.get_logs(&filter).await.unwrap();
        let place = |log: &alloy::rpc::types::Log| {
            let (number, hash) = (log.block_number.unwrap(), log.block_hash.unwrap());
            let (index, tx) = (log.log_index.unwrap(), log.transaction_hash.unwrap());
            (number, hash, index, tx, log.inner.data.data.clone())
        };
        logs.iter().map(place).collect()
    }

    async fn assert_same_as_fresh(&self, store: &Arc<dyn Store>, context: &str) {
        let fresh = self.store().await;
        let quiet_until = store.progress().await.unwrap().quiet_until;
        assert!(fresh.hold(Lock::Follow).await.unwrap());
        fresh.apply(Step { quiet_until, ..Step::default() }).await.unwrap();
        settle(&mut self.relayer(&fresh)).await;
        assert_eq!(store.progress().await.unwrap(), fresh.progress().await.unwrap(), "{context}");
        let logs = store.logs(0, u64::MAX, 100_000).await.unwrap();
        assert_eq!(logs, fresh.logs(0, u64::MAX, 100_000).await.unwrap(), "{context}");
        let places: Vec<_> = logs
            .iter()
            .map(|l| (l.block_number, l.block_hash, l.log_index, l.tx_hash, l.data.clone()))
            .collect();
        assert_eq!(places, self.canonical(store).await, "{context}");
        let (ours, theirs): (BTreeSet<_>, BTreeSet<_>) = (keys(store).await, keys(&fresh).await);
        assert!(theirs.is_subset(&ours), "{context}");
        for extra in ours.difference(&theirs) {
            assert!(extra.starts_with("revocation_push"), "{context}: a grant too many: {extra}");
        }
    }
}

/// Blocks are replaced to `depth`: one log vanishes, one moves to another block, one vanishes and comes back later. `seen` is
/// called whenever the relayer is to see the chain as it is.
async fn reorganised(rig: &Rig, depth: u64, seen: &mut impl AsyncFnMut()) {
    let n = depth as u8;
    rig.send(rig.deny(n)).await;
    if depth > 2 {
        rig.send(rig.approve(n)).await;
        rig.send(rig.deny(100 + n)).await;
    }
    rig.mine(depth.saturating_sub(3)).await;
    seen().await;
    let moved = if depth > 2 { vec![(rig.approve(n), 1)] } else { Vec::new() };
    rig.reorg(depth, moved).await;
    rig.mine(1).await;
    seen().await;
    rig.send(rig.deny(100 + n)).await;
    seen().await;
}

/// Looks until nothing is new twice in a row, whatever comes of the single look.
async fn look(relayer: &mut Follower) {
    let mut quiet = 0;
    for _ in 0..12 {
        let looked = relayer.tick().await;
        quiet = if looked.is_ok_and(|t| t.blocks == 0 && t.rolled_back == 0) { quiet + 1 } else { 0 };
        if quiet == 2 {
            return;
        }
    }
}

async fn assert_all_final(rig: &Rig, store: &Arc<dyn Store>, relayer: &Follower) {
    rig.assert_same_as_fresh(store, "all final").await;
    let orders = keys(store).await.iter().filter(|key| key.starts_with("certificate_order")).count();
    assert_eq!(orders, 62);
    assert!(!relayer.latches().hold_grants(), "{:?}", relayer.latches().list());
    assert!(rig.wallet.get_code_at(rig.app).await.unwrap().len() > 20);
}

#[tokio::test]
async fn g10_reorganisations_of_depth_1_to_64_on_anvil_leave_what_a_fresh_relayer_finds() {
    let rig = rig().await;
    let store = rig.store().await;
    let mut relayer = rig.relayer(&store);
    settle(&mut relayer).await;
    rig.mine(90).await;
    for depth in 1..=64 {
        reorganised(&rig, depth, &mut async || settle(&mut relayer).await).await;
        rig.assert_same_as_fresh(&store, &format!("depth {depth}")).await;
    }
    rig.mine(90).await;
    settle(&mut relayer).await;
    assert_all_final(&rig, &store, &relayer).await;
}

/// At each depth another of three endpoints, served over HTTP and WebSocket, has another fault.
#[tokio::test]
async fn g5_g10_reorganisations_on_anvil_behind_a_faulty_endpoint_leave_what_a_fresh_relayer_finds() {
    let rig = rig().await;
    let store = rig.store().await;
    let proxies = [(); 3].map(|()| Proxy::new(rig.wallet.clone()));
    let mut served = Vec::new();
    for proxy in &proxies {
        served.push(proxy.serve(([127, 0, 0, 1], 0).into()).await);
    }
    let urls = [served[0].ws(), served[1].http(), served[2].ws()];
    let mut config = ChainConfig::with_endpoints(urls.iter().map(String::as_str));
    config.quorum = Some(2);
    let clock = Arc::new(ManualClock::new(1_800_000_000));
    let ambient = Ambient { clock: Arc::clone(&clock) as _, ..Ambient::system() };
    let mut relayer = rig.relayer_over(&config, &store, ambient);
    settle(&mut relayer).await;
    rig.mine(90).await;
    for depth in 1..=64 {
        let (name, index, faults) = harmless(depth as usize);
        proxies.iter().for_each(|proxy| proxy.set(Faults::default()));
        // Who was caught before is trusted again.
        clock.advance(Duration::from_secs(700));
        look(&mut relayer).await;
        proxies[index].set(faults);
        reorganised(&rig, depth, &mut async || look(&mut relayer).await).await;
        let context = format!("depth {depth}, {name} at endpoint {index}");
        rig.assert_same_as_fresh(&store, &context).await;
        assert!(!relayer.latches().hold_grants(), "{context}: {:?}", relayer.latches().list());
    }
    rig.mine(90).await;
    look(&mut relayer).await;
    assert_all_final(&rig, &store, &relayer).await;
}
