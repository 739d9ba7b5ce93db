// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What can be wrong with a bundle, by part.

use alloy::primitives::{Address, B256};
use mandate_model::Outcome;
use mandate_witness::{CodecError, Undecided};
use thiserror::Error;

/// Where a contract's verdict was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The finalised block.
    Finalized,
    /// The head.
    Head,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if *self == Self::Finalized { "the finalised block" } else { "the head" })
    }
}

/// What does not hold. Each names one part of the bundle and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum ReplayError {
    /// Another chain or deployment.
    #[error("deployment: the bundle is about {what} {found}, expected {expected}")]
    Deployment {
        /// Which part.
        what: &'static str,
        /// What was expected.
        expected: String,
        /// What it says.
        found: String,
    },
    /// The receipt was changed, or is somebody else's.
    #[error("receipt: not signed by the node that it names, {0}")]
    Signature(Address),
    /// Another node.
    #[error("receipt: it is of node {found}, expected {expected}")]
    Node {
        /// Whom.
        expected: Address,
        /// Whose it is.
        found: Address,
    },
    /// Another block.
    #[error("receipt: it judges at block {found}, expected {expected}")]
    Block {
        /// Which.
        expected: B256,
        /// What it says.
        found: B256,
    },
    /// Development anchors were used, or were not.
    #[error("anchors: the receipt says {receipt}, given were {given} anchors")]
    Anchors {
        /// What the receipt says.
        receipt: &'static str,
        /// What was given.
        given: &'static str,
    },
    /// A part is not the one that the receipt commits to.
    #[error("{part}: not what the receipt commits to")]
    Commitment {
        /// Which.
        part: &'static str,
    },
    /// A part is missing, or there although the receipt knows of none.
    #[error("{part}: {}", if *missing { "missing" } else { "there, although the receipt rests on none" })]
    Presence {
        /// Which.
        part: &'static str,
        /// Which of both.
        missing: bool,
    },
    /// The receipt says that the evidence proved what it does not.
    #[error("evidence: it does not verify, although the receipt says so: {0}")]
    Evidence(String),
    /// The receipt says that the evidence did not verify, and it does.
    #[error("evidence: it verifies, although the receipt denies it: {0}")]
    EvidenceHolds(String),
    /// The question to the contracts is not what the evidence proves.
    #[error("boot request: {0} is not what the evidence proves")]
    Facts(&'static str),
    /// The question is no boot request.
    #[error("boot request: {0}")]
    Malformed(String),
    /// A witness that does not decode.
    #[error("witness at {place}: {source}")]
    Codec {
        /// Where.
        place: Place,
        /// Why.
        #[source]
        source: CodecError,
    },
    /// A witness that does not prove a verdict.
    #[error("witness at {place}: {source}")]
    Witness {
        /// Where.
        place: Place,
        /// Why.
        #[source]
        source: Box<Undecided>,
    },
    /// What the contracts answered is no answer.
    #[error("verdict at {place}: {why}")]
    Answer {
        /// Where.
        place: Place,
        /// What is wrong.
        why: String,
    },
    /// Everything holds, and leads to something else than the receipt says.
    #[error("outcome: the receipt says \"{receipt}\", judged again it is \"{replayed}\"")]
    Outcome {
        /// What the node signed.
        receipt: Outcome,
        /// What comes out.
        replayed: Outcome,
    },
}
