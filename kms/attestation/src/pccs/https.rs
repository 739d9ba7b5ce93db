// SPDX-License-Identifier: Apache-2.0 OR MIT
//! HTTP and HTTPS over hyper and rustls: one GET, with a deadline and a cap, no redirects.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{FutureExt, future::BoxFuture};
use http::{HeaderMap, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::CertificateDer};

use super::fetch::{Answer, Http};

const TIMEOUT: Duration = Duration::from_secs(20);
/// For headers: two issuer chains fit easily.
const MAX_HEADERS: usize = 64 * 1024;

/// TLS could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("the TLS client cannot be set up: {0}")]
pub struct HttpsError(#[from] rustls::Error);

/// The production transport.
#[derive(Clone)]
pub struct Https {
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
    timeout: Duration,
}

impl Https {
    /// Servers must have a certificate of the public web.
    ///
    /// # Errors
    /// When rustls refuses its own defaults.
    pub fn with_public_roots() -> Result<Self, HttpsError> {
        Self::new(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() })
    }

    /// Servers must have a certificate under one of these.
    ///
    /// # Errors
    /// When one of them is no certificate.
    pub fn with_roots(roots: impl IntoIterator<Item = CertificateDer<'static>>) -> Result<Self, HttpsError> {
        let mut store = RootCertStore::empty();
        for root in roots {
            store.add(root)?;
        }
        Self::new(store)
    }

    fn new(roots: RootCertStore) -> Result<Self, HttpsError> {
        let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build();
        let client = Client::builder(TokioExecutor::new()).http1_max_buf_size(MAX_HEADERS).build(connector);
        Ok(Self { client, timeout: TIMEOUT })
    }

    /// Gives up after `timeout`, connecting and reading included.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    async fn exchange(&self, url: &str, max_body: usize) -> Result<Answer, String> {
        let uri: Uri = url.parse().map_err(|_| "malformed URL".to_owned())?;
        let response = self.client.get(uri).await.map_err(|e| causes(&e))?;
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, max_body).collect().await.map_err(|e| e.to_string())?;
        Ok(Answer {
            status: parts.status.as_u16(),
            headers: text_headers(&parts.headers),
            body: body.to_bytes().to_vec(),
        })
    }
}

impl Http for Https {
    fn get<'a>(&'a self, url: &'a str, max_body: usize) -> BoxFuture<'a, Result<Answer, String>> {
        let exchange = tokio::time::timeout(self.timeout, self.exchange(url, max_body));
        async move { exchange.await.unwrap_or_else(|_| Err(format!("no answer within {:?}", self.timeout))) }
            .boxed()
    }
}

impl fmt::Debug for Https {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Https").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

fn text_headers(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
    };
    headers.iter().filter_map(text).collect()
}

fn causes(error: &dyn std::error::Error) -> String {
    let chain = std::iter::successors(error.source(), |e| e.source());
    chain.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
