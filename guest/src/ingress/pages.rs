// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where the keys of the app's domains come from, for whoever is connected: `GET /.well-known/mandate/domain/{name}?nonce=HEX`.
//!
//! The agent answers over connections whose TLS it ends itself, so the evidence is that of the app's own instance, and no gateway
//! is to be believed in between. Everything else that such a connection carries is the app's.

use std::{fmt, io, sync::Arc, time::Duration};

use alloy::primitives::{Address, B256};
use axum::{
    Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::get,
};
use http::header;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use mandate_acme::{
    ACCOUNT_KEY, P256,
    keys::{KeySource, P256Key},
    name::DomainName,
};
use mandate_model::wire::provenance::{
    AppKeys, DomainProvenance, DomainStatement, KEY_PATH, KEY_PURPOSE, StatementSignature, parse_nonce,
};
use mandate_runtime::{
    Clock,
    carry::End,
    clock::within,
    http::{ApiError, ApiJson, ApiPath, ApiQuery},
};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::Semaphore,
};

use super::server::Shown;
use crate::{
    Quoter,
    agent::{Held, vouched},
    keys::Stated,
};

/// Below this, requests are the agent's.
pub(super) const PATHS: [&str; 1] = ["/.well-known/mandate/"];

/// Evidence is made while somebody waits for it: for so many at a time.
const AT_A_TIME: usize = 4;
/// How long a client waits for its turn.
const TURN: Duration = Duration::from_secs(5);
const MAX_HEADERS: usize = 64;

/// Which deployment the app belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Deployed {
    pub(crate) chain_id: u64,
    pub(crate) kms_auth: Address,
    pub(crate) domain_registry: Address,
}

/// What the answers are made from.
pub(super) struct Pages {
    pub(super) deployed: Deployed,
    pub(super) held: Arc<Held>,
    pub(super) keys: Arc<dyn KeySource>,
    pub(super) quoter: Arc<dyn Quoter>,
    pub(super) shown: Arc<Shown>,
    pub(super) clock: Arc<dyn Clock>,
    turns: Semaphore,
}

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages").field("deployed", &self.deployed).finish_non_exhaustive()
    }
}

#[derive(Debug, Deserialize)]
struct Asked {
    nonce: Option<String>,
}

async fn domain(
    State(pages): State<Arc<Pages>>,
    ApiPath(name): ApiPath<String>,
    ApiQuery(asked): ApiQuery<Asked>,
) -> Result<Response, ApiError> {
    let nonce = asked.nonce.as_deref().map(parse_nonce).transpose().map_err(ApiError::bad_request)?;
    let answer = pages.domain(&name, nonce).await?;
    // What a cache kept would be somebody else's nonce, or an old certificate.
    Ok(([(header::CACHE_CONTROL, "no-store")], ApiJson(answer)).into_response())
}

impl Pages {
    pub(super) fn new(
        deployed: Deployed,
        held: &Arc<Held>,
        keys: Arc<dyn KeySource>,
        quoter: Arc<dyn Quoter>,
        shown: Arc<Shown>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let (held, turns) = (Arc::clone(held), Semaphore::new(AT_A_TIME));
        Self { deployed, held, keys, quoter, shown, clock, turns }
    }

    pub(super) fn router(self) -> Router {
        Router::new()
            .route("/.well-known/mandate/domain/{name}", get(domain))
            .fallback(async || ApiError::not_found("no such page"))
            .with_state(Arc::new(self))
    }

    async fn domain(&self, name: &str, nonce: Option<B256>) -> Result<DomainProvenance, ApiError> {
        let name = DomainName::try_from(name).map_err(ApiError::bad_request)?;
        let statement = self.statement(&name, nonce).await?;
        let turn = within(self.clock.as_ref(), TURN, self.turns.acquire()).await;
        let _turn = turn.ok_or_else(|| {
            ApiError::unavailable("too many ask for evidence at the moment").retry_after(TURN)
        })?;
        let evidence = self.quoter.evidence(statement.report_data()).await.map_err(|error| {
            tracing::warn!(%error, "no evidence for a domain");
            ApiError::unavailable("the instance gives no evidence at the moment")
        })?;
        let keys = self.held.stated.get().map(app_keys);
        let signature = match &keys {
            Some(_) => Some(self.sign(&statement).map_err(ApiError::internal)?),
            None => None,
        };
        let (made_at, evidence) = (self.clock.unix(), Some(evidence.encode().into()));
        Ok(DomainProvenance { statement, made_at, development: false, evidence, keys, signature })
    }

    async fn statement(&self, name: &DomainName, nonce: Option<B256>) -> Result<DomainStatement, ApiError> {
        let certificate = self.shown.find(name);
        let certificate =
            certificate.ok_or_else(|| ApiError::not_found(format!("{name} is not served by this app")))?;
        let material = self.keys.key(ACCOUNT_KEY, P256).await.map_err(ApiError::internal)?;
        let account = P256Key::derive(&material).map_err(ApiError::internal)?;
        let Deployed { chain_id, kms_auth, domain_registry } = self.deployed;
        Ok(DomainStatement {
            chain_id,
            kms_auth,
            domain_registry,
            domain: name.to_string(),
            app: self.held.app,
            spki_hash: certificate.spki_sha256().into(),
            issuer: certificate.issued().issuer.clone(),
            account_uri: certificate.issued().account_uri.clone(),
            account_key_hash: B256::from(<[u8; 32]>::from(Sha256::digest(account.spki()))),
            nonce,
        })
    }

    fn sign(&self, statement: &DomainStatement) -> Result<StatementSignature, k256::ecdsa::Error> {
        let key = vouched(&self.held.secret, KEY_PATH, KEY_PURPOSE)?;
        let signature = key.sign(&statement.signing_hash())?;
        Ok(StatementSignature {
            public_key: key.public.into(),
            vouched: key.word.into(),
            signature: signature.into(),
        })
    }
}

fn app_keys(Stated { statement, signature }: &Stated) -> AppKeys {
    AppKeys {
        chain_id: statement.chain_id,
        kms_auth: statement.kms_auth.into(),
        app: statement.app.into(),
        generation: statement.generation,
        ca_spki_hash: statement.ca_spki_sha256.into(),
        ethereum: statement.ethereum.into(),
        signature: signature.clone().into(),
    }
}

/// Serves the pages until the client goes away or is too slow.
pub(super) async fn serve<S>(stream: S, pages: Router, limit: Duration) -> End
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(limit).max_headers(MAX_HEADERS);
    match builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(pages)).await {
        Ok(()) => End::Closed,
        Err(_) => End::Broken(io::ErrorKind::Other),
    }
}

#[cfg(test)]
mod tests;
