// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What `KmsCommittee` told. A node's keys and a ceremony's participants are in storage only: read them with proof.

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
    /// Where it is reached, when that was changed after its admission.
    pub url: Option<String>,
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
}

impl Committee {
    pub(super) fn fold(&mut self, event: &Event, at: &Position) {
        match event {
            Event::NodeAdmitted(e) => {
                let node = self.nodes.entry(e.nodeKey).or_default();
                node.operator = e.operator;
                (node.admitted_from, node.expires_at) = (time(e.admittedFrom), time(e.expiresAt));
                // Admission and renewal bring a URL of their own, which the event does not tell.
                node.url = None;
            }
            Event::NodeEvicted(e) => drop(self.nodes.remove(&e.nodeKey)),
            Event::NodeUrlSet(e) => self.nodes.entry(e.nodeKey).or_default().url = Some(e.url.clone()),
            Event::NoncePublished(e) => self.nodes.entry(e.nodeKey).or_default().nonce = e.nonce,
            Event::CeremonyOpened(e) => {
                let (deal_until, confirm_until) = (time(e.dealUntil), time(e.confirmUntil));
                let ceremony = Ceremony { kind: e.kind, deal_until, confirm_until, ..Ceremony::default() };
                self.ceremonies.insert(e.round, ceremony);
            }
            Event::DealerLogPosted(e) => {
                self.ceremonies.entry(e.round).or_default().logs.insert(e.dealer, keccak256(&e.log));
            }
            Event::OutputConfirmed(e) => {
                self.ceremonies.entry(e.round).or_default().confirmations.insert(e.player, e.outputHash);
            }
            Event::EpochStarted(e) => {
                let (group_key, polynomial) = (e.groupKey.clone(), e.polynomial.clone());
                self.start(e.epoch, e.round, group_key, polynomial, at.timestamp);
            }
            Event::CeremonyAborted(e) => self.ceremonies.entry(e.round).or_default().aborted = true,
            other => self.governed.fold(other, at),
        }
    }

    fn start(&mut self, number: u64, round: u64, group_key: Bytes, polynomial: Bytes, now: u64) {
        let ceremony = self.ceremonies.entry(round).or_default();
        ceremony.epoch = Some(number);
        let rotated = ceremony.kind == CeremonyKind::Rotate as u8;
        self.end_previous(rotated, now);
        let epoch = Epoch { round, started_at: now, valid_until: FOREVER, group_key, polynomial };
        self.epochs.insert(number, epoch);
    }

    /// The epoch before ends at once when the key stays the same, and after the notice when it does not; a root that was
    /// on its way out then ends now (G-11).
    fn end_previous(&mut self, rotated: bool, now: u64) {
        let until = if rotated { now + self.governed.notice.at(now) } else { now };
        if rotated && let Some(outgoing) = self.epochs.get_mut(&self.outgoing) {
            outgoing.valid_until = outgoing.valid_until.min(now);
        }
        if let Some((&number, previous)) = self.epochs.iter_mut().next_back() {
            previous.valid_until = until;
            self.outgoing = if rotated { number } else { self.outgoing };
        }
    }

    /// The newest epoch and its number.
    pub fn current_epoch(&self) -> Option<(u64, &Epoch)> {
        self.epochs.last_key_value().map(|(number, epoch)| (*number, epoch))
    }
}
