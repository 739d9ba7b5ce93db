// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What `KmsCommittee` told.

use std::collections::BTreeMap;

use alloy::primitives::{Address, B256, Bytes, keccak256};
use serde::{Deserialize, Serialize};

use super::timed::{FOREVER, Governed, time};
use crate::event::{Event, Position};

/// A node.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Node {
    /// Who may change its URL and remove it.
    pub operator: Address,
    /// When it may take part.
    pub admitted_from: u64,
    /// When its admission ends.
    pub expires_at: u64,
    /// When its attestation ends; 0 before the first, [`FOREVER`] where none is needed.
    pub attested_until: u64,
    /// SHA-256 of the evidence that was vouched for last.
    pub evidence_digest: B256,
    /// Its Ed25519 key in ceremonies.
    pub dealing_key: B256,
    /// Its X25519 key, to which dealings are sealed.
    pub sealing_key: B256,
    /// Where it is reached.
    pub url: String,
    /// Its newest nonce.
    pub nonce: B256,
}

/// Why a ceremony is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum CeremonyKind {
    /// No ceremony.
    #[default]
    None = 0,
    /// The first key.
    Genesis = 1,
    /// New shares of the same key for the same members.
    Refresh = 2,
    /// New shares of the same key for other members.
    Reshare = 3,
    /// Another key.
    Rotate = 4,
}

impl TryFrom<u8> for CeremonyKind {
    type Error = u8;

    /// Gives back the number when the contract is newer than this build.
    fn try_from(n: u8) -> Result<Self, u8> {
        [Self::None, Self::Genesis, Self::Refresh, Self::Reshare, Self::Rotate]
            .into_iter()
            .find(|kind| *kind as u8 == n)
            .ok_or(n)
    }
}

/// How far a ceremony is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum CeremonyState {
    /// No ceremony.
    None = 0,
    /// Dealers post their logs.
    Dealing = 1,
    /// Players confirm the output.
    Confirming = 2,
    /// An epoch came of it.
    Finished = 3,
    /// Nothing came of it.
    Aborted = 4,
}

impl TryFrom<u8> for CeremonyState {
    type Error = u8;

    /// Gives back the number when the contract is newer than this build.
    fn try_from(n: u8) -> Result<Self, u8> {
        [Self::None, Self::Dealing, Self::Confirming, Self::Finished, Self::Aborted]
            .into_iter()
            .find(|state| *state as u8 == n)
            .ok_or(n)
    }
}

/// A round.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ceremony {
    /// The kind, by the contract's number.
    pub kind: u8,
    /// Until when logs are taken.
    pub deal_until: u64,
    /// Until when confirmations are taken.
    pub confirm_until: u64,
    /// How many players must confirm one output.
    pub quorum: u32,
    /// Who deals.
    pub dealers: Vec<Address>,
    /// Who receives shares.
    pub players: Vec<Address>,
    /// keccak256 of each dealer's log.
    pub logs: BTreeMap<Address, B256>,
    /// The output that each player confirmed.
    pub confirmations: BTreeMap<Address, B256>,
    /// The epoch that came of it.
    pub epoch: Option<u64>,
    /// Whether it was ended without one.
    pub aborted: bool,
}

/// An epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Epoch {
    /// The round it came of.
    pub round: u64,
    /// Since when.
    pub started_at: u64,
    /// Until when its key is valid.
    pub valid_until: u64,
    /// 48 bytes, compressed G1.
    pub group_key: Bytes,
    /// Encoded public polynomial.
    pub polynomial: Bytes,
}

/// Nodes, ceremonies, epochs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Committee {
    /// Owner, guardian, notice.
    pub governed: Governed,
    /// Nodes by node key.
    pub nodes: BTreeMap<Address, Node>,
    /// Ceremonies by round.
    pub ceremonies: BTreeMap<u64, Ceremony>,
    /// Epochs by number.
    pub epochs: BTreeMap<u64, Epoch>,
    /// The newest epoch of the root before the present one; 0 for none.
    pub outgoing: u64,
    /// How often attestation was demanded.
    pub demand: u64,
    /// From when on a single member's share may be handed to other nodes; 0 for never.
    pub replicated_from: u64,
}

