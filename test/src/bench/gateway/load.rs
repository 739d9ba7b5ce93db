// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The client of every proxy: TLS 1.3, no resumption, one request after the other.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use rustls::{ClientConfig, RootCertStore, client::Resumption, crypto::ring, version::TLS13};
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::backend::LARGE;
use crate::bench::Times;

/// Somebody who asks at one place for one name.
#[derive(Clone)]
pub(super) struct Client {
    at: SocketAddr,
    name: ServerName<'static>,
    request: Arc<str>,
    tls: TlsConnector,
}

impl Client {
    pub(super) fn new(at: SocketAddr, name: &str, root: &CertificateDer<'static>) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(root.clone())?;
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&TLS13])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let request = format!("GET / HTTP/1.1\r\nhost: {name}\r\n\r\n").into();
        Ok(Self {
            at,
            name: ServerName::try_from(name.to_owned())?,
            request,
            tls: TlsConnector::from(Arc::new(config)),
        })
    }

    pub(super) async fn connect(&self) -> Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.at).await?;
        stream.set_nodelay(true)?;
        Ok(self.tls.connect(self.name.clone(), stream).await?)
    }

    /// One request on an open connection.
    pub(super) async fn ask(&self, stream: &mut TlsStream<TcpStream>) -> Result<()> {
        stream.write_all(self.request.as_bytes()).await?;
        stream.flush().await?;
        let (mut buffer, mut seen) = ([0; 2 << 10], Vec::new());
        while !seen.ends_with(b"hello, world\n") {
            let n = stream.read(&mut buffer).await?;
            ensure!(n > 0, "the answer broke off after {:?}", String::from_utf8_lossy(&seen));
            seen.extend_from_slice(buffer.get(..n).unwrap_or_default());
        }
        ensure!(seen.starts_with(b"HTTP/1.1 200"), "{:?}", String::from_utf8_lossy(&seen));
        Ok(())
    }

    async fn whole(&self) -> Result<()> {
        let mut stream = self.connect().await?;
        self.ask(&mut stream).await?;
        let _ = stream.shutdown().await;
        Ok(())
    }

    /// New connections with one request each, so many at a time, for so long: how long each took.
    pub(super) async fn connections(&self, at_once: usize, time: Duration) -> Result<Vec<Duration>> {
        let until = Instant::now() + time;
        let worker = || {
            let this = self.clone();
            tokio::spawn(async move {
                let mut took = Vec::new();
                while Instant::now() < until {
                    let began = Instant::now();
                    this.whole().await?;
                    took.push(began.elapsed());
                }
                anyhow::Ok(took)
            })
        };
        gather((0..at_once).map(|_| worker()).collect()).await
    }

    /// Requests on so many connections that stay open, for so long: how long each took.
    pub(super) async fn requests(&self, at_once: usize, time: Duration) -> Result<Vec<Duration>> {
        let until = Instant::now() + time;
        let worker = || {
            let this = self.clone();
            tokio::spawn(async move {
                let mut stream = this.connect().await?;
                let mut took = Vec::new();
                while Instant::now() < until {
                    let began = Instant::now();
                    this.ask(&mut stream).await?;
                    took.push(began.elapsed());
                }
                anyhow::Ok(took)
            })
        };
        gather((0..at_once).map(|_| worker()).collect()).await
    }

    /// Bytes a second of one large answer.
    pub(super) async fn throughput(&self) -> Result<f64> {
        let mut stream = self.connect().await?;
        let host = self.name.to_str();
        stream.write_all(format!("GET /large HTTP/1.1\r\nhost: {host}\r\n\r\n").as_bytes()).await?;
        let (mut buffer, mut seen, began) = (vec![0; 256 << 10], 0, Instant::now());
        while seen < LARGE {
            let n = stream.read(&mut buffer).await?;
            ensure!(n > 0, "the answer broke off after {seen} bytes");
            seen += n;
        }
        Ok(seen as f64 / began.elapsed().as_secs_f64())
    }
}

async fn gather(workers: Vec<tokio::task::JoinHandle<Result<Vec<Duration>>>>) -> Result<Vec<Duration>> {
    let mut all = Vec::new();
    for worker in workers {
        all.extend(worker.await.context("a client panicked")??);
    }
    ensure!(!all.is_empty(), "nothing was answered in time");
    Ok(all)
}

/// The 99th percentile.
pub(super) fn p99(took: &[Duration]) -> Duration {
    Times::new(took.to_vec()).p99()
}
