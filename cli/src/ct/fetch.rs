// SPDX-License-Identifier: Apache-2.0 OR MIT
//! HTTP(S) over hyper and rustls: one exchange with a deadline, a cap on what is read, and no redirects.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use mandate_runtime::{Clock, causes, clock};
use rustls::{ClientConfig, RootCertStore, crypto::ring};

use super::LogError;
use crate::error::{CliError, Result};

/// How long one exchange may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// For headers.
const MAX_HEADERS: usize = 64 << 10;
const USER_AGENT: &str = concat!("mandate/", env!("CARGO_PKG_VERSION"));

/// A client for logs and webhooks.
#[derive(Clone)]
pub(crate) struct Fetch {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for Fetch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fetch")
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum FetchError {
    /// No connection, no answer in time, or it broke.
    Failed(String),
    /// More than was to be read.
    TooLarge(usize),
}

impl Fetch {
    /// Servers with `https` must have a certificate of the public web.
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Result<Self> {
        let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|e| CliError::unavailable(format!("the TLS client cannot be set up: {e}")))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build();
        let client = Client::builder(TokioExecutor::new()).http1_max_buf_size(MAX_HEADERS).build(connector);
        Ok(Self { client, clock })
    }

    /// What is at `url`; nothing when it is not there (404).
    pub(super) async fn find(&self, url: &str, max: usize) -> std::result::Result<Option<Bytes>, LogError> {
        let request = Request::get(url).header(header::USER_AGENT, USER_AGENT).body(Full::default());
        let request = request.map_err(|e| LogError::Unreachable(format!("{url}: {e}")))?;
        match self.exchange(request, max).await {
            Ok((StatusCode::OK, body)) => Ok(Some(body)),
            Ok((StatusCode::NOT_FOUND, _)) => Ok(None),
            Ok((status, _)) => Err(LogError::Unreachable(format!("{url} answers {status}"))),
            Err(FetchError::Failed(why)) => Err(LogError::Unreachable(format!("{url}: {why}"))),
            Err(FetchError::TooLarge(max)) => {
                Err(LogError::bad(format!("{url}: the answer has more than {max} bytes")))
            }
        }
    }

    /// As [`Self::find`], of what must be there.
    pub(super) async fn get(&self, url: &str, max: usize) -> std::result::Result<Bytes, LogError> {
        let found = self.find(url, max).await?;
        found.ok_or_else(|| LogError::Unreachable(format!("{url} answers {}", StatusCode::NOT_FOUND)))
    }

    /// Sends `body`, which is JSON.
    pub(crate) async fn post(
        &self,
        url: &str,
        headers: &[(&'static str, &str)],
        body: Vec<u8>,
    ) -> std::result::Result<StatusCode, String> {
        const MAX_ANSWER: usize = 16 << 10;
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(url)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, USER_AGENT);
        for (name, value) in headers {
            let value = HeaderValue::try_from(*value).map_err(|e| e.to_string())?;
            request = request.header(HeaderName::from_static(name), value);
        }
        let request = request.body(Full::new(body.into())).map_err(|e| e.to_string())?;
        match self.exchange(request, MAX_ANSWER).await {
            Ok((status, _)) => Ok(status),
            Err(FetchError::Failed(why)) => Err(why),
            Err(FetchError::TooLarge(max)) => Err(format!("the answer has more than {max} bytes")),
        }
    }

    async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
        max: usize,
    ) -> std::result::Result<(StatusCode, Bytes), FetchError> {
        let exchange = async {
            let response = self.client.request(request).await.map_err(|e| FetchError::Failed(causes(&e)))?;
            let status = response.status();
            let body = Limited::new(response.into_body(), max).collect().await;
            let body = body.map_err(|e| match e.is::<LengthLimitError>() {
                true => FetchError::TooLarge(max),
                false => FetchError::Failed(e.to_string()),
            })?;
            Ok((status, body.to_bytes()))
        };
        let late = || FetchError::Failed(format!("no answer within {TIMEOUT:?}"));
        clock::within(&*self.clock, TIMEOUT, exchange).await.ok_or_else(late)?
    }
}
