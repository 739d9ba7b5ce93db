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
use mandate_runtime::http::{ApiError, ApiJson, ApiQuery, Health, operations_router};
use serde::Deserialize;
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
/// Certificates on one page. Those of one name stay together.
const PAGE: usize = 256;

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
        .route("/v1/domains", post(domains).get(listing))
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
    match api.admission.led_to_instances(&order.name) {
        Some(Some(theirs)) => return Ok(ApiJson(theirs)),
        Some(None) => {
            let what = format!("the app of {} ends its TLS itself and has no certificate yet", order.name);
            return Err(ApiError::conflict(what));
        }
        None => {}
    }
    // An order goes on when the caller hangs up: the authority counts it either way.
    let ordered = tokio::spawn(async move {
        let _permit = api.orders.acquire().await.map_err(ApiError::internal)?;
        Ok(ApiJson(api.domains.order(&order.name).await?))
    });
    ordered.await.map_err(ApiError::internal)?
}

#[derive(Debug, Deserialize)]
struct After {
    after: Option<String>,
}

/// One page of everything that is to be recorded, in the order of the names.
async fn listing(
    State(api): Shared,
    ApiQuery(After { after }): ApiQuery<After>,
) -> Result<ApiJson<Vec<IssuedCertificate>>, ApiError> {
    let _permit = api.notices.acquire().await.map_err(ApiError::internal)?;
    let own = api.domains.certificates.all().iter().map(|served| served.record()).collect();
    let mut all = api.admission.certificates(own);
    all.retain(|one| after.as_ref().is_none_or(|after| one.name > *after));
    Ok(ApiJson(page(all)))
}

fn page(mut all: Vec<IssuedCertificate>) -> Vec<IssuedCertificate> {
    let last = all.get(PAGE.saturating_sub(1)).map(|one| one.name.clone());
    if let Some(last) = last {
        all.retain(|one| one.name <= last);
    }
    all
}

impl From<RegisterError> for ApiError {
    fn from(error: RegisterError) -> Self {
        match error {
            RegisterError::EvidenceTooLarge | RegisterError::StatementTooLarge => Self::too_large(error),
            RegisterError::Spki
            | RegisterError::Upstream(_)
            | RegisterError::Domain(_)
            | RegisterError::Base(_)
            | RegisterError::TooManyDomains
            | RegisterError::Unasked { .. }
            | RegisterError::Certificate { .. }
            | RegisterError::Text(_) => Self::bad_request(error),
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
