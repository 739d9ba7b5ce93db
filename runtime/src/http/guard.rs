// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What stands before every route: caps on rate, number, size and time, each told as an [`ApiError`].

use std::{sync::Arc, time::Duration};

use axum::{
    Extension, Router,
    body::Body,
    extract::{Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use http::StatusCode;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::sync::Semaphore;

use super::{ApiError, PeerKey, Rates};
use crate::net::Peer;

/// The caps.
#[derive(Debug, Clone)]
pub struct Caps {
    /// How often one peer may ask.
    pub rates: Rates,
    /// Requests that are answered at a time.
    pub in_flight: usize,
    /// The largest body, in bytes.
    pub body: usize,
    /// How long a client may take to send its body.
    pub body_timeout: Duration,
    /// How long an answer may take to be made.
    pub answer_timeout: Duration,
}

/// Why a request met no handler, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The peer asks too often.
    Rate,
    /// Too many requests at a time.
    Busy,
    /// The body was too long.
    Length,
    /// The body took too long.
    Slow,
    /// The answer took too long.
    Overdue,
}

struct Shared {
    caps: Caps,
    permits: Semaphore,
}

/// Puts `caps` before every route of `router`. An answer that a cap gave carries a [`Refused`] in its extensions.
pub fn guarded<S: Clone + Send + Sync + 'static>(router: Router<S>, caps: Caps) -> Router<S> {
    let permits = Semaphore::new(caps.in_flight);
    router.layer(middleware::from_fn_with_state(Arc::new(Shared { caps, permits }), guard))
}

async fn guard(
    State(shared): State<Arc<Shared>>,
    peer: Option<Extension<Peer>>,
    request: Request,
    next: Next,
) -> Response {
    let peer = peer.map_or(PeerKey::Others, |Extension(peer)| PeerKey::from(&peer));
    match admit(&shared, peer, request, next).await {
        Ok(response) => response,
        Err((why, error)) => {
            let mut response = error.into_response();
            response.extensions_mut().insert(why);
            response
        }
    }
}

async fn admit(
    shared: &Shared,
    peer: PeerKey,
    request: Request,
    next: Next,
) -> Result<Response, (Refused, ApiError)> {
    let caps = &shared.caps;
    caps.rates.take(peer).map_err(|wait| {
        (Refused::Rate, ApiError::too_many("too many requests from this address").retry_after(wait))
    })?;
    let _permit = shared.permits.try_acquire().map_err(|_| {
        let busy = ApiError::unavailable("too many requests at a time").retry_after(Duration::from_secs(1));
        (Refused::Busy, busy)
    })?;
    let request = with_body(caps, request).await?;
    tokio::time::timeout(caps.answer_timeout, next.run(request)).await.map_err(|_| {
        let text = format!("no answer was made within {:?}", caps.answer_timeout);
        (Refused::Overdue, ApiError::new(StatusCode::GATEWAY_TIMEOUT, text))
    })
}

/// Reads the body, so that no handler waits for a client.
async fn with_body(caps: &Caps, request: Request) -> Result<Request, (Refused, ApiError)> {
    let (head, body) = request.into_parts();
    let whole = tokio::time::timeout(caps.body_timeout, Limited::new(body, caps.body).collect());
    match whole.await {
        Ok(Ok(whole)) => Ok(Request::from_parts(head, Body::from(whole.to_bytes()))),
        Ok(Err(e)) if e.is::<LengthLimitError>() => Err((
            Refused::Length,
            ApiError::too_large(format!("a body has at most {} bytes here", caps.body)),
        )),
        Ok(Err(e)) => Err((Refused::Slow, ApiError::bad_request(format!("the body cannot be read: {e}")))),
        Err(_) => {
            let text = format!("the body did not arrive within {:?}", caps.body_timeout);
            Err((Refused::Slow, ApiError::new(StatusCode::REQUEST_TIMEOUT, text)))
        }
    }
}

#[cfg(test)]
mod tests;
