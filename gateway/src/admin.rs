// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The operators' API, on a loopback port of its own. Every request needs the token (RFC 6750); without one configured the
//! port does not exist.

use std::{fmt, sync::Arc};

use alloy::primitives::Address;
use axum::{
    Router,
    extract::{Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{StatusCode, header};
use mandate_model::wire::gateway::{DrainOrder, Drained, IssuedCertificate, Route};
use mandate_runtime::{
    config::Secret,
    http::{ApiError, ApiJson, metrics_page},
};
use thiserror::Error;
use tokio::sync::watch;

use crate::{certificates::Certificates, live::Live, routes::Routes};

/// Reads the configuration again and says what may change while the gateway runs.
pub type Reload = Arc<dyn Fn() -> Result<Live, ReloadError> + Send + Sync>;

/// Why a new configuration is not followed. The old one goes on.
#[derive(Debug, Error)]
pub enum ReloadError {
    /// It cannot be read.
    #[error("{0}")]
    Config(String),
    /// More has changed than can change in a running gateway.
    #[error("[{}] changed, which needs a restart; nothing was taken over", sections.join("], ["))]
    NeedsRestart {
        /// Where.
        sections: Vec<&'static str>,
    },
    /// There is no file.
    #[error("this gateway was started without a configuration file")]
    NoFile,
}

/// What may change, and how it does.
#[derive(Clone)]
pub struct Reloader {
    reload: Option<Reload>,
    lives: watch::Sender<Arc<Live>>,
}

impl fmt::Debug for Reloader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reloader").field("live", &*self.lives.borrow()).finish_non_exhaustive()
    }
}

impl Reloader {
    /// Starts with what `lives` holds.
    pub fn new(reload: Option<Reload>, lives: watch::Sender<Arc<Live>>) -> Self {
        Self { reload, lives }
    }

    /// Takes over what the configuration says now, all of it or nothing. New connections follow it.
    ///
    /// # Errors
    /// When it cannot be read, or needs a restart.
    pub fn reload(&self) -> Result<Arc<Live>, ReloadError> {
        let reload = self.reload.as_ref().ok_or(ReloadError::NoFile)?;
        let live = Arc::new(
            reload().inspect_err(|error| tracing::error!(%error, "configuration was not taken over"))?,
        );
        self.lives.send_replace(Arc::clone(&live));
        tracing::info!(?live, "configuration was taken over");
        Ok(live)
    }
}

/// What the handlers need.
#[derive(Debug)]
pub(crate) struct Admin {
    pub(crate) token: Secret,
    pub(crate) routes: Arc<Routes>,
    pub(crate) certificates: Arc<Certificates>,
    pub(crate) reloader: Reloader,
}

type Shared = State<Arc<Admin>>;

/// Every path, all behind the token.
pub(crate) fn router(admin: Arc<Admin>) -> Router {
    Router::new()
        .route("/v1/routes", get(routes))
        .route("/v1/certificates", get(certificates))
        .route("/v1/drain", post(drain))
        .route("/v1/reload", post(reload))
        .route("/metrics", get(metrics_page))
        .fallback(async || ApiError::not_found("no such path"))
        .layer(middleware::from_fn_with_state(Arc::clone(&admin), authorize))
        .with_state(admin)
}

/// A request without the token learns nothing, not even which paths there are.
async fn authorize(State(admin): Shared, request: Request, next: Next) -> Response {
    let shown = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token =
        shown.and_then(|value| value.strip_prefix("Bearer ")).map(|token| Secret::new(token.to_owned()));
    if token.is_some_and(|token| token == admin.token) {
        return next.run(request).await;
    }
    (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer")]).into_response()
}

async fn routes(State(admin): Shared) -> ApiJson<Vec<Route>> {
    ApiJson(admin.routes.listing())
}

async fn certificates(State(admin): Shared) -> ApiJson<Vec<IssuedCertificate>> {
    let all = admin.certificates.all();
    ApiJson(all.iter().map(|served| served.record()).collect())
}

async fn drain(State(admin): Shared, ApiJson(order): ApiJson<DrainOrder>) -> ApiJson<Drained> {
    let is_meant = |id: Address| id == order.id;
    let mut drained = Drained::default();
    for route in admin.routes.all() {
        if is_meant(route.facts.instance) || is_meant(route.facts.app) {
            route.set_draining(order.draining);
            drained.routes += 1;
            drained.connections += route.connections();
        }
    }
    tracing::info!(id = %order.id, draining = order.draining, ?drained, "draining");
    ApiJson(drained)
}

async fn reload(State(admin): Shared) -> Result<ApiJson<()>, ApiError> {
    // Files are read; that takes no time worth a thread of its own.
    admin.reloader.reload().map(|_| ApiJson(())).map_err(|error| match error {
        ReloadError::NeedsRestart { .. } => ApiError::conflict(error),
        ReloadError::Config(_) | ReloadError::NoFile => ApiError::bad_request(error),
    })
}
