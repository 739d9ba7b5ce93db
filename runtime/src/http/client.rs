// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A JSON client over hyper's HTTP/1.1 and an injected network, with a deadline and a size cap on every answer.

use std::{
    collections::HashMap,
    io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::{
    body::Incoming,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use thiserror::Error;
use tokio::time::Instant;

use super::MAX_BODY;
use crate::net::{Net, TcpNet};

const IDLE_PER_HOST: usize = 8;
/// Below the server's own idle limit, so that a kept connection is rarely one that the server is closing.
const IDLE_FOR: Duration = Duration::from_secs(20);
const ERROR_TEXT: usize = 512;

/// Why a request brought no answer. Each names the URL, without its query.
#[derive(Debug, Error)]
pub enum HttpError {
    /// The URL cannot be used.
    #[error("{url}: not a usable URL: {what}")]
    Url {
        /// As given.
        url: String,
        /// What is wrong with it.
        what: String,
    },
    /// The request's body could not be written as JSON.
    #[error("{url}: request cannot be encoded: {what}")]
    Unencodable {
        /// Whom it was for.
        url: String,
        /// What is wrong.
        what: String,
    },
    /// No connection, or it broke.
    #[error("{url}: unreachable: {source}")]
    Unreachable {
        /// Whom we asked.
        url: String,
        /// How it failed.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No whole answer in time.
    #[error("{url}: no answer within {after:?}")]
    Timeout {
        /// Whom we asked.
        url: String,
        /// For how long.
        after: Duration,
    },
    /// The answer is larger than we read.
    #[error("{url}: answer is larger than {limit} bytes")]
    TooLarge {
        /// Whom we asked.
        url: String,
        /// The cap.
        limit: usize,
    },
    /// The server answered with something other than success.
    #[error("{url}: {code}: {error}")]
    Status {
        /// Whom we asked.
        url: String,
        /// HTTP status.
        code: u16,
        /// The server's own words, shortened.
        error: String,
    },
    /// The answer is not what was expected. The text names the place and nothing of the content.
    #[error("{url}: malformed answer: {what}")]
    Malformed {
        /// Whom we asked.
        url: String,
        /// What is wrong with it.
        what: String,
    },
}

impl HttpError {
    /// Whether the same request may succeed later: nobody was reached, or the server said it is not able to answer now.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Timeout { .. } => true,
            Self::Status { code, .. } => *code >= 500 || *code == 429,
            Self::Url { .. } | Self::Unencodable { .. } | Self::TooLarge { .. } | Self::Malformed { .. } => {
                false
            }
        }
    }

    /// The status, when the server answered with one.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Status { code, .. } => Some(*code),
            _ => None,
        }
    }
}

/// A JSON client. Clones share their connections.
#[derive(Debug, Clone)]
pub struct Client {
    shared: Arc<Shared>,
    timeout: Duration,
    max_body: usize,
}

#[derive(Debug)]
struct Shared {
    net: Arc<dyn Net>,
    unix: Option<PathBuf>,
    idle: Mutex<HashMap<String, Vec<(Instant, Sender)>>>,
}

type Sender = SendRequest<Full<Bytes>>;

impl Client {
    /// A client that connects through `net`.
    pub fn new(net: Arc<dyn Net>) -> Self {
        Self::with(net, None)
    }

    /// A client that sends everything to the unix socket at `path`, whatever host the URL names.
    pub fn unix(path: impl Into<PathBuf>) -> Self {
        Self::unix_over(Arc::new(TcpNet), path)
    }

    /// [`Client::unix`] over another network.
    pub fn unix_over(net: Arc<dyn Net>, path: impl Into<PathBuf>) -> Self {
        Self::with(net, Some(path.into()))
    }

    fn with(net: Arc<dyn Net>, unix: Option<PathBuf>) -> Self {
        let shared = Arc::new(Shared { net, unix, idle: Mutex::default() });
        Self { shared, timeout: Duration::from_secs(10), max_body: MAX_BODY }
    }

    /// Gives up after `timeout`, connecting and reading included.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Reads at most `bytes` of an answer.
    #[must_use]
    pub fn max_body(mut self, bytes: usize) -> Self {
        self.max_body = bytes;
        self
    }

    /// `GET`s JSON.
    ///
    /// # Errors
    /// As [`HttpError`] lists.
    pub async fn get_json<T: DeserializeOwned>(&self, url: &str) -> Result<T, HttpError> {
        self.json(Method::GET, url, Bytes::new()).await
    }

    /// `POST`s JSON and reads JSON. An empty answer reads as `null`, so `()` fits.
    ///
    /// # Errors
    /// As [`HttpError`] lists.
    pub async fn post_json<Req: Serialize + ?Sized, Res: DeserializeOwned>(
        &self,
        url: &str,
        request: &Req,
    ) -> Result<Res, HttpError> {
        let body = serde_json::to_vec(request)
            .map_err(|e| HttpError::Unencodable { url: shown(url), what: e.to_string() })?;
        self.json(Method::POST, url, body.into()).await
    }

    async fn json<T: DeserializeOwned>(
        &self,
        method: Method,
        url: &str,
        body: Bytes,
    ) -> Result<T, HttpError> {
        let target = Target::parse(url)?;
        let whole = self.exchange(&target, method, body);
        let (status, answer) = tokio::time::timeout(self.timeout, whole)
            .await
            .map_err(|_| HttpError::Timeout { url: target.shown.clone(), after: self.timeout })??;
        if !status.is_success() {
            return Err(HttpError::Status {
                url: target.shown,
                code: status.as_u16(),
                error: error_text(&answer),
            });
        }
        let answer: &[u8] = if answer.is_empty() { b"null" } else { &answer };
        serde_json::from_slice(answer).map_err(|e| malformed(target.shown, &e))
    }

