// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a running relayer answers: pages of one finalised block, refusals, and nothing about grants while a latch is set.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod common;

use std::{num::NonZeroU32, sync::Arc};

use alloy::primitives::{Address, B256};
use common::{World, code, eventually, key, register_app, world};
use mandate_model::{
    bindings::{AppAuth, DomainRegistry},
    state::VersionState,
    wire::{ViewCall, relayer::CommitteeView, relayer::WitnessRequest, relayer::WitnessResponse},
};
use mandate_relayer::{
    Config, Service,
    api::{AppState, AppView, BootAnswer, DomainView, EventView, Page, ProposalView, Readiness, VersionView},
    store::Latch,
};
use mandate_runtime::{
    Ambient,
    http::{Client, HttpError},
    net::TcpNet,
};
use serde::de::DeserializeOwned;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

struct Running {
    base: String,
    stop: CancellationToken,
    task: JoinHandle<()>,
    health: mandate_runtime::http::Health,
}

async fn begin(world: &World, config: Config) -> Running {
    let service = Service::start(config, Ambient::system(), world.endpoints()).await.unwrap();
    let (base, health) = (format!("http://{}", service.address()), service.health());
    let stop = CancellationToken::new();
    Running { base, health, task: tokio::spawn(service.run(stop.clone())), stop }
}

async fn start(world: &World, config: Config) -> Running {
    let running = begin(world, config).await;
    let last = world.chain.block(alloy::eips::BlockNumberOrTag::Finalized).unwrap().number();
    eventually("the relayer is ready", || async {
        let ready = running.get::<Readiness>("/readyz").await;
        ready.is_ok_and(|ready| ready.ready && ready.finalized.is_some_and(|at| at.number >= last))
    })
    .await;
    running
}

