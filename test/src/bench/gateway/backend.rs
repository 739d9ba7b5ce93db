// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The instance behind the proxies: HTTP/1.1 over TLS 1.3 with a key of its own, keep-alive, nothing else.

use std::{net::SocketAddr, path::Path, sync::Arc};

use anyhow::Result;
use rcgen::{CertificateParams, KeyPair, PublicKeyData};
use rustls::{ServerConfig, crypto::ring};
use rustls_pki_types::PrivateKeyDer;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

use super::role::{APP, BASE, DOMAIN};

/// Bytes of what `/large` answers.
pub(super) const LARGE: usize = 64 << 20;
const SMALL: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 13\r\n\r\nhello, world\n";

/// Running until dropped.
pub(super) struct Backend {
    pub(super) tls: SocketAddr,
    pub(super) plain: SocketAddr,
    pub(super) spki: Vec<u8>,
    _servers: JoinSet<()>,
}

/// The name under which the instance's own TLS is reached.
pub(super) fn passthrough_name() -> String {
    format!("{}-443s.{BASE}", hex::encode(APP))
}

impl Backend {
    /// Leaves its certificate as `backend.pem` in `dir`.
    pub(super) async fn start(dir: &Path) -> Result<Self> {
        let key = KeyPair::generate()?;
        let names = vec![DOMAIN.to_owned(), passthrough_name(), "instance.invalid".to_owned()];
        let certificate = CertificateParams::new(names)?.self_signed(&key)?;
        std::fs::write(dir.join("backend.pem"), certificate.pem())?;
        let provider = Arc::new(ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::try_from(key.serialize_der()).map_err(anyhow::Error::msg)?,
            )?;
        let mut config = config;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let (secured, open) =
            (TcpListener::bind("127.0.0.1:0").await?, TcpListener::bind("127.0.0.1:0").await?);
        let (tls, plain) = (secured.local_addr()?, open.local_addr()?);
        let mut servers = JoinSet::new();
        servers.spawn(accept(secured, Some(acceptor)));
        servers.spawn(accept(open, None));
        Ok(Self { tls, plain, spki: key.subject_public_key_info(), _servers: servers })
    }
}

async fn accept(listener: TcpListener, acceptor: Option<TlsAcceptor>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            stream.set_nodelay(true)?;
            match acceptor {
                Some(acceptor) => answer(acceptor.accept(stream).await?).await,
                None => answer(stream).await,
            }
        });
    }
}

async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> std::io::Result<()> {
    let mut buffer = vec![0; 4 << 10];
    let mut filled = 0;
    loop {
        let n = stream.read(buffer.get_mut(filled..).unwrap_or_default()).await?;
        if n == 0 {
            return stream.shutdown().await;
        }
        filled += n;
        let request = buffer.get(..filled).unwrap_or_default();
        if request.ends_with(b"\r\n\r\n") {
            match request.starts_with(b"GET /large ") {
                true => large(&mut stream).await?,
                false => stream.write_all(SMALL).await?,
            }
            stream.flush().await?;
            filled = 0;
        }
    }
}

async fn large(stream: &mut (impl AsyncWrite + Unpin)) -> std::io::Result<()> {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {LARGE}\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    let chunk = vec![b'x'; 256 << 10];
    for _ in 0..LARGE / chunk.len() {
        stream.write_all(&chunk).await?;
    }
    Ok(())
}
