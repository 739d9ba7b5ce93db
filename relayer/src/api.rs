// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The HTTP API.
//!
//! | | |
//! |---|---|
//! | `POST /v1/witness` | the proof of a call at a block |
//! | `POST /v1/mailbox` | a letter from one node to another; answered empty |
//! | `GET /v1/mailbox/{node}?after=N&wait=SECONDS` | letters for a node, waiting for the next |
//! | `POST /v1/submissions` | what a node wants on chain |
//! | `POST /v1/approvals` | a council member's approval |
//! | `GET /v1/committee` | who the nodes of the epoch in force, or of `?epoch=N`, are and its group key |
//! | `GET /v1/{apps,versions,proposals,domains,events}` | what the contracts hold and said, by page |
//! | `GET /v1/status` | how far the chain was followed |
//! | `POST /bootAuth/app`, `/bootAuth/kms`, `GET /` | upstream dstack's webhook |
//! | `GET /healthz`, `/readyz`, `/metrics` | for operators |
//! | `GET /openapi.json` | all of this, for machines |
//!
//! What is read of the contracts is of the finalised block, and every answer names it.

use std::{sync::Arc, time::Duration};

use alloy::{primitives::Address, providers::DynProvider};
use axum::{
    Extension, Router,
    extract::State,
    routing::{MethodRouter, get, post},
};
use mandate_model::wire::relayer::{
    Accepted, Approval, Delivered, Letter, RelayerStatus, Submission, WitnessRequest, WitnessResponse,
};
use mandate_runtime::{
    Clock,
    http::{ApiError, ApiJson, ApiPath, ApiQuery, Caps, Health, PeerKey, guarded},
    net::Peer,
};
use mandate_witness::BuildError;
use serde::Deserialize;

use crate::{
    approvals::Approvals,
    chain::Contracts,
    intake::IntakeError,
    mailbox::Mailbox,
    redact::Redact,
    store::{Store, StoreError},
    submissions::Submissions,
    witness::{WitnessError, Witnesses},
};

mod apps;
mod boot_auth;
mod committee;
mod domains;
mod events;
mod observe;
mod openapi;
mod page;
mod proposals;
mod ready;
mod time;
mod writable;

pub use apps::{AppState, AppView, VersionView};
pub use boot_auth::{BootAnswer, BootInfo, DeploymentInfo};
pub use domains::{CertificateView, DomainView};
pub use events::EventView;
pub use page::Page;
pub use proposals::{ApprovalsView, CallView, GovernorKind, ProposalState, ProposalView, VotesView};
pub use ready::{Readiness, Reason};

pub(crate) use proposals::Proposals;
pub(crate) use ready::Depths;
pub(crate) use time::BlockTime;
pub(crate) use writable::Writable;

/// What the handlers share.
pub struct Api {
    pub(crate) contracts: Contracts,
    pub(crate) provider: DynProvider,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) mailbox: Mailbox,
    pub(crate) submissions: Submissions,
    pub(crate) approvals: Approvals,
    pub(crate) witnesses: Witnesses,
    pub(crate) proposals: Proposals,
    pub(crate) time: BlockTime,
    pub(crate) writable: Writable,
    pub(crate) depths: Depths,
    pub(crate) health: Health,
    pub(crate) redact: Redact,
}

type Shared = State<Arc<Api>>;
type Answer<T> = Result<ApiJson<T>, ApiError>;

/// Every route, behind the caps; what operators ask is in front of them, so that a busy relayer still answers it.
pub fn router(api: Arc<Api>, caps: Caps, clock: Arc<dyn Clock>) -> Router {
    let add = |router: Router<Arc<Api>>, (path, methods)| router.route(path, methods);
    let public = routes().into_iter().fold(Router::new(), add);
    let public = public.fallback(no_route).method_not_allowed_fallback(no_method);
    let operations = operations().into_iter().fold(Router::new(), add);
    let all = guarded(public, caps).merge(operations).with_state(api);
    observe::observed(all, clock)
}

fn routes() -> Vec<(&'static str, MethodRouter<Arc<Api>>)> {
    vec![
        ("/", get(boot_auth::deployment)),
        ("/bootAuth/app", post(boot_auth::app)),
        ("/bootAuth/kms", post(boot_auth::kms)),
        ("/openapi.json", get(openapi::document)),
        ("/v1/approvals", post(approve)),
        ("/v1/apps", get(apps::apps)),
        ("/v1/committee", get(committee::committee)),
        ("/v1/domains", get(domains::domains)),
        ("/v1/events", get(events::events)),
        ("/v1/mailbox", post(post_letter)),
        ("/v1/mailbox/{node}", get(letters)),
        ("/v1/proposals", get(proposals::proposals)),
        ("/v1/status", get(status)),
        ("/v1/submissions", post(submit)),
        ("/v1/versions", get(apps::versions)),
        ("/v1/witness", post(witness)),
    ]
}

