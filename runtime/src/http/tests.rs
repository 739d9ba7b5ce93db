// SPDX-License-Identifier: Apache-2.0 OR MIT
use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::DefaultBodyLimit,
    routing::{get, post},
};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::Notify,
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::net::{Net, TcpNet};

#[derive(Debug, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Word {
    word: String,
}

fn word(text: &str) -> Word {
    Word { word: text.to_owned() }
}

struct Running {
    base: String,
    port: u16,
    stop: CancellationToken,
    served: JoinHandle<()>,
}

async fn start(router: Router, options: ServeOptions) -> Running {
    let listener = TcpNet.listen(([127, 0, 0, 1], 0).into()).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let stop = CancellationToken::new();
    let served = tokio::spawn(serve_with(listener, router, stop.clone(), options));
    Running { base: format!("http://127.0.0.1:{port}"), port, stop, served }
}

fn client() -> Client {
    Client::new(Arc::new(TcpNet))
}

async fn echo(ApiJson(word): ApiJson<Word>) -> ApiJson<Word> {
    ApiJson(word)
}

#[tokio::test]
async fn json_goes_there_and_back_over_one_connection() {
    let server = start(Router::new().route("/echo", post(echo)), ServeOptions::default()).await;
    let client = client();
    for text in ["one", "two", "three"] {
        let back: Word = client.post_json(&format!("{}/echo", server.base), &word(text)).await.unwrap();
        assert_eq!(back, word(text));
    }
}

