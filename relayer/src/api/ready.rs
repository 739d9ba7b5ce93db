// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `GET /healthz`: the process answers. `GET /readyz`: it does what a relayer is for. `GET /metrics`: how well.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use axum::{extract::State, http::StatusCode, response::IntoResponse};
use mandate_model::wire::BlockRef;
use mandate_runtime::http::{ApiError, ApiJson, metrics_page};
use serde::{Deserialize, Serialize};

use super::{Api, Shared};
use crate::{
    metrics::{CANCELLED, OUTBOX, OUTBOX_DEPTH},
    store::{Depth, Progress, StoreError},
};

/// The kinds and states of effects of which a depth was shown: one that is empty again is shown as such.
#[derive(Debug, Default)]
pub(crate) struct Depths(Mutex<BTreeSet<(String, &'static str)>>);

impl Depths {
    fn show(&self, depths: &[Depth]) {
        let mut shown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shown.iter().for_each(|(kind, state)| OUTBOX_DEPTH.set(0.0, [kind, state]));
        for Depth { kind, state, count } in depths {
            OUTBOX_DEPTH.set(*count as f64, [kind, state.as_str()]);
            shown.insert((kind.clone(), state.as_str()));
        }
    }
}

/// Whether the relayer follows the chain, writes, and grants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Readiness {
    /// Whether there are no reasons against it.
    pub ready: bool,
    /// What does not work.
    pub reasons: Vec<Reason>,
    /// The newest block that was processed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub head: Option<BlockRef>,
    /// The newest finalised block that was processed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub finalized: Option<BlockRef>,
}

/// Why it is not ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reason {
    /// Which part: `chain`, `endpoints`, `latch`, `sender`, `store`.
    pub part: String,
    /// What is wrong with it.
    pub reason: String,
}

pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

pub(super) async fn readyz(State(api): Shared) -> (StatusCode, ApiJson<Readiness>) {
    let readiness = judge(&api).await;
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, ApiJson(readiness))
}

/// Prometheus text. What is cheaper to count than to keep is counted now.
pub(super) async fn metrics(State(api): Shared) -> impl IntoResponse {
    if let Err(error) = count(&api).await {
        tracing::error!(%error, "cannot count what waits");
    }
    metrics_page().await
}

async fn count(api: &Api) -> Result<(), StoreError> {
    OUTBOX.set(api.store.open_effects().await? as f64, []);
    api.depths.show(&api.store.depths().await?);
    for (kind, times) in api.store.cancellations().await? {
        CANCELLED.reach(times, [&kind]);
    }
    Ok(())
}

async fn judge(api: &Api) -> Readiness {
    let mut reasons = reasons(api).await;
    let progress = api.store.progress().await.unwrap_or_else(|error| {
        reasons.push(unreadable(&error));
        Progress::default()
    });
    if let Some(why) = api.writable.why_not(&*api.store).await {
        reasons.push(reason("store", why));
    }
    if progress.finalized.is_none() {
        reasons.push(reason("chain", "no finalised block was processed yet"));
    }
    Readiness { ready: reasons.is_empty(), reasons, head: progress.head, finalized: progress.finalized }
}

/// What the parts say of themselves, and the latches, of which the database has the last word.
async fn reasons(api: &Api) -> Vec<Reason> {
    let failing = api.health.reasons().into_iter().map(|(part, why)| reason(part, &why));
    let latched = match api.store.latches().await {
        Ok(latches) => {
            latches.iter().map(|l| reason("latch", &format!("{}: {}", l.kind, l.detail))).collect()
        }
        Err(error) => vec![unreadable(&error)],
    };
    failing.chain(latched).collect()
}

fn unreadable(error: &StoreError) -> Reason {
    tracing::error!(%error, "cannot read the database");
    reason("store", "the database cannot be read; the log says more")
}

fn reason(part: &str, why: &str) -> Reason {
    Reason { part: part.to_owned(), reason: why.to_owned() }
}

/// Refuses to say that something is allowed while that cannot be known: a latch is set, or the chain is not followed (G-6).
pub(super) async fn must_decide(api: &Api) -> Result<(), ApiError> {
    let undecided = |r: &Reason| ["chain", "endpoints", "latch", "store"].contains(&r.part.as_str());
    match reasons(api).await.into_iter().find(undecided) {
        Some(Reason { part, reason }) => Err(ApiError::unavailable(format!("undecided: {part}: {reason}"))),
        None => Ok(()),
    }
}
