// SPDX-License-Identifier: Apache-2.0 OR MIT
//! HTTP and WebSocket on one port.

use std::net::SocketAddr;

use axum::{
    Router,
    body::Bytes,
    extract::{
        DefaultBodyLimit, State,
        ws::{Message, WebSocket, WebSocketUpgrade},
    },
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::post,
};
use serde_json::Value;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{
    envelope::Body,
    error::{DevChainError, RpcError},
    handle::DevChain,
    subscriptions::Subscriptions,
};

/// The largest request body and WebSocket message taken.
const MAX_BODY: usize = 8 << 20;

/// A served chain. Dropping it stops serving; the chain goes on.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    stop: CancellationToken,
    task: Option<JoinHandle<()>>,
}

#[derive(Clone)]
struct Served {
    chain: DevChain,
    stop: CancellationToken,
}

impl Server {
    /// The bound address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL for HTTP clients.
    pub fn http_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The URL for WebSocket clients.
    pub fn ws_url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// Stops taking connections, closes WebSockets, and waits for requests under way.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        if let Some(task) = self.task.take() {
            // The task only serves; that it was aborted or panicked changes nothing for who stops it.
            let _ended = task.await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl DevChain {
    /// Serves JSON-RPC over HTTP and WebSocket at `address`; port 0 takes a free one.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub async fn serve(&self, address: SocketAddr) -> Result<Server, DevChainError> {
        self.serve_until(address, CancellationToken::new()).await
    }

    /// Like [`DevChain::serve`], also ending when `stop` is cancelled.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub async fn serve_until(
        &self,
        address: SocketAddr,
        stop: CancellationToken,
    ) -> Result<Server, DevChainError> {
        let bind = |source| DevChainError::Bind { address, source };
        let listener = TcpListener::bind(address).await.map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;
        let stop = stop.child_token();
        let served = axum::serve(listener, self.router(stop.clone()))
            .with_graceful_shutdown(stop.clone().cancelled_owned());
        let task = tokio::spawn(async move {
            if let Err(error) = served.await {
                tracing::warn!(%address, %error, "the dev chain stopped serving");
            }
        });
        tracing::info!(%address, "the dev chain serves JSON-RPC over HTTP and WebSocket");
        Ok(Server { address, stop, task: Some(task) })
    }

    /// The HTTP and WebSocket routes, for a caller that brings its own listener. WebSockets close when `stop` is
    /// cancelled.
    pub fn router(&self, stop: CancellationToken) -> Router {
        Router::new()
            .route("/", post(http).get(websocket))
            .layer(DefaultBodyLimit::max(MAX_BODY))
            .with_state(Served { chain: self.clone(), stop })
    }
}

async fn http(State(served): State<Served>, body: Bytes) -> Response {
    let chain = &served.chain;
    match respond(&body, |method, params| chain.handle(method, params)).await {
        Some(answer) => ([(CONTENT_TYPE, "application/json")], answer.to_string()).into_response(),
        None => StatusCode::NO_CONTENT.into_response(),
    }
}

async fn websocket(State(served): State<Served>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.max_message_size(MAX_BODY).on_upgrade(|socket| converse(served, socket))
}

/// Answers a body, giving others a turn between the requests of a batch.
async fn respond(body: &[u8], mut run: impl FnMut(&str, &Value) -> Result<Value, RpcError>) -> Option<Value> {
    match Body::read(body) {
        Body::Single(request) => request.answer(&mut run),
        Body::Batch(requests) => {
            let mut answers = Vec::new();
            for request in requests {
                answers.extend(request.answer(&mut run));
                tokio::task::yield_now().await;
            }
            (!answers.is_empty()).then_some(Value::Array(answers))
        }
    }
}

async fn converse(served: Served, mut socket: WebSocket) {
    let mut subscriptions = Subscriptions::default();
    let mut changes = served.chain.changes();
    loop {
        let outgoing = tokio::select! {
            biased;
            () = served.stop.cancelled() => break,
            change = changes.next_indexed() => match change {
                Some((index, change)) => subscriptions.notifications(&served.chain, index, &change),
                None => break,
            },
            message = socket.recv() => match message {
                Some(Ok(Message::Text(text))) => answer(&served, &mut subscriptions, text.as_bytes()).await,
                Some(Ok(Message::Binary(bytes))) => answer(&served, &mut subscriptions, &bytes).await,
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => Vec::new(),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
            },
        };
        for message in outgoing {
            if socket.send(Message::text(message.to_string())).await.is_err() {
                return;
            }
        }
    }
    // The peer may be gone already; closing is a courtesy.
    let _sent = socket.send(Message::Close(None)).await;
}

async fn answer(served: &Served, subscriptions: &mut Subscriptions, body: &[u8]) -> Vec<Value> {
    let run = |method: &str, params: &Value| subscriptions.handle(&served.chain, method, params);
    respond(body, run).await.into_iter().collect()
}
