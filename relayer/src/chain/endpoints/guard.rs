// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What stands in front of one endpoint: its circuit, its pace, a bound on its time, its figures, and the check that it is
//! still on our chain. Each attempt passes here; alloy's `RetryBackoffLayer` around it decides about the next.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use alloy::{
    primitives::U64,
    rpc::json_rpc::{Id, Request, RequestPacket, ResponsePacket, ResponsePayload, RpcError},
    transports::{TransportError, TransportErrorKind, TransportFut, TransportResult},
};
use mandate_runtime::Clock;
use thiserror::Error;
use tokio::time::Instant;
use tower::Service;

use super::{health::Health, link::Link, pace::Pace, refusal::meaning};

/// How often an endpoint is asked which chain it serves, apart from every new connection.
const ASK_AGAIN: Duration = Duration::from_secs(60);

/// Apart from the ids of every client that shares the connection.
const IDENTITY_ID: u64 = 1 << 52;

/// Why a request was not made, or its answer not waited for.
#[derive(Debug, Error)]
pub(super) enum GuardError {
    #[error("the endpoint {0} does not answer; it is asked again later")]
    Resting(String),
    #[error("the endpoint {name} serves chain {found}, not chain {expected}")]
    WrongChain { name: String, found: u64, expected: u64 },
    #[error("the connection to the endpoint {0} was opened anew")]
    Reopened(String),
    #[error("the endpoint {0} did not answer in time")]
    Timeout(String),
}

/// The innermost service of an endpoint.
#[derive(Clone)]
pub(super) struct Guard {
    link: Link,
    health: Arc<Health>,
    pace: Option<Arc<Pace>>,
    timeout: Duration,
    identity: Arc<Identity>,
}

/// Which chain the endpoint must serve, and when it last said so.
struct Identity {
    chain_id: u64,
    clock: Arc<dyn Clock>,
    /// Connection and time.
    checked: Mutex<Option<(u64, Duration)>>,
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("endpoint", &self.health.name()).finish_non_exhaustive()
    }
}

impl Guard {
    pub(super) fn new(
        link: Link,
        health: Arc<Health>,
        pace: Option<Pace>,
        timeout: Duration,
        chain_id: u64,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let identity = Arc::new(Identity { chain_id, clock, checked: Mutex::default() });
        Self { link, health, pace: pace.map(Arc::new), timeout, identity }
    }

    async fn ask(mut self, packet: RequestPacket) -> TransportResult<ResponsePacket> {
        if !self.health.admits() {
            return Err(failed(GuardError::Resting(self.health.name().to_owned())));
        }
        self.check_identity().await?;
        let connection = self.link.generation();
        let answer = self.send(packet).await;
        match self.link.generation() == connection {
            true => answer,
            // Somebody else may have answered than who was asked for the chain id.
            false => Err(failed(GuardError::Reopened(self.health.name().to_owned()))),
        }
    }

    async fn send(&mut self, packet: RequestPacket) -> TransportResult<ResponsePacket> {
        let calls = match &packet {
            RequestPacket::Single(_) => 1,
            RequestPacket::Batch(calls) => u32::try_from(calls.len()).unwrap_or(u32::MAX),
        };
        let method = packet.method_names().next().unwrap_or("none").to_owned();
        if let Some(pace) = &self.pace {
            pace.take(calls).await;
        }
        let asked = Instant::now();
        let answer = match tokio::time::timeout(self.timeout, self.link.call(packet)).await {
            Ok(answer) => answer,
            Err(_) => Err(failed(GuardError::Timeout(self.health.name().to_owned()))),
        };
        let outcome = match &answer {
            Ok(answer) => match answer.as_error() {
                Some(payload) => Err(meaning(&RpcError::ErrorResp(payload.clone()))),
                None => Ok(()),
            },
            Err(error) => Err(meaning(error)),
        };
        self.health.note(&method, asked.elapsed(), outcome);
        answer
    }

    /// A connection may lead to another machine than the one before, and a machine may be set up anew.
    async fn check_identity(&mut self) -> TransportResult<()> {
        let now = self.identity.clock.monotonic();
        let checked = *self.identity.checked.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = |(generation, at): (u64, Duration)| {
            generation == self.link.generation() && now.saturating_sub(at) < ASK_AGAIN
        };
        if !checked.is_some_and(fresh) {
            let found = self.chain_id().await?;
            self.health.set_wrong_chain((found != self.identity.chain_id).then_some(found));
            let mark = (self.link.generation(), now);
            *self.identity.checked.lock().unwrap_or_else(PoisonError::into_inner) = Some(mark);
        }
        match self.health.wrong_chain() {
            None => Ok(()),
            Some(found) => {
                let (name, expected) = (self.health.name().to_owned(), self.identity.chain_id);
                Err(failed(GuardError::WrongChain { name, found, expected }))
            }
        }
    }

    async fn chain_id(&mut self) -> TransportResult<u64> {
        let request = Request::new("eth_chainId", Id::Number(IDENTITY_ID), ());
        let request = request.serialize().map_err(RpcError::ser_err)?;
        let answer = self.send(RequestPacket::Single(request)).await?;
        match answer.single_payload() {
            Some(ResponsePayload::Success(id)) => {
                let parsed = serde_json::from_str::<U64>(id.get());
                Ok(parsed.map_err(|e| RpcError::deser_err(e, id.get()))?.to())
            }
            Some(ResponsePayload::Failure(error)) => Err(RpcError::ErrorResp(error.clone())),
            None => Err(RpcError::NullResp),
        }
    }
}

fn failed(error: GuardError) -> TransportError {
    RpcError::Transport(TransportErrorKind::NonRetryable(Box::new(error)))
}

impl Service<RequestPacket> for Guard {
    type Response = ResponsePacket;
    type Error = TransportError;
    type Future = TransportFut<'static>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, packet: RequestPacket) -> Self::Future {
        Box::pin(self.clone().ask(packet))
    }
}
