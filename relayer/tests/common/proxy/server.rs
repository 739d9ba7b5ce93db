// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The faulty endpoint on a socket: HTTP and WebSocket, which can be cut off.

use std::{net::SocketAddr, time::Duration};

use axum::{
    Router,
    body::Bytes,
    extract::{
        State,
        ws::{Message, WebSocket, WebSocketUpgrade},
    },
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::post,
};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Answer, Proxy};

/// A served proxy.
pub struct Served {
    pub address: SocketAddr,
    stop: CancellationToken,
    cut: watch::Sender<u64>,
}

#[derive(Clone)]
struct Front {
    proxy: Proxy,
    cut: watch::Receiver<u64>,
}

impl Proxy {
    pub async fn serve(&self, address: SocketAddr) -> Served {
        let listener = tokio::net::TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (cut, receiver) = watch::channel(0);
        let stop = CancellationToken::new();
        let front = Front { proxy: self.clone(), cut: receiver };
        let router = Router::new().route("/", post(http).get(websocket)).with_state(front);
        let served = axum::serve(listener, router).with_graceful_shutdown(stop.clone().cancelled_owned());
        tokio::spawn(async move { served.await });
        Served { address, stop, cut }
    }
}

impl Served {
    pub fn http(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn ws(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// Closes every WebSocket.
    pub fn disconnect(&self) {
        self.cut.send_modify(|n| *n += 1);
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.disconnect();
        self.stop.cancel();
    }
}

async fn http(State(front): State<Front>, body: Bytes) -> Response {
    let request: Value = serde_json::from_slice(&body).unwrap();
    match front.proxy.answer(request["method"].as_str().unwrap(), &request["params"]).await {
        Answer::Status(status, body) => (StatusCode::from_u16(status).unwrap(), body).into_response(),
        Answer::Silence => futures::future::pending().await,
        answer => said(&request["id"], answer).unwrap_or_default().into_response(),
    }
}

fn said(id: &Value, answer: Answer) -> Option<String> {
    Some(match answer {
        Answer::Result(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }).to_string(),
        Answer::Error(code, message) => {
            json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": message } }).to_string()
        }
        Answer::Garbage => "<html>".to_owned(),
        Answer::Status(..) | Answer::Silence => return None,
    })
}

async fn websocket(State(front): State<Front>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(|socket| converse(front, socket))
}

async fn converse(mut front: Front, mut socket: WebSocket) {
    front.cut.mark_unchanged();
    let mut subscribed = None;
    let mut tick = tokio::time::interval(Duration::from_millis(5));
    loop {
        let say = tokio::select! {
            _ = front.cut.changed() => return,
            _ = tick.tick() => heads(&front.proxy, &mut subscribed).await,
            message = socket.recv() => match message {
                Some(Ok(Message::Text(text))) => {
                    let request: Value = serde_json::from_str(&text).unwrap();
                    match request["method"].as_str().unwrap() {
                        "eth_subscribe" => {
                            subscribed = Some(json!(null));
                            said(&request["id"], Answer::Result(json!("0x1")))
                        }
                        method => match front.proxy.answer(method, &request["params"]).await {
                            Answer::Status(..) => return,
                            answer => said(&request["id"], answer),
                        },
                    }
                }
                Some(Ok(_)) => None,
                _ => return,
            },
        };
        if let Some(text) = say
            && socket.send(Message::text(text)).await.is_err()
        {
            return;
        }
    }
}

/// Notice of a head that was not told of before.
async fn heads(proxy: &Proxy, subscribed: &mut Option<Value>) -> Option<String> {
    let told = subscribed.as_mut()?;
    if proxy.faults().silent {
        return None;
    }
    let Answer::Result(mut block) = proxy.newest().await else { return None };
    if *told == block["hash"] {
        return None;
    }
    let first = told.is_null();
    *told = block["hash"].clone();
    if first {
        return None;
    }
    for of_blocks in ["transactions", "uncles", "withdrawals"] {
        block.as_object_mut()?.remove(of_blocks);
    }
    let params = json!({ "subscription": "0x1", "result": block });
    Some(json!({ "jsonrpc": "2.0", "method": "eth_subscription", "params": params }).to_string())
}
