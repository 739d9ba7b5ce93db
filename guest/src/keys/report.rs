// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What came of asking, node by node.

use std::fmt;

use alloy::primitives::Address;
use mandate_model::{outcome::Reason, receipt::Receipt};
use thiserror::Error;

use mandate_attestation::QuoterError;

/// What one node did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeReport {
    /// The node's key.
    pub node: Address,
    /// Where it was asked.
    pub url: String,
    /// What it did.
    pub outcome: NodeOutcome,
}

/// What asking one node came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeOutcome {
    /// It gave its part, and the part is right.
    Allowed {
        /// Until when the contracts allow it, Unix seconds of block time.
        valid_until: u64,
        /// Its receipt.
        receipt: Box<Receipt>,
    },
    /// It said no.
    Denied {
        /// Why.
        reason: Reason,
        /// Its receipt.
        receipt: Box<Receipt>,
    },
    /// It could not decide.
    Undecided {
        /// Why not.
        why: String,
    },
    /// It was not reached, or was not able to answer now.
    Unreachable {
        /// How that failed.
        error: String,
    },
    /// It said yes, but its part is not the one that it had to give.
    BadPartial {
        /// What is wrong with it.
        why: String,
        /// Its receipt.
        receipt: Box<Receipt>,
    },
    /// It answered something that no honest node answers.
    BadAnswer {
        /// What is wrong with it.
        why: String,
    },
    /// A quorum had answered before it did.
    NotAwaited,
}

impl NodeOutcome {
    /// The signed receipt, where there is one.
    pub fn receipt(&self) -> Option<&Receipt> {
        match self {
            Self::Allowed { receipt, .. }
            | Self::Denied { receipt, .. }
            | Self::BadPartial { receipt, .. } => Some(receipt),
            _ => None,
        }
    }
}

impl fmt::Display for NodeOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allowed { valid_until, .. } => write!(f, "allowed until {valid_until}"),
            Self::Denied { reason, .. } => write!(f, "denied: {reason}"),
            Self::Undecided { why } => write!(f, "undecided: {}", one_line(why)),
            Self::Unreachable { error } => write!(f, "unreachable: {}", one_line(error)),
            Self::BadPartial { why, .. } => write!(f, "bad partial: {}", one_line(why)),
            Self::BadAnswer { why } => write!(f, "bad answer: {}", one_line(why)),
            Self::NotAwaited => f.write_str("not awaited"),
        }
    }
}

/// What a node said may hold anything; a report stays one line per node.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(400).collect()
}

impl fmt::Display for NodeReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.node, self.url, self.outcome)
    }
}

/// Why there is no secret.
#[derive(Debug, Error)]
pub enum KeyError {
    /// No relayer said who the committee is.
    #[error("no relayer gave the committee: {}", if .failures.is_empty() { "none is configured".to_owned() } else { .failures.join("; ") })]
    NoView {
        /// What each said.
        failures: Vec<String>,
    },
    /// What a relayer says contradicts what is pinned, or itself.
    #[error("the committee that the relayer shows is refused: {what}")]
    View {
        /// The contradiction.
        what: String,
    },
    /// No evidence.
    #[error(transparent)]
    Quoter(#[from] QuoterError),
    /// The evidence names no app.
    #[error("this guest's own evidence names no app id: its event log is not one of a booted app")]
    NoApp,
    /// The app's keys cannot be made of its secret; the text names no key.
    #[error("the app's keys: {what}")]
    Keys {
        /// What is wrong.
        what: String,
    },
    /// Too few nodes gave their part.
    #[error("{allowed} of {needed} necessary nodes gave their part{}", lines(.reports))]
    NotEnough {
        /// How many are necessary.
        needed: usize,
        /// How many did.
        allowed: usize,
        /// What every node did.
        reports: Vec<NodeReport>,
    },
}

impl KeyError {
    /// The reason, when so many nodes denied that the others cannot make a quorum: asking again changes nothing until
    /// the chain does.
    pub fn denied(&self) -> Option<&Reason> {
        let Self::NotEnough { needed, reports, .. } = self else { return None };
        let denials = || {
            reports.iter().filter_map(|report| match &report.outcome {
                NodeOutcome::Denied { reason, .. } => Some(reason),
                _ => None,
            })
        };
        if denials().count() + needed > reports.len() { denials().next() } else { None }
    }

    /// What every node did, if it came to asking them.
    pub fn reports(&self) -> &[NodeReport] {
        match self {
            Self::NotEnough { reports, .. } => reports,
            _ => &[],
        }
    }
}

fn lines(reports: &[NodeReport]) -> String {
    reports.iter().map(|report| format!("\n  {report}")).collect()
}
