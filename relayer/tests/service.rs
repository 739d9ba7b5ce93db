// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The whole relayer on real sockets, with a gateway and a node at the other end.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod common;

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use alloy::primitives::B256;
use axum::{Router, extract::State, routing::post};
use common::{World, code, eventually, key, payer, sent, world};
use mandate_model::{
    bindings::{DomainRegistry, KmsAuth, KmsCommittee},
    wire::{
        ViewCall,
        gateway::{DomainOrder, IssuedCertificate},
        kms::RevocationNotice,
        relayer::{Accepted, CommitteeView, Delivered, RelayerStatus, WitnessRequest, WitnessResponse},
    },
};
use mandate_relayer::{
    Config, Service, StartError,
    api::{AppView, BootAnswer, DeploymentInfo, DomainView, Page},
    chain::Endpoints,
    config::ChainConfig,
};
use mandate_runtime::{
    Ambient,
    http::{ApiError, ApiJson, Client, serve},
    net::{Net, TcpNet},
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Whoever is told of revocations and asked for certificates.
#[derive(Clone, Default)]
struct Peer {
    notices: Arc<Mutex<Vec<(RevocationNotice, Instant)>>>,
    orders: Arc<Mutex<Vec<DomainOrder>>>,
    app: alloy::primitives::Address,
}

impl Peer {
    async fn serve(&self) -> String {
        let listener = TcpNet.listen(([127, 0, 0, 1], 0).into()).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new()
            .route("/v1/revocations", post(noted))
            .route("/v1/grants", post(async || ()))
            .route("/v1/domains", post(ordered))
            .with_state(self.clone());
        tokio::spawn(serve(listener, router, CancellationToken::new()));
        url
    }

    fn noticed(&self) -> usize {
        self.notices.lock().unwrap().len()
    }
}

async fn noted(State(peer): State<Peer>, ApiJson(notice): ApiJson<RevocationNotice>) -> ApiJson<Vec<String>> {
    peer.notices.lock().unwrap().push((notice, Instant::now()));
    ApiJson(Vec::new())
}

/// Fails twice before it issues.
async fn ordered(
    State(peer): State<Peer>,
    ApiJson(order): ApiJson<DomainOrder>,
) -> Result<ApiJson<IssuedCertificate>, ApiError> {
    let mut orders = peer.orders.lock().unwrap();
    orders.push(order.clone());
    if orders.len() < 3 {
        return Err(ApiError::unavailable("not finalised here yet"));
    }
    Ok(ApiJson(IssuedCertificate {
        name: order.name,
        app: peer.app,
        issuer: "ca.example".to_owned(),
        account_uri: "https://ca.example/acct/1".to_owned(),
        fingerprint: B256::repeat_byte(0xf1),
        spki_hash: B256::repeat_byte(0xf2),
        not_after: 2_000_000_000,
    }))
}

struct Running {
    base: String,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

async fn start(world: &World, config: Config) -> Running {
    let service = Service::start(config, Ambient::system(), world.endpoints()).await.unwrap();
    assert_eq!(service.payer(), payer().address());
    let base = format!("http://{}", service.address());
    let stop = CancellationToken::new();
    let task = tokio::spawn(service.run(stop.clone()));
    Running { base, stop, task }
}

impl Running {
    async fn get<T: serde::de::DeserializeOwned>(&self, path: &str) -> T {
        Client::new(Arc::new(TcpNet)).get_json(&format!("{}{path}", self.base)).await.unwrap()
    }

    async fn post<Q: serde::Serialize, T: serde::de::DeserializeOwned>(&self, path: &str, body: &Q) -> T {
        Client::new(Arc::new(TcpNet)).post_json(&format!("{}{path}", self.base), body).await.unwrap()
    }

    async fn caught_up(&self, world: &World) {
        let head = world.chain.head().number();
        eventually("the head is processed", || async {
            self.get::<RelayerStatus>("/v1/status").await.head >= head
        })
        .await;
    }

    async fn end(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

#[tokio::test]
async fn g7_a_revocation_reaches_node_and_gateway_within_a_poll_and_once_across_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let (node, gateway) = (Peer::default(), Peer::default());
    let (node_url, gateway_url) = (node.serve().await, gateway.serve().await);
    // The second node is away.
    let world = world(4, [&node_url, "http://127.0.0.1:1"]).await;
    let config = world.config(dir.path(), &[gateway_url]);
    let running = start(&world, config.clone()).await;
    running.caught_up(&world).await;

    let block_made = Instant::now();
    world.revoke(world.app, code(1)).await;
    eventually("the push", || async { node.noticed() == 1 && gateway.noticed() == 1 }).await;
    let (notice, at) = gateway.notices.lock().unwrap()[0].clone();
    assert_eq!((notice.app, notice.code_hashes), (world.app, vec![code(1)]));
    println!("block to push: {:?}", at.duration_since(block_made));
    let open = async |running: &Running| running.get::<RelayerStatus>("/v1/status").await.outbox;
    eventually("both are noted as done", || async { open(&running).await == 1 }).await;
    running.end().await;

    let running = start(&world, config).await;
    world.chain.mine(6);
    running.caught_up(&world).await;
    world.revoke(world.app, code(2)).await;
    eventually("the next push", || async { node.noticed() == 2 && gateway.noticed() == 2 }).await;
    eventually("two pushes wait for the node that is away", || async { open(&running).await == 2 }).await;
    let codes: Vec<_> =
        gateway.notices.lock().unwrap().iter().map(|(notice, _)| notice.code_hashes[0]).collect();
    assert_eq!(codes, [code(1), code(2)]);
    running.end().await;
}

#[tokio::test]
async fn an_approved_domain_gets_its_certificate_recorded_and_its_account_pinned() {
    let dir = tempfile::tempdir().unwrap();
    let world = world(2, ["http://127.0.0.1:1", "http://127.0.0.1:1"]).await;
    let gateway = Peer { app: world.app, ..Peer::default() };
    let url = gateway.serve().await;
    let running = start(&world, world.config(dir.path(), &[url])).await;
    world.approve("shop.example").await;
    world.chain.mine(3);
    let registry = DomainRegistry::new(world.deployment.domain_registry, &world.wallet);
    eventually("the record", || async {
        let domain = registry.domain("shop.example".to_owned()).call().await.unwrap();
        domain.certificate == B256::repeat_byte(0xf1) && domain.accountUri == "https://ca.example/acct/1"
    })
    .await;
    world.chain.mine(3);
    eventually("nothing is left to do", || async {
        running.get::<RelayerStatus>("/v1/status").await.outbox == 0
    })
    .await;
    assert_eq!(gateway.orders.lock().unwrap().len(), 3);
    eventually("the record is final", || async {
        let listed: Page<DomainView> = running.get("/v1/domains").await;
        let domain = &listed.items[0];
        domain.issuer == "ca.example"
            && domain.certificate.as_ref().is_some_and(|c| c.fingerprint == B256::repeat_byte(0xf1))
    })
    .await;
    running.end().await;
}

#[tokio::test]
async fn the_api_answers() {
    let dir = tempfile::tempdir().unwrap();
    let world = world(2, ["http://node-1:1", "http://node-2:1"]).await;
    let running = start(&world, world.config(dir.path(), &[])).await;
    world.chain.mine(3);
    running.caught_up(&world).await;

    let letter = world.letter(&world.nodes[0], world.nodes[1].address(), 1, b"hello");
    running.post::<_, ()>("/v1/mailbox", &letter).await;
    let path = format!("/v1/mailbox/{}?after=0&wait=5", world.nodes[1].address());
    assert_eq!(running.get::<Vec<Delivered>>(&path).await[0].letter, letter);

    let nonce = world.nonce(&world.nodes[0], 1);
    let accepted: Accepted = running.post("/v1/submissions", &nonce).await;
    assert_eq!(running.post::<_, Accepted>("/v1/submissions", &nonce).await, accepted);
    let committee = KmsCommittee::new(world.deployment.committee, &world.wallet);
    eventually("the nonce is on chain", || async {
        committee.nonceOf(world.nodes[0].address()).call().await.unwrap() == B256::repeat_byte(1)
    })
    .await;

    let view: CommitteeView = running.get("/v1/committee").await;
    assert_eq!((view.chain_id, view.epoch, view.kms_auth), (31_337, 0, world.deployment.kms_auth));
    assert_eq!(running.get::<Page<AppView>>("/v1/apps").await.items[0].app, world.app);
    assert!(running.get::<Page<serde_json::Value>>("/v1/events?fromBlock=1").await.items.len() > 3);

    let block = world.chain.head();
    let owner = KmsAuth::new(world.deployment.kms_auth, &world.wallet);
    let call = ViewCall { to: world.deployment.kms_auth, data: owner.owner().calldata().clone() };
    let request = WitnessRequest { block_hash: block.hash(), call, known: Vec::new() };
    let answer: WitnessResponse = running.post("/v1/witness", &request).await;
    mandate_witness::Witness::decode(&answer.witness).unwrap();
    let unknown = WitnessRequest { block_hash: B256::repeat_byte(9), ..request };
    let refused = Client::new(Arc::new(TcpNet))
        .post_json::<_, WitnessResponse>(&format!("{}/v1/witness", running.base), &unknown)
        .await
        .unwrap_err();
    assert_eq!(refused.status(), Some(503), "{refused}");

    let forged = mandate_model::wire::relayer::Letter { round: 2, ..letter };
    let refused = Client::new(Arc::new(TcpNet))
        .post_json::<_, ()>(&format!("{}/v1/mailbox", running.base), &forged)
        .await
        .unwrap_err();
    assert_eq!(refused.status(), Some(403), "{refused}");
    running.end().await;
}

#[tokio::test]
async fn a_reader_that_waits_does_not_hold_up_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let world = world(2, ["http://node-1:1", "http://node-2:1"]).await;
    let running = start(&world, world.config(dir.path(), &[])).await;
    running.caught_up(&world).await;
    let url = format!("{}/v1/mailbox/{}?after=0&wait=30", running.base, world.nodes[1].address());
    let waiting = tokio::spawn(async move {
        Client::new(Arc::new(TcpNet)).timeout(Duration::from_secs(60)).get_json::<Vec<Delivered>>(&url).await
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    let asked = Instant::now();
    running.end().await;
    assert!(asked.elapsed() < Duration::from_secs(4));
    assert!(waiting.await.unwrap().unwrap().is_empty());
}

#[tokio::test]
async fn what_is_wrong_is_said_before_anything_runs() {
    let dir = tempfile::tempdir().unwrap();
    let world = world(2, ["http://node-1:1", "http://node-2:1"]).await;
    let server = world.chain.serve(([127, 0, 0, 1], 0).into()).await.unwrap();
    let config = world.config(dir.path(), &[]);
    let begin =
        async |config: Config| match Service::start(config, Ambient::system(), world.endpoints()).await {
            Ok(_) => panic!("it started"),
            Err(e) => e,
        };

    let mut wrong = config.clone();
    wrong.deployment.chain_id = 1;
    let endpoints = Endpoints::new(&ChainConfig::new(&server.http_url()), 1, Ambient::system()).unwrap();
    let refused = Service::start(wrong, Ambient::system(), endpoints).await.err().unwrap();
    assert!(matches!(refused, StartError::WrongChain { expected: 1, found: 31_337, .. }), "{refused}");
    let mut wrong = config.clone();
    wrong.deployment.committee = key(1).address();
    assert!(matches!(begin(wrong).await, StartError::NoContract { name: "committee", .. }));
    let taken = TcpNet.listen(([127, 0, 0, 1], 0).into()).await.unwrap();
    let mut wrong = config.clone();
    wrong.listen = taken.local_addr().unwrap();
    let e = begin(wrong).await;
    assert!(matches!(e, StartError::Bind { .. }) && e.to_string().lines().count() == 1);
    let mut wrong = config;
    wrong.signer = Default::default();
    assert!(matches!(begin(wrong).await, StartError::Signer(_)));
}

#[tokio::test]
async fn new_heads_over_websocket_save_the_poll() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = Peer::default();
    let url = gateway.serve().await;
    let world = world(4, ["http://127.0.0.1:1", "http://127.0.0.1:1"]).await;
    let server = world.chain.serve(([127, 0, 0, 1], 0).into()).await.unwrap();
    let mut config = world.config(dir.path(), &[url]);
    config.chain = ChainConfig::new(&server.ws_url());
    config.chain.poll = Duration::from_secs(3_600);
    let endpoints = Endpoints::new(&config.chain, world.chain.chain_id(), Ambient::system()).unwrap();
    let service = Service::start(config, Ambient::system(), endpoints).await.unwrap();
    let base = format!("http://{}", service.address());
    let wake = service.wake();
    let stop = CancellationToken::new();
    let running = Running { base, task: tokio::spawn(service.run(stop.clone())), stop };
    running.caught_up(&world).await;
    // Until the subscription stands, somebody else rings.
    world.chain.mine(1);
    wake.notify_one();
    running.caught_up(&world).await;
    world.revoke(world.app, code(1)).await;
    eventually("the push", || async { gateway.noticed() == 1 }).await;
    running.end().await;
}

/// Upstream's webhook answers from finalised state: what the head alone shows does not count for a grant.
#[tokio::test]
async fn upstreams_webhook_is_answered_from_the_finalised_block() {
    let dir = tempfile::tempdir().unwrap();
    let world = world(4, ["http://127.0.0.1:1", "http://127.0.0.1:1"]).await;
    let kms_auth = KmsAuth::new(world.deployment.kms_auth, &world.wallet);
    let image = B256::repeat_byte(0x05);
    sent(kms_auth.scheduleOsImage(image, String::new()).send().await.unwrap()).await;
    sent(kms_auth.setKmsApp(world.app).send().await.unwrap()).await;
    sent(kms_auth.setGatewayApp(world.app).send().await.unwrap()).await;
    world.chain.increase_time(2);
    world.chain.mine(8);
    let running = start(&world, world.config(dir.path(), &[])).await;
    running.caught_up(&world).await;
    eventually("a block is final", || async {
        running.get::<RelayerStatus>("/v1/status").await.finalized + 4 >= world.chain.head().number()
    })
    .await;
    let ask = |code: B256, image: B256| {
        serde_json::json!({
            "appId": format!("{:x}", world.app), "composeHash": code, "instanceId": world.app, "deviceId": code,
            "mrAggregated": code, "mrSystem": code, "osImageHash": image, "tcbStatus": "UpToDate", "advisoryIds": [],
        })
    };
    let allowed: BootAnswer = running.post("/bootAuth/app", &ask(code(1), image)).await;
    assert_eq!((allowed.is_allowed, allowed.reason.as_str()), (true, ""));
    assert_eq!(allowed.gateway_app_id, world.app.to_string());
    let kms: BootAnswer = running.post("/bootAuth/kms", &ask(code(1), image)).await;
    assert!(kms.is_allowed, "{kms:?}");
    for (question, reason) in [
        (ask(B256::repeat_byte(0x99), image), "code is not known"),
        (ask(code(1), B256::repeat_byte(0x99)), "OS image is not known"),
    ] {
        let denied: BootAnswer = running.post("/bootAuth/app", &question).await;
        assert_eq!((denied.is_allowed, denied.reason.as_str()), (false, reason));
    }
    let info: DeploymentInfo = running.get("/").await;
    assert_eq!((info.kms_contract_addr, info.chain_id), (world.deployment.kms_auth, world.chain.chain_id()));
    assert_eq!(info.app_implementation, world.deployment.app_implementation);

    world.revoke(world.app, code(1)).await;
    running.caught_up(&world).await;
    let still: BootAnswer = running.post("/bootAuth/app", &ask(code(1), image)).await;
    assert!(still.is_allowed, "one block, and that one is final");
    world.chain.mine(8);
    eventually("the revocation is final", || async {
        let now: BootAnswer = running.post("/bootAuth/app", &ask(code(1), image)).await;
        now.reason == "code was revoked"
    })
    .await;
    running.end().await;
}
