// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A plain HTTPS client that trusts one root and nothing else.

use std::{net::SocketAddr, sync::Arc};

use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Request, body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::{net::TcpStream, task::JoinHandle};
use tokio_rustls::TlsConnector;

use crate::error::{CliError, Result};

/// The largest page that is read, in bytes.
const MAX_PAGE: usize = 64 * 1024;

/// An open connection to `name`.
#[derive(Debug)]
pub struct Connection {
    name: String,
    sender: http1::SendRequest<Empty<Bytes>>,
    driver: JoinHandle<hyper::Result<()>>,
}

impl Connection {
    /// Connects to `address`, asks for `name`, and accepts only a chain to one of the certificates in `root_pem`.
    ///
    /// # Errors
    /// When nobody listens, or the certificate does not verify.
    pub async fn open(address: SocketAddr, name: &str, root_pem: &str) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        for root in CertificateDer::pem_slice_iter(root_pem.as_bytes()) {
            roots.add(root.map_err(CliError::data)?).map_err(CliError::data)?;
        }
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let tcp = TcpStream::connect(address).await.map_err(CliError::unavailable)?;
        let server = ServerName::try_from(name.to_owned()).map_err(CliError::data)?;
        let tls = TlsConnector::from(Arc::new(config)).connect(server, tcp).await;
        let tls = tls.map_err(|e| CliError::refused(format!("TLS with {name}: {e}")))?;
        let (sender, connection) =
            http1::handshake(TokioIo::new(tls)).await.map_err(CliError::unavailable)?;
        Ok(Self { name: name.to_owned(), sender, driver: tokio::spawn(connection) })
    }

    /// Fetches `/`.
    ///
    /// # Errors
    /// When the connection was closed.
    pub async fn page(&mut self) -> Result<String> {
        let request =
            Request::get("/").header("host", &self.name).body(Empty::new()).map_err(CliError::data)?;
        let response = self.sender.send_request(request).await.map_err(CliError::unavailable)?;
        let body =
            Limited::new(response.into_body(), MAX_PAGE).collect().await.map_err(CliError::unavailable)?;
        String::from_utf8(body.to_bytes().to_vec()).map_err(CliError::data)
    }

    /// Waits until the other side closes.
    pub async fn closed(self) {
        // How it was closed does not matter: cleanly, or cut off.
        let _ = self.driver.await;
        drop(self.sender);
    }
}
