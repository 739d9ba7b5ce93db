// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What receivers of webhooks get, and what they cannot make the relayer do.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod common;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use alloy::{
    hex,
    primitives::{Address, B256},
};
use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use common::{World, code, eventually, sent, world};
use hmac::{Hmac, Mac};
use mandate_model::{bindings::AppAuth, wire::relayer::RelayerStatus};
use mandate_relayer::{
    Config, Service,
    effects::webhook::{
        DeliveryError, EventKind, ID_HEADER, Message, Occurrence, PostError, SIGNATURE_HEADER, WebhookConfig,
        Webhooks,
    },
    operator,
    store::{EffectState, OutboxQuery},
};
use mandate_runtime::{
    Ambient,
    http::{Client, serve},
    net::{Net, TcpNet},
};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_util::sync::CancellationToken;

const SECRET: &str = "a secret of sufficient length";

/// What one request was.
#[derive(Debug, Clone)]
struct Got {
    id: String,
    signature: String,
    body: Bytes,
}

impl Got {
    /// As a receiver checks it; docs/operating-a-relayer.md shows the same.
    fn is_signed(&self, secret: &str) -> bool {
        let (time, mac) = self.signature.strip_prefix("t=").unwrap().split_once(",v1=").unwrap();
        let mut expected = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        expected.update(format!("{time}.{}.", self.id).as_bytes());
        expected.update(&self.body);
        expected.verify_slice(&hex::decode(mac).unwrap()).is_ok()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// Answers as it is told, 200 when it is told nothing.
#[derive(Clone, Default)]
struct Receiver {
    got: Arc<Mutex<Vec<Got>>>,
    answers: Arc<Mutex<VecDeque<Response>>>,
}

impl Receiver {
    async fn serve(&self) -> String {
        let listener = TcpNet.listen(([127, 0, 0, 1], 0).into()).await.unwrap();
        let url = format!("http://{}/hook?token=of-ours", listener.local_addr().unwrap());
        let router = Router::new().route("/hook", post(received)).with_state(self.clone());
        tokio::spawn(serve(listener, router, CancellationToken::new()));
        url
    }

    fn answer(&self, response: impl IntoResponse) {
        self.answers.lock().unwrap().push_back(response.into_response());
    }

    fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }
}

async fn received(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) -> Response {
    let text = |name: &str| headers[name].to_str().unwrap().to_owned();
    let got = Got { id: text(ID_HEADER), signature: text(SIGNATURE_HEADER), body };
    receiver.got.lock().unwrap().push(got);
    receiver.answers.lock().unwrap().pop_front().unwrap_or_else(|| StatusCode::OK.into_response())
}

fn hook(url: &str) -> WebhookConfig {
    let events = [EventKind::Scheduled, EventKind::AboutToActivate, EventKind::Revoked, EventKind::Incident];
    let mut hook = WebhookConfig::new("ops", url, SECRET, events);
    hook.private = true;
    hook.timeout = Duration::from_secs(5);
    hook
}

fn webhooks(hook: WebhookConfig) -> Webhooks {
    Webhooks::new(&[hook], Ambient::system()).unwrap()
}

fn message() -> Message {
    let what = Occurrence::Revoked { app: Some(Address::ZERO), hash: Some(B256::ZERO), by: Address::ZERO };
    Message { chain_id: 31_337, place: None, what }
}

#[tokio::test]
async fn message_is_signed_with_its_time_and_id_and_a_tampered_one_is_noticed() {
    let receiver = Receiver::default();
    webhooks(hook(&receiver.serve().await)).deliver("ops", "key:1", &message()).await.unwrap();
    let got = receiver.got().remove(0);
    assert_eq!((got.id.as_str(), got.json()["id"].as_str()), ("key:1", Some("key:1")));
    assert!(got.is_signed(SECRET) && !got.is_signed("another secret"));
    let mut body = got.body.to_vec();
    body[20] ^= 1;
    assert!(!Got { body: body.into(), ..got.clone() }.is_signed(SECRET));
    assert!(!Got { id: "key:2".to_owned(), ..got.clone() }.is_signed(SECRET));
    let later = got.signature.replacen("t=1", "t=2", 1);
    assert_ne!(later, got.signature);
    assert!(!Got { signature: later, ..got }.is_signed(SECRET));
}

#[tokio::test]
async fn attack_receiver_cannot_send_the_relayer_elsewhere() {
    let (receiver, elsewhere) = (Receiver::default(), Receiver::default());
    let there = elsewhere.serve().await;
    receiver.answer((StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, there)]));
    let refused = webhooks(hook(&receiver.serve().await)).deliver("ops", "key", &message()).await;
    assert!(matches!(refused, Err(DeliveryError::Post(PostError::Status { code: 307, .. }))), "{refused:?}");
    assert!(elsewhere.got().is_empty());
}

#[tokio::test]
async fn attack_receiver_cannot_hold_the_relayer_up_or_fill_its_memory() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        // The first connection is never answered, the second without end.
        let (_silent, _) = listener.accept().await.unwrap();
        let (mut endless, _) = listener.accept().await.unwrap();
        let _ = endless.read(&mut [0; 4096]).await;
        let _ = endless.write_all(b"HTTP/1.1 500 no\r\ncontent-length: 1000000000\r\n\r\n").await;
        while endless.write_all(&[b'x'; 4096]).await.is_ok() {}
    });
    let mut hook = hook(&url);
    hook.timeout = Duration::from_millis(100);
    let webhooks = webhooks(hook);
    let silent = webhooks.deliver("ops", "key", &message()).await;
    assert!(matches!(silent, Err(DeliveryError::Post(PostError::Timeout(_)))), "{silent:?}");
    let endless = webhooks.deliver("ops", "key", &message()).await;
    assert!(matches!(endless, Err(DeliveryError::Post(PostError::Status { code: 500, .. }))), "{endless:?}");
}