#[tokio::test]
async fn errors_are_told_apart_and_name_the_url() {
    let router = Router::new()
        .route("/echo", post(echo))
        .route("/refuse", get(|| async { ApiError::forbidden("not on this chain") }))
        .route("/large", get(|| async { "x".repeat(5_000) }))
        .route("/secret", get(|| async { r#"{"word": 424242}"# }))
        .route("/never", get(std::future::pending::<()>));
    let server = start(router, ServeOptions::default()).await;
    let client = client().timeout(Duration::from_millis(200)).max_body(1_000);
    let at = |path: &str| format!("{}{path}?key=hidden", server.base);

    let refused = client.get_json::<Word>(&at("/refuse")).await.unwrap_err();
    assert_eq!(refused.to_string(), format!("{}/refuse: 403: not on this chain", server.base));
    assert!(!refused.is_transient());
    assert!(matches!(
        client.get_json::<Word>(&at("/large")).await,
        Err(HttpError::TooLarge { limit: 1_000, .. })
    ));
    assert!(matches!(client.get_json::<Word>(&at("/never")).await, Err(HttpError::Timeout { .. })));
    assert!(matches!(client.get_json::<Word>("https://x").await, Err(HttpError::Url { .. })));
    assert!(matches!(
        client.get_json::<Word>("http://127.0.0.1:1/").await,
        Err(HttpError::Unreachable { .. })
    ));
    let malformed = client.get_json::<Word>(&at("/secret")).await.unwrap_err();
    assert!(
        matches!(malformed, HttpError::Malformed { .. }) && !malformed.to_string().contains("424242"),
        "{malformed}"
    );
    let unknown = serde_json::json!({ "word": "x", "more": 1 });
    let e = client.post_json::<_, Word>(&at("/echo"), &unknown).await.unwrap_err();
    assert!(e.to_string().contains("422: ") && e.to_string().contains("unknown field `more`"), "{e}");
}

#[tokio::test]
async fn a_body_above_the_cap_is_refused() {
    let options = ServeOptions { max_body: 100, ..ServeOptions::default() };
    let router = Router::new()
        .route("/echo", post(echo))
        .route("/wide", post(echo).layer(DefaultBodyLimit::max(10_000)));
    let server = start(router, options).await;
    let long = word(&"x".repeat(200));
    let e = client().post_json::<_, Word>(&format!("{}/echo", server.base), &long).await.unwrap_err();
    assert_eq!(e.status(), Some(413));
    let wide: Word = client().post_json(&format!("{}/wide", server.base), &long).await.unwrap();
    assert_eq!(wide, long);
}

#[tokio::test]
async fn cancellation_lets_running_requests_end() {
    let (entered, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (e, r) = (Arc::clone(&entered), Arc::clone(&release));
    let slow = move || async move {
        e.notify_one();
        r.notified().await;
        ApiJson(word("done"))
    };
    let server = start(Router::new().route("/slow", get(slow)), ServeOptions::default()).await;
    let url = format!("{}/slow", server.base);
    let asked = tokio::spawn(async move { client().get_json::<Word>(&url).await });
    entered.notified().await;
    server.stop.cancel();
    release.notify_one();
    assert_eq!(asked.await.unwrap().unwrap(), word("done"));
    server.served.await.unwrap();
    assert!(TcpNet.connect("127.0.0.1", server.port).await.is_err(), "the port is free again");
}

#[tokio::test]
async fn requests_that_outlast_the_drain_are_cut_off() {
    let entered = Arc::new(Notify::new());
    let e = Arc::clone(&entered);
    let stuck = move || async move {
        e.notify_one();
        std::future::pending::<()>().await;
    };
    let options = ServeOptions { drain: Duration::from_millis(50), ..ServeOptions::default() };
    let server = start(Router::new().route("/stuck", get(stuck)), options).await;
    let url = format!("{}/stuck", server.base);
    let asked = tokio::spawn(async move { client().get_json::<Word>(&url).await });
    entered.notified().await;
    server.stop.cancel();
    server.served.await.unwrap();
    assert!(matches!(asked.await.unwrap(), Err(HttpError::Unreachable { .. })));
}

#[tokio::test]
async fn a_client_that_sends_no_head_is_dropped() {
    let options = ServeOptions { header_timeout: Duration::from_millis(50), ..ServeOptions::default() };
    let server = start(Router::new(), options).await;
    let mut slow = TcpNet.connect("127.0.0.1", server.port).await.unwrap();
    slow.write_all(b"GET / HT").await.unwrap();
    let mut rest = Vec::new();
    slow.read_to_end(&mut rest).await.unwrap();
    assert!(!rest.starts_with(b"HTTP/1.1 200"));
}

#[tokio::test]
async fn a_client_that_takes_nothing_of_its_answer_is_dropped() {
    let entered = Arc::new(Notify::new());
    let e = Arc::clone(&entered);
    let endless = move || async move {
        e.notify_one();
        // More than the sockets' buffers hold.
        vec![0_u8; 64 << 20]
    };
    let options = ServeOptions {
        write_timeout: Duration::from_millis(50),
        drain: Duration::from_secs(3_600),
        ..ServeOptions::default()
    };
    let server = start(Router::new().route("/", get(endless)), options).await;
    let mut deaf = TcpNet.connect("127.0.0.1", server.port).await.unwrap();
    deaf.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    entered.notified().await;
    server.stop.cancel();
    // It would drain for an hour.
    tokio::time::timeout(Duration::from_secs(30), server.served).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_kept_connection_that_died_is_replaced() {
    let listener = TcpNet.listen(([127, 0, 0, 1], 0).into()).await.unwrap();
    let addr = listener.local_addr().unwrap();
    let client = client();
    let url = format!("http://{addr}/echo");
    let mut listener = Some(listener);
    for round in 0..2 {
        let bound = match listener.take() {
            Some(bound) => bound,
            None => TcpNet.listen(addr).await.unwrap(),
        };
        let stop = CancellationToken::new();
        let served = tokio::spawn(serve(bound, Router::new().route("/echo", post(echo)), stop.clone()));
        let back: Word = client.post_json(&url, &word("again")).await.unwrap();
        assert_eq!(back, word("again"), "round {round}");
        stop.cancel();
        served.await.unwrap();
    }
}

#[tokio::test]
async fn unix_sockets_carry_http_too() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let listener = TcpNet.listen_unix(&path).await.unwrap();
    let stop = CancellationToken::new();
    let served = tokio::spawn(serve(listener, Router::new().route("/echo", post(echo)), stop.clone()));
    let back: Word = Client::unix(&path).post_json("http://agent/echo", &word("hi")).await.unwrap();
    assert_eq!(back, word("hi"));
    stop.cancel();
    served.await.unwrap();
}

#[tokio::test]
async fn health_and_metrics_are_served() {
    crate::telemetry::metrics();
    metrics::counter!("mandate_pages_total").increment(1);
    let health = Health::new();
    let server = start(operations_router(health.clone()), ServeOptions::default()).await;
    let page = async |path: &str| {
        let mut stream = TcpNet.connect("127.0.0.1", server.port).await.unwrap();
        let ask = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(ask.as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    };
    assert!(page("/healthz").await.starts_with("HTTP/1.1 200"));
    health.fail("chain", "no block for 60 s");
    let sick = page("/healthz").await;
    assert!(sick.starts_with("HTTP/1.1 503") && sick.contains("chain: no block for 60 s"));
    health.ok("chain");
    assert!(page("/healthz").await.starts_with("HTTP/1.1 200"));
    assert!(page("/metrics").await.contains("mandate_pages_total"));
}
