// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Verified reads of `KmsCommittee`, as the plain types of [`crate::committee`].

use alloy::primitives::{Address, B256};
use mandate_model::bindings::{self, KmsCommittee, Node};
use mandate_witness::{BlockRef, Undecided};

use super::Chain;
use crate::committee::{Ceremony, Epoch, Kind, Member, State};

impl Chain {
    /// The newest nonce of `node` on the beacon.
    pub(crate) async fn nonce_of(&self, block: BlockRef, node: Address) -> Result<B256, Undecided> {
        Ok(self.read(block, self.committee, &KmsCommittee::nonceOfCall { nodeKey: node }).await?.value)
    }

    /// The number of the newest demand for attestation, and when the attestation of `node` ends; 0 for a node that is not in
    /// the list or was never vouched for.
    pub(crate) async fn attestation_of(
        &self,
        block: BlockRef,
        node: Address,
    ) -> Result<(u64, u64), Undecided> {
        let call = KmsCommittee::attestationOfCall { nodeKey: node };
        let read = self.read(block, self.committee, &call).await?;
        Ok((read.value.demand, read.value.until.to::<u64>()))
    }

    /// For how many seconds a quorum's word is good; 0 when none is needed.
    pub(crate) async fn attestation_period(&self, block: BlockRef) -> Result<u64, Undecided> {
        let call = KmsCommittee::attestationPeriodCall {};
        Ok(self.read(block, self.committee, &call).await?.value.to::<u64>())
    }

    /// Whether `node` may hold a copy of the single member's share.
    pub(crate) async fn is_replica(&self, block: BlockRef, node: Address) -> Result<bool, Undecided> {
        Ok(self.read(block, self.committee, &KmsCommittee::isReplicaCall { nodeKey: node }).await?.value)
    }

    /// The newest round, 0 before the first, and the block's time.
    pub(crate) async fn round(&self, block: BlockRef) -> Result<(u64, u64), Undecided> {
        let read = self.read(block, self.committee, &KmsCommittee::roundCall {}).await?;
        Ok((read.value, read.timestamp))
    }

    /// The ceremony of `round`, if there is such.
    pub(crate) async fn ceremony(&self, block: BlockRef, round: u64) -> Result<Option<Ceremony>, Undecided> {
        let found =
            self.read(block, self.committee, &KmsCommittee::ceremonyCall { round_: round }).await?.value;
        let (Some(kind), Some(state)) = (kind(found.kind), state(found.state)) else { return Ok(None) };
        Ok(Some(Ceremony {
            kind,
            state,
            round: found.round,
            deal_until: found.dealUntil.to::<u64>(),
            dealers: found.dealers,
            players: found.players,
        }))
    }

    /// All listed nodes.
    pub(crate) async fn members(&self, block: BlockRef) -> Result<Vec<Member>, Undecided> {
        let nodes = self.read(block, self.committee, &KmsCommittee::nodesCall {}).await?.value;
        let member = |node: &Node| Member {
            node: node.nodeKey,
            dealing_key: node.dealingKey.0,
            sealing_key: node.sealingKey.0,
            url: node.url.clone(),
        };
        Ok(nodes.iter().map(member).collect())
    }

    /// keccak256 of the log that `dealer` posted; zero for none.
    pub(crate) async fn dealer_log(
        &self,
        block: BlockRef,
        round: u64,
        dealer: Address,
    ) -> Result<B256, Undecided> {
        Ok(self
            .read(block, self.committee, &KmsCommittee::dealerLogCall { round_: round, dealer })
            .await?
            .value)
    }

    /// The epoch in force; nothing before the first.
    pub(crate) async fn epoch(&self, block: BlockRef) -> Result<Option<Epoch>, Undecided> {
        let found = self.read(block, self.committee, &KmsCommittee::currentEpochCall {}).await?.value;
        Ok(epoch(found))
    }

    /// The newest epoch of the root before the present one; nothing when no root was ever replaced.
    pub(crate) async fn outgoing_epoch(&self, block: BlockRef) -> Result<Option<Epoch>, Undecided> {
        let found = self.read(block, self.committee, &KmsCommittee::outgoingEpochCall {}).await?.value;
        Ok(epoch(found))
    }

    /// The epoch with this number, in force or past.
    pub(crate) async fn epoch_of(&self, block: BlockRef, number: u64) -> Result<Option<Epoch>, Undecided> {
        let found = self.read(block, self.committee, &KmsCommittee::epochCall { number }).await?.value;
        Ok(epoch(found))
    }
}

fn epoch(found: bindings::Epoch) -> Option<Epoch> {
    let (number, round, valid_until) = (found.number, found.round, found.validUntil.to::<u64>());
    let bindings::Epoch { groupKey: group_key, polynomial, quorum, members, .. } = found;
    (number != 0).then_some(Epoch { number, round, group_key, polynomial, valid_until, quorum, members })
}

fn kind(number: u8) -> Option<Kind> {
    Some(match number {
        1 => Kind::Genesis,
        2 => Kind::Refresh,
        3 => Kind::Reshare,
        4 => Kind::Rotate,
        _ => return None,
    })
}

fn state(number: u8) -> Option<State> {
    Some(match number {
        1 => State::Dealing,
        2 => State::Confirming,
        3 => State::Finished,
        4 => State::Aborted,
        _ => return None,
    })
}
