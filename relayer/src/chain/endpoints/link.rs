// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The connection to one endpoint: opened when it is first needed, and opened again when it is gone.
//!
//! alloy reopens a WebSocket by itself, but gives up for good after some attempts, and does not tell that what answers now
//! may be another machine. So a connection here is used until it breaks and counted when it is opened: who is there is asked
//! once per connection (see `guard`).

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use alloy::{
    providers::{RootProvider, WsConnect},
    pubsub::{ConnectionHandle, PubSubConnect},
    rpc::{
        client::{RpcClient, RpcClientInner},
        json_rpc::{RequestPacket, ResponsePacket, RpcError},
    },
    transports::{
        BoxTransport, TransportError, TransportErrorKind, TransportFut, TransportResult, ws::WebSocketConfig,
    },
};
use mandate_runtime::config::Secret;
use tokio::sync::Mutex;
use tower::Service;

use super::http::Http;

/// Ids of requests that go over one connection must differ, whoever makes them.
const SUBSCRIBER_IDS: u64 = 1 << 50;

/// One endpoint's connection.
#[derive(Debug, Clone)]
pub(super) struct Link(Arc<Inner>);

struct Inner {
    /// Nothing when the connection was given ready-made.
    url: Option<Secret>,
    /// The longest answer that is read, in bytes.
    max_answer: usize,
    open: Mutex<Option<BoxTransport>>,
    /// How often it was opened.
    opened: AtomicU64,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("opened", &self.opened).finish_non_exhaustive()
    }
}

impl Link {
    pub(super) fn to(url: Secret, max_answer: usize) -> Self {
        let (open, opened) = (Mutex::new(None), AtomicU64::new(0));
        Self(Arc::new(Inner { url: Some(url), max_answer, open, opened }))
    }

    pub(super) fn ready(transport: BoxTransport) -> Self {
        let (open, opened) = (Mutex::new(Some(transport)), AtomicU64::new(1));
        Self(Arc::new(Inner { url: None, max_answer: usize::MAX, open, opened }))
    }

    /// Which connection this is: the next one has another number.
    pub(super) fn generation(&self) -> u64 {
        self.0.opened.load(Ordering::SeqCst)
    }

    /// Whether the endpoint can tell of new heads by itself.
    pub(super) fn can_subscribe(&self) -> bool {
        self.0.url.as_ref().is_some_and(|url| url.expose().starts_with("ws"))
    }

    pub(super) fn is_local(&self) -> bool {
        self.0.url.as_ref().is_none_or(|url| alloy::transports::utils::guess_local_url(url.expose()))
    }

    /// The present connection, for subscribing. Opens it when there is none.
    pub(super) async fn subscriber(&self) -> TransportResult<RootProvider> {
        let (transport, _) = self.transport().await?;
        let client = RpcClientInner::new(transport, self.is_local()).with_id(SUBSCRIBER_IDS);
        Ok(RootProvider::new(RpcClient::from_inner(client)))
    }

    async fn transport(&self) -> TransportResult<(BoxTransport, u64)> {
        let mut open = self.0.open.lock().await;
        if let Some(transport) = &*open {
            return Ok((transport.clone(), self.generation()));
        }
        let url = self.0.url.as_ref().ok_or_else(TransportErrorKind::backend_gone)?;
        let transport = connect(url, self.0.max_answer).await?;
        *open = Some(transport.clone());
        Ok((transport, self.0.opened.fetch_add(1, Ordering::SeqCst) + 1))
    }

    /// Forgets a connection that broke, unless somebody did so before.
    pub(super) async fn forget(&self, generation: u64) {
        let mut open = self.0.open.lock().await;
        if self.0.url.is_some() && self.generation() == generation {
            *open = None;
        }
    }
}

async fn connect(url: &Secret, max_answer: usize) -> TransportResult<BoxTransport> {
    let url = url.expose();
    if !url.starts_with("ws") {
        return Ok(BoxTransport::new(Http::to(url, max_answer)?));
    }
    let bounds =
        WebSocketConfig::default().max_message_size(Some(max_answer)).max_frame_size(Some(max_answer));
    let socket = WsConnect::new(url).with_config(bounds);
    Ok(BoxTransport::new(Once(socket).into_service().await?))
}

/// A WebSocket that is not reopened behind our back.
struct Once(WsConnect);

impl PubSubConnect for Once {
    fn is_local(&self) -> bool {
        self.0.is_local()
    }

    async fn connect(&self) -> TransportResult<ConnectionHandle> {
        Ok(self.0.connect().await?.with_max_retries(1))
    }

    async fn try_reconnect(&self) -> TransportResult<ConnectionHandle> {
        Err(RpcError::Transport(TransportErrorKind::NonRetryable("the connection broke".into())))
    }
}

impl Service<RequestPacket> for Link {
    type Response = ResponsePacket;
    type Error = TransportError;
    type Future = TransportFut<'static>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, packet: RequestPacket) -> Self::Future {
        let link = self.clone();
        Box::pin(async move {
            let (mut transport, generation) = link.transport().await?;
            let answer = transport.call(packet).await;
            if let Err(RpcError::Transport(TransportErrorKind::BackendGone)) = &answer {
                link.forget(generation).await;
            }
            answer
        })
    }
}
