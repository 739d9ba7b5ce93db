// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The chain as an alloy transport, without a socket.

use std::task::{Context, Poll};

use alloy::{
    rpc::json_rpc::{RequestPacket, Response, ResponsePacket, ResponsePayload, SerializedRequest},
    transports::{TransportError, TransportFut},
};
use serde_json::Value;
use tower::Service;

use crate::{error::RpcError, handle::DevChain};

impl Service<RequestPacket> for DevChain {
    type Response = ResponsePacket;
    type Error = TransportError;
    type Future = TransportFut<'static>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, packet: RequestPacket) -> Self::Future {
        let chain = self.clone();
        Box::pin(async move {
            Ok(match packet {
                RequestPacket::Single(request) => ResponsePacket::Single(answer(&chain, &request)),
                RequestPacket::Batch(requests) => {
                    ResponsePacket::Batch(requests.iter().map(|request| answer(&chain, request)).collect())
                }
            })
        })
    }
}

fn answer(chain: &DevChain, request: &SerializedRequest) -> Response {
    let payload = match execute(chain, request) {
        Ok(result) => ResponsePayload::Success(result),
        Err(error) => ResponsePayload::Failure(error.payload()),
    };
    Response { id: request.id().clone(), payload }
}

fn execute(
    chain: &DevChain,
    request: &SerializedRequest,
) -> Result<Box<serde_json::value::RawValue>, RpcError> {
    let params = match request.params() {
        Some(params) => {
            serde_json::from_str(params.get()).map_err(|error| RpcError::params(error.to_string()))?
        }
        None => Value::Null,
    };
    let result = chain.handle(request.method(), &params)?;
    serde_json::value::to_raw_value(&result).map_err(|error| RpcError::server(error.to_string()))
}
