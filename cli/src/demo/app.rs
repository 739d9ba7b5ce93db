// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The app of the story: a page over HTTPS, served by an instance with the TLS key that its evidence binds.

use std::{convert::Infallible, net::SocketAddr, sync::Arc};

use http_body_util::Full;
use hyper::{Request, Response, body::Bytes, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer},
};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::error::{CliError, Result};

/// A running page server.
#[derive(Debug)]
pub(crate) struct App {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    stop: CancellationToken,
}

impl App {
    /// Serves `page` on a free loopback port with `chain` and `key`.
    pub(crate) async fn start(
        page: String,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self> {
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(|e| CliError::data(format!("the app's certificate: {e}")))?;
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(CliError::unavailable)?;
        let address = listener.local_addr().map_err(CliError::unavailable)?;
        let stop = CancellationToken::new();
        tokio::spawn(accept(listener, TlsAcceptor::from(Arc::new(config)), page.into(), stop.clone()));
        Ok(Self { address, stop })
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn accept(listener: TcpListener, tls: TlsAcceptor, page: Bytes, stop: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        if let Ok((stream, _)) = accepted {
            tokio::spawn(stop.clone().run_until_cancelled_owned(serve(stream, tls.clone(), page.clone())));
        }
    }
}

async fn serve(stream: TcpStream, tls: TlsAcceptor, page: Bytes) {
    // A client that gives up is its own affair.
    let Ok(stream) = tls.accept(stream).await else { return };
    let answer = service_fn(move |_: Request<Incoming>| {
        let page = page.clone();
        async move { Ok::<_, Infallible>(Response::new(Full::new(page))) }
    });
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
}