impl Committee {
    pub(super) fn fold(&mut self, event: &Event, at: &Position) {
        match event {
            Event::NodeAdmitted(e) => {
                // A renewal keeps the nonce.
                let nonce = self.nodes.get(&e.nodeKey).map(|node| node.nonce).unwrap_or_default();
                let node = Node {
                    operator: e.operator,
                    admitted_from: time(e.admittedFrom),
                    expires_at: time(e.expiresAt),
                    attested_until: time(e.attestedUntil),
                    evidence_digest: e.evidenceDigest,
                    dealing_key: e.dealingKey,
                    sealing_key: e.sealingKey,
                    url: e.url.clone(),
                    nonce,
                };
                self.nodes.insert(e.nodeKey, node);
            }
            Event::NodeAttested(e) => {
                let node = self.nodes.entry(e.nodeKey).or_default();
                (node.evidence_digest, node.attested_until) = (e.evidenceDigest, time(e.until));
            }
            Event::AttestationDemanded(e) => {
                self.demand = e.demand;
                for node in self.nodes.values_mut() {
                    node.attested_until = node.attested_until.min(time(e.until));
                }
            }
            Event::ReplicationSet(e) => self.replicated_from = time(e.from),
            Event::NodeEvicted(e) => drop(self.nodes.remove(&e.nodeKey)),
            Event::NodeUrlSet(e) => self.nodes.entry(e.nodeKey).or_default().url.clone_from(&e.url),
            Event::NoncePublished(e) => self.nodes.entry(e.nodeKey).or_default().nonce = e.nonce,
            Event::CeremonyOpened(e) => {
                let ceremony = Ceremony {
                    kind: e.kind,
                    deal_until: time(e.dealUntil),
                    confirm_until: time(e.confirmUntil),
                    quorum: e.quorum,
                    dealers: e.dealers.clone(),
                    players: e.players.clone(),
                    ..Ceremony::default()
                };
                self.ceremonies.insert(e.round, ceremony);
            }
            Event::DealerLogPosted(e) => {
                self.ceremonies.entry(e.round).or_default().logs.insert(e.dealer, keccak256(&e.log));
            }
            Event::OutputConfirmed(e) => {
                self.ceremonies.entry(e.round).or_default().confirmations.insert(e.player, e.outputHash);
            }
            Event::EpochStarted(e) => {
                let epoch = Epoch {
                    round: e.round,
                    started_at: at.timestamp,
                    valid_until: FOREVER,
                    group_key: e.groupKey.clone(),
                    polynomial: e.polynomial.clone(),
                };
                self.start(e.epoch, epoch, time(e.previousUntil));
            }
            Event::CeremonyAborted(e) => self.ceremonies.entry(e.round).or_default().aborted = true,
            other => self.governed.fold(other, at),
        }
    }

    /// The epoch before ends at `previous_until`: at once when the key stays the same, after the handover when it does not. A
    /// root that was on its way out then ends now (G-11).
    fn start(&mut self, number: u64, epoch: Epoch, previous_until: u64) {
        let now = epoch.started_at;
        let ceremony = self.ceremonies.entry(epoch.round).or_default();
        ceremony.epoch = Some(number);
        let rotated = ceremony.kind == CeremonyKind::Rotate as u8;
        if rotated && let Some(outgoing) = self.epochs.get_mut(&self.outgoing) {
            outgoing.valid_until = outgoing.valid_until.min(now);
        }
        if let Some((&before, previous)) = self.epochs.iter_mut().next_back() {
            previous.valid_until = previous_until;
            self.outgoing = if rotated { before } else { self.outgoing };
        }
        self.epochs.insert(number, epoch);
    }

    /// The newest epoch and its number.
    pub fn current_epoch(&self) -> Option<(u64, &Epoch)> {
        self.epochs.last_key_value().map(|(number, epoch)| (*number, epoch))
    }
}
