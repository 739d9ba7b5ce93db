// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The node's HTTP API.

use std::sync::{Arc, Mutex, PoisonError};

use alloy::primitives::{Address, B256, Bytes};
use axum::{
    Extension, Router,
    extract::{DefaultBodyLimit, Path, Query, State},
    routing::{get, post},
};
use mandate_model::{
    Outcome, Reason,
    bundle::Bundle,
    receipt::Receipt,
    wire::{
        MAX_BODY,
        kms::{
            GrantNotice, NodeStatus, NonceResponse, ReleaseRequest, ReleaseResponse, RevocationNotice,
            SignedRoot,
        },
    },
};
use mandate_runtime::{
    Clock,
    http::{ApiError, ApiJson, Health, operations_router},
    net::Peer,
    redact::without_urls,
};
use mandate_witness::Freshness;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, Semaphore};

use crate::{
    anchor::{AnchorError, Anchoring},
    keys::NodeKeys,
    node::Progress,
    receipts::ReceiptLog,
    release::Releaser,
    revocation::{NoticeError, Revocations},
    seat::Seat,
    shares::Shares,
    store::DenialKind,
    strikes::Strikes,
};

/// Releases that are worked on at a time; each costs several proofs and signatures.
const MAX_RELEASES: usize = 32;

/// Notices that are worked on at a time.
const MAX_NOTICES: usize = 8;

/// The largest body of everything but a release.
const SMALL_BODY: usize = 64 * 1024;

/// Receipts per page.
const PAGE: usize = 100;

/// What the handlers share.
#[derive(Debug)]
pub(crate) struct Api {
    pub(crate) node: Address,
    pub(crate) releaser: Releaser,
    pub(crate) revocations: Revocations,
    pub(crate) receipts: ReceiptLog,
    pub(crate) anchoring: Anchoring,
    /// Rung to have the loop look at the chain at once.
    pub(crate) look: Arc<Notify>,
    pub(crate) shares: Shares,
    pub(crate) seat: Seat,
    pub(crate) keys: Arc<NodeKeys>,
    pub(crate) freshness: Arc<Mutex<Freshness>>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) dev_anchors: bool,
    pub(crate) releases: Semaphore,
    pub(crate) notices: Semaphore,
    pub(crate) strikes: Mutex<Strikes>,
}

impl Api {
    pub(crate) fn release_permits() -> Semaphore {
        Semaphore::new(MAX_RELEASES)
    }

    pub(crate) fn notice_permits() -> Semaphore {
        Semaphore::new(MAX_NOTICES)
    }
}

/// All routes.
pub(crate) fn router(api: Arc<Api>, health: Health) -> Router {
    let small = Router::new()
        .route("/v1/nonce", post(nonce))
        .route("/v1/revocations", post(revocations))
        .route("/v1/grants", post(grants))
        .route("/v1/receipts", get(receipts))
        .route("/v1/receipts/root", get(root))
        .route("/v1/requests/{hash}", get(boot_request))
        .route("/v1/bundles/{sequence}", get(bundle))
        .route("/v1/node", get(node))
        .layer(DefaultBodyLimit::max(SMALL_BODY));
    let large = Router::new().route("/v1/release", post(release)).layer(DefaultBodyLimit::max(MAX_BODY));
    small.merge(large).with_state(api).merge(operations_router(health))
}

async fn nonce(
    State(api): State<Arc<Api>>,
    peer: Option<Extension<Peer>>,
) -> Result<ApiJson<NonceResponse>, ApiError> {
    api.releaser.nonce(&address_of(peer)).map(ApiJson).map_err(ApiError::too_many)
}

/// A peer without its port, which changes with every connection.
fn address_of(peer: Option<Extension<Peer>>) -> String {
    match peer {
        Some(Extension(Peer::Socket(addr))) => addr.ip().to_string(),
        Some(Extension(Peer::Unix(_))) => "unix".to_owned(),
        None => String::new(),
    }
}

async fn release(
    State(api): State<Arc<Api>>,
    peer: Option<Extension<Peer>>,
    ApiJson(request): ApiJson<ReleaseRequest>,
) -> Result<ApiJson<ReleaseResponse>, ApiError> {
    let (peer, started) = (address_of(peer), api.clock.monotonic());
    if !api.strikes.lock().unwrap_or_else(PoisonError::into_inner).allows(&peer, started) {
        return Err(ApiError::too_many(
            "too many requests without a nonce of this node or with evidence that is none: try again in a minute",
        ));
    }
    let Ok(_permit) = api.releases.try_acquire() else {
        return Err(ApiError::too_many("the node works on as many releases as it can: try again"));
    };
    let answer = api.releaser.release(request).await.map_err(ApiError::unavailable)?;
    if let Outcome::Denied { reason: Reason::Request(_) | Reason::Evidence(_) } = answer.outcome {
        api.strikes.lock().unwrap_or_else(PoisonError::into_inner).add(&peer, started);
    }
    let took = api.clock.monotonic().saturating_sub(started);
    metrics::histogram!("mandate_kms_release_seconds").record(took.as_secs_f64());
    Ok(ApiJson(answer))
}