impl Running {
    fn client(&self) -> Client {
        Client::new(Arc::new(TcpNet))
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, HttpError> {
        self.client().get_json(&format!("{}{path}", self.base)).await
    }

    async fn refused(&self, path: &str) -> (Option<u16>, String) {
        let error = self.get::<serde_json::Value>(path).await.unwrap_err();
        (error.status(), error.to_string())
    }

    async fn end(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

/// Follows `next` to the end.
async fn all<T: DeserializeOwned>(running: &Running, path: &str, limit: u32) -> Vec<T> {
    let (mut items, mut after) = (Vec::new(), String::new());
    loop {
        let and = if path.contains('?') { '&' } else { '?' };
        let page: Page<T> = running.get(&format!("{path}{and}limit={limit}{after}")).await.unwrap();
        assert!(page.items.len() <= limit as usize);
        items.extend(page.items);
        match page.next {
            Some(next) => after = format!("&after={next}"),
            None => return items,
        }
    }
}

#[tokio::test]
async fn lists_go_by_page_filter_and_name_the_finalised_block() {
    let dir = tempfile::tempdir().unwrap();
    let world = world(2, ["http://node-1:1", "http://node-2:1"]).await;
    let mut apps = vec![world.app];
    for salt in 2..=5 {
        apps.push(register_app(&world.wallet, &world.deployment, salt).await);
    }
    for name in ["a.example", "b.example", "c.example"] {
        world.approve(name).await;
    }
    world.revoke(apps[1], code(1)).await;
    let until = world.chain.now() + 1_000;
    let paused = AppAuth::new(apps[2], &world.wallet);
    common::sent(paused.pause(until.try_into().unwrap()).send().await.unwrap()).await;
    world.chain.mine(4);
    // Not final: nothing of it is shown.
    world.revoke(apps[3], code(2)).await;
    let running = start(&world, world.config(dir.path(), &[])).await;
    let finalized = world.chain.block(alloy::eips::BlockNumberOrTag::Finalized).unwrap();

    let page: Page<AppView> = running.get("/v1/apps").await.unwrap();
    assert_eq!((page.block.number, page.block.hash), (finalized.number(), finalized.hash()));
    apps.sort();
    for limit in [1, 2, 100] {
        let found: Vec<AppView> = all(&running, "/v1/apps", limit).await;
        assert_eq!(found.iter().map(|app| app.app).collect::<Vec<_>>(), apps, "limit {limit}");
    }
    let owner = world.chain.accounts()[0];
    assert_eq!(all::<AppView>(&running, &format!("/v1/apps?owner={owner}"), 2).await.len(), 5);
    assert!(all::<AppView>(&running, &format!("/v1/apps?owner={}", key(9).address()), 2).await.is_empty());
    let held: Vec<AppView> = all(&running, "/v1/apps?state=paused", 2).await;
    assert_eq!((held.len(), held[0].state, held[0].paused_until), (1, AppState::Paused, Some(until)));

    let versions: Vec<VersionView> = all(&running, "/v1/versions", 7).await;
    assert_eq!(versions.len(), 5 * 9);
    let revoked: Vec<VersionView> = all(&running, "/v1/versions?state=revoked", 1).await;
    assert_eq!((revoked.len(), revoked[0].code_hash), (1, code(1)), "what is not final is not shown");
    assert!(versions.iter().filter(|v| v.state == VersionState::Active).count() >= 5 * 9 - 1);
    let of_one: Vec<VersionView> = all(&running, &format!("/v1/versions?app={}", world.app), 4).await;
    assert_eq!(of_one.iter().map(|v| v.code_hash).collect::<Vec<_>>(), (1..=9).map(code).collect::<Vec<_>>());

    let domains: Vec<DomainView> = all(&running, "/v1/domains", 1).await;
    assert_eq!(domains.len(), 3);
    let named: Vec<DomainView> = all(&running, "/v1/domains?name=b.example", 1).await;
    assert_eq!((named.len(), named[0].app), (1, world.app));

    let events: Vec<EventView> = all(&running, "/v1/events", 3).await;
    let whole: Vec<EventView> = all(&running, "/v1/events", 100).await;
    assert_eq!(events, whole);
    assert!(events.iter().all(|event| event.log.block_number <= finalized.number()));
    let approved = <DomainRegistry::DomainApproved as alloy::sol_types::SolEvent>::SIGNATURE_HASH;
    let approvals: Vec<EventView> = all(&running, &format!("/v1/events?topic={approved}"), 2).await;
    assert_eq!((approvals.len(), approvals[0].event.as_deref()), (3, Some("DomainApproved")));
    let at = approvals[1].log.block_number;
    let one: Vec<EventView> = all(&running, &format!("/v1/events?fromBlock={at}&toBlock={at}"), 9).await;
    assert!(!one.is_empty() && one.iter().all(|event| event.log.block_number == at));

    assert!(all::<ProposalView>(&running, "/v1/proposals", 5).await.is_empty());
    let committee: CommitteeView = running.get("/v1/committee").await.unwrap();
    assert_eq!(committee.block.hash, finalized.hash());
    running.end().await;
}

#[tokio::test]
async fn malformed_questions_are_refused_with_a_reason() {
    let dir = tempfile::tempdir().unwrap();
    let world = world(2, ["http://node-1:1", "http://node-2:1"]).await;
    world.chain.mine(3);
    let running = start(&world, world.config(dir.path(), &[])).await;
    for path in [
        "/v1/apps?limit=0",
        "/v1/apps?limit=101",
        "/v1/apps?limit=x",
        "/v1/apps?after=0x12",
        "/v1/apps?colour=red",
        "/v1/apps?state=happy",
        "/v1/versions?after=nowhere",
        "/v1/events?after=1",
        "/v1/events?fromBlock=9223372036854775808",
        "/v1/events?topic=0x00",
        "/v1/domains?limit=1&limit=2",
        "/v1/mailbox/0x12",
    ] {
        let (status, text) = running.refused(path).await;
        assert_eq!(status, Some(400), "{path}: {text}");
    }
    let other = format!("/v1/versions?app={}&after={}", key(1).address(), key(2).address());
    assert_eq!(running.refused(&other).await.0, Some(400));
    assert_eq!(running.refused("/v1/nothing").await.0, Some(404));
    running.end().await;
}

#[tokio::test]
async fn g6_a_relayer_that_does_not_know_says_so_instead_of_what_is_allowed() {
    let dir = tempfile::tempdir().unwrap();
    let world = world(2, ["http://node-1:1", "http://node-2:1"]).await;
    world.chain.mine(4);
    let running = start(&world, world.config(dir.path(), &[])).await;
    let hash = B256::repeat_byte(1);
    let question = serde_json::json!({
        "appId": world.app, "composeHash": hash, "instanceId": world.app, "deviceId": hash, "mrAggregated": hash,
        "mrSystem": hash, "osImageHash": hash, "tcbStatus": "UpToDate", "advisoryIds": [],
    });
    let ask = async || {
        let url = format!("{}/bootAuth/app", running.base);
        running.client().post_json::<_, BootAnswer>(&url, &question).await
    };
    assert!(!ask().await.unwrap().is_allowed);
    for part in ["chain", "endpoints"] {
        // Parts that work say so at every look, so this one says it until it is heard.
        eventually("it is undecided", || async {
            running.health.fail(part, "nobody knows");
            ask().await.is_err_and(|e| e.status() == Some(503) && e.to_string().contains("nobody knows"))
        })
        .await;
        running.health.ok(part);
    }
    running.health.fail("sender", "no money");
    assert!(ask().await.is_ok(), "who cannot pay can still say what is allowed");
    let (status, text) = running.refused("/readyz").await;
    assert_eq!(status, Some(503), "{text}");
    running.end().await;
}

#[tokio::test]
async fn g6_a_latched_relayer_is_not_ready_and_undecided() {
    let dir = tempfile::tempdir().unwrap();
    let world = world(2, ["http://node-1:1", "http://node-2:1"]).await;
    world.chain.mine(4);
    let config = world.config(dir.path(), &[]);
    let store = world.store(&dir.path().join("relayer.sqlite")).await;
    let latch =
        Latch { kind: "finality".to_owned(), detail: "two blocks at 7".to_owned(), block: None, since: 1 };
    store.set_latch(latch).await.unwrap();
    drop(store);
    let running = begin(&world, config).await;
    let (status, text) = running.refused("/").await;
    assert_eq!(status, Some(503), "{text}");
    assert!(text.contains("latch: finality: two blocks at 7"), "{text}");
    let (status, _) = running.refused("/readyz").await;
    assert_eq!(status, Some(503));
    running.end().await;
}

#[tokio::test]
async fn who_asks_too_much_is_told_when_to_come_back_and_kept_witnesses_are_free() {
    let dir = tempfile::tempdir().unwrap();
    let world = world(2, ["http://node-1:1", "http://node-2:1"]).await;
    world.chain.mine(4);
    let mut config = world.config(dir.path(), &[]);
    config.api.builds_per_second = NonZeroU32::MIN;
    config.api.build_burst = NonZeroU32::new(2).unwrap();
    config.api.witness_cache = 1;
    let running = start(&world, config).await;
    let block = world.chain.head().hash();
    let ask = async |to: Address| {
        let call = ViewCall { to, data: Default::default() };
        let request = WitnessRequest { block_hash: block, call, known: Vec::new() };
        let url = format!("{}/v1/witness", running.base);
        running.client().post_json::<_, WitnessResponse>(&url, &request).await
    };
    // Slow machines refill a token or two meanwhile.
    let (mut refused, mut newest) = (None, 0);
    for n in 1..=100 {
        match ask(key(n).address()).await {
            Ok(_) => newest = n,
            Err(error) => {
                refused = Some(error);
                break;
            }
        }
    }
    let refused = refused.expect("a hundred witnesses were built for one address at once");
    assert_eq!(refused.status(), Some(429), "{refused}");
    for _ in 0..10 {
        ask(key(newest).address()).await.expect("who was refused pushed nobody out");
    }
    running.end().await;
}
