// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the services say to each other over HTTP: JSON, byte strings in 0x-hex, unknown fields refused.
//!
//! An error is answered with a 4xx or 5xx status and an [`ErrorBody`].

use alloy::primitives::{Address, B256, Bytes};
use serde::{Deserialize, Serialize};

pub mod gateway;
pub mod kms;
pub mod provenance;
pub mod relayer;
pub mod upstream;

/// The largest request body that any service reads, in bytes.
pub const MAX_BODY: usize = 1 << 20;

/// The body of every answer that is not a success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// What was wrong and what to do about it; never a secret.
    pub error: String,
}

/// A block by height and hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BlockRef {
    /// Height.
    pub number: u64,
    /// Header hash.
    pub hash: B256,
}

/// A call whose witness is wanted, or which is to be executed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ViewCall {
    /// The contract.
    pub to: Address,
    /// ABI-encoded call data.
    pub data: Bytes,
}
