// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The node's part in a key ceremony.
//!
//! ```text
//! seed kept ─▶ dealings sent ─▶ acks in, or half the window over ─▶ log kept ─▶ log on chain ─▶ set of logs fixed
//!   dealing kept ─▶ ack sent                                          output and share kept ─▶ confirmation on chain
//! ```
//!
//! [`Round`] is the state machine: it takes what the chain and the mailbox say, keeps what must survive a crash *before* it
//! lets anything out, and says what should be sent. Sending is [`driver`]'s: everything may be sent twice (G-10).

use std::sync::Arc;

use alloy::{
    primitives::{Address, B256, Bytes, keccak256},
    sol_types::{Eip712Domain, SolValue},
};
use mandate_model::{
    signed,
    wire::relayer::{Letter, Submission},
};
use mandate_threshold::CeremonyError;
use thiserror::Error;

use crate::{
    keys::{KeyError, NodeKeys},
    store::{Store, StoreError},
};

pub(crate) mod driver;
mod letters;
mod past;
mod round;
#[cfg(test)]
mod tests;

pub use letters::LetterError;
pub use round::{Opening, Round};

/// Why a step of a ceremony failed.
#[derive(Debug, Error)]
pub enum RoundError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The ceremony itself.
    #[error(transparent)]
    Ceremony(#[from] CeremonyError),
    /// The chain lists a dealer or player that is no registered node.
    #[error("ceremony {round}: {node} takes part but is not among the committee's nodes")]
    UnknownNode {
        /// Round.
        round: u64,
        /// Who.
        node: Address,
    },
    /// A record of this node's own does not read.
    #[error("ceremony {round}: the stored {what} does not decode")]
    Damaged {
        /// Round.
        round: u64,
        /// What.
        what: &'static str,
    },
}

/// What every ceremony of this node shares.
#[derive(Debug, Clone)]
pub struct Context {
    /// The node's keys.
    pub keys: Arc<NodeKeys>,
    /// Its database.
    pub store: Store,
    /// Chain id.
    pub chain_id: u64,
    /// `KmsCommittee`.
    pub committee: Address,
}

impl Context {
    /// The EIP-712 domain of what nodes sign.
    pub fn domain(&self) -> Eip712Domain {
        signed::domain(self.chain_id, self.committee)
    }

    /// What the committee's ceremonies are bound to: chain and contract.
    pub fn namespace(&self) -> Vec<u8> {
        namespace(self.chain_id, self.committee)
    }
}

/// The namespace of a committee's ceremonies, for whoever recomputes an output from the logs.
pub fn namespace(chain_id: u64, committee: Address) -> Vec<u8> {
    [b"mandate-ceremony-v1".as_slice(), &chain_id.to_be_bytes(), committee.as_slice()].concat()
}

/// What players confirm: keccak256(abi.encode(bytes groupKey, bytes polynomial)).
pub fn output_hash(group_key: &[u8], polynomial: &[u8]) -> B256 {
    let parts = (Bytes::copy_from_slice(group_key), Bytes::copy_from_slice(polynomial));
    keccak256(parts.abi_encode_params())
}

/// Something that should be sent, again and again until the chain shows its effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// To a node's mailbox.
    Letter(Letter),
    /// To the chain.
    Submission(Submission),
}

impl Effect {
    /// The same for the same effect.
    pub fn key(&self) -> B256 {
        let json = match self {
            Self::Letter(letter) => serde_json::to_vec(letter),
            Self::Submission(submission) => serde_json::to_vec(submission),
        };
        // Both are plain structs of strings and numbers, which always encode.
        keccak256(json.unwrap_or_default())
    }
}

/// What the chain shows of the round, at one finalised block.
#[derive(Debug, Clone, Default)]
pub struct Board {
    /// The block's time.
    pub timestamp: u64,
    /// Dealers whose log is on chain.
    pub posted: Vec<Address>,
    /// The logs, once no more can come: then they are the same for everybody for good.
    pub logs: Option<Vec<(Address, Bytes)>>,
}
