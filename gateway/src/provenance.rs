// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where keys and accounts come from, for whoever is connected: `GET /.well-known/mandate/domain/{name}?nonce=HEX`,
//! `GET /.well-known/mandate/gateway`, and upstream's `GET /.dstack/app-info` and `/.dstack/acme-info`.
//!
//! Evidence is made while somebody waits for it, so it is bounded: a few at a time, and without a nonce once a minute.

use std::{
    fmt,
    num::NonZeroUsize,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use alloy::primitives::{Address, B256};
use axum::{
    Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::get,
};
use http::header;
use lru::LruCache;
use mandate_acme::{
    ACCOUNT_KEY, P256,
    keys::{KeySource, P256Key},
    name::DomainName,
};
use mandate_model::wire::{
    gateway::IssuedCertificate,
    provenance::{DomainProvenance, DomainStatement, GatewayProvenance, parse_nonce},
};
use mandate_runtime::{
    Clock,
    clock::within,
    http::{ApiError, ApiJson, ApiPath, ApiQuery},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::{
    certificates::{self, Certificates},
    name::{Mode, Target},
};

mod agent;
mod upstream;

pub use agent::{Agent, AgentError};

/// How many clients have evidence made at a time.
const AT_A_TIME: usize = 4;
/// How long a client waits for its turn.
const TURN: Duration = Duration::from_secs(5);
/// How long an answer without a nonce serves everybody.
const KEPT: Duration = Duration::from_secs(60);
/// How many of them are kept; each holds evidence of up to a megabyte.
const KEPT_ANSWERS: NonZeroUsize = NonZeroUsize::new(64).unwrap();

/// Which deployment the gateway belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deployed {
    /// Chain of the policy.
    pub chain_id: u64,
    /// `KmsAuth`.
    pub kms_auth: Address,
    /// `DomainRegistry`.
    pub domain_registry: Address,
}

/// What the pages are made from.
#[derive(Debug)]
pub struct Origin {
    /// The deployment.
    pub deployed: Deployed,
    /// Who gives evidence; nobody with development keys, which prove nothing.
    pub agent: Option<Agent>,
}

/// What the handlers need.
pub(crate) struct Provenance {
    origin: Origin,
    keys: Arc<dyn KeySource>,
    certificates: Arc<Certificates>,
    clock: Arc<dyn Clock>,
    base: DomainName,
    turns: Semaphore,
    kept: Mutex<LruCache<DomainName, Kept>>,
    quotes: upstream::Quotes,
}

/// An answer without a nonce.
struct Kept {
    until: Duration,
    record: IssuedCertificate,
    answer: DomainProvenance,
}

impl fmt::Debug for Provenance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provenance").field("origin", &self.origin).finish_non_exhaustive()
    }
}

type Shared = State<Arc<Provenance>>;

/// The gateway's own pages.
pub(crate) fn router(provenance: Arc<Provenance>) -> Router {
    Router::new()
        .route("/.well-known/mandate/domain/{name}", get(domain))
        .route("/.well-known/mandate/gateway", get(gateway))
        .route("/.dstack/app-info", get(upstream::app_info))
        .route("/.dstack/acme-info", get(upstream::acme_info))
        .fallback(async || ApiError::not_found("no such page"))
        .with_state(provenance)
}

#[derive(Debug, Deserialize)]
struct Asked {
    nonce: Option<String>,
}

async fn domain(
    State(provenance): Shared,
    ApiPath(name): ApiPath<String>,
    ApiQuery(asked): ApiQuery<Asked>,
) -> Result<Response, ApiError> {
    let nonce = asked.nonce.as_deref().map(parse_nonce).transpose().map_err(ApiError::bad_request)?;
    Ok(fresh(provenance.domain(&name, nonce).await?))
}

async fn gateway(State(provenance): Shared) -> Result<Response, ApiError> {
    Ok(fresh(provenance.gateway().await?))
}

/// What a cache kept would be somebody else's nonce, or an old certificate.
fn fresh(answer: impl Serialize) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], ApiJson(answer)).into_response()
}

impl Provenance {
    pub(crate) fn new(
        origin: Origin,
        keys: Arc<dyn KeySource>,
        certificates: Arc<Certificates>,
        clock: Arc<dyn Clock>,
        base: DomainName,
    ) -> Self {
        let (turns, kept) = (Semaphore::new(AT_A_TIME), Mutex::new(LruCache::new(KEPT_ANSWERS)));
        let quotes = upstream::Quotes::default();
        Self { origin, keys, certificates, clock, base, turns, kept, quotes }
    }

