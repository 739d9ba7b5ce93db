// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Looks at a connection's ClientHello without using it up, so that the same bytes can be passed on or answered.

use std::io;

use bytes::{BufMut, Bytes, BytesMut};
use mandate_acme::ACME_TLS;
use rustls::{
    AlertDescription,
    server::{AcceptedAlert, Acceptor, ClientHello},
};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt};

/// Enough for most.
const CHUNK: usize = 2 << 10;
/// More application protocols than anybody offers.
const MAX_PROTOCOLS: usize = 32;

/// What the gateway needs to know of a ClientHello.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// The server name, in lower case; none when the client sent none.
    pub server_name: Option<String>,
    /// The application protocols that the client offers, most wanted first.
    pub protocols: Vec<Vec<u8>>,
}

impl Hello {
    /// Whether this is an ACME server that validates (RFC 8737: it offers `acme-tls/1` and nothing else).
    pub fn is_acme_validation(&self) -> bool {
        matches!(self.protocols.as_slice(), [only] if only == ACME_TLS)
    }
}

/// Why there is no ClientHello.
#[derive(Debug, Error)]
pub enum HelloError {
    /// The client went away.
    #[error("the client closed before its ClientHello was whole")]
    Closed,
    /// The ClientHello did not end within the cap.
    #[error("no whole ClientHello within {cap} bytes")]
    TooLarge {
        /// The cap.
        cap: usize,
    },
    /// It is no TLS, or a broken one.
    #[error("not an acceptable ClientHello: {source}")]
    NotTls {
        /// What rustls found.
        source: rustls::Error,
        /// The alert to answer with, as it goes over the wire.
        alert: Vec<u8>,
    },
    /// The socket failed.
    #[error("reading the ClientHello: {0}")]
    Io(#[from] io::Error),
}

/// Reads from `stream` until the ClientHello is whole, at most `cap` bytes. Gives it back with everything that was read.
pub async fn read_hello<S: AsyncRead + Unpin>(
    stream: &mut S,
    cap: usize,
) -> Result<(Hello, Bytes), HelloError> {
    let mut acceptor = Acceptor::default();
    let mut seen = BytesMut::with_capacity(CHUNK);
    while seen.len() < cap {
        let before = seen.len();
        seen.reserve(1);
        if stream.read_buf(&mut (&mut seen).limit(cap - before)).await? == 0 {
            return Err(HelloError::Closed);
        }
        let mut new = seen.get(before..).unwrap_or_default();
        while !new.is_empty() {
            acceptor.read_tls(&mut new)?;
            match acceptor.accept() {
                Ok(Some(accepted)) => return Ok((Hello::from(accepted.client_hello()), seen.freeze())),
                Ok(None) => {}
                Err((source, alert)) => {
                    let alert = bytes_of(alert, &source);
                    return Err(HelloError::NotTls { source, alert });
                }
            }
        }
    }
    Err(HelloError::TooLarge { cap })
}

/// What rustls has to say about it. For a message that is out of place or cannot be put together it has nothing, and a client would
/// see a connection that breaks.
fn bytes_of(mut alert: AcceptedAlert, source: &rustls::Error) -> Vec<u8> {
    let mut out = Vec::new();
    // Writing into memory cannot fail; an alert that could not be made is just not sent.
    let _ = alert.write_all(&mut out);
    if out.is_empty() {
        out.extend(alert_record(match source {
            rustls::Error::InappropriateMessage { .. }
            | rustls::Error::InappropriateHandshakeMessage { .. } => AlertDescription::UnexpectedMessage,
            _ => AlertDescription::DecodeError,
        }));
    }
    out
}

impl From<ClientHello<'_>> for Hello {
    fn from(hello: ClientHello<'_>) -> Self {
        let protocols = hello.alpn().map(|all| all.take(MAX_PROTOCOLS).map(<[u8]>::to_vec).collect());
        Self {
            server_name: hello.server_name().map(str::to_ascii_lowercase),
            protocols: protocols.unwrap_or_default(),
        }
    }
}

