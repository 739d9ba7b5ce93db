// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which block is trusted.

mod pinned;
mod quorum;

use std::fmt::Debug;

use alloy::primitives::B256;
use futures::future::BoxFuture;
use mandate_model::wire::BlockRef;
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use pinned::Pinned;
pub use quorum::{Endpoint, EndpointError, Quorum, QuorumConfigError, QuorumTimes};

/// Vouches for blocks. What it hands out is trusted; so it checks the chain id, hands out nothing older than it did
/// before, and calls final only what the chain finalised.
pub trait HeaderSource: Send + Sync + Debug {
    /// The newest finalised block. Grants are decided on it (G-7).
    fn finalized(&self) -> BoxFuture<'_, Result<BlockRef, HeaderError>>;

    /// The newest block. Revocations are acted on as soon as it shows them (G-7); it may still be reorganised away.
    fn head(&self) -> BoxFuture<'_, Result<BlockRef, HeaderError>>;
}

/// Two endpoints, or one at two times, called different blocks of one height final.
#[derive(Debug, Clone, PartialEq, Eq, Error, Serialize, Deserialize)]
#[error("at height {height} {first_from} said that {first} is final, {second_from} said {second}")]
pub struct Contradiction {
    /// The height.
    pub height: u64,
    /// One hash.
    pub first: B256,
    /// Who said so.
    pub first_from: String,
    /// The other hash.
    pub second: B256,
    /// Who said so.
    pub second_from: String,
}

/// Why no block could be vouched for.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum HeaderError {
    /// Too few endpoints agree.
    #[error("only {agreed} of the {needed} endpoints needed agree on the {what} block: {}", reports.join("; "))]
    NoQuorum {
        /// "finalized" or "head".
        what: &'static str,
        /// The largest number of endpoints that agreed.
        agreed: usize,
        /// The configured quorum.
        needed: usize,
        /// What each endpoint said.
        reports: Vec<String>,
    },
    /// Two finalised hashes at one height were seen: nothing is trusted until an operator has looked.
    #[error("finality contradicted itself, so nothing is trusted until an operator clears it: {0}")]
    Latched(Contradiction),
}
