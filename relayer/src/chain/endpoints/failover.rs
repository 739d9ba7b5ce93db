// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One transport over all endpoints: the best one is asked, then the next.
//!
//! alloy's `FallbackService` races endpoints and takes the first answer that is an answer at all. That cannot be used here:
//! "I do not have that block" is an answer, and a lagging endpoint gives it first. So a request that names a block goes on
//! to the next endpoint until one has the block, and a range of blocks is not asked here at all: an endpoint that lacks the
//! end of a range leaves its logs out without a word.

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use alloy::{
    rpc::json_rpc::{RequestPacket, ResponsePacket, ResponsePayload, RpcError},
    transports::{TransportError, TransportErrorKind, TransportFut, TransportResult},
};
use serde_json::Value;
use tower::Service;

use super::{
    Member,
    refusal::{Meaning, meaning},
};

/// See the module.
#[derive(Clone)]
pub(super) struct Failover(pub(super) Arc<[Arc<Member>]>);

impl fmt::Debug for Failover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Failover").field(&self.0.len()).finish()
    }
}

impl Failover {
    async fn ask(self, packet: RequestPacket) -> TransportResult<ResponsePacket> {
        if names_a_range(&packet) {
            return Err(RpcError::Transport(TransportErrorKind::NonRetryable(
                "logs of a range are asked of one endpoint that has its end".into(),
            )));
        }
        let mut last: Option<TransportResult<ResponsePacket>> = None;
        for member in ranked(&self.0) {
            let answer = member.transport.clone().call(packet.clone()).await;
            match verdict(&packet, &answer) {
                Verdict::Take => return answer,
                // Of those that answered, the one that lacks the block tells more than the one that is away.
                Verdict::Next => last = Some(answer),
                Verdict::NextIfNothingBetter => last = last.or(Some(answer)),
            }
        }
        last.unwrap_or_else(|| Err(TransportErrorKind::custom_str("there is no endpoint")))
    }
}

/// The endpoints, best first.
pub(super) fn ranked(members: &[Arc<Member>]) -> Vec<&Arc<Member>> {
    let mut order: Vec<&Arc<Member>> = members.iter().collect();
    order.sort_by_key(|member| std::cmp::Reverse((member.health.is_trusted(), member.health.score())));
    order
}

enum Verdict {
    Take,
    Next,
    NextIfNothingBetter,
}

fn verdict(packet: &RequestPacket, answer: &TransportResult<ResponsePacket>) -> Verdict {
    match answer {
        Err(error) => match meaning(error) {
            Meaning::Refused | Meaning::TooMuch => Verdict::Take,
            Meaning::UnknownBlock | Meaning::UnknownMethod => Verdict::Next,
            Meaning::TooOften | Meaning::Unreachable => Verdict::NextIfNothingBetter,
        },
        Ok(answer) if lacks_a_block(packet, answer) => Verdict::Next,
        Ok(_) => Verdict::Take,
    }
}

/// `null` where a named block was asked for, or an error that says so.
fn lacks_a_block(packet: &RequestPacket, answer: &ResponsePacket) -> bool {
    let asks_for_a_block = packet
        .method_names()
        .any(|method| method.starts_with("eth_getBlock") || method.starts_with("eth_getHeader"));
    answer.payloads().any(|payload| match payload {
        ResponsePayload::Success(result) => asks_for_a_block && result.get() == "null",
        ResponsePayload::Failure(error) => {
            matches!(
                meaning(&RpcError::ErrorResp(error.clone())),
                Meaning::UnknownBlock | Meaning::UnknownMethod | Meaning::TooOften
            )
        }
    })
}

fn names_a_range(packet: &RequestPacket) -> bool {
    let requests = match packet {
        RequestPacket::Single(request) => std::slice::from_ref(request),
        RequestPacket::Batch(requests) => requests.as_slice(),
    };
    requests.iter().filter(|request| request.method() == "eth_getLogs").any(|request| {
        let filter: Option<Value> =
            request.params().and_then(|params| serde_json::from_str(params.get()).ok());
        filter.is_none_or(|params| params.pointer("/0/blockHash").is_none_or(Value::is_null))
    })
}

impl Service<RequestPacket> for Failover {
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
