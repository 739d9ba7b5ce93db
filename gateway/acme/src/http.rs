// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What every HTTP client here is made of: connections over the injected network, and when to ask again.

use std::{
    io,
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, UNIX_EPOCH},
};

use futures::future::{BoxFuture, FutureExt};
use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::{
    client::legacy::connect::{Connected, Connection},
    rt::TokioIo,
};
use mandate_runtime::{Net, net::Stream};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use rustls_pki_types::ServerName;
use tokio_rustls::TlsConnector;

const HTTP: u16 = 80;
const HTTPS: u16 = 443;
const LONGEST_WISH: Duration = Duration::from_secs(7 * 86_400);

/// Seconds or a date (RFC 9110, section 10.2.3), bounded: nobody may silence the gateway for longer than a certificate
/// lives on after its renewal is due.
pub(crate) fn parse_retry_after(text: &str, now: Duration) -> Option<Duration> {
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

/// Whether a URL's host is this machine, which plain HTTP does not leave.
pub(crate) fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    address.is_ok_and(|address| address.is_loopback())
}

/// The public web's.
pub(crate) fn public_roots() -> RootCertStore {
    RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() }
}

/// Connects to `https`, and by plain `http` to a loopback address where that is let in.
#[derive(Clone)]
pub(crate) struct Connector {
    net: Arc<dyn Net>,
    tls: TlsConnector,
    plain: bool,
}

impl Connector {
    /// Servers must have a certificate under one of `roots`.
    pub(crate) fn new(roots: Arc<RootCertStore>, net: Arc<dyn Net>) -> Result<Self, rustls::Error> {
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?;
        let tls = TlsConnector::from(Arc::new(config.with_root_certificates(roots).with_no_client_auth()));
        Ok(Self { net, tls, plain: false })
    }

    /// Lets plain `http` at loopback addresses in.
    pub(crate) fn plain_at_loopback(self) -> Self {
        Self { plain: true, ..self }
    }

    async fn connect(self, uri: Uri) -> io::Result<HttpStream> {
        let unusable = |what: &str| io::Error::new(io::ErrorKind::InvalidInput, format!("{uri}: {what}"));
        let host = uri.host().ok_or_else(|| unusable("no host"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        match uri.scheme_str() {
            Some("https") => {}
            Some("http") if self.plain && is_loopback(&host) => {
                let stream = self.net.connect(&host, uri.port_u16().unwrap_or(HTTP)).await?;
                return Ok(HttpStream(TokioIo::new(stream)));
            }
            _ => return Err(unusable("it is spoken to over https alone")),
        }
        let name = ServerName::try_from(host.clone()).map_err(|_| unusable("not a host name"))?;
        let stream = self.net.connect(&host, uri.port_u16().unwrap_or(HTTPS)).await?;
        Ok(HttpStream(TokioIo::new(Stream::new(self.tls.connect(name, stream).await?))))
    }
}

impl tower::Service<Uri> for Connector {
    type Response = HttpStream;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<HttpStream>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        self.clone().connect(uri).boxed()
    }
}

/// A connection as hyper's client holds it.
pub(crate) struct HttpStream(TokioIo<Stream>);

impl Connection for HttpStream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for HttpStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl Write for HttpStream {
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
    async fn attack_plain_http_leaves_this_machine_never() {
        let net = mandate_runtime::Ambient::system().net;
        let connector = Connector::new(Arc::new(public_roots()), net).unwrap();
        for url in ["http://127.0.0.1:1/", "http://192.0.2.1/", "ftp://127.0.0.1/"] {
            let refused = connector.clone().connect(url.parse().unwrap()).await.err().unwrap();
            assert_eq!(refused.kind(), io::ErrorKind::InvalidInput, "{url}");
        }
        let refused = connector.plain_at_loopback().connect("http://192.0.2.1/".parse().unwrap()).await;
        assert_eq!(refused.err().unwrap().kind(), io::ErrorKind::InvalidInput);
    }
}
