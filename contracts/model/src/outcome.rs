// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The three outcomes of a decision (G-6).

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a verifier concluded. Only [`Outcome::Allowed`] releases anything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "lowercase")]
pub enum Outcome {
    /// The contracts allow it, as of a verified block.
    Allowed {
        /// When the permission ends by the passing of time alone, Unix seconds of block time.
        valid_until: u64,
    },
    /// The contracts, or the evidence itself, say no.
    Denied {
        /// Why.
        reason: Reason,
    },
    /// Stale, missing or contradictory data: neither yes nor no, releases nothing.
    Undecided {
        /// What was missing or contradictory, for the operator.
        why: String,
    },
}

/// Why something was denied: the numbers of `Reason` in `contracts/types/Boot.sol`, and the evidence's own defects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "source", content = "detail", rename_all = "lowercase")]
pub enum Reason {
    /// The policy contracts denied.
    Policy(PolicyReason),
    /// The evidence did not verify; the text names the defect and holds no secret.
    Evidence(String),
    /// The request itself is not acceptable (unknown or spent nonce, wrong chain, wrong app …).
    Request(String),
}

macro_rules! policy_reasons {
    ($($(#[$doc:meta])* $name:ident = $n:literal, $text:literal;)*) => {
        /// `Reason` of the contracts, by number.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[repr(u8)]
        pub enum PolicyReason { $($(#[$doc])* #[doc = concat!("Told as \"", $text, "\".")] $name = $n),* }

        impl PolicyReason {
            /// Every reason, in the order of the contract's enum.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The reason in a few words. `isAppAllowed` has words of its own.
            pub fn text(self) -> &'static str { match self { $(Self::$name => $text),* } }
        }
    };
}

policy_reasons! {
    Allowed = 0, "";
    AppNotRegistered = 1, "app not registered";
    AppSuspended = 2, "app suspended";
    AppPaused = 3, "app paused";
    OsImageUnknown = 4, "OS image not allowed";
    OsImageScheduled = 5, "OS image not active yet";
    OsImageRetired = 6, "OS image retired";
    OsImageRevoked = 7, "OS image revoked";
    CodeUnknown = 8, "code hash not allowed";
    CodeScheduled = 9, "code hash not active yet";
    CodeRetired = 10, "code hash retired";
    CodeRevoked = 11, "code hash revoked";
    DeviceUnknown = 12, "device not allowed";
    DeviceDenied = 13, "device denied";
    TeeNotAllowed = 14, "TEE kind not allowed";
    TcbTooLow = 15, "TCB status too low";
    GenerationRetired = 16, "key generation retired";
    ForeignAppRefused = 17, "foreign app refused";
    NotSystemApp = 18, "not the KMS app";
    ConditionNotMet = 19, "a condition of the app is not met";
    AdvisoryDenied = 20, "a security advisory that the app denies applies";
    TicketNotAllowed = 21, "launch ticket missing or not allowed";
    AppSunset = 22, "app closed for good";
}

impl TryFrom<u8> for PolicyReason {
    type Error = u8;

    /// Gives back the number when the contract is newer than this build.
    fn try_from(n: u8) -> Result<Self, u8> {
        Self::ALL.get(usize::from(n)).copied().ok_or(n)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Policy(r) => f.write_str(r.text()),
            Self::Evidence(e) => write!(f, "evidence: {e}"),
            Self::Request(e) => write!(f, "request: {e}"),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allowed { valid_until } => write!(f, "allowed until {valid_until}"),
            Self::Denied { reason } => write!(f, "denied: {reason}"),
            Self::Undecided { why } => write!(f, "undecided: {why}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names of an enum in Solidity source, in order.
    fn solidity_enum(source: &str, name: &str) -> Vec<String> {
        let body = source.split_once(&format!("enum {name} {{")).unwrap().1.split_once('}').unwrap().0;
        body.split(',').map(|n| n.trim().to_owned()).filter(|n| !n.is_empty()).collect()
    }

    #[test]
    fn reasons_have_the_numbers_of_the_contract() {
        let names = solidity_enum(include_str!("../../types/Boot.sol"), "Reason");
        let ours: Vec<String> = PolicyReason::ALL.iter().map(|r| format!("{r:?}")).collect();
        assert_eq!(ours, names);
        for (n, reason) in PolicyReason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, n);
            assert_eq!(PolicyReason::try_from(n as u8), Ok(*reason));
        }
        let next = names.len() as u8;
        assert_eq!(PolicyReason::try_from(next), Err(next));
    }

    #[test]
    fn every_reason_but_allowed_has_words_of_its_own() {
        let texts: std::collections::BTreeSet<_> = PolicyReason::ALL.iter().map(|r| r.text()).collect();
        assert_eq!(texts.len(), PolicyReason::ALL.len());
    }

    #[test]
    fn outcomes_are_told_apart_on_the_wire() {
        let allowed = serde_json::to_string(&Outcome::Allowed { valid_until: 7 }).unwrap();
        assert_eq!(allowed, r#"{"outcome":"allowed","valid_until":7}"#);
        let denied = Outcome::Denied { reason: Reason::Policy(PolicyReason::CodeRevoked) };
        let text = serde_json::to_string(&denied).unwrap();
        assert_eq!(text, r#"{"outcome":"denied","reason":{"source":"policy","detail":"CodeRevoked"}}"#);
        assert_eq!(serde_json::from_str::<Outcome>(&text).unwrap(), denied);
        assert_eq!(denied.to_string(), "denied: code hash revoked");
    }
}
