// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Requests to nodes and gateways: renewals, releases, grants that a latch withholds, what is given up, and the execution of
//! what passed.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod common;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use alloy::{
    primitives::{Address, B256, Bytes, U256, keccak256},
    providers::Provider,
};
use axum::{Router, extract::State, routing::post};
use common::{World, eventually, sent, settle, world};
use mandate_model::{
    bindings::{Call, DomainRegistry, Role, RoleCouncil},
    wire::{
        gateway::{DomainOrder, DomainRelease, IssuedCertificate, ReleaseEffect},
        kms::{GrantNotice, RevocationNotice},
    },
};
use mandate_relayer::{
    Service,
    config::EffectsConfig,
    effects::{
        Dispatcher, Effect, NewEffect, Outside, Plan,
        webhook::{EventKind, WebhookConfig},
    },
    store::{Latch, OutboxQuery, SqliteStore, Store},
};
use mandate_runtime::{
    Ambient, Clock,
    clock::ManualClock,
    http::{ApiJson, Client, serve},
    net::{Net, TcpNet},
};
use tokio_util::sync::CancellationToken;

const NOW: u64 = 1_800_000_000;
const DAY: u64 = 86_400;
const DOMAIN: &str = "shop.example";

/// A node and gateway that notes what it is told.
#[derive(Clone, Default)]
struct Peer {
    told: Arc<Mutex<Vec<String>>>,
    certificates: Arc<Mutex<VecDeque<IssuedCertificate>>>,
    releases: Arc<Mutex<VecDeque<ReleaseEffect>>>,
}

impl Peer {
    async fn serve(&self) -> String {
        let listener = TcpNet.listen(([127, 0, 0, 1], 0).into()).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new()
            .route("/v1/revocations", post(revoked))
            .route("/v1/grants", post(granted))
            .route("/v1/domains", post(ordered))
            .route("/v1/domains/release", post(released))
            .with_state(self.clone());
        tokio::spawn(serve(listener, router, CancellationToken::new()));
        url
    }

    fn note(&self, what: &str) {
        self.told.lock().unwrap().push(what.to_owned());
    }

    fn told(&self) -> Vec<String> {
        std::mem::take(&mut self.told.lock().unwrap())
    }
}

async fn revoked(State(peer): State<Peer>, ApiJson(_): ApiJson<RevocationNotice>) -> ApiJson<()> {
    peer.note("revocation");
    ApiJson(())
}

async fn granted(State(peer): State<Peer>, ApiJson(_): ApiJson<GrantNotice>) -> ApiJson<()> {
    peer.note("grant");
    ApiJson(())
}

async fn ordered(
    State(peer): State<Peer>,
    ApiJson(order): ApiJson<DomainOrder>,
) -> ApiJson<IssuedCertificate> {
    peer.note(&order.name);
    ApiJson(peer.certificates.lock().unwrap().pop_front().unwrap())
}

async fn released(State(peer): State<Peer>, ApiJson(_): ApiJson<DomainRelease>) -> ApiJson<ReleaseEffect> {
    peer.note("release");
    ApiJson(peer.releases.lock().unwrap().pop_front().unwrap())
}

struct Desk {
    world: World,
    store: Arc<dyn Store>,
    clock: Arc<ManualClock>,
    peer: Peer,
    url: String,
    dispatcher: Arc<Dispatcher>,
}

async fn desk(config: EffectsConfig) -> Desk {
    let world = world(2, ["", ""]).await;
    let clock = Arc::new(ManualClock::new(NOW));
    let store = SqliteStore::in_memory(&world.contracts(), clock.clone()).await.unwrap();
    let store: Arc<dyn Store> = Arc::new(store);
    let peer = Peer::default();
    let url = peer.serve().await;
    let hook = WebhookConfig::new("ops", "https://x.example", "0123456789abcdef", [EventKind::Incident]);
    let dispatcher = Arc::new(Dispatcher {
        contracts: world.contracts(),
        ambient: Ambient { clock: clock.clone() as Arc<dyn Clock>, ..Ambient::system() },
        provider: world.provider(),
        store: Arc::clone(&store),
        client: Client::new(Arc::new(TcpNet)),
        gateways: vec![url.clone()],
        config,
        outside: Outside { subscriptions: vec![hook.subscription()], ..Outside::default() },
        bell: Arc::default(),
        chain_bell: Arc::default(),
    });
    Desk { world, store, clock, peer, url, dispatcher }
}

impl Desk {
    async fn enqueue(&self, key: &str, effect: Effect) {
        let origin = "chain".to_owned();
        let new = NewEffect { key: key.to_owned(), origin, effect, not_before: None };
        self.store.enqueue(vec![new]).await.unwrap();
    }

