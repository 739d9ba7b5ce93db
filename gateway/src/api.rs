// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The gateway's API. Nobody who calls it is trusted: instances prove themselves, relayers only say where to look.

use std::sync::Arc;

use axum::{Router, extract::State, routing::post};
use mandate_acme::issuer::IssueError;
use mandate_model::wire::{
    gateway::{
        DomainOrder, DomainRelease, IssuedCertificate, RegisterRequest, RegisterResponse, ReleaseEffect,
        RevocationEffect,
    },
    kms::{GrantNotice, RevocationNotice},
};
use mandate_runtime::http::{ApiError, ApiJson, Health, operations_router};
use tokio::sync::Semaphore;

use crate::{
    admission::{Admission, RegisterError},
    domains::{Domains, OrderError},
    revocation::Revocations,
};

/// Registrations that are judged at a time: each holds up to a megabyte and asks the chain twice.
const MAX_REGISTRATIONS: usize = 64;
/// Notices that are judged at a time.
const MAX_NOTICES: usize = 64;

/// Orders under way at a time; each name has one at most.
const MAX_ORDERS: usize = 64;

/// What the handlers need.
#[derive(Debug)]
pub(crate) struct Api {
    pub(crate) admission: Admission,
    pub(crate) revocations: Arc<Revocations>,
    pub(crate) domains: Arc<Domains>,
    registrations: Semaphore,
    notices: Semaphore,
    orders: Semaphore,
}

impl Api {
    pub(crate) fn new(admission: Admission, domains: Arc<Domains>) -> Self {
        Self {
            revocations: Arc::clone(&admission.revocations),
            admission,
            domains,
            registrations: Semaphore::new(MAX_REGISTRATIONS),
            notices: Semaphore::new(MAX_NOTICES),
            orders: Semaphore::new(MAX_ORDERS),
        }
    }
}

type Shared = State<Arc<Api>>;

/// Every path of the API, health and metrics included.
pub(crate) fn router(api: Arc<Api>, health: Health) -> Router {
    Router::new()
        .route("/v1/register", post(register))
        .route("/v1/revocations", post(revocations))
        .route("/v1/grants", post(grants))
        .route("/v1/domains", post(domains))
        .route("/v1/domains/release", post(release))
        .with_state(api)
        .merge(operations_router(health))
}

async fn register(
    State(api): Shared,
    ApiJson(request): ApiJson<RegisterRequest>,
) -> Result<ApiJson<RegisterResponse>, ApiError> {
    let _permit = api.registrations.acquire().await.map_err(ApiError::internal)?;
    Ok(ApiJson(api.admission.register(&request).await?))
}

async fn revocations(
    State(api): Shared,
    ApiJson(notice): ApiJson<RevocationNotice>,
) -> Result<ApiJson<RevocationEffect>, ApiError> {
    let _permit = api.notices.acquire().await.map_err(ApiError::internal)?;
    let (effect, ()) = futures::join!(api.revocations.notice(&notice), api.domains.review_app(notice.app));
    Ok(ApiJson(effect))
}

async fn grants(State(api): Shared, ApiJson(notice): ApiJson<GrantNotice>) -> Result<ApiJson<()>, ApiError> {
    let _permit = api.notices.acquire().await.map_err(ApiError::internal)?;
    api.revocations
        .look_again(notice.app)
        .await
        .map_or(Ok(ApiJson(())), |why| Err(ApiError::unavailable(why)))
}

async fn release(
    State(api): Shared,
    ApiJson(notice): ApiJson<DomainRelease>,
) -> Result<ApiJson<ReleaseEffect>, ApiError> {
    // Goes on when the caller hangs up: the authority may have been told already.
    let released = tokio::spawn(async move {
        let _permit = api.notices.acquire().await.map_err(ApiError::internal)?;
        let (own, led) = tokio::join!(api.domains.release(&notice), api.revocations.release(&notice));
        Ok(ApiJson(ReleaseEffect { served: own.served || led.served, pending: own.pending || led.pending }))
    });
    released.await.map_err(ApiError::internal)?
}

async fn domains(
    State(api): Shared,
    ApiJson(order): ApiJson<DomainOrder>,
) -> Result<ApiJson<IssuedCertificate>, ApiError> {
    if api.admission.is_led_to_an_instance(&order.name) {
        return Err(ApiError::conflict(format!("the app of {} ends its TLS itself", order.name)));
    }
    // An order goes on when the caller hangs up: the authority counts it either way.
    let ordered = tokio::spawn(async move {
        let _permit = api.orders.acquire().await.map_err(ApiError::internal)?;
        Ok(ApiJson(api.domains.order(&order.name).await?))
    });
    ordered.await.map_err(ApiError::internal)?
}

impl From<RegisterError> for ApiError {
    fn from(error: RegisterError) -> Self {
        match error {
            RegisterError::EvidenceTooLarge | RegisterError::StatementTooLarge => Self::too_large(error),
            RegisterError::Spki
            | RegisterError::Upstream(_)
            | RegisterError::Domain(_)
            | RegisterError::Base(_)
            | RegisterError::TooManyDomains => Self::bad_request(error),
        }
    }
}

impl From<OrderError> for ApiError {
    fn from(error: OrderError) -> Self {
        match &error {
            OrderError::Name { .. } | OrderError::Base(_) => Self::bad_request(error),
            OrderError::NotApproved { .. } | OrderError::Halted { .. } => Self::forbidden(error),
            OrderError::Changing { .. } => Self::conflict(error),
            OrderError::TooSoon { .. } => Self::too_many(error),
            OrderError::Undecided(_)
            | OrderError::Elsewhere(_)
            | OrderError::Damaged(_)
            | OrderError::Store(_)
            | OrderError::Key(_)
            | OrderError::Issue(IssueError::Key(_)) => Self::unavailable(error),
            OrderError::Issue(_) | OrderError::Certificate(_) => Self::bad_gateway(error),
        }
    }
}
