// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Endpoints whose answers do not end: no more of one is read than a bound, it counts against the endpoint, and another is
//! asked.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod common;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use alloy::providers::Provider;
use axum::{
    Router,
    body::{Body, Bytes},
    extract::{
        State,
        ws::{Message, WebSocketUpgrade},
    },
    response::{IntoResponse, Response},
    routing::post,
};
use common::{
    World,
    proxy::{Answer, Proxy},
    scripts::{Act, assert_same_as_fresh},
    settle, world,
};
use mandate_relayer::{
    chain::{Bounds, ChainReader, ChainView, Endpoints, Follower},
    config::ChainConfig,
};
use mandate_runtime::Ambient;
use serde_json::{Value, json};

const URLS: [&str; 2] = ["http://node-1:1", "http://node-2:1"];
const ANY: ([u8; 4], u16) = ([127, 0, 0, 1], 0);
const CAP: usize = 1 << 20;

/// Counts what it was asked and how many bytes somebody took of its answers.
#[derive(Clone, Default)]
struct Endless {
    asked: Arc<AtomicUsize>,
    taken: Arc<AtomicUsize>,
}

impl Endless {
    async fn serve(&self) -> SocketAddr {
        let listener = tokio::net::TcpListener::bind(SocketAddr::from(ANY)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/", post(endless).get(long_message)).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        address
    }
}

/// Valid JSON as far as one can see, and without an end. Well beyond the bound it stops, for the sake of the machine.
async fn endless(State(server): State<Endless>) -> Response {
    server.asked.fetch_add(1, Ordering::SeqCst);
    let begin = Bytes::from_static(br#"{"jsonrpc":"2.0","id":0,"result":""#);
    let more = futures::stream::repeat_with(move || {
        server.taken.fetch_add(CAP / 16, Ordering::SeqCst);
        Bytes::from(vec![b'0'; CAP / 16])
    });
    let all =
        futures::StreamExt::chain(futures::stream::iter([begin]), futures::StreamExt::take(more, 16 * 64));
    Body::from_stream(futures::StreamExt::map(all, Ok::<_, std::convert::Infallible>)).into_response()
}

/// Answers everything with the chain's id, in a message that is twice as long as the bound.
async fn long_message(State(server): State<Endless>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(|mut socket| async move {
        while let Some(Ok(Message::Text(text))) = socket.recv().await {
            server.asked.fetch_add(1, Ordering::SeqCst);
            let request: Value = serde_json::from_str(&text).unwrap();
            let answer = json!({
                "jsonrpc": "2.0", "id": request["id"], "padding": "0".repeat(2 * CAP), "result": "0x7a69",
            });
            if socket.send(Message::text(answer.to_string())).await.is_err() {
                return;
            }
        }
    })
}

/// An honest endpoint whose answers about many blocks are longer than the bound.
async fn wordy(State(proxy): State<Proxy>, body: Bytes) -> Response {
    let request: Value = serde_json::from_slice(&body).unwrap();
    let (method, filter) = (request["method"].as_str().unwrap(), &request["params"][0]);
    let height = |name: &str| {
        let height = filter[name].as_str().and_then(|hex| hex.strip_prefix("0x"));
        height.map_or(0, |hex| u64::from_str_radix(hex, 16).unwrap())
    };
    let many = method == "eth_getLogs" && height("toBlock") - height("fromBlock") >= 10;
    let Answer::Result(result) = proxy.answer(method, &request["params"]).await else {
        panic!("{method} was refused");
    };
    let padding = "0".repeat(if many { 2 * CAP } else { 0 });
    let answer = json!({ "jsonrpc": "2.0", "id": request["id"], "padding": padding, "result": result });
    answer.to_string().into_response()
}

fn endpoints<'a>(world: &World, urls: impl IntoIterator<Item = &'a str>) -> Endpoints {
    let mut config = ChainConfig::with_endpoints(urls);
    config.quorum = Some(1);
    config.request_timeout = Duration::from_secs(20);
    config.max_answer = CAP;
    Endpoints::new(&config, world.deployment.chain_id, Ambient::system()).unwrap()
}

#[tokio::test]
async fn attack_an_endless_answer_is_not_read_and_another_endpoint_is_asked() {
    let world = world(4, URLS).await;
    let honest = Proxy::new(world.provider()).serve(ANY.into()).await;
    let endless = Endless::default();
    let url = format!("http://{}", endless.serve().await);
    let endpoints = endpoints(&world, [url.as_str(), honest.http().as_str()]);
    let pool = endpoints.provider();
    for _ in 0..20 {
        assert_eq!(pool.get_block_number().await.unwrap(), world.chain.head().number());
    }
    let (asked, taken) = (endless.asked.load(Ordering::SeqCst), endless.taken.load(Ordering::SeqCst));
    assert!(asked >= 1, "it was the first");
    // Counted as its fault, so that it is spared.
    assert!(asked <= 6, "{asked}");
    // What the sockets hold besides is the system's.
    assert!(taken <= asked * 16 * CAP, "{taken} bytes of {asked} answers");
}

#[tokio::test]
async fn a_range_whose_logs_are_too_many_for_an_answer_is_halved() {
    let world = world(4, URLS).await;
    for n in 0..20 {
        Act::Approve(n).perform(&world).await;
        world.chain.mine(8);
    }
    let listener = tokio::net::TcpListener::bind(SocketAddr::from(ANY)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().route("/", post(wordy)).with_state(Proxy::new(world.provider()));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let store = world.memory().await;
    let mut follower = Follower::new(
        world.contracts(),
        ChainReader::new(endpoints(&world, [url.as_str()])),
        Arc::clone(&store),
        ChainView::default(),
        Ambient::system().clock,
        ["http://gateway:1".to_owned()],
        Bounds { reorg_window: 64, max_range: 100 },
    );
    settle(&mut follower).await;
    assert_same_as_fresh(&world, &store, "with an endpoint of long answers").await;
}

#[tokio::test]
async fn attack_a_websocket_s_message_beyond_the_bound_is_not_taken() {
    let world = world(4, URLS).await;
    let honest = Proxy::new(world.provider()).serve(ANY.into()).await;
    let long = Endless::default();
    let url = format!("ws://{}", long.serve().await);
    let alone = endpoints(&world, [url.as_str()]);
    assert!(alone.provider().get_chain_id().await.is_err());
    assert!(long.asked.load(Ordering::SeqCst) >= 1);
    let both = endpoints(&world, [url.as_str(), honest.http().as_str()]);
    assert_eq!(both.provider().get_block_number().await.unwrap(), world.chain.head().number());
}
