// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What can go wrong in a ceremony, and who is to blame.

use commonware_cryptography::bls12381::dkg::feldman_desmedt as dkg;

use super::{MAX_NAMESPACE, MAX_NODES, Public};
use crate::{codec::DecodeError, keys::public_bytes};

/// Why a ceremony, or one step of it, failed. No variant holds a secret (G-12).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CeremonyError {
    /// A namespace above the cap.
    #[error("the ceremony's namespace has {given} bytes, at most {max} are accepted", max = MAX_NAMESPACE)]
    LongNamespace {
        /// Its length.
        given: usize,
    },
    /// Too many or no dealers or players.
    #[error("a ceremony has 1 to {max} dealers and players, not {given}; with a previous output, a quorum of its players deals", max = MAX_NODES)]
    NodeCount {
        /// How many were given.
        given: usize,
    },
    /// One key twice.
    #[error("one dealing key was given twice")]
    RepeatedKey,
    /// No point of the curve.
    #[error("{key} is not an Ed25519 public key")]
    BadPublicKey {
        /// The bytes in hex.
        key: String,
    },
    /// A key that does not deal in this round, or was not a player of the previous one.
    #[error("{key} is not a dealer of this round")]
    NotADealer {
        /// The key in hex.
        key: String,
    },
    /// A key that does not play in this round.
    #[error("{key} is not a player of this round")]
    NotAPlayer {
        /// The key in hex.
        key: String,
    },
    /// A previous output that contradicts itself.
    #[error("the previous output is not one of a finished ceremony")]
    BadPrevious,
    /// A dealer who keeps the key must hold a share of it.
    #[error("this round keeps the group key: dealing needs the share of the previous round")]
    MissingShare,
    /// A new key is made of new randomness only.
    #[error("this round makes a new group key: no share of an older one may be dealt")]
    UnexpectedShare,
    /// The share is of another ceremony or another node.
    #[error("the share is not this node's share of the previous output")]
    WrongShare,
    /// Bytes that are nothing of the kind.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A dealing that does not hold what it says: no acknowledgement for it.
    #[error("the dealing of {dealer} is refused: {why}")]
    DealingRefused {
        /// The dealer's key in hex.
        dealer: String,
        /// What is wrong with it.
        why: String,
    },
    /// Two different dealings of one dealer.
    #[error("{dealer} dealt twice, and differently: the first dealing stays")]
    Equivocation {
        /// The dealer's key in hex.
        dealer: String,
    },
    /// Not the player's signature over this dealing.
    #[error("the acknowledgement of {player} is not one of this dealing")]
    BadAcknowledgement {
        /// The player's key in hex.
        player: String,
    },
    /// Not signed, or by another, or for another round.
    #[error("the log is not signed by {dealer} for this round")]
    LogNotSigned {
        /// The dealer's key in hex.
        dealer: String,
    },
    /// Too few logs can be used.
    #[error("{found} of {required} necessary dealer logs can be used{}{}", list("; at fault:", .faults), list("; absent or withheld:", .absent))]
    TooFewLogs {
        /// How many are necessary.
        required: u32,
        /// How many were usable.
        found: u32,
        /// Dealers whose signed log proves a fault.
        faults: Vec<DealerFault>,
        /// Keys, in hex, of dealers without a log, or whose log withholds its results.
        absent: Vec<String>,
    },
    /// The node acknowledged a dealing that it no longer has; give all dealings of the round again.
    #[error(
        "a dealing that this node acknowledged is missing or not the one it was given: replay all dealings of this round"
    )]
    DealingLost,
}

/// A dealer and what its own signed log proves against it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DealerFault {
    /// The dealer's key in hex.
    pub dealer: String,
    /// What it did.
    pub why: String,
}

impl std::fmt::Display for DealerFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.dealer, self.why)
    }
}

fn list<T: ToString>(title: &str, items: &[T]) -> String {
    if items.is_empty() {
        return String::new();
    }
    let items: Vec<String> = items.iter().map(ToString::to_string).collect();
    format!("{title} {}", items.join(", "))
}

pub(crate) fn name(key: &Public) -> String {
    hex::encode(public_bytes(key))
}

impl CeremonyError {
    pub(crate) fn of_library(error: &dkg::Error) -> Self {
        match error {
            dkg::Error::MissingDealerShare => Self::MissingShare,
            dkg::Error::PlayerNotInRound => Self::NotAPlayer { key: "this node's key".to_owned() },
            dkg::Error::DealerNotInRound(key) => Self::NotADealer { key: key.clone() },
            dkg::Error::NumDealers(given) | dkg::Error::NumPlayers(given) => {
                Self::NodeCount { given: *given }
            }
            dkg::Error::InvalidPreviousOutput => Self::BadPrevious,
            dkg::Error::InvalidPersistedDealing { .. }
            | dkg::Error::MissingPlayerDealing
            | dkg::Error::MismatchedLogs => Self::DealingLost,
        }
    }

    pub(crate) fn of_failure(failure: &dkg::Failure<Public>) -> Self {
        let dkg::Failure::InsufficientLogs { required, found, faults, unavailable } = failure;
        Self::TooFewLogs {
            required: *required,
            found: *found,
            faults: faults
                .iter_pairs()
                .map(|(dealer, why)| DealerFault { dealer: name(dealer), why: why.to_string() })
                .collect(),
            absent: unavailable.iter().map(name).collect(),
        }
    }

    pub(crate) fn of_finalize(error: &dkg::FinalizeError<Public>) -> Self {
        match error {
            dkg::FinalizeError::Error(error) => Self::of_library(error),
            dkg::FinalizeError::Failure(failure) => Self::of_failure(failure),
        }
    }
}
