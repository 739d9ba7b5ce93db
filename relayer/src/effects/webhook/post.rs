// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One HTTP request to somebody outside: TLS, no redirects, a deadline, a cap on what is read, and no way in to networks
//! of one's own.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
    time::Duration,
};

use axum::{
    body::Bytes,
    http::{HeaderName, HeaderValue, Method, Request, StatusCode, Uri, header},
};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use mandate_runtime::{Net, net::Stream};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName};
use thiserror::Error;
use tokio_rustls::TlsConnector;

/// What is read of an answer; it is only looked at when it is a refusal.
const MAX_ANSWER: usize = 16 << 10;
/// What is told of it.
const SHOWN: usize = 200;

/// Why a message was not taken. No text holds the URL: it may carry a token (G-12).
#[derive(Debug, Error)]
pub enum PostError {
    /// The name does not resolve, or to nothing.
    #[error("the receiver's name does not resolve: {0}")]
    Name(String),
    /// The name leads into a private network.
    #[error("the receiver is at {0}, which is not a public address; set `private = true` if that is meant")]
    Private(IpAddr),
    /// No connection, or it broke.
    #[error("the receiver cannot be reached: {0}")]
    Unreachable(String),
    /// No answer in time.
    #[error("the receiver did not answer within {0:?}")]
    Timeout(Duration),
    /// It said no. A redirect is a no.
    #[error("the receiver answered {code}: {text}")]
    Status {
        /// HTTP status.
        code: u16,
        /// Its own words, shortened.
        text: String,
    },
}

/// Where to send, and by which rules.
#[derive(Clone)]
pub(super) struct Receiver {
    pub(super) url: Uri,
    pub(super) tls: TlsConnector,
    pub(super) private: bool,
    pub(super) timeout: Duration,
}

/// TLS by the public roots and `extra` ones.
///
/// # Errors
/// When an extra root is no certificate.
pub(super) fn connector(extra: &[CertificateDer<'static>]) -> Result<TlsConnector, rustls::Error> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    for root in extra {
        roots.add(root.clone())?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(TlsConnector::from(Arc::new(config.with_root_certificates(roots).with_no_client_auth())))
}

impl Receiver {
    /// Sends `body` and wants a success.
    pub(super) async fn post(
        &self,
        net: &dyn Net,
        headers: &[(HeaderName, HeaderValue)],
        body: Bytes,
    ) -> Result<(), PostError> {
        let sent = tokio::time::timeout(self.timeout, self.exchange(net, headers, body)).await;
        let (status, text) = sent.map_err(|_| PostError::Timeout(self.timeout))??;
        match status.is_success() {
            true => Ok(()),
            false => Err(PostError::Status { code: status.as_u16(), text }),
        }
    }

    async fn exchange(
        &self,
        net: &dyn Net,
        headers: &[(HeaderName, HeaderValue)],
        body: Bytes,
    ) -> Result<(StatusCode, String), PostError> {
        let request = self.request(headers, body)?;
        let stream = self.connect(net).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(unreachable)?;
        let exchange = async {
            let answer = sender.send_request(request).await.map_err(unreachable)?;
            let status = answer.status();
            let text = match status.is_success() {
                true => String::new(),
                false => shown(Limited::new(answer.into_body(), MAX_ANSWER).collect().await.ok()),
            };
            Ok((status, text))
        };
        tokio::pin!(exchange, connection);
        tokio::select! {
            answered = &mut exchange => answered,
            ended = &mut connection => match ended {
                // Everything has arrived already, or nothing will.
                Ok(()) => exchange.await,
                Err(e) => Err(unreachable(e)),
            },
        }
    }

    fn request(
        &self,
        headers: &[(HeaderName, HeaderValue)],
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>, PostError> {
        let path = self.url.path_and_query().map_or("/", |path| path.as_str());
        let host = self.url.authority().map_or("", |authority| authority.as_str());
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header(header::HOST, host)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, concat!("mandate-relayer/", env!("CARGO_PKG_VERSION")));
        for (name, value) in headers {
            request = request.header(name, value);
        }
        request.body(Full::new(body)).map_err(unreachable)
    }

    async fn connect(&self, net: &dyn Net) -> Result<Stream, PostError> {
        let plain = self.url.scheme_str() == Some("http");
        let host = self.url.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let port = self.url.port_u16().unwrap_or(if plain { 80 } else { 443 });
        let stream = match self.private {
            true => net.connect(host, port).await.map_err(unreachable)?,
            // Connected to by the address that was looked at: the name could lead elsewhere a moment later.
            false => net.connect(&public(host, port).await?.to_string(), port).await.map_err(unreachable)?,
        };
        if plain {
            return Ok(stream);
        }
        let name = ServerName::try_from(host.to_owned()).map_err(|e| PostError::Name(e.to_string()))?;
        Ok(Stream::new(self.tls.connect(name, stream).await.map_err(unreachable)?))
    }
}

/// The first address of `host`, when all of them are public.
async fn public(host: &str, port: u16) -> Result<IpAddr, PostError> {
    let found = tokio::net::lookup_host((host, port)).await.map_err(|e| PostError::Name(e.to_string()))?;
    let all: Vec<IpAddr> = found.map(|address| address.ip()).collect();
    match all.iter().find(|ip| !is_public(**ip)) {
        Some(private) => Err(PostError::Private(*private)),
        None => all.first().copied().ok_or_else(|| PostError::Name("no address".to_owned())),
    }
}

/// Whether an address is one of the public internet.
pub(super) fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let special = ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_multicast()
        || ip.is_documentation()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (18..20).contains(&b));
    !special
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    if let Some(inner) = ip.to_ipv4_mapped() {
        return is_public_v4(inner);
    }
    // Global unicast is 2000::/3; of that, documentation, and what only wraps an IPv4 address (6to4, Teredo).
    let [first, second, ..] = ip.segments();
    let wraps = first == 0x2002 || (first == 0x2001 && (second == 0 || second == 0xdb8));
    first & 0xe000 == 0x2000 && !wraps
}

fn unreachable(error: impl std::fmt::Display) -> PostError {
    PostError::Unreachable(error.to_string())
}

fn shown(body: Option<http_body_util::Collected<Bytes>>) -> String {
    let bytes = body.map(|b| b.to_bytes()).unwrap_or_default();
    String::from_utf8_lossy(&bytes).chars().filter(|c| !c.is_control()).take(SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_networks_of_ones_own_are_not_public() {
        let own = [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "255.255.255.255",
            "192.0.0.8",
            "198.18.0.1",
            "224.0.0.1",
            "192.0.2.1",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "ff02::1",
            "::ffff:10.0.0.1",
            "2001:db8::1",
            "2002:a00:1::",
            "64:ff9b::a00:1",
        ];
        for ip in own {
            assert!(!is_public(ip.parse().unwrap()), "{ip}");
        }
        for ip in ["1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "::ffff:1.1.1.1"] {
            assert!(is_public(ip.parse().unwrap()), "{ip}");
        }
    }
}