    async fn domain(&self, name: &str, nonce: Option<B256>) -> Result<DomainProvenance, ApiError> {
        let name = DomainName::try_from(name).map_err(ApiError::bad_request)?;
        let record = self.record(&name).await?;
        if nonce.is_some() {
            let _turn = self.turn().await?;
            return self.make(record, nonce).await;
        }
        if let Some(kept) = self.kept(&name, &record) {
            return Ok(kept);
        }
        let _turn = self.turn().await?;
        // Whoever had the turn before may have made it.
        if let Some(kept) = self.kept(&name, &record) {
            return Ok(kept);
        }
        let answer = self.make(record.clone(), None).await?;
        let until = self.clock.monotonic().saturating_add(KEPT);
        self.lock().put(name, Kept { until, record, answer: answer.clone() });
        Ok(answer)
    }

    async fn record(&self, name: &DomainName) -> Result<IssuedCertificate, ApiError> {
        if let Some(served) = self.certificates.find(name, self.clock.unix()) {
            return Ok(served.record());
        }
        let own = self.certificates.base(self.clock.unix()).filter(|_| self.is_own(name));
        let own = own.ok_or_else(|| ApiError::not_found(format!("{name} is not served by this gateway")))?;
        // Whichever app an id leads to, the key is the gateway's.
        let app = match &self.origin.agent {
            Some(agent) => agent.app().await?,
            None => Address::ZERO,
        };
        Ok(IssuedCertificate { name: name.to_string(), ..certificates::record(&own, app) })
    }

    /// Whether it is one of the gateway's own names, whose TLS it ends itself.
    fn is_own(&self, name: &DomainName) -> bool {
        match Target::parse(name.as_str(), &self.base) {
            Ok(Target::Own) => true,
            Ok(Target::Id(id)) => id.mode != Mode::Passthrough,
            Ok(Target::Custom(_)) | Err(_) => false,
        }
    }

    async fn turn(&self) -> Result<SemaphorePermit<'_>, ApiError> {
        match within(self.clock.as_ref(), TURN, self.turns.acquire()).await {
            Some(Ok(turn)) => Ok(turn),
            _ => Err(ApiError::unavailable("too many ask for evidence at the moment").retry_after(TURN)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, LruCache<DomainName, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was said less than a minute ago, unless the certificate is another one by now.
    fn kept(&self, name: &DomainName, record: &IssuedCertificate) -> Option<DomainProvenance> {
        let now = self.clock.monotonic();
        let mut all = self.lock();
        let current = all.get(name).filter(|kept| now < kept.until && kept.record == *record);
        current.map(|kept| kept.answer.clone())
    }

    async fn make(
        &self,
        record: IssuedCertificate,
        nonce: Option<B256>,
    ) -> Result<DomainProvenance, ApiError> {
        let Deployed { chain_id, kms_auth, domain_registry } = self.origin.deployed;
        let statement = DomainStatement {
            chain_id,
            kms_auth,
            domain_registry,
            domain: record.name,
            app: record.app,
            spki_hash: record.spki_hash,
            issuer: record.issuer,
            account_uri: record.account_uri,
            account_key_hash: self.account_key_hash().await?,
            nonce,
        };
        let made_at = self.clock.unix();
        let Some(agent) = &self.origin.agent else {
            let (evidence, keys, signature) = (None, None, None);
            return Ok(DomainProvenance { statement, made_at, development: true, evidence, keys, signature });
        };
        let evidence = Some(agent.evidence(statement.report_data()).await?);
        let keys = agent.keys().await?;
        let signature = match keys {
            Some(_) => Some(agent.sign(&statement).await?),
            None => None,
        };
        Ok(DomainProvenance { statement, made_at, development: false, evidence, keys, signature })
    }

    async fn account_key_hash(&self) -> Result<B256, ApiError> {
        let material = self.keys.key(ACCOUNT_KEY, P256).await.map_err(ApiError::bad_gateway)?;
        let key = P256Key::derive(&material).map_err(ApiError::internal)?;
        Ok(B256::from(<[u8; 32]>::from(Sha256::digest(key.spki()))))
    }

    fn records(&self) -> Vec<IssuedCertificate> {
        let all = self.certificates.all();
        all.iter().map(|served| served.record()).collect()
    }

    async fn gateway(&self) -> Result<GatewayProvenance, ApiError> {
        let Deployed { chain_id, kms_auth, domain_registry } = self.origin.deployed;
        let _turn = self.turn().await?;
        let app = match &self.origin.agent {
            Some(agent) => Some(agent.app().await?),
            None => None,
        };
        Ok(GatewayProvenance {
            chain_id,
            kms_auth,
            domain_registry,
            app,
            base_domain: self.base.to_string(),
            account_key_hash: self.account_key_hash().await?,
            development: self.origin.agent.is_none(),
            domains: self.records(),
        })
    }
}
