// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A crash at any point leads to the same effects (G-10).
//!
//! A scripted scenario with reorganisations is run once undisturbed, and then once for each of its deeds: every write to the
//! store, every request to a node or gateway, every broadcast of a transaction. The process dies right before that deed, is
//! started again with what the database holds, and the scenario goes on. To die right after a deed, before its outcome is
//! noted, is to die before the next one.
//!
//! There are some 150 deeds. Everyday tests take a few of them, others on each database; `MANDATE_TEST_FULL=1`, which
//! `script/test --full` sets, takes all. A death costs about two seconds of a core: all of them on both databases took 20
//! minutes on two cores that had other work beside it, and `--nocapture` shows how far they are.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod common;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use alloy::{
    network::TransactionBuilder,
    primitives::{Address, B256},
    providers::Provider,
    rpc::types::TransactionRequest,
    sol_types::SolCall,
};
use common::{
    World, code,
    database::{Database, Kind},
    dying::{Dying, Life},
    dying_chain::{DyingChain, Receiver},
    payer, register_app, world,
};
use mandate_devchain::Replacement;
use mandate_model::bindings::{AppAuth, DomainRegistry, KmsCommittee};
use mandate_relayer::{
    Redact,
    chain::{Bounds, ChainReader, ChainView, Follower},
    config::{EffectsConfig, SenderConfig},
    effects::{Dispatcher, Effect, NewEffect},
    sender::Sender,
    store::{EffectState, OutboxQuery, Store},
};
use mandate_runtime::{Ambient, config::Secret, http::Client, net::TcpNet};

crate::on_both_databases! {
    g10_killed_at_every_write_and_send_part_1;
    g10_killed_at_every_write_and_send_part_2;
    g10_killed_at_every_write_and_send_part_3;
    g10_killed_at_every_write_and_send_part_4;
}

const PARTS: i64 = 4;
/// Unless this variable is set, only every so-many-th deed is tried; `script/test --full` sets it.
const FULL: &str = "MANDATE_TEST_FULL";
const EVERYDAY: i64 = 31;
const FINALIZED_LAG: u64 = 12;

async fn g10_killed_at_every_write_and_send_part_1(kind: Kind) {
    part(kind, 0).await;
}

async fn g10_killed_at_every_write_and_send_part_2(kind: Kind) {
    part(kind, 1).await;
}

async fn g10_killed_at_every_write_and_send_part_3(kind: Kind) {
    part(kind, 2).await;
}

async fn g10_killed_at_every_write_and_send_part_4(kind: Kind) {
    part(kind, 3).await;
}

/// A relayer that may die, and comes back.
struct Process<'a> {
    stage: &'a Stage,
    db: Database,
    life: Life,
    store: Option<Arc<dyn Store>>,
    parts: Option<Parts>,
    deaths: usize,
}

struct Parts {
    follower: Follower,
    dispatcher: Arc<Dispatcher>,
    sender: Sender,
}

/// The chain and who is told.
struct Stage {
    world: World,
    receivers: [Receiver; 3],
    gateway: String,
}

impl Stage {
    async fn new() -> Self {
        let mut receivers = [Receiver::new(), Receiver::new(), Receiver::new()];
        let nodes = [receivers[0].serve().await, receivers[1].serve().await];
        let world = world(FINALIZED_LAG, [&nodes[0], &nodes[1]]).await;
        receivers[2].app = world.app;
        let gateway = receivers[2].serve().await;
        Self { world, receivers, gateway }
    }
}

impl<'a> Process<'a> {
    async fn start(stage: &'a Stage, kind: Kind, life: Life) -> Self {
        let db = Database::new(kind, stage.world.contracts()).await;
        for receiver in &stage.receivers {
            receiver.notices.lock().unwrap().clear();
            receiver.orders.lock().unwrap().clear();
        }
        let mut process = Self { stage, db, life, store: None, parts: None, deaths: 0 };
        let store = process.db.open().await;
        process.boot(store);
        process
    }

    fn boot(&mut self, store: Arc<dyn Store>) {
        let (world, life) = (&self.stage.world, &self.life);
        for receiver in &self.stage.receivers {
            *receiver.life.lock().unwrap() = life.clone();
        }
        let dying: Arc<dyn Store> = Dying::new(&store, life);
        let provider = DyingChain::provider(&world.chain, life);
        let ambient = Ambient { clock: self.db.clock.clone(), ..Ambient::system() };
        let gateway = self.stage.gateway.clone();
        let follower = Follower::new(
            world.contracts(),
            ChainReader::new(DyingChain::endpoints(world, life)),
            Arc::clone(&dying),
            ChainView::default(),
            Arc::clone(&ambient.clock),
            [gateway.clone()],
            Bounds { reorg_window: 64, max_range: 50 },
        );
        let dispatcher = Arc::new(Dispatcher {
            contracts: world.contracts(),
            ambient: ambient.clone(),
            provider: provider.clone(),
            store: Arc::clone(&dying),
            client: Client::new(Arc::new(TcpNet)),
            gateways: vec![gateway],
            config: EffectsConfig::default(),
            outside: Default::default(),
            bell: Arc::default(),
            chain_bell: Arc::default(),
        });
        let redact = Redact::new(&Secret::new(String::new()));
        let config = SenderConfig::default();
        let sender =
            Sender::new(world.contracts(), ambient, provider, Arc::clone(&dying), payer(), config, redact);
        self.store = Some(store);
        self.parts = Some(Parts { follower, dispatcher, sender });
    }

