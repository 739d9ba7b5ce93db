// SPDX-License-Identifier: Apache-2.0 OR MIT
//! JSON-RPC over HTTP as alloy's own transport speaks it, but for one thing: of an answer no more is read than a bound, so
//! that an endpoint cannot fill the memory (G-5).

use std::{
    task::{Context, Poll},
    time::Duration,
};

use alloy::{
    rpc::json_rpc::{RequestPacket, ResponsePacket, RpcError},
    transports::{
        TransportError, TransportErrorKind, TransportFut, TransportResult,
        http::{
            Client,
            reqwest::{Response, Url, header::RETRY_AFTER},
        },
    },
};
use thiserror::Error;
use tower::Service;

/// The longest text of an error that is kept, in bytes.
const MAX_TEXT: usize = 16 << 10;

/// The answer is longer than is read. The endpoint's fault, unless it was asked for very many logs.
#[derive(Debug, Error)]
#[error("the answer has more than {0} bytes (chain.max_answer)")]
struct TooLong(usize);

/// Whether an answer was longer than is read. A WebSocket ends with such an answer, and only that can be told.
pub(crate) fn is_too_long(error: &TransportError) -> bool {
    match error {
        RpcError::Transport(TransportErrorKind::NonRetryable(source)) => source.is::<TooLong>(),
        RpcError::Transport(TransportErrorKind::BackendGone) => true,
        _ => false,
    }
}

/// One endpoint's transport.
#[derive(Debug, Clone)]
pub(super) struct Http {
    client: Client,
    url: Url,
    most: usize,
}

impl Http {
    /// Reads at most `most` bytes of an answer.
    pub(super) fn to(url: &str, most: usize) -> TransportResult<Self> {
        let url = url.parse().map_err(TransportErrorKind::custom)?;
        Ok(Self { client: Client::new(), url, most })
    }

    async fn ask(self, packet: RequestPacket) -> TransportResult<ResponsePacket> {
        let request = self.client.post(self.url).json(&packet).headers(packet.headers());
        let answer = request.send().await.map_err(TransportErrorKind::custom)?;
        let (status, wait) = (answer.status(), retry_after(&answer));
        let body = read(answer, self.most).await?;
        let packet = serde_json::from_slice::<ResponsePacket>(&body);
        if status.is_success() {
            return packet.map_err(|e| TransportError::deser_err(e, text(&body)));
        }
        match packet {
            // Some say what is wrong in JSON-RPC as well.
            Ok(packet) if packet.is_error() => Ok(packet),
            _ => {
                let status = status.as_u16();
                Err(TransportErrorKind::http_error_with_retry_after(status, text(&body), wait))
            }
        }
    }
}

async fn read(mut answer: Response, most: usize) -> TransportResult<Vec<u8>> {
    let too_long = || RpcError::Transport(TransportErrorKind::NonRetryable(Box::new(TooLong(most))));
    if answer.content_length().is_some_and(|length| length > most as u64) {
        return Err(too_long());
    }
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(TransportErrorKind::custom)? {
        if chunk.len() > most - body.len() {
            return Err(too_long());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// What is kept of an answer that is no JSON-RPC: it goes into errors and logs.
fn text(body: &[u8]) -> String {
    String::from_utf8_lossy(body.get(..MAX_TEXT).unwrap_or(body)).into_owned()
}

/// In seconds; the form with a date is not understood.
fn retry_after(answer: &Response) -> Option<Duration> {
    let seconds = answer.headers().get(RETRY_AFTER)?.to_str().ok()?;
    seconds.trim().parse().ok().map(Duration::from_secs)
}

impl Service<RequestPacket> for Http {
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
