// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Why a call could not be decided.

use std::fmt;

use alloy::primitives::{Address, B256, Bytes, hex};
use thiserror::Error;

use crate::{header::HeaderError, source::SourceError};

/// A piece of state that a call touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Touch {
    /// Nonce, balance, code hash and storage root of an account.
    Account(Address),
    /// One storage slot.
    Slot(Address, B256),
    /// The code with this hash.
    Code(B256),
}

impl fmt::Display for Touch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account(address) => write!(f, "account {address}"),
            Self::Slot(address, slot) => write!(f, "slot {slot} of {address}"),
            Self::Code(hash) => write!(f, "code {hash}"),
        }
    }
}

/// Neither a yes nor a no: data was stale, missing, contradictory or wrong, and nothing may be released on it (G-6).
#[derive(Debug, Clone, PartialEq, Error)]
pub enum Undecided {
    /// No header could be trusted.
    #[error("no trusted header: {0}")]
    Header(#[from] HeaderError),
    /// No witness could be had.
    #[error("no witness: {0}")]
    Source(#[from] SourceError),
    /// The witness is of another block.
    #[error("the witness is of block {got}, not of {expected}: ask another source")]
    WrongBlock {
        /// The block that is trusted.
        expected: B256,
        /// The hash of the header in the witness.
        got: B256,
    },
    /// The header hashes as it should and is still no header of a block that this build knows.
    #[error(
        "the header of block {block} cannot be read ({why}): this build may be older than the chain's rules"
    )]
    HeaderMalformed {
        /// Its hash.
        block: B256,
        /// What is wrong.
        why: String,
    },
    /// The chain's rules at that time are not known here.
    #[error("no rules are known for block time {timestamp}: configure the chain's forks")]
    UnknownFork {
        /// The block's timestamp.
        timestamp: u64,
    },
    /// The call touched what the witness does not prove.
    #[error("{0} is not proven by the witness: ask another source")]
    Unproven(Touch),
    /// The witness holds what the call does not need. One call at one block has one witness, and this is not it.
    #[error("the witness holds a part that the call does not need, {0}: ask another source")]
    Superfluous(B256),
    /// What the trie holds there is not what the protocol puts there.
    #[error("the trie's entry for {touch} cannot be read: {why}")]
    BadEntry {
        /// Where.
        touch: Touch,
        /// What is wrong.
        why: String,
    },
    /// The call asked for the hash of an earlier block, which a witness does not hold.
    #[error("the call asks for the hash of block {number}, which no witness proves")]
    BlockHash {
        /// Which block's.
        number: u64,
    },
    /// The call reverted.
    #[error("the call reverted with 0x{}", hex::encode(data))]
    Reverted {
        /// The revert data: an ABI-encoded error.
        data: Bytes,
    },
    /// The call ran out of gas or broke a rule of the EVM.
    #[error("the call halted: {reason}")]
    Halted {
        /// The EVM's reason.
        reason: String,
    },
    /// The EVM itself refused to run.
    #[error("the EVM failed: {why}")]
    Evm {
        /// Its error.
        why: String,
    },
    /// The answer does not decode as the function's return type.
    #[error("{contract} answered `{function}` with something else: {why}; is it the right contract?")]
    Malformed {
        /// Who was asked.
        contract: Address,
        /// What was asked.
        function: &'static str,
        /// What the decoder says.
        why: String,
    },
    /// The newest header is too old.
    #[error(
        "the header's time {timestamp} is more than {max_age} s before now ({now}): are the endpoints stuck?"
    )]
    Stale {
        /// The header's timestamp.
        timestamp: u64,
        /// The clock.
        now: u64,
        /// The configured limit in seconds.
        max_age: u64,
    },
}

impl Undecided {
    /// Whether another source of witnesses could do better. What was proven to be so, a revert for example, is so with
    /// every source.
    pub fn blames_source(&self) -> bool {
        matches!(
            self,
            Self::Source(_)
                | Self::WrongBlock { .. }
                | Self::HeaderMalformed { .. }
                | Self::Unproven(_)
                | Self::Superfluous(_)
                | Self::BadEntry { .. }
        )
    }
}
