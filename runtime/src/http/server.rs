// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Serving until told to stop, then draining.

use std::{convert::Infallible, pin::pin, sync::Arc, time::Duration};

use axum::{Router, extract::DefaultBodyLimit};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{sync::Semaphore, task::JoinSet};
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::MAX_BODY;
use crate::net::{Listener, Peer, Stream};

/// The bounds within which a server works.
#[derive(Debug, Clone, Copy)]
pub struct ServeOptions {
    /// How long requests that run at cancellation may still take.
    pub drain: Duration,
    /// How long a client may take to send a request's head; also how long a connection may idle.
    pub header_timeout: Duration,
    /// How long a client may take none of an answer.
    pub write_timeout: Duration,
    /// Connections at a time; more wait in the socket's backlog.
    pub max_connections: usize,
    /// Largest request body in bytes, for routes that set no limit of their own.
    pub max_body: usize,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            drain: Duration::from_secs(10),
            header_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(30),
            max_connections: 4_096,
            max_body: MAX_BODY,
        }
    }
}

/// [`serve_with`] the default bounds.
pub async fn serve(listener: Listener, router: Router, stop: CancellationToken) {
    serve_with(listener, router, stop, ServeOptions::default()).await;
}

/// Serves `router` until `stop` fires, lets running requests end, and cuts off those that outlast the drain.
/// Handlers find the client's address as an `Extension<Peer>`.
pub async fn serve_with(
    mut listener: Listener,
    router: Router,
    stop: CancellationToken,
    options: ServeOptions,
) {
    let router = router.layer(DefaultBodyLimit::max(options.max_body));
    let permits = Arc::new(Semaphore::new(options.max_connections));
    let mut connections = JoinSet::new();
    let accept = async {
        while let Ok(permit) = Arc::clone(&permits).acquire_owned().await {
            let (stream, peer) = listener.accept().await;
            while connections.try_join_next().is_some() {}
            let served = connection(stream, peer, router.clone(), stop.clone(), options);
            connections.spawn(async move {
                served.await;
                drop(permit);
            });
        }
    };
    stop.clone().run_until_cancelled_owned(accept).await;
    drop(listener);
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(options.drain, drained).await.is_err() {
        tracing::warn!(connections = connections.len(), "cutting off connections that outlast the drain");
        connections.shutdown().await;
    }
}

async fn connection(
    stream: Stream,
    peer: Peer,
    router: Router,
    stop: CancellationToken,
    options: ServeOptions,
) {
    let service = service_fn(move |mut request: http::Request<Incoming>| {
        request.extensions_mut().insert(peer.clone());
        let router = router.clone();
        async move { Ok::<_, Infallible>(router.oneshot(request).await.unwrap_or_else(|never| match never {})) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(options.header_timeout);
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(options.write_timeout));
    let mut connection = pin!(http.serve_connection(TokioIo::new(Box::pin(stream)), service).with_upgrades());
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::trace!(%error, "connection ended");
    }
}
