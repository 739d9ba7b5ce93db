// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `GET /healthz` and `GET /metrics`.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{Router, extract::State, routing::get};
use http::{StatusCode, header};

use crate::telemetry;

/// Whether the parts of a service work. A service is healthy while no part has a problem.
#[derive(Debug, Clone, Default)]
pub struct Health(Arc<Mutex<BTreeMap<&'static str, String>>>);

impl Health {
    /// Healthy.
    pub fn new() -> Self {
        Self::default()
    }

    /// `part` works (again).
    pub fn ok(&self, part: &'static str) {
        self.problems_mut().remove(part);
    }

    /// `part` does not work, because of `reason`, which is shown to anyone.
    pub fn fail(&self, part: &'static str, reason: impl ToString) {
        self.problems_mut().insert(part, reason.to_string());
    }

    /// `part: reason` of everything that does not work.
    pub fn problems(&self) -> Vec<String> {
        self.problems_mut().iter().map(|(part, reason)| format!("{part}: {reason}")).collect()
    }

    /// Reasons by the part that does not work.
    pub fn reasons(&self) -> BTreeMap<&'static str, String> {
        self.problems_mut().clone()
    }

    fn problems_mut(&self) -> MutexGuard<'_, BTreeMap<&'static str, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `GET /healthz`: 200 `ok`, or 503 with one problem per line. `GET /metrics`: Prometheus text.
pub fn operations_router(health: Health) -> Router {
    Router::new().route("/healthz", get(healthz)).route("/metrics", get(metrics_page)).with_state(health)
}

async fn healthz(State(health): State<Health>) -> (StatusCode, String) {
    let problems = health.problems();
    match problems.is_empty() {
        true => (StatusCode::OK, "ok\n".to_owned()),
        false => (StatusCode::SERVICE_UNAVAILABLE, problems.join("\n") + "\n"),
    }
}

/// Every metric of this process as Prometheus text.
pub async fn metrics_page() -> ([(header::HeaderName, &'static str); 1], String) {
    let metrics = telemetry::metrics();
    metrics.run_upkeep();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], metrics.render())
}
