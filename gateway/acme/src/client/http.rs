// SPDX-License-Identifier: Apache-2.0 OR MIT
//! HTTPS to an ACME authority over the injected network. The library's own client leaves Nagle's algorithm on, which
//! makes an order ten times slower, and knows neither caps nor deadlines.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::{Duration, UNIX_EPOCH},
};

use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt};
use http::{Request, Response, StatusCode, Uri, header::RETRY_AFTER};
use http_body_util::{BodyExt, Limited};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::{
    client::legacy::{
        Client,
        connect::{Connected, Connection},
    },
    rt::{TokioExecutor, TokioIo},
};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use mandate_runtime::{Ambient, Clock, Net, net::Stream};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use rustls_pki_types::ServerName;
use tokio_rustls::{TlsConnector, client::TlsStream};

const MAX_ANSWER: usize = 1 << 20;
const TIMEOUT: Duration = Duration::from_secs(30);
const HTTPS: u16 = 443;
const LONGEST_WISH: Duration = Duration::from_secs(7 * 86_400);

type Answer = Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>>;

/// The client. Clones share their connections.
#[derive(Clone)]
pub(super) struct AcmeHttp {
    client: Client<Connector, BodyWrapper<Bytes>>,
    clock: Arc<dyn Clock>,
}

/// When an authority that had enough wants to be asked again, as its last such answer within one piece of work said. The
/// library keeps this header to itself.
#[derive(Debug, Clone, Default)]
pub(super) struct Wish(Arc<Mutex<Option<Duration>>>);

tokio::task_local! {
    static WISH: Wish;
}

/// Listens for a [`Wish`] while `work` runs.
pub(super) fn with_wish<F: Future>(work: F) -> (Wish, impl Future<Output = F::Output>) {
    let wish = Wish::default();
    (wish.clone(), WISH.scope(wish, work))
}

impl Wish {
    /// How long to wait.
    pub(super) fn after(&self) -> Option<Duration> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hear<B>(answer: &Response<B>, now: Duration) {
        if !matches!(answer.status(), StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            return;
        }
        let text = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let after = text.and_then(|text| parse_retry_after(text, now));
        // Outside such a piece of work nobody wants to know.
        let _ = WISH.try_with(|wish| *wish.0.lock().unwrap_or_else(PoisonError::into_inner) = after);
    }
}

/// Seconds or a date (RFC 9110, section 10.2.3), bounded: no authority may silence the gateway for longer than a certificate
/// lives on after its renewal is due.
fn parse_retry_after(text: &str, now: Duration) -> Option<Duration> {
    let text = text.trim();
    let after = match text.parse::<u32>() {
        Ok(seconds) => Duration::from_secs(seconds.into()),
        Err(_) => {
            let date = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
            date.saturating_sub(now)
        }
    };
    Some(after.min(LONGEST_WISH))
}

impl AcmeHttp {
    pub(super) fn new(roots: Arc<RootCertStore>, ambient: &Ambient) -> Result<Self, rustls::Error> {
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?;
        let tls = TlsConnector::from(Arc::new(config.with_root_certificates(roots).with_no_client_auth()));
        let (net, clock) = (Arc::clone(&ambient.net), Arc::clone(&ambient.clock));
        Ok(Self { client: Client::builder(TokioExecutor::new()).build(Connector { net, tls }), clock })
    }
}

impl AcmeHttp {
    /// An answer with its whole body, for what the library does not do.
    pub(super) async fn whole(&self, request: Request<BodyWrapper<Bytes>>) -> Result<Response<Bytes>, Error> {
        let whole = async {
            let answer = self.client.request(request).await.map_err(|e| Error::Other(Box::new(e)))?;
            Wish::hear(&answer, self.clock.unix_time());
            let (parts, body) = answer.into_parts();
            let body = Limited::new(body, MAX_ANSWER).collect().await.map_err(Error::Other)?;
            Ok(Response::from_parts(parts, body.to_bytes()))
        };
        tokio::time::timeout(TIMEOUT, whole).await.map_err(|_| Error::Timeout(None))?
    }
}

impl HttpClient for AcmeHttp {
    fn request(&self, request: Request<BodyWrapper<Bytes>>) -> Answer {
        let (sent, clock) = (self.client.request(request), Arc::clone(&self.clock));
        Box::pin(async move {
            let answer = tokio::time::timeout(TIMEOUT, sent).await.map_err(|_| Error::Timeout(None))?;
            let answer = answer.map_err(|e| Error::Other(Box::new(e)))?;
            Wish::hear(&answer, clock.unix_time());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wish_is_seconds_or_a_date_and_has_a_bound() {
        let now = Duration::from_secs(784_111_777);
        let read = |text: &str| parse_retry_after(text, now).map(|after| after.as_secs());
        assert_eq!(read(" 120 "), Some(120));
        assert_eq!(read("Sun, 06 Nov 1994 08:50:37 GMT"), Some(60));
        assert_eq!(read("Sun, 06 Nov 1994 08:00:00 GMT"), Some(0));
        assert_eq!(read("4294967295"), Some(LONGEST_WISH.as_secs()));
        assert_eq!((read("soon"), read("-1"), read("99999999999")), (None, None, None));
    }

    #[tokio::test]
    async fn wish_is_heard_by_the_work_that_it_was_told_to() {
        let answer = |code: u16| Response::builder().status(code).header(RETRY_AFTER, "7").body(()).unwrap();
        let (limited, work) = with_wish(async { Wish::hear(&answer(429), Duration::ZERO) });
        let (other, idle) = with_wish(async { Wish::hear(&answer(200), Duration::ZERO) });
        tokio::join!(work, idle);
        assert_eq!((limited.after(), other.after()), (Some(Duration::from_secs(7)), None));
    }
}