    async fn state(&self, key: &str) -> String {
        self.store.effect_state(key.to_owned()).await.unwrap().unwrap()
    }

    async fn of_kind(&self, kind: &str) -> Vec<mandate_relayer::store::OutboxEntry> {
        let query = OutboxQuery { kind: Some(kind.to_owned()), limit: 100, ..OutboxQuery::default() };
        self.store.outbox(query).await.unwrap()
    }

    fn certificate(&self, n: u8, not_after: u64) -> IssuedCertificate {
        IssuedCertificate {
            name: DOMAIN.to_owned(),
            app: self.world.app,
            issuer: "ca.example".to_owned(),
            account_uri: "https://ca.example/acct/1".to_owned(),
            fingerprint: B256::repeat_byte(n),
            spki_hash: B256::repeat_byte(n),
            not_after,
        }
    }

    /// Approves the domain, records certificate 1, and lets both become final.
    async fn with_certificate(&self, not_after: u64) {
        self.world.approve(DOMAIN).await;
        let owner = self.world.wallet.get_accounts().await.unwrap()[0];
        let registry = DomainRegistry::new(self.world.deployment.domain_registry, &self.world.wallet);
        sent(registry.setRecorder(owner, true).send().await.unwrap()).await;
        let (hash, end) = (B256::repeat_byte(1), not_after.to_string().parse().unwrap());
        sent(registry.recordCertificate(DOMAIN.to_owned(), hash, hash, end).send().await.unwrap()).await;
        self.world.chain.mine(4);
        self.follow().await;
    }

    async fn follow(&self) {
        let plan = Plan { renew_before: 30 * DAY, ..Plan::default() };
        settle(&mut self.world.follower(Arc::clone(&self.store)).planning(plan)).await;
    }

    /// Attempts everything that is due, until nothing is.
    async fn work(&self) {
        while self.dispatcher.settle().await.unwrap() > 0 {}
    }
}

#[tokio::test]
async fn recorded_certificate_is_renewed_in_time_and_the_new_one_recorded() {
    let desk =
        desk(EffectsConfig { renew_before: Duration::from_secs(30 * DAY), ..Default::default() }).await;
    desk.with_certificate(NOW + 40 * DAY).await;
    desk.work().await;
    assert!(desk.peer.told().is_empty(), "it is too soon");
    desk.clock.advance(Duration::from_secs(14 * DAY));

    // The gateway finds it too soon: it is asked again later.
    desk.peer.certificates.lock().unwrap().push_back(desk.certificate(1, NOW + 40 * DAY));
    desk.work().await;
    assert_eq!(desk.peer.told(), [DOMAIN]);
    let renewals = desk.of_kind("certificate_renewal").await;
    let waiting: Vec<_> = renewals.iter().filter(|e| e.state.as_str() == "pending").collect();
    assert_eq!(waiting.len(), 1, "{renewals:?}");
    let now = NOW + 14 * DAY;
    assert!((now + 6 * DAY..=now + 7 * DAY).contains(&waiting[0].not_before), "{waiting:?}");
    assert!(desk.of_kind("record_certificate").await.is_empty());

    desk.clock.advance(Duration::from_secs(7 * DAY));
    desk.peer.certificates.lock().unwrap().push_back(desk.certificate(2, NOW + 120 * DAY));
    desk.work().await;
    assert_eq!(desk.peer.told(), [DOMAIN]);
    let records = desk.of_kind("record_certificate").await;
    assert!(records.len() == 1 && records[0].key.contains(&B256::repeat_byte(2).to_string()), "{records:?}");
    assert_eq!(desk.of_kind("pin_account").await.len(), 1);
}

#[tokio::test]
async fn renewal_of_a_domain_that_was_released_asks_nobody() {
    let desk = desk(EffectsConfig::default()).await;
    desk.with_certificate(NOW + 40 * DAY).await;
    let registry = DomainRegistry::new(desk.world.deployment.domain_registry, &desk.world.wallet);
    sent(registry.releaseDomain(DOMAIN.to_owned()).send().await.unwrap()).await;
    desk.world.chain.mine(4);
    desk.follow().await;
    desk.clock.advance(Duration::from_secs(20 * DAY));
    let renewal = desk.of_kind("certificate_renewal").await.remove(0).key;
    desk.work().await;
    assert_eq!(desk.state(&renewal).await, "done");
    assert!(desk.peer.told().is_empty());
}