#[tokio::test]
async fn attack_name_that_leads_into_a_private_network_is_not_followed() {
    let receiver = Receiver::default();
    let url = receiver.serve().await.replace("http://127.0.0.1", "https://localhost");
    let mut hook = hook(&url);
    hook.private = false;
    let refused = webhooks(hook).deliver("ops", "key", &message()).await;
    assert!(matches!(refused, Err(DeliveryError::Post(PostError::Private(_)))), "{refused:?}");
    let text = refused.unwrap_err().to_string();
    assert!(!text.contains("token"), "{text}");
}

#[tokio::test]
async fn tls_receiver_is_believed_by_its_root_alone() {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = rustls_pki_types::PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let config =
        rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certified.cert.der().clone()], key)
            .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}/", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let _ = stream.read(&mut [0; 8192]).await;
            let _ = stream.write_all(b"HTTP/1.1 204 taken\r\n\r\n").await;
            let _ = stream.shutdown().await;
        }
    });
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root.pem");
    std::fs::write(&root, certified.cert.pem()).unwrap();
    let unknown = webhooks(hook(&url)).deliver("ops", "key", &message()).await;
    assert!(matches!(unknown, Err(DeliveryError::Post(PostError::Unreachable(_)))), "{unknown:?}");
    let known = WebhookConfig { ca_file: Some(root), ..hook(&url) };
    webhooks(known).deliver("ops", "key", &message()).await.unwrap();
}

/// A relayer that has seen everything so far, which is final and therefore no news.
async fn start(world: &World, config: Config) -> CancellationToken {
    world.chain.mine(8);
    let service = Service::start(config, Ambient::system(), world.endpoints()).await.unwrap();
    let url = format!("http://{}/v1/status", service.address());
    let stop = CancellationToken::new();
    tokio::spawn(service.run(stop.clone()));
    let head = world.chain.head().number();
    eventually("the head is processed", || async {
        Client::new(Arc::new(TcpNet)).get_json::<RelayerStatus>(&url).await.unwrap().head >= head
    })
    .await;
    stop
}

/// Messages whose effects are done.
async fn done(config: &Config) -> usize {
    let store = operator::open(config, Ambient::system().clock).await.unwrap();
    let query = OutboxQuery {
        state: Some(EffectState::Done),
        kind: Some("webhook".to_owned()),
        limit: 100,
        ..OutboxQuery::default()
    };
    store.outbox(query).await.unwrap().len()
}

fn events(receiver: &Receiver) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    receiver.got().iter().map(Got::json).map(|body| (text(&body["event"]), text(&body["hash"]))).collect()
}

#[tokio::test]
async fn g10_revocation_is_told_at_least_once_and_always_under_one_id() {
    let dir = tempfile::tempdir().unwrap();
    let world = world(4, ["http://127.0.0.1:1", "http://127.0.0.1:1"]).await;
    let receiver = Receiver::default();
    let mut config = world.config(dir.path(), &[]);
    config.webhooks = vec![hook(&receiver.serve().await)];
    let stop = start(&world, config).await;
    receiver.answer(StatusCode::INTERNAL_SERVER_ERROR);
    receiver.answer(StatusCode::BAD_GATEWAY);
    let receipt = world.revoke(world.app, code(1)).await;
    eventually("the third attempt", || async { receiver.got().len() == 3 }).await;
    let got = receiver.got();
    assert!(got.iter().all(|one| one.id == got[0].id && one.body == got[0].body && one.is_signed(SECRET)));
    let body = got[0].json();
    assert_eq!((body["event"].as_str(), body["chainId"].as_u64()), (Some("revoked"), Some(31_337)));
    assert_eq!(body["place"]["transaction"], receipt.transaction_hash.to_string());
    assert_eq!(body["id"], got[0].id.as_str());
    stop.cancel();
}

#[tokio::test]
async fn scheduled_code_is_announced_again_before_it_is_in_force_unless_it_was_revoked() {
    let dir = tempfile::tempdir().unwrap();
    let world = world(4, ["http://127.0.0.1:1", "http://127.0.0.1:1"]).await;
    let receiver = Receiver::default();
    let mut config = world.config(dir.path(), &[]);
    config.webhooks = vec![hook(&receiver.serve().await)];
    let stop = start(&world, config.clone()).await;
    let app = AppAuth::new(world.app, &world.wallet);
    // The notice is a second; by the relayer's clock it is not over for a while.
    world.chain.increase_time(1_000);
    let (kept, revoked) = (code(0x21), code(0x22));
    for hash in [kept, revoked] {
        let source = "https://source.example/<!channel>".to_owned();
        sent(app.scheduleCode(hash, source, false, Default::default()).send().await.unwrap()).await;
    }
    sent(app.revokeCode(revoked, false).send().await.unwrap()).await;
    world.chain.mine(8);
    let expected =
        [("about-to-activate", kept), ("revoked", revoked), ("scheduled", kept), ("scheduled", revoked)];
    let expected: Vec<_> = expected.iter().map(|(e, h)| ((*e).to_owned(), h.to_string())).collect();
    eventually("all are told", || async {
        let mut got = events(&receiver);
        got.sort();
        got == expected
    })
    .await;
    // The fifth is of the code that was revoked: it was due and nobody was told.
    eventually("nothing is left to tell", || async { done(&config).await == 5 }).await;
    assert_eq!(events(&receiver).len(), 4);
    stop.cancel();
}