/// A fatal alert as a plaintext TLS record, for connections that are refused before a handshake.
pub fn alert_record(alert: AlertDescription) -> [u8; 7] {
    const ALERT: u8 = 21;
    const FATAL: u8 = 2;
    [ALERT, 3, 3, 0, 2, FATAL, alert.into()]
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use mandate_runtime::peek::Rewind;
    use proptest::prelude::*;
    use rustls::{ClientConfig, ClientConnection, RootCertStore};
    use tokio::io::AsyncWriteExt;

    use super::*;

    fn hello_of(name: &'static str, protocols: &[&[u8]]) -> Vec<u8> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|p| p.to_vec()).collect();
        let mut client = ClientConnection::new(Arc::new(config), name.try_into().unwrap()).unwrap();
        let mut out = Vec::new();
        client.write_tls(&mut out).unwrap();
        out
    }

    async fn read(mut bytes: &[u8]) -> Result<(Hello, Bytes), HelloError> {
        read_hello(&mut bytes, 16 << 10).await
    }

    #[tokio::test]
    async fn hello_gives_name_and_protocols_and_everything_read() {
        let bytes = hello_of("App.Example.org", &[b"h2", b"http/1.1"]);
        let (hello, seen) = read(&bytes).await.unwrap();
        assert_eq!(hello.server_name.as_deref(), Some("app.example.org"));
        assert_eq!(hello.protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);
        assert!(!hello.is_acme_validation());
        assert_eq!(seen, bytes);
    }

    #[tokio::test]
    async fn hello_without_a_name_says_so() {
        assert_eq!(read(&hello_of("127.0.0.1", &[])).await.unwrap().0.server_name, None);
    }

    #[tokio::test]
    async fn acme_validation_offers_its_protocol_alone() {
        assert!(read(&hello_of("a.b", &[ACME_TLS])).await.unwrap().0.is_acme_validation());
        assert!(!read(&hello_of("a.b", &[ACME_TLS, b"h2"])).await.unwrap().0.is_acme_validation());
    }

    #[tokio::test]
    async fn protocols_beyond_any_use_are_not_kept() {
        let hello = read(&hello_of("a.b", &[b"h2".as_slice(); 1_000])).await.unwrap().0;
        assert_eq!(hello.protocols.len(), MAX_PROTOCOLS);
    }

    #[tokio::test]
    async fn hello_in_single_bytes_is_read_all_the_same() {
        let bytes = hello_of("app.example.org", &[]);
        let (mut far, mut near) = tokio::io::duplex(1);
        let sent = bytes.clone();
        tokio::spawn(async move { far.write_all(&sent).await });
        assert_eq!(read_hello(&mut near, 16 << 10).await.unwrap().1, bytes);
    }

    #[tokio::test]
    async fn rewound_stream_gives_everything_once_and_in_order() {
        let bytes = [hello_of("app.example.org", &[]), b"and more".to_vec()].concat();
        let mut rest = bytes.as_slice();
        let (_, seen) = read_hello(&mut rest, 16 << 10).await.unwrap();
        let mut all = Vec::new();
        Rewind::new(seen, rest).read_to_end(&mut all).await.unwrap();
        assert_eq!(all, bytes);
    }

    #[tokio::test]
    async fn what_is_no_tls_gets_an_alert() {
        match read(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await {
            Err(HelloError::NotTls { alert, .. }) => assert_eq!(alert.first(), Some(&21)),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn endless_hello_is_cut_off() {
        // A record header that promises a long ClientHello, and then nothing but zeros.
        let mut endless = vec![22, 3, 1, 0x40, 0, 1, 0, 0x3f, 0xfc, 3, 3];
        endless.resize(64 << 10, 0);
        match read_hello(&mut endless.as_slice(), 1 << 10).await {
            Err(HelloError::TooLarge { cap: 1024 }) => {}
            other => panic!("{other:?}"),
        }
        assert!(matches!(read(&endless[..100]).await, Err(HelloError::Closed)));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let _ = futures::executor::block_on(read(&bytes));
        }

        #[test]
        fn any_damaged_hello_is_read_without_panic(at in 0usize..200, to: u8) {
            let mut bytes = hello_of("app.example.org", &[b"h2"]);
            if let Some(byte) = bytes.get_mut(at) { *byte = to; }
            let _ = futures::executor::block_on(read(&bytes));
        }
    }
}