#[tokio::test]
async fn g6_latch_withholds_grants_and_never_revocations() {
    let desk = desk(EffectsConfig::default()).await;
    let latch = Latch { kind: "finality".to_owned(), detail: "twice".to_owned(), block: None, since: NOW };
    desk.store.set_latch(latch).await.unwrap();
    let (app, target) = (Address::ZERO, desk.url.clone());
    let grant = Effect::GrantPush { target: target.clone(), notice: GrantNotice { app, block_number: 1 } };
    let notice = RevocationNotice { app, code_hashes: Vec::new(), block_number: 1 };
    desk.enqueue("grant", grant).await;
    desk.enqueue("revocation", Effect::RevocationPush { target, notice }).await;
    desk.work().await;
    assert_eq!(desk.peer.told(), ["revocation"]);
    assert_eq!(desk.state("grant").await, "pending");
    desk.clock.advance(Duration::from_secs(60));
    desk.work().await;
    assert!(desk.peer.told().is_empty());
    assert!(desk.store.clear_latch("finality".to_owned()).await.unwrap());
    desk.clock.advance(Duration::from_secs(60));
    desk.work().await;
    assert_eq!(desk.peer.told(), ["grant"]);
    let entry = desk.of_kind("grant_push").await.remove(0);
    assert_eq!((entry.state.as_str(), entry.attempts), ("done", 0), "being withheld is no failed attempt");
}

#[tokio::test]
async fn release_is_told_until_the_gateway_has_done_what_it_must() {
    let desk = desk(EffectsConfig::default()).await;
    let pending = |pending| ReleaseEffect { served: false, pending };
    desk.peer.releases.lock().unwrap().extend([pending(true), pending(false)]);
    let notice = DomainRelease { domain_hash: keccak256(DOMAIN), block_number: 1 };
    desk.enqueue("release", Effect::DomainRelease { target: desk.url.clone(), notice }).await;
    desk.work().await;
    assert_eq!(
        (desk.peer.told(), desk.state("release").await.as_str()),
        (vec!["release".to_owned()], "pending")
    );
    desk.clock.advance(Duration::from_secs(60));
    desk.work().await;
    assert_eq!(desk.state("release").await, "done");
}

#[tokio::test]
async fn what_is_given_up_is_an_incident_and_a_webhook_that_does_not_answer_is_none() {
    let desk = desk(EffectsConfig { attempts: 1, ..EffectsConfig::default() }).await;
    let notice = RevocationNotice { app: Address::ZERO, code_hashes: Vec::new(), block_number: 1 };
    let target = "http://127.0.0.1:1".to_owned();
    desk.enqueue("push", Effect::RevocationPush { target, notice }).await;
    desk.work().await;
    assert_eq!(desk.state("push").await, "failed");
    let told = desk.of_kind("webhook").await;
    assert_eq!(told.len(), 1, "the incident, whose own failure is none: {told:?}");
    assert!(told[0].key.contains(":given_up:") && !format!("{told:?}").contains("127.0.0.1"), "{told:?}");
}

#[tokio::test]
async fn motion_that_has_passed_is_executed_by_a_relayer_that_is_told_to() {
    let mut world = world(2, ["", ""]).await;
    let accounts = world.wallet.get_accounts().await.unwrap();
    let role = Role { name: "core".to_owned(), threshold: 2, members: accounts[..2].to_vec() };
    let council = RoleCouncil::deploy(&world.wallet, vec![role], "86400".parse().unwrap()).await.unwrap();
    world.deployment.role_council = *council.address();
    let dir = tempfile::tempdir().unwrap();
    let mut config = world.config(dir.path(), &[]);
    config.governance.execute = true;
    let service = Service::start(config, Ambient::system(), world.endpoints()).await.unwrap();
    let stop = CancellationToken::new();
    let running = tokio::spawn(service.run(stop.clone()));

    let calls = vec![Call { target: accounts[5], value: U256::ZERO, data: Bytes::from_static(b"go") }];
    let id = council.motionId(calls.clone(), "do".to_owned(), B256::ZERO).call().await.unwrap();
    sent(council.propose(calls, "do".to_owned(), B256::ZERO).send().await.unwrap()).await;
    sent(council.approve(id, U256::ZERO).from(accounts[0]).send().await.unwrap()).await;
    world.chain.mine(4);
    sent(council.approve(id, U256::ZERO).from(accounts[1]).send().await.unwrap()).await;
    assert_eq!(council.state(id).call().await.unwrap(), 2, "passed, and not executed before that is final");
    world.chain.mine(4);
    eventually("the execution", || async { council.state(id).call().await.unwrap() == 3 }).await;
    stop.cancel();
    running.await.unwrap();
}
