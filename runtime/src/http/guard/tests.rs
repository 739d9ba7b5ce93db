// SPDX-License-Identifier: Apache-2.0 OR MIT
use std::num::NonZeroU32;

use axum::routing::{get, post};
use bytes::Bytes;
use tokio::sync::Notify;
use tower::ServiceExt;

use super::*;
use crate::{clock::ManualClock, http::Rate};

fn caps() -> Caps {
    let rate = Rate { per_second: NonZeroU32::MIN, burst: NonZeroU32::new(4).unwrap() };
    Caps {
        rates: Rates::new(rate, Arc::new(ManualClock::new(0))),
        in_flight: 2,
        body: 10,
        body_timeout: Duration::from_secs(5),
        answer_timeout: Duration::from_secs(20),
    }
}

fn asked(path: &str, peer: u8, body: Body) -> Request {
    let peer = Peer::Socket(([10, 0, 0, peer], 1).into());
    let method = if path == "/echo" { "POST" } else { "GET" };
    http::Request::builder().method(method).uri(path).extension(peer).body(body).unwrap()
}

async fn text(response: Response) -> String {
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8_lossy(&body).into_owned()
}

#[tokio::test]
async fn a_peer_that_asks_too_often_is_told_when_to_come_back() {
    let router = guarded(Router::new().route("/", get(|| async { "hello" })), caps());
    for _ in 0..4 {
        let answer = router.clone().oneshot(asked("/", 1, Body::empty())).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
    }
    let refused = router.clone().oneshot(asked("/", 1, Body::empty())).await.unwrap();
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.headers()[http::header::RETRY_AFTER], "1");
    assert_eq!(refused.extensions().get(), Some(&Refused::Rate));
    assert!(text(refused).await.contains("\"error\""));
    assert_eq!(router.oneshot(asked("/", 2, Body::empty())).await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn what_exceeds_the_number_at_a_time_is_refused_and_the_place_is_given_back() {
    let (entered, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (e, r) = (Arc::clone(&entered), Arc::clone(&release));
    let slow = move || async move {
        e.notify_one();
        r.notified().await;
    };
    let router = guarded(Router::new().route("/", get(slow)), caps());
    let mut running = Vec::new();
    for peer in 0..2 {
        running.push(tokio::spawn(router.clone().oneshot(asked("/", peer, Body::empty()))));
        entered.notified().await;
    }
    let refused = router.clone().oneshot(asked("/", 3, Body::empty())).await.unwrap();
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.extensions().get(), Some(&Refused::Busy));
    release.notify_waiters();
    for task in running {
        assert_eq!(task.await.unwrap().unwrap().status(), StatusCode::OK);
    }
    let again = tokio::spawn(router.oneshot(asked("/", 3, Body::empty())));
    entered.notified().await;
    release.notify_waiters();
    assert_eq!(again.await.unwrap().unwrap().status(), StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn long_and_slow_bodies_and_slow_answers_end() {
    let router = Router::new()
        .route("/echo", post(|body: Bytes| async { body }))
        .route("/never", get(std::future::pending::<()>));
    let router = guarded(router, caps());
    let short = router.clone().oneshot(asked("/echo", 1, Body::from("0123456789"))).await.unwrap();
    assert_eq!(text(short).await, "0123456789");
    let long = router.clone().oneshot(asked("/echo", 1, Body::from("0123456789x"))).await.unwrap();
    assert_eq!(long.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let dripping = Body::from_stream(futures::stream::pending::<Result<Bytes, std::io::Error>>());
    let slow = router.clone().oneshot(asked("/echo", 2, dripping)).await.unwrap();
    assert_eq!(slow.status(), StatusCode::REQUEST_TIMEOUT);
    let never = router.oneshot(asked("/never", 3, Body::empty())).await.unwrap();
    assert_eq!(never.status(), StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(never.extensions().get(), Some(&Refused::Overdue));
}
