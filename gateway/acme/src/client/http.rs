// SPDX-License-Identifier: Apache-2.0 OR MIT
//! HTTPS to an ACME authority over the injected network. The library's own client leaves Nagle's algorithm on, which
//! makes an order ten times slower, and knows neither caps nor deadlines.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt};
use http::{Request, Uri};
use http_body_util::Limited;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::{
    client::legacy::{
        Client,
        connect::{Connected, Connection},
    },
    rt::{TokioExecutor, TokioIo},
};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use mandate_runtime::{Net, net::Stream};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use rustls_pki_types::{CertificateDer, ServerName};
use tokio_rustls::{TlsConnector, client::TlsStream};

const MAX_ANSWER: usize = 1 << 20;
const TIMEOUT: Duration = Duration::from_secs(30);
const HTTPS: u16 = 443;

type Answer = Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>>;

/// The client. Clones share their connections.
#[derive(Clone)]
pub(super) struct AcmeHttp(Client<Connector, BodyWrapper<Bytes>>);

impl AcmeHttp {
    pub(super) fn new(
        extra_roots: &[CertificateDer<'static>],
        net: Arc<dyn Net>,
    ) -> Result<Self, rustls::Error> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        for root in extra_roots {
            roots.add(root.clone())?;
        }
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?;
        let tls = TlsConnector::from(Arc::new(config.with_root_certificates(roots).with_no_client_auth()));
        Ok(Self(Client::builder(TokioExecutor::new()).build(Connector { net, tls })))
    }
}

impl HttpClient for AcmeHttp {
    fn request(&self, request: Request<BodyWrapper<Bytes>>) -> Answer {
        let sent = self.0.request(request);
        Box::pin(async move {
            let answer = tokio::time::timeout(TIMEOUT, sent).await.map_err(|_| Error::Timeout(None))?;
            let answer = answer.map_err(|e| Error::Other(Box::new(e)))?;
            Ok(answer.map(|body| Limited::new(body, MAX_ANSWER)).into())
        })
    }
}

/// Connects to `https` and nothing else.
#[derive(Clone)]
struct Connector {
    net: Arc<dyn Net>,
    tls: TlsConnector,
}

impl Connector {
    async fn connect(self, uri: Uri) -> io::Result<Secured> {
        let unusable = |what: &str| io::Error::new(io::ErrorKind::InvalidInput, format!("{uri}: {what}"));
        if uri.scheme_str() != Some("https") {
            return Err(unusable("an ACME authority is spoken to over https alone"));
        }
        let host = uri.host().ok_or_else(|| unusable("no host"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(host.clone()).map_err(|_| unusable("not a host name"))?;
        let stream = self.net.connect(&host, uri.port_u16().unwrap_or(HTTPS)).await?;
        Ok(Secured(TokioIo::new(self.tls.connect(name, stream).await?)))
    }
}

impl tower::Service<Uri> for Connector {
    type Response = Secured;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Secured>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        self.clone().connect(uri).boxed()
    }
}

/// A TLS connection as hyper's client holds it.
struct Secured(TokioIo<TlsStream<Stream>>);

impl Connection for Secured {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for Secured {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl Write for Secured {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