/// What came of a notice.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NoticeAnswer {
    /// Code hashes that are revoked at this node's head.
    revoked: Vec<B256>,
    /// End of the app's pause at this node's head, block time.
    paused_until: Option<u64>,
}

async fn revocations(
    State(api): State<Arc<Api>>,
    peer: Option<Extension<Peer>>,
    ApiJson(notice): ApiJson<RevocationNotice>,
) -> Result<ApiJson<NoticeAnswer>, ApiError> {
    let (peer, now) = (format!("notice/{}", address_of(peer)), api.clock.monotonic());
    if !api.strikes.lock().unwrap_or_else(PoisonError::into_inner).allows(&peer, now) {
        return Err(ApiError::too_many("too many notices of nothing: try again in a minute"));
    }
    let Ok(_permit) = api.notices.try_acquire() else {
        return Err(ApiError::too_many("the node works on as many notices as it can: try again"));
    };
    let found = api.revocations.notice(&notice).await.map_err(|error| match error {
        NoticeError::TooMany(_) => ApiError::bad_request(error),
        NoticeError::Behind { .. } | NoticeError::Undecided(_) | NoticeError::Store(_) => {
            ApiError::unavailable(without_urls(&error.to_string()))
        }
    })?;
    if found.is_empty() {
        api.strikes.lock().unwrap_or_else(PoisonError::into_inner).add(&peer, now);
    }
    let mut answer = NoticeAnswer { revoked: Vec::new(), paused_until: None };
    for denial in found {
        match denial.kind {
            DenialKind::CodeRevoked { code } => answer.revoked.push(code),
            DenialKind::Paused { until } => answer.paused_until = Some(until),
        }
    }
    Ok(ApiJson(answer))
}

/// A node decides each request anew on what the chain shows then, and keeps no answer that a grant could make wrong: what
/// it remembers are revocations, and those end at its own reading of the finalised chain alone. So a notice wakes the loop,
/// which looks at the newest finalised block, and does nothing else.
async fn grants(State(api): State<Arc<Api>>, ApiJson(notice): ApiJson<GrantNotice>) -> ApiJson<()> {
    tracing::debug!(app = %notice.app, block = notice.block_number, "grant notice");
    api.look.notify_one();
    ApiJson(())
}

/// The next root over the receipts, signed for whoever pays to have it anchored.
async fn root(State(api): State<Arc<Api>>) -> Result<ApiJson<Option<SignedRoot>>, ApiError> {
    let next = api.anchoring.next().await.map_err(|error| match error {
        AnchorError::NotConfigured => ApiError::not_found(error),
        AnchorError::OtherHistory { .. } => ApiError::conflict(error),
        AnchorError::Undecided(_) => ApiError::unavailable(without_urls(&error.to_string())),
        AnchorError::Store(_) | AnchorError::Key(_) => ApiError::internal(error),
    })?;
    Ok(ApiJson(next))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct After {
    after: Option<u64>,
}

async fn receipts(
    State(api): State<Arc<Api>>,
    Query(After { after }): Query<After>,
) -> Result<ApiJson<Vec<Receipt>>, ApiError> {
    let from = after.map_or(0, |after| after.saturating_add(1));
    api.receipts.read(from, PAGE).await.map(ApiJson).map_err(ApiError::internal)
}

/// The ABI-encoded boot request whose hash a receipt names, for whoever replays it (G-8).
async fn boot_request(
    State(api): State<Arc<Api>>,
    Path(hash): Path<B256>,
) -> Result<ApiJson<Bytes>, ApiError> {
    let found = api.receipts.boot_request(hash).await.map_err(ApiError::internal)?;
    found.map(ApiJson).ok_or_else(|| ApiError::not_found("no receipt of this node names this boot request"))
}

/// Everything on which a receipt rests, for whoever replays it (G-8).
async fn bundle(State(api): State<Arc<Api>>, Path(sequence): Path<u64>) -> Result<ApiJson<Bundle>, ApiError> {
    let found = api.receipts.bundle(sequence).await.map_err(ApiError::internal)?;
    found
        .map(ApiJson)
        .ok_or_else(|| ApiError::not_found("what this receipt rests on is not kept, or not any more"))
}

async fn node(State(api): State<Arc<Api>>) -> ApiJson<NodeStatus> {
    let now = api.clock.monotonic();
    let held = api.shares.current().filter(|holding| holding.share.is_some());
    ApiJson(NodeStatus {
        node: api.node,
        dealing_key: api.keys.dealing_public(),
        sealing_key: api.keys.sealing_public(),
        epoch: held.as_ref().map_or(0, |holding| holding.epoch),
        revealed: held.as_ref().map_or(0, |holding| holding.output.revealed().len()),
        attested_until: api.seat.until(),
        finalized: api.progress.finalized(),
        fresh: api.freshness.lock().unwrap_or_else(PoisonError::into_inner).is_fresh(now),
        receipts: api.receipts.count(),
        dev_anchors: api.dev_anchors,
    })
}
