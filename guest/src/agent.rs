// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The agent: what an app asks on its unix socket, as the published clients of upstream dstack ask it.
//!
//! `POST /GetKey`, `/GetTlsKey`, `/GetQuote`, `/Info`, `/Version`, with JSON bodies; byte strings in hex without prefix.
//! `/Statement` and `/Evidence` are this agent's own: what the committee says in public about the app's keys, and evidence
//! with all that its verifier needs.
//! Fields that this agent does not know are passed over, since newer clients send them. Whoever can open the socket is
//! the app: it has mode 0600, and inside a TEE there is nobody else.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock, PoisonError, RwLock},
    time::Duration,
};

use alloy::primitives::Address;
use axum::{
    Router,
    extract::State,
    routing::{get, post},
};
use bytes::Bytes;
use mandate_runtime::{
    Ambient,
    http::{ApiError, ApiJson, ServeOptions, serve_with},
    net::Listener,
};
use mandate_threshold::AppSecret;
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    Quoter,
    certificate::Authority,
    keys::{Fetched, Stated},
    service::Lease,
};

mod evidence;
mod get_key;
mod info;
mod quote;
mod statement;
mod tls_key;

pub use evidence::EvidenceAnswer;
pub(crate) use get_key::vouched;
pub use get_key::{GetKey, GetKeyAnswer};
pub use info::{AppFacts, InfoAnswer, VersionAnswer};
pub use quote::{GetQuote, GetQuoteAnswer};
pub use statement::StatementAnswer;
pub use tls_key::{GetTlsKey, GetTlsKeyAnswer};

/// The largest request that is read, in bytes.
pub const MAX_REQUEST: usize = 64 * 1024;

/// What the agent serves from.
#[derive(Debug, Clone)]
pub enum KeyState {
    /// No secret yet: what was tried last, for whoever asks.
    Waiting(String),
    /// The app's secret.
    Held(Arc<Held>),
}

/// The app's secret while the agent serves it.
pub struct Held {
    pub(crate) secret: AppSecret,
    pub(crate) app: Address,
    pub(crate) generation: u64,
    pub(crate) epoch: u64,
    pub(crate) authority: Authority,
    lease: RwLock<Lease>,
    /// The committee's public word on the app's keys, as soon as it is there.
    pub(crate) stated: OnceLock<Stated>,
}

impl Held {
    /// Holds what was fetched, for one lease.
    ///
    /// # Errors
    /// When the app's CA cannot be made of it.
    pub fn new(fetched: &Fetched, lease: Lease) -> Result<Self, crate::instance::CertificateError> {
        let authority = Authority::new(&fetched.secret.ca_key(), &format!("{}", fetched.app))?;
        Ok(Self {
            secret: fetched.secret.clone(),
            app: fetched.app,
            generation: fetched.generation,
            epoch: fetched.epoch,
            authority,
            lease: RwLock::new(lease),
            stated: OnceLock::new(),
        })
    }

    /// For tests: a secret that nobody had to be asked for.
    #[cfg(test)]
    pub(crate) fn of(secret: AppSecret, app: Address, lease: Lease) -> Self {
        #[allow(clippy::unwrap_used)]
        let authority = Authority::new(&secret.ca_key(), "test").unwrap();
        let (lease, stated) = (RwLock::new(lease), OnceLock::new());
        Self { secret, app, generation: 0, epoch: 1, authority, lease, stated }
    }

    /// The instance proved itself again.
    pub fn renew(&self, lease: Lease) {
        *self.lease.write().unwrap_or_else(PoisonError::into_inner) = lease;
    }

