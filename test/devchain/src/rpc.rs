// SPDX-License-Identifier: Apache-2.0 OR MIT
//! JSON-RPC methods by name.

mod dev;
mod fees;
mod read;
mod write;

use alloy::primitives::{Bytes, hex, keccak256};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{error::RpcError, handle::DevChain};

type Answer = Result<Value, RpcError>;

impl DevChain {
    /// Runs one JSON-RPC method. Subscriptions need a WebSocket and are not here.
    ///
    /// # Errors
    /// The JSON-RPC error that a remote caller gets.
    pub fn handle(&self, method: &str, params: &Value) -> Answer {
        let answer = match method.split_once('_') {
            Some(("eth", _)) => read::handle(self, method, params)
                .or_else(|| write::handle(self, method, params))
                .or_else(|| fees::handle(self, method, params)),
            Some(("web3" | "net", _)) => about(self, method, params),
            Some(("evm" | "anvil" | "hardhat" | "mandate" | "dev" | "txpool", _)) => {
                dev::handle(self, method, params)
            }
            _ => None,
        };
        answer.unwrap_or_else(|| Err(RpcError::method(method)))
    }
}

fn about(chain: &DevChain, method: &str, params: &Value) -> Option<Answer> {
    Some(match method {
        "web3_clientVersion" => Ok(concat!("mandate-devchain/v", env!("CARGO_PKG_VERSION")).into()),
        "web3_sha3" => sha3(params),
        "net_version" => Ok(chain.chain_id().to_string().into()),
        "net_listening" => Ok(true.into()),
        "net_peerCount" => Ok(quantity(0)),
        _ => return None,
    })
}

fn sha3(params: &Value) -> Answer {
    let bytes: Bytes = Args::new(params, 1)?.required(0)?;
    json(keccak256(bytes))
}

/// Positional parameters.
#[derive(Debug)]
pub(crate) struct Args<'a>(&'a [Value]);

impl<'a> Args<'a> {
    /// At most `limit` positional parameters; none at all may also be left out.
    pub(crate) fn new(params: &'a Value, limit: usize) -> Result<Self, RpcError> {
        let values = match params {
            Value::Null => &[],
            Value::Array(values) => values.as_slice(),
            Value::Object(map) if map.is_empty() => &[],
            _ => return Err(RpcError::params("non-array args")),
        };
        if values.len() > limit {
            return Err(RpcError::params(format!("too many arguments, want at most {limit}")));
        }
        Ok(Self(values))
    }

    /// The parameter at `index`.
    pub(crate) fn required<T: DeserializeOwned>(&self, index: usize) -> Result<T, RpcError> {
        self.optional(index)?
            .ok_or_else(|| RpcError::params(format!("missing value for required argument {index}")))
    }

    /// The parameter at `index`, unless it is missing or null.
    pub(crate) fn optional<T: DeserializeOwned>(&self, index: usize) -> Result<Option<T>, RpcError> {
        match self.0.get(index) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => T::deserialize(value)
                .map(Some)
                .map_err(|error| RpcError::params(format!("invalid argument {index}: {error}"))),
        }
    }

    /// A number written as JSON number, hex string or decimal string: tools differ.
    fn number(&self, index: usize) -> Result<Option<u64>, RpcError> {
        match self.0.get(index) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => number(value).map(Some).ok_or_else(|| {
                RpcError::params(format!("invalid argument {index}: not a number below 2^64"))
            }),
        }
    }
}

fn number(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => match text.strip_prefix("0x") {
            // from_str_radix would take a sign.
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
                u64::from_str_radix(digits, 16).ok()
            }
            Some(_) => None,
            None if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok(),
            None => None,
        },
        _ => None,
    }
}

fn quantity(number: u64) -> Value {
    format!("{number:#x}").into()
}

fn json(answer: impl Serialize) -> Answer {
    serde_json::to_value(answer).map_err(|error| RpcError::server(format!("the answer is no JSON: {error}")))
}

fn data(bytes: impl AsRef<[u8]>) -> Value {
    hex::encode_prefixed(bytes).into()
}
