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
//! | `GET /v1/committee` | who the nodes are and the group key, as of the finalised block |
//! | `GET /v1/status` | how far the chain was followed |
//! | `GET /v1/apps`, `/v1/domains`, `/v1/events?from=N` | what the contracts hold and said |
//! | `POST /bootAuth/app`, `/bootAuth/kms`, `GET /` | upstream dstack's webhook |
//! | `GET /healthz`, `/metrics` | for operators |

use std::{sync::Arc, time::Duration};

use alloy::{primitives::Address, providers::DynProvider};
use axum::{
    Router,
    extract::{Path, Query, State},
    routing::{get, post},
};
use mandate_model::wire::relayer::{
    Accepted, Approval, CommitteeView, Delivered, Letter, RelayerStatus, Submission, WitnessRequest,
    WitnessResponse,
};
use mandate_runtime::http::{ApiError, ApiJson, Health, operations_router};
use mandate_witness::BuildError;
use serde::Deserialize;

use crate::{
    approvals::{ApprovalError, Approvals},
    chain::Contracts,
    mailbox::{Mailbox, PostError},
    redact::Redact,
    store::{AppRecord, Store, StoreError, StoredLog},
    submissions::{Submissions, SubmitError},
    witness::{WitnessError, Witnesses},
};

mod boot_auth;
mod committee;
mod domains;

pub use boot_auth::{BootAnswer, BootInfo, DeploymentInfo};
pub use domains::DomainView;

/// Events per answer.
const EVENTS: u32 = 1_000;

/// What the handlers share.
pub struct Api {
    pub(crate) contracts: Contracts,
    pub(crate) provider: DynProvider,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) mailbox: Mailbox,
    pub(crate) submissions: Submissions,
    pub(crate) approvals: Approvals,
    pub(crate) witnesses: Witnesses,
    pub(crate) committee: committee::CommitteeCache,
    pub(crate) redact: Redact,
}

pub(crate) use committee::CommitteeCache;

type Shared = State<Arc<Api>>;
type Answer<T> = Result<ApiJson<T>, ApiError>;

/// Every route.
pub fn router(api: Arc<Api>, health: Health) -> Router {
    Router::new()
        .route("/v1/witness", post(witness))
        .route("/v1/mailbox", post(post_letter))
        .route("/v1/mailbox/{node}", get(letters))
        .route("/v1/submissions", post(submit))
        .route("/v1/approvals", post(approve))
        .route("/v1/committee", get(committee_view))
        .route("/v1/status", get(status))
        .route("/v1/apps", get(apps))
        .route("/v1/domains", get(domains::domains))
        .route("/v1/events", get(events))
        .route("/bootAuth/app", post(boot_auth::app))
        .route("/bootAuth/kms", post(boot_auth::kms))
        .route("/", get(boot_auth::deployment))
        .with_state(api)
        .merge(operations_router(health))
}

async fn witness(State(api): Shared, ApiJson(request): ApiJson<WitnessRequest>) -> Answer<WitnessResponse> {
    let witness = api.witnesses.witness(&request).await.map_err(|e| unproven(&api, e))?;
    Ok(ApiJson(WitnessResponse { witness }))
}

fn unproven(api: &Api, error: WitnessError) -> ApiError {
    match error {
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
    api.mailbox.post(letter).await.map_err(|e| match e {
        PostError::TooLong { .. } => ApiError::too_large(e),
        PostError::NotANode(_) | PostError::Forged(_) => ApiError::forbidden(e),
        PostError::Full(_) => ApiError::too_many(e),
        PostError::Chain(_) => ApiError::bad_gateway(api.redact.text(e)),
        PostError::Store(e) => ApiError::internal(e),
    })
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
    Path(node): Path<Address>,
    Query(query): Query<After>,
) -> Answer<Vec<Delivered>> {
    let letters = api.mailbox.read(node, query.after, Duration::from_secs(query.wait)).await;
    letters.map(ApiJson).map_err(ApiError::internal)
}

async fn submit(State(api): Shared, ApiJson(submission): ApiJson<Submission>) -> Answer<Accepted> {
    let accepted = api.submissions.accept(submission).await.map_err(|e| match e {
        SubmitError::TooLong { .. } => ApiError::too_large(e),
        SubmitError::NotANode(_) | SubmitError::Forged(_) => ApiError::forbidden(e),
        SubmitError::TooMany(_) => ApiError::too_many(e),
        SubmitError::Chain(_) => ApiError::bad_gateway(api.redact.text(e)),
        SubmitError::Store(e) => ApiError::internal(e),
    })?;
    Ok(ApiJson(accepted))
}

async fn approve(State(api): Shared, ApiJson(approval): ApiJson<Approval>) -> Answer<Accepted> {
    let accepted = api.approvals.accept(approval).await.map_err(|e| match e {
        ApprovalError::TooLong(_) => ApiError::too_large(e),
        ApprovalError::Late { .. } => ApiError::bad_request(e),
        ApprovalError::UnknownCouncil(_) | ApprovalError::Refused(_) | ApprovalError::TooDear { .. } => {
            ApiError::forbidden(e)
        }
        ApprovalError::TooMany(_) => ApiError::too_many(e),
        ApprovalError::Rpc(_) | ApprovalError::Call(_) => ApiError::bad_gateway(api.redact.text(e)),
        ApprovalError::Store(e) => ApiError::internal(e),
    })?;
    Ok(ApiJson(accepted))
}

async fn committee_view(State(api): Shared) -> Answer<CommitteeView> {
    committee::view(&api).await.map(ApiJson)
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

async fn apps(State(api): Shared) -> Answer<Vec<AppRecord>> {
    api.store.apps().await.map(ApiJson).map_err(ApiError::internal)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct From {
    #[serde(default)]
    from: u64,
    limit: Option<u32>,
}

async fn events(State(api): Shared, Query(query): Query<From>) -> Answer<Vec<StoredLog>> {
    let limit = query.limit.unwrap_or(EVENTS).min(EVENTS);
    api.store.logs(query.from, u64::MAX, limit).await.map(ApiJson).map_err(ApiError::internal)
}