    /// Until when it may be used.
    pub fn lease(&self) -> Lease {
        *self.lease.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it may be used at this moment of the monotonic clock.
    pub(crate) fn is_leased(&self, now: Duration) -> bool {
        now < self.lease().until
    }

    /// How long it may still be used.
    pub(crate) fn left(&self, now: Duration) -> Duration {
        self.lease().until.saturating_sub(now)
    }

    pub(crate) fn is_stated(&self) -> bool {
        self.stated.get().is_some()
    }

    /// Keeps the committee's word on the app's keys; the first one stays.
    pub fn keep(&self, stated: Stated) {
        let _ = self.stated.set(stated);
    }

    /// The key generation of the secret.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The epoch of the committee that gave it.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Held {{ app: {}, generation: {}, epoch: {}, .. }}", self.app, self.generation, self.epoch)
    }
}

/// The agent behind its socket.
#[derive(Debug, Clone)]
pub struct Agent {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    ambient: Ambient,
    quoter: Arc<dyn Quoter>,
    facts: AppFacts,
    keys: watch::Receiver<KeyState>,
}

impl Agent {
    /// An agent that serves what `keys` holds at the time.
    pub fn new(
        ambient: &Ambient,
        quoter: Arc<dyn Quoter>,
        facts: AppFacts,
        keys: watch::Receiver<KeyState>,
    ) -> Self {
        Self { shared: Arc::new(Shared { ambient: ambient.clone(), quoter, facts, keys }) }
    }

    /// The routes.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/GetKey", post(get_key::handle))
            .route("/GetTlsKey", post(tls_key::handle))
            .route("/GetQuote", post(quote::handle))
            .route("/Evidence", post(evidence::handle))
            .route("/Info", get(info::handle).post(info::handle))
            .route("/Statement", get(statement::handle).post(statement::handle))
            .route("/Version", get(info::version).post(info::version))
            .fallback(unknown)
            .with_state(self.clone())
    }

    /// Binds the socket: mode 0600, in the place of one that nobody serves any more.
    ///
    /// # Errors
    /// When the path cannot be bound, or somebody serves it.
    pub async fn bind(&self, path: &Path) -> io::Result<Socket> {
        let listener = self.shared.ambient.net.listen_unix(path).await?;
        Ok(Socket { agent: self.clone(), listener, path: path.to_owned() })
    }

    fn held(&self) -> Result<Arc<Held>, ApiError> {
        match &*self.shared.keys.borrow() {
            KeyState::Held(held) if held.is_leased(self.shared.ambient.clock.monotonic()) => {
                Ok(Arc::clone(held))
            }
            // A machine that slept wakes up here before anything had the time to renew it.
            KeyState::Held(_) => {
                Err(ApiError::unavailable("the lease of the app's secret is over: try again"))
            }
            KeyState::Waiting(why) => {
                Err(ApiError::unavailable(format!("the app's secret has not been released yet: {why}")))
            }
        }
    }
}

/// The bound socket of an agent.
#[derive(Debug)]
pub struct Socket {
    agent: Agent,
    listener: Listener,
    path: PathBuf,
}

impl Socket {
    /// Serves until `stop` fires; running requests end first. Takes the socket file away.
    pub async fn serve(self, stop: CancellationToken) {
        let options = ServeOptions { max_body: MAX_REQUEST, ..ServeOptions::default() };
        serve_with(self.listener, self.agent.router(), stop, options).await;
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!(path = %self.path.display(), %error, "socket file is gone already");
        }
    }
}

/// Reads a request's JSON object whatever its content type says; no body stands for an empty one.
fn parse<T: DeserializeOwned>(body: &Bytes) -> Result<T, ApiError> {
    let refused = |error| ApiError::bad_request(format!("not the JSON expected: {error}"));
    let body: &[u8] = if body.is_empty() { b"{}" } else { body };
    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(body).map_err(refused)?;
    serde_json::from_value(object.into()).map_err(refused)
}

async fn unknown(uri: http::Uri) -> ApiError {
    let path: String = uri.path().chars().take(64).collect();
    ApiError::not_found(format!(
        "{path} is not served here: GetKey, GetTlsKey, GetQuote, Evidence, Info, Statement and Version are"
    ))
}

type Answer<T> = Result<ApiJson<T>, ApiError>;
type Ask = State<Agent>;
