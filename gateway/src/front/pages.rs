// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The gateway's own pages: at its own name, and below two paths of every name whose TLS it ends.
//!
//! Behind those names everything else belongs to the app, whose bytes the gateway passes on without reading them. So a
//! connection is either the app's or the gateway's, by the first line that the client sends: over HTTP/1.1, one of the
//! paths below makes the connection the gateway's until its end.

use std::{io, time::Duration};

use axum::Router;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use mandate_runtime::carry::End;
use tokio::io::{AsyncRead, AsyncWrite};

use super::Live;

/// Where the gateway's own pages begin: ours, and those of upstream dstack.
pub(super) const OURS: [&str; 2] = ["/.well-known/mandate/", "/.dstack/"];
const MAX_HEADERS: usize = 64;

/// Serves the pages until the client goes away or is too slow.
pub(super) async fn serve<S>(stream: S, pages: Router, live: &Live) -> End
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let limit: Duration = live.limits.handshake_timeout;
    let mut builder = Builder::new(TokioExecutor::new()).http1_only();
    builder.http1().timer(TokioTimer::new()).header_read_timeout(limit).max_headers(MAX_HEADERS);
    match builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(pages)).await {
        Ok(()) => End::Closed,
        Err(_) => End::Broken(io::ErrorKind::Other),
    }
}