    /// Whether it was dead; then it lives again, for good.
    async fn reboot_if_dead(&mut self) -> bool {
        if !self.life.is_over() {
            return false;
        }
        self.deaths += 1;
        // The file is closed before it is opened again.
        (self.store, self.parts) = (None, None);
        self.life = Life::endless();
        let store = self.db.reopen().await;
        self.boot(store);
        true
    }

    /// One look at the chain, one round of requests, one of transactions. Tells whether nothing is left to do for now.
    async fn step(&mut self) -> bool {
        let parts = self.parts.as_mut().unwrap();
        let ticked = parts.follower.tick().await;
        let asked = parts.dispatcher.settle().await;
        let sent = parts.sender.tick().await;
        if self.reboot_if_dead().await {
            return false;
        }
        let (ticked, asked) = (ticked.unwrap(), asked.unwrap());
        sent.unwrap();
        let store = self.store.as_ref().unwrap();
        let waits = store.next_due(mandate_relayer::store::Lane::Chain).await.unwrap().is_some();
        let flight = store.in_flight(payer().address()).await.unwrap();
        let unmined = flight.iter().any(|effect| effect.mined.is_none());
        if unmined {
            self.stage.world.chain.mine(1);
        }
        ticked.blocks == 0 && ticked.rolled_back == 0 && asked == 0 && !waits && !unmined
    }

    async fn settle(&mut self) {
        for _ in 0..200 {
            if self.step().await {
                return;
            }
        }
        panic!("the relayer never comes to rest");
    }

    /// As the API does: what fails is submitted again.
    async fn submit(&mut self, node: usize, n: u8) {
        let world = &self.stage.world;
        let submission = world.nonce(&world.nodes[node], n);
        let effect = NewEffect::of_submission(&world.contracts(), world.nodes[node].address(), submission);
        loop {
            let dying = Dying::new(self.store.as_ref().unwrap(), &self.life);
            let enqueued = dying.enqueue(vec![effect.clone()]).await;
            drop(dying);
            if !self.reboot_if_dead().await {
                return enqueued.unwrap();
            }
        }
    }
}

/// What happens; the relayer comes to rest between the acts.
async fn play(process: &mut Process<'_>) {
    let stage: &Stage = process.stage;
    let (world, chain) = (&stage.world, &stage.world.chain);
    world.automine(false);
    process.settle().await;
    // Revocation, approval, nonce; then all of it becomes final.
    act(world, async || {
        world.revoke(world.app, code(1)).await;
        world.approve("one.example").await;
    })
    .await;
    process.submit(0, 1).await;
    process.settle().await;
    chain.mine(FINALIZED_LAG + 1);
    process.settle().await;
    // A new app, a revocation, an approval, another nonce: all but the app is reorganised away.
    let mut late = Address::ZERO;
    act(world, async || late = register_app(&world.wallet, &world.deployment, 2).await).await;
    let kept = chain.head().number();
    act(world, async || {
        world.revoke(late, code(2)).await;
        world.approve("two.example").await;
    })
    .await;
    process.submit(1, 2).await;
    process.settle().await;
    let depth = chain.head().number() - kept;
    let call = AppAuth::revokeCodeCall { codeHash: code(5), rotate: false }.abi_encode();
    let other =
        TransactionRequest::default().with_from(chain.accounts()[0]).with_to(world.app).with_input(call);
    let mut plan = vec![vec![Replacement::from(other)]];
    plan.resize_with(depth as usize + 1, Vec::new);
    chain.reorg(depth, plan).unwrap();
    process.settle().await;
    // The approval comes again, is lost again, comes in another block, and everything becomes final.
    act(world, async || {
        world.approve("two.example").await;
        world.revoke(world.app, code(3)).await;
    })
    .await;
    process.settle().await;
    chain.reorg(2, Vec::new()).unwrap();
    process.settle().await;
    act(world, async || drop(world.approve("two.example").await)).await;
    for _ in 0..3 {
        process.settle().await;
        chain.mine(FINALIZED_LAG + 1);
    }
    process.settle().await;
}

async fn act(world: &World, act: impl AsyncFnOnce()) {
    world.automine(true);
    act().await;
    world.automine(false);
}

