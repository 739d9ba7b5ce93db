// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Counts and times every answer, by route and never by path: a path can be chosen by anyone.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{MatchedPath, Request, State},
    middleware::{self, Next},
    response::Response,
};
use http::Method;
use mandate_runtime::{Clock, http::Refused};

use crate::metrics::{HTTP_REFUSED, HTTP_REQUESTS, HTTP_SECONDS};

/// What is asked for at a path where there is nothing.
const NO_ROUTE: &str = "none";
/// Its answers wait for letters, so its times say nothing.
const WAITS: &str = "/v1/mailbox/{node}";

pub(super) fn observed(router: Router, clock: Arc<dyn Clock>) -> Router {
    router.layer(middleware::from_fn_with_state(clock, observe))
}

async fn observe(
    State(clock): State<Arc<dyn Clock>>,
    path: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response {
    let method = known(request.method());
    let started = clock.monotonic();
    let response = next.run(request).await;
    let route = path.as_ref().map_or(NO_ROUTE, |path| path.as_str());
    count(route, method, &response, clock.monotonic().saturating_sub(started));
    response
}

fn count(route: &str, method: &str, response: &Response, took: Duration) {
    HTTP_REQUESTS.add(1, [route, method, response.status().as_str()]);
    match response.extensions().get::<Refused>() {
        Some(Refused::Rate) => HTTP_REFUSED.add(1, ["rate"]),
        Some(Refused::Busy) => HTTP_REFUSED.add(1, ["busy"]),
        Some(Refused::Length) => HTTP_REFUSED.add(1, ["length"]),
        Some(Refused::Slow) => HTTP_REFUSED.add(1, ["slow"]),
        Some(Refused::Overdue) => HTTP_REFUSED.add(1, ["overdue"]),
        None if route != WAITS => HTTP_SECONDS.record(took, [route, method]),
        None => {}
    }
}

/// A client may invent methods, and each would be a series of its own.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        _ => "other",
    }
}
