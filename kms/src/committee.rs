// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What `KmsCommittee` says, as plain types.

use alloy::primitives::{Address, Bytes};

/// A node as registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its secp256k1 address.
    pub node: Address,
    /// Ed25519.
    pub dealing_key: [u8; 32],
    /// X25519.
    pub sealing_key: [u8; 32],
    /// Where it is reached.
    pub url: String,
}

/// `CeremonyKind` of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A first key.
    Genesis,
    /// The same members, the same key, new shares.
    Refresh,
    /// Other members, the same key.
    Reshare,
    /// A new key.
    Rotate,
}

impl Kind {
    /// Whether the group key of the epoch before stays.
    pub fn keeps_key(self) -> bool {
        matches!(self, Self::Refresh | Self::Reshare)
    }
}

/// `CeremonyState` of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Logs are being posted.
    Dealing,
    /// Outputs are being confirmed.
    Confirming,
    /// It made an epoch.
    Finished,
    /// It did not.
    Aborted,
}

impl State {
    /// Whether a node still has something to do in it.
    pub fn is_running(self) -> bool {
        matches!(self, Self::Dealing | Self::Confirming)
    }
}

/// A ceremony on the bulletin board.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ceremony {
    /// What for.
    pub kind: Kind,
    /// How far.
    pub state: State,
    /// Its number, never reused.
    pub round: u64,
    /// End of the dealing window, block time.
    pub deal_until: u64,
    /// Who deals.
    pub dealers: Vec<Address>,
    /// Who gets shares.
    pub players: Vec<Address>,
}

/// An epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Epoch {
    /// 1, 2, 3 …
    pub number: u64,
    /// The ceremony that made it.
    pub round: u64,
    /// 48 bytes.
    pub group_key: Bytes,
    /// The whole public output of the ceremony.
    pub polynomial: Bytes,
    /// When it ends, block time; the end of all time where nothing has ended it yet.
    pub valid_until: u64,
    /// How many members must sign.
    pub quorum: u32,
    /// The ceremony's players.
    pub members: Vec<Address>,
}