/// What the scenario leads to, without what differs from run to run: block hashes and heights.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    /// Effects by what they are, with how many of each.
    effects: BTreeMap<String, usize>,
    states: BTreeSet<&'static str>,
    /// What each receiver was told at least once.
    told: Vec<BTreeSet<(Address, Vec<B256>)>>,
    ordered: BTreeSet<String>,
    /// Nonces of the payer that were used up.
    spent: u64,
    nonces: Vec<B256>,
    certificates: Vec<B256>,
}

async fn outcome(process: &Process<'_>) -> Outcome {
    let (store, world) = (process.store.as_ref().unwrap(), &process.stage.world);
    let mut effects = BTreeMap::new();
    let entries = store.outbox(OutboxQuery { limit: 10_000, ..OutboxQuery::default() }).await.unwrap();
    for entry in &entries {
        let mut effect = entry.effect.clone();
        match &mut effect {
            Effect::RevocationPush { notice, .. } => notice.block_number = 0,
            Effect::GrantPush { notice, .. } => notice.block_number = 0,
            _ => {}
        }
        *effects.entry(serde_json::to_string(&effect).unwrap()).or_default() += 1;
    }
    let told = |receiver: &Receiver| {
        receiver.notices.lock().unwrap().iter().map(|n| (n.app, n.code_hashes.clone())).collect()
    };
    let provider = world.provider();
    let committee = KmsCommittee::new(world.deployment.committee, &provider);
    let registry = DomainRegistry::new(world.deployment.domain_registry, &provider);
    let mut nonces = Vec::new();
    for node in &world.nodes {
        nonces.push(committee.nonceOf(node.address()).call().await.unwrap());
    }
    let mut certificates = Vec::new();
    for name in ["one.example", "two.example"] {
        certificates.push(registry.domain(name.to_owned()).call().await.unwrap().certificate);
    }
    let ordered = process.stage.receivers[2].orders.lock().unwrap().iter().map(|o| o.name.clone()).collect();
    Outcome {
        effects,
        // Renewals wait for the end of their certificates.
        states: entries
            .iter()
            .filter(|entry| !matches!(entry.effect, Effect::CertificateRenewal { .. }))
            .map(|entry| entry.state.as_str())
            .collect(),
        told: process.stage.receivers.iter().map(told).collect(),
        ordered,
        spent: provider.get_transaction_count(payer().address()).await.unwrap(),
        nonces,
        certificates,
    }
}

/// How often each receiver was told each thing.
fn tellings(stage: &Stage) -> usize {
    stage.receivers.iter().map(|r| r.notices.lock().unwrap().len() + r.orders.lock().unwrap().len()).sum()
}

async fn run(stage: &Stage, kind: Kind, life: Life) -> (Outcome, usize, usize) {
    let before = stage.world.chain.snapshot();
    let mut process = Process::start(stage, kind, life).await;
    play(&mut process).await;
    let outcome = outcome(&process).await;
    let (deaths, tellings) = (process.deaths, tellings(stage));
    drop(process);
    assert!(stage.world.chain.revert(before));
    (outcome, deaths, tellings)
}

async fn part(kind: Kind, part: i64) {
    let stage = Stage::new().await;
    let undisturbed = Life::endless();
    let (expected, _, told_once) = run(&stage, kind, undisturbed.clone()).await;
    assert_eq!(expected.states, BTreeSet::from([EffectState::Done.as_str()]), "{expected:#?}");
    assert!(expected.certificates.iter().all(|certificate| !certificate.is_zero()));
    let deeds = undisturbed.deeds.lock().unwrap().clone();
    for deed in [
        "apply",
        "claim",
        "complete",
        "enqueue",
        "hold",
        "keep_transaction",
        "mined",
        "POST /v1/revocations",
        "POST /v1/domains",
        "eth_sendRawTransaction",
    ] {
        assert!(deeds.contains_key(deed), "the scenario must have a {deed}: {deeds:?}");
    }
    let all = deeds.values().sum::<usize>() as i64;
    let stride = if std::env::var_os(FULL).is_some() { PARTS } else { EVERYDAY };
    let first = if std::env::var_os(FULL).is_some() {
        part
    } else {
        part * EVERYDAY / PARTS + i64::from(kind == Kind::Postgres)
    };
    let begun = std::time::Instant::now();
    for deed in (first..all).step_by(stride as usize) {
        let life = Life::until(deed, false);
        let (found, deaths, told) = run(&stage, kind, life.clone()).await;
        let at = (deed, *life.last.lock().unwrap());
        assert_eq!((deaths, &found), (1, &expected), "killed before {at:?}");
        // What was under way when it died may be told twice, nothing else.
        assert!(told <= told_once + 4, "killed before {at:?}: {told} instead of {told_once}");
        println!("{kind:?}: killed before {at:?} of {all} deeds, {} s", begun.elapsed().as_secs());
    }
}
