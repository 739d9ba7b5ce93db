// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The Certificate Transparency monitor: follows logs and finds certificates of the registry's domains that nobody recorded.
//!
//! A log is believed in nothing but what its signed tree head commits to: every entry is hashed as it was served, appended to
//! the tree that was verified before, and the root must be the signed one. That proves each entry's inclusion and the new
//! head's consistency with the old one at once (RFC 6962, 2.1). What does not fit is an alarm about the log.

use thiserror::Error;

pub(crate) mod chain;
pub(crate) mod effects;
pub mod entry;
mod fetch;
mod follow;
pub mod head;
pub mod key;
pub mod logs;
pub mod matching;
pub mod merkle;
pub(crate) mod monitor;
pub mod rfc6962;
pub mod sct;
mod source;
pub mod state;
pub mod static_ct;
pub mod watched;

/// What a log must never do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Misdeed {
    /// A tree head that its key did not sign, or that is of another log.
    BadSignature,
    /// A newer tree head of a smaller tree.
    Rollback,
    /// Two trees: what it serves does not lead from what was verified to what it signed.
    Fork,
    /// A head that is older than its maximum merge delay, or from the future.
    Stale,
    /// An answer that is none: malformed, too large, or not what was asked for.
    BadAnswer,
}

/// Why a log could not be followed to its head.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LogError {
    /// It cannot be reached or does not serve; says nothing about its honesty.
    #[error("{0}")]
    Unreachable(String),
    /// It did what a log must not do.
    #[error("{what}")]
    Misbehaved {
        /// Which rule it broke.
        misdeed: Misdeed,
        /// How, for people.
        what: String,
        /// The signed words that show it, where there are any.
        evidence: Option<String>,
    },
}

impl LogError {
    fn bad(what: impl Into<String>) -> Self {
        Self::misdeed(Misdeed::BadAnswer, what)
    }

    fn misdeed(misdeed: Misdeed, what: impl Into<String>) -> Self {
        Self::Misbehaved { misdeed, what: what.into(), evidence: None }
    }
}