    async fn exchange(
        &self,
        target: &Target,
        method: Method,
        body: Bytes,
    ) -> Result<(StatusCode, Bytes), HttpError> {
        let request = target.request(method, body)?;
        let (response, sender) = self.send(target, request).await?;
        let status = response.status();
        let answer = Limited::new(response.into_body(), self.max_body).collect().await.map_err(|e| {
            match e.is::<LengthLimitError>() {
                true => HttpError::TooLarge { url: target.shown.clone(), limit: self.max_body },
                false => HttpError::Unreachable { url: target.shown.clone(), source: e },
            }
        })?;
        self.shared.keep(target.authority(), sender);
        Ok((status, answer.to_bytes()))
    }

    /// Sends over a kept connection when there is one. A request that never left because the server had closed the kept
    /// connection goes over the next; one that may have left is not repeated.
    async fn send(
        &self,
        target: &Target,
        mut request: Request<Full<Bytes>>,
    ) -> Result<(Response<Incoming>, Sender), HttpError> {
        let unreachable = |source| HttpError::Unreachable { url: target.shown.clone(), source };
        loop {
            let kept = self.shared.kept(&target.authority());
            let fresh = kept.is_none();
            let mut sender = match kept {
                Some(sender) => sender,
                None => self.connect(target).await.map_err(&unreachable)?,
            };
            match sender.try_send_request(request).await {
                Ok(response) => return Ok((response, sender)),
                Err(mut unsent) => match unsent.take_message() {
                    Some(back) if !fresh => request = back,
                    _ => return Err(unreachable(unsent.into_error().into())),
                },
            }
        }
    }

    async fn connect(&self, target: &Target) -> Result<Sender, Box<dyn std::error::Error + Send + Sync>> {
        let net = &self.shared.net;
        let stream = match &self.shared.unix {
            Some(path) => net.connect_unix(path).await.map_err(|e| named(e, &path.display().to_string()))?,
            None => net.connect(&target.host, target.port).await?,
        };
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::trace!(%error, "client connection ended");
            }
        });
        sender.ready().await?;
        Ok(sender)
    }
}

impl Shared {
    fn kept(&self, authority: &str) -> Option<Sender> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let senders = idle.get_mut(authority)?;
        while let Some((since, sender)) = senders.pop() {
            if since.elapsed() < IDLE_FOR && sender.is_ready() {
                return Some(sender);
            }
        }
        None
    }

    fn keep(&self, authority: String, sender: Sender) {
        if sender.is_closed() {
            return;
        }
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let senders = idle.entry(authority).or_default();
        senders.retain(|(since, sender)| since.elapsed() < IDLE_FOR && !sender.is_closed());
        if senders.len() < IDLE_PER_HOST {
            senders.push((Instant::now(), sender));
        }
    }
}

/// A URL in the parts that are needed.
struct Target {
    shown: String,
    host: String,
    port: u16,
    path: String,
}

impl Target {
    fn parse(url: &str) -> Result<Self, HttpError> {
        let bad = |what: &str| HttpError::Url { url: shown(url), what: what.to_owned() };
        let uri: Uri = url.parse().map_err(|_| bad("malformed"))?;
        if uri.scheme_str() != Some("http") {
            return Err(bad("only http:// is spoken between services"));
        }
        let host = uri.host().filter(|h| !h.is_empty()).ok_or_else(|| bad("it names no host"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let path = uri.path_and_query().map_or("/", |p| p.as_str()).to_owned();
        Ok(Self { shown: shown(url), host, port: uri.port_u16().unwrap_or(80), path })
    }

    fn authority(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }

    fn request(&self, method: Method, body: Bytes) -> Result<Request<Full<Bytes>>, HttpError> {
        let mut request = Request::builder()
            .uri(&self.path)
            .header(header::HOST, self.authority())
            .header(header::ACCEPT, "application/json");
        if method == Method::POST {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        request
            .method(method)
            .body(Full::new(body))
            .map_err(|e| HttpError::Url { url: self.shown.clone(), what: e.to_string() })
    }
}

fn shown(url: &str) -> String {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    match (path.split_once("://"), path.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, after))) => format!("{scheme}://{after}"),
        _ => path.to_owned(),
    }
}

fn named(e: io::Error, path: &str) -> io::Error {
    io::Error::new(e.kind(), format!("{path}: {e}"))
}

fn malformed(url: String, e: &serde_json::Error) -> HttpError {
    let kind = match e.classify() {
        serde_json::error::Category::Data => "not the expected fields and types",
        serde_json::error::Category::Eof => "it ends too early",
        _ => "not JSON",
    };
    HttpError::Malformed { url, what: format!("{kind}, at line {} column {}", e.line(), e.column()) }
}

/// The `error` of an error body, or the start of whatever came, without control characters.
fn error_text(answer: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Body {
        error: String,
    }
    let text = match serde_json::from_slice::<Body>(answer) {
        Ok(body) => body.error,
        Err(_) => String::from_utf8_lossy(answer).into_owned(),
    };
    let text: String = text.chars().filter(|c| !c.is_control()).take(ERROR_TEXT).collect();
    if text.is_empty() { "no text".to_owned() } else { text }
}
