// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Why something that somebody brought was not taken: a letter, a submission, an approval.

use alloy::{
    primitives::{Address, U256},
    transports::TransportError,
};
use thiserror::Error;

use crate::store::StoreError;

/// Why not.
#[derive(Debug, Error)]
pub enum IntakeError {
    /// It is too long.
    #[error("{what} has {given} bytes; at most {most} are taken")]
    TooLong {
        /// It, or which part of it.
        what: &'static str,
        /// Its length.
        given: usize,
        /// The cap.
        most: usize,
    },
    /// Whom it is from, or for, is nobody here.
    #[error("{0} is not a registered node")]
    NotANode(Address),
    /// The signature is somebody else's.
    #[error("it is not signed by {0}")]
    Forged(Address),
    /// Its time is over.
    #[error("the approval is good until {deadline}, and it is {now} (Unix time)")]
    Late {
        /// Until when it was good.
        deadline: U256,
        /// Now.
        now: u64,
    },
    /// Not a council that this relayer pays for.
    #[error(
        "this relayer does not pay for {0}: it is neither configured nor a factory's council that owns a registered app"
    )]
    UnknownCouncil(Address),
    /// The council would not take it: signature, membership, motion or role.
    #[error("the council refuses it: {0}")]
    Refused(String),
    /// It costs more than the relayer pays for one.
    #[error("it would take {gas} gas, and this relayer pays for {most}: send it yourself")]
    TooDear {
        /// What it takes.
        gas: u64,
        /// The cap.
        most: u64,
    },
    /// Too much at once, in this hour, or already there.
    #[error("{0}; try again later")]
    TooMany(String),
    /// The chain could not be asked.
    #[error("cannot ask the chain: {0}")]
    Chain(#[from] alloy::contract::Error),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<TransportError> for IntakeError {
    fn from(error: TransportError) -> Self {
        Self::Chain(error.into())
    }
}
