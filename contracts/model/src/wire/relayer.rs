// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A relayer's API: `POST /v1/witness`, `POST /v1/mailbox`, `GET /v1/mailbox/{node}?after=N&wait=SECONDS`,
//! `POST /v1/submissions`, `POST /v1/approvals` (an [`Approval`]), `GET /v1/committee?epoch=N`, `GET /v1/status`.

use alloy::primitives::{Address, B256, Bytes, U256};
use serde::{Deserialize, Serialize};

use super::{BlockRef, ViewCall};

/// Most hashes that a witness may be asked to leave out.
pub const MAX_KNOWN: usize = 1024;

/// Asks for the witness of `call` at the block with `block_hash`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WitnessRequest {
    /// Which block.
    pub block_hash: B256,
    /// Which call.
    pub call: ViewCall,
    /// Hashes of the trie nodes and codes that the asker has and does not want again: ascending, at most [`MAX_KNOWN`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub known: Vec<B256>,
}

/// The answer: `mandate_witness::Witness`, encoded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WitnessResponse {
    /// Encoded witness.
    pub witness: Bytes,
}

/// What a letter of a key ceremony holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LetterKind {
    /// Dealer to player: public and private part, sealed to the player.
    Dealing,
    /// Player to dealer: the signed acknowledgement.
    Ack,
}

impl LetterKind {
    /// The text that is signed.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dealing => "dealing",
            Self::Ack => "ack",
        }
    }
}

/// One message between two nodes, carried by any relayer. Signed by `from` as [`crate::signed::Letter`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Letter {
    /// Sender's node key.
    pub from: Address,
    /// Recipient's node key.
    pub to: Address,
    /// Ceremony round.
    pub round: u64,
    /// What it holds.
    pub kind: LetterKind,
    /// The sealed or signed body.
    pub body: Bytes,
    /// 65 bytes, EIP-712.
    pub signature: Bytes,
}

/// A letter with its place in the recipient's mailbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Delivered {
    /// Ask for `after = cursor` next.
    pub cursor: u64,
    /// The letter.
    pub letter: Letter,
}

/// What a node wants on chain: it signs, any relayer pays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Submission {
    /// `KmsCommittee.postDealerLog`.
    DealerLog {
        /// Ceremony round.
        round: u64,
        /// Dealer's node key.
        node: Address,
        /// Signed log.
        log: Bytes,
        /// EIP-712 by `node`.
        signature: Bytes,
    },
    /// `KmsCommittee.confirmOutput`.
    Confirmation {
        /// Ceremony round.
        round: u64,
        /// Player's node key.
        node: Address,
        /// 48 bytes.
        group_key: Bytes,
        /// Encoded public polynomial.
        polynomial: Bytes,
        /// EIP-712 by `node`.
        signature: Bytes,
    },
    /// `KmsCommittee.attestNode`.
    Attestation {
        /// The node that was vouched for.
        node: Address,
        /// SHA-256 of its evidence.
        evidence_digest: B256,
        /// Until when it is vouched for, block time.
        until: u64,
        /// The members' signatures, in ascending order of `voter`.
        vouches: Vec<Vouch>,
        /// EIP-712 by `node`: [`crate::signed::Attestation`], for relayers, whom the transaction costs something.
        signature: Bytes,
    },
    /// `KmsCommittee.publishNonce`.
    Nonce {
        /// Node key.
        node: Address,
        /// Fresh random bytes.
        nonce: B256,
        /// EIP-712 by `node`.
        signature: Bytes,
    },
}

/// One member's word on a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Vouch {
    /// The member's node key.
    pub voter: Address,
    /// EIP-712 by `voter`: [`crate::signed::Vouch`].
    pub signature: Bytes,
}

/// A council member's approval of a motion, which any relayer pays for: `RoleCouncil.approveBySig`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Approval {
    /// The council.
    pub council: Address,
    /// The motion.
    pub motion: U256,
    /// The member's role.
    pub role: U256,
    /// The member.
    pub member: Address,
    /// The signature is good until this time, Unix seconds.
    pub deadline: U256,
    /// EIP-712 by the member ([`crate::signed::Approval`], with the council's `nonceOf` now), or what its contract takes
    /// (ERC-1271).
    pub signature: Bytes,
}

/// The answer to a submission or an approval: it is in the outbox, durably.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Accepted {
    /// The effect's key; submitting the same thing again gives the same key.
    pub effect: String,
}

/// What a guest needs to know to ask for its secret, as of a finalised block. Untrusted but for the group key that the
/// guest was given with its own measured configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CommitteeView {
    /// The finalised block that this is of.
    pub block: BlockRef,
    /// Chain id.
    pub chain_id: u64,
    /// The policy contract.
    pub kms_auth: Address,
    /// The registry of nodes.
    pub committee: Address,
    /// The epoch that this shows: the one in force unless another was asked for; 0 before the first.
    pub epoch: u64,
    /// The root before the present one; nothing when no root was ever replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outgoing: Option<Outgoing>,
    /// Partials needed.
    pub quorum: u32,
    /// 48 bytes, compressed G1.
    pub group_key: Bytes,
    /// Encoded public polynomial.
    pub polynomial: Bytes,
    /// Members of the epoch in the ceremony's order.
    pub members: Vec<Member>,
    /// Nodes that may hold copies of the single member's share.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replicas: Vec<Member>,
}

/// The newest epoch of the root before the present one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outgoing {
    /// Its number.
    pub epoch: u64,
    /// End of its handover, Unix seconds of block time.
    pub valid_until: u64,
}

/// A member and where it is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// Node key.
    pub node: Address,
    /// Ed25519 dealing key, which fixes the member's index.
    pub dealing_key: B256,
    /// Base URL.
    pub url: String,
}

/// The answer to `GET /v1/status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RelayerStatus {
    /// Chain id.
    pub chain_id: u64,
    /// Head height that was processed.
    pub head: u64,
    /// Finalised height that was processed.
    pub finalized: u64,
    /// Effects that wait.
    pub outbox: u64,
}
