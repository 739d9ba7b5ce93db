// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Errors: what the Rust API returns, and what goes over JSON-RPC.

use std::{borrow::Cow, net::SocketAddr};

use alloy::{primitives::Bytes, rpc::json_rpc::ErrorPayload};
use serde_json::{Value, json, value::RawValue};

/// What can go wrong when a chain is made, driven or served from Rust.
#[derive(Debug, thiserror::Error)]
pub enum DevChainError {
    /// The mnemonic of the funded accounts is not one.
    #[error("the mnemonic of the dev chain's accounts does not parse: {0}")]
    Mnemonic(String),
    /// The socket could not be bound.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Mining by interval needs a runtime to wait in.
    #[error("mining by interval needs a tokio runtime; make the chain inside of one")]
    NoRuntime,
    /// Mining by interval needs an interval.
    #[error("the mining interval is zero; it must be longer, or mining automatic or manual")]
    ZeroInterval,
    /// The request was refused, with the JSON-RPC error a remote caller would have got.
    #[error("the dev chain refused: {0}")]
    Refused(#[from] RpcError),
}

/// A JSON-RPC error object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} (code {code})")]
pub struct RpcError {
    /// The code: JSON-RPC's own, 3 for a revert, -32000 for the chain's refusals.
    pub code: i64,
    /// What happened.
    pub message: Cow<'static, str>,
    /// The revert data.
    pub data: Option<Bytes>,
}

impl RpcError {
    pub(crate) fn new(code: i64, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), data: None }
    }

    /// The bytes are not JSON.
    pub(crate) fn parse(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(-32700, message)
    }

    /// The JSON is not a request.
    pub(crate) fn request(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(-32600, message)
    }

    /// No such method.
    pub(crate) fn method(name: &str) -> Self {
        let shown: String = name.chars().take(64).collect();
        Self::new(-32601, format!("the method {shown} does not exist/is not available"))
    }

    /// The parameters are wrong.
    pub(crate) fn params(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(-32602, message)
    }

    /// The chain cannot or will not, in geth's general code.
    pub(crate) fn server(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(-32000, message)
    }

    /// A revert, with its data.
    pub(crate) fn revert(message: String, data: Bytes) -> Self {
        Self { code: 3, message: message.into(), data: Some(data) }
    }

    /// The error object on the wire.
    pub(crate) fn object(&self) -> Value {
        match &self.data {
            Some(data) => json!({ "code": self.code, "message": self.message, "data": data }),
            None => json!({ "code": self.code, "message": self.message }),
        }
    }

    /// The same for an alloy transport.
    pub(crate) fn payload(self) -> ErrorPayload {
        let data: Option<Box<RawValue>> =
            self.data.and_then(|data| serde_json::value::to_raw_value(&data).ok());
        ErrorPayload { code: self.code, message: self.message, data }
    }
}