fn operations() -> Vec<(&'static str, MethodRouter<Arc<Api>>)> {
    vec![
        ("/healthz", get(ready::healthz)),
        ("/metrics", get(ready::metrics)),
        ("/readyz", get(ready::readyz)),
    ]
}

/// The path of every route.
pub fn paths() -> Vec<&'static str> {
    routes().into_iter().chain(operations()).map(|(path, _)| path).collect()
}

async fn no_route() -> ApiError {
    ApiError::not_found("there is nothing here; /openapi.json lists what there is")
}

async fn no_method() -> ApiError {
    ApiError::new(http::StatusCode::METHOD_NOT_ALLOWED, "not with this method; see the Allow header")
}

/// Who asks, for caps per peer.
type Asker = Option<Extension<Peer>>;

fn key_of(asker: &Asker) -> PeerKey {
    asker.as_ref().map_or(PeerKey::Others, |Extension(peer)| PeerKey::from(peer))
}

async fn witness(
    State(api): Shared,
    asker: Asker,
    ApiJson(request): ApiJson<WitnessRequest>,
) -> Answer<WitnessResponse> {
    let witness = api.witnesses.witness(&request, key_of(&asker)).await.map_err(|e| unproven(&api, e))?;
    Ok(ApiJson(WitnessResponse { witness }))
}

fn unproven(api: &Api, error: WitnessError) -> ApiError {
    match error {
        WitnessError::TooOften(wait) => ApiError::too_many(error).retry_after(wait),
        WitnessError::TooLong(_)
        | WitnessError::Known
        | WitnessError::Build(BuildError::TooMuch | BuildError::BlockHash(_)) => ApiError::bad_request(error),
        WitnessError::Build(BuildError::UnknownBlock(_)) | WitnessError::Closed => {
            ApiError::unavailable(error)
        }
        other => ApiError::bad_gateway(api.redact.text(other)),
    }
}

async fn post_letter(State(api): Shared, ApiJson(letter): ApiJson<Letter>) -> Result<(), ApiError> {
    api.mailbox.post(letter).await.map_err(|e| not_taken(&api, e))
}

fn not_taken(api: &Api, error: IntakeError) -> ApiError {
    match error {
        IntakeError::TooLong { .. } => ApiError::too_large(error),
        IntakeError::Late { .. } => ApiError::bad_request(error),
        IntakeError::NotANode(_)
        | IntakeError::Forged(_)
        | IntakeError::UnknownCouncil(_)
        | IntakeError::Refused(_)
        | IntakeError::TooDear { .. } => ApiError::forbidden(error),
        IntakeError::TooMany(_) => ApiError::too_many(error),
        IntakeError::Chain(_) => ApiError::bad_gateway(api.redact.text(error)),
        IntakeError::Store(error) => ApiError::internal(error),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct After {
    #[serde(default)]
    after: u64,
    #[serde(default)]
    wait: u64,
}

async fn letters(
    State(api): Shared,
    ApiPath(node): ApiPath<Address>,
    ApiQuery(query): ApiQuery<After>,
) -> Answer<Vec<Delivered>> {
    // The database counts to 2^63.
    if [query.after, query.wait].into_iter().any(|n| i64::try_from(n).is_err()) {
        return Err(ApiError::bad_request("after and wait are below 2^63"));
    }
    let letters = api.mailbox.read(node, query.after, Duration::from_secs(query.wait)).await;
    letters.map(ApiJson).map_err(ApiError::internal)
}

async fn submit(State(api): Shared, ApiJson(submission): ApiJson<Submission>) -> Answer<Accepted> {
    api.submissions.accept(submission).await.map(ApiJson).map_err(|e| not_taken(&api, e))
}

async fn approve(State(api): Shared, ApiJson(approval): ApiJson<Approval>) -> Answer<Accepted> {
    api.approvals.accept(approval).await.map(ApiJson).map_err(|e| not_taken(&api, e))
}

async fn status(State(api): Shared) -> Answer<RelayerStatus> {
    let read = async {
        let progress = api.store.progress().await?;
        Ok::<_, StoreError>(RelayerStatus {
            chain_id: api.contracts.chain_id,
            head: progress.head.map_or(0, |b| b.number),
            finalized: progress.finalized.map_or(0, |b| b.number),
            outbox: api.store.open_effects().await?,
        })
    };
    read.await.map(ApiJson).map_err(ApiError::internal)
}

#[cfg(test)]
mod tests;
