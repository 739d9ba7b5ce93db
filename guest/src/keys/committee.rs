// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A committee as a relayer shows it, checked against what is pinned.

use alloy::{primitives::Address, sol_types::Eip712Domain};
use mandate_model::{
    signed,
    wire::relayer::{CommitteeView, Member},
};
use mandate_threshold::{MAX_NODES, Output, PublicPolynomial, derive};

use super::{KeyError, Pinned};

/// A view that agrees with the pinned group key. Which URL belongs to which node is still only the relayer's word; a
/// wrong one costs that node's part and no more.
pub(super) struct Committee {
    members: Vec<Seat>,
    polynomial: PublicPolynomial,
    epoch: u64,
    domain: Eip712Domain,
}

/// A member and the index that its partials carry.
#[derive(Debug, Clone)]
pub(super) struct Seat {
    pub(super) node: Address,
    pub(super) url: String,
    pub(super) index: u32,
}

impl Committee {
    pub(super) fn check(pinned: &Pinned, view: &CommitteeView) -> Result<Self, KeyError> {
        differs("chain id", pinned.chain_id, view.chain_id)?;
        differs("KmsAuth", pinned.kms_auth, view.kms_auth)?;
        differs("KmsCommittee", pinned.committee, view.committee)?;
        let refuse = |what: String| KeyError::View { what };
        if view.members.is_empty() || view.members.len() > MAX_NODES {
            return Err(refuse(format!("{} members, 1 to {MAX_NODES} are possible", view.members.len())));
        }
        let output = Output::decode(&view.polynomial).map_err(|error| refuse(error.to_string()))?;
        let (polynomial, players) = (output.public(), output.players());
        if players.len() != view.members.len() {
            let (given, made) = (view.members.len(), players.len());
            return Err(refuse(format!("the polynomial is made for {made} nodes, not {given}")));
        }
        let (expected, given) = (hex::encode(pinned.group_key), hex::encode(polynomial.group_key()));
        differs("group key", expected, given)?;
        let mut members = seats(&view.members, &players)?;
        members.extend(replicas(&members, &view.replicas)?);
        Ok(Self {
            members,
            polynomial,
            epoch: view.epoch,
            domain: signed::domain(pinned.chain_id, pinned.committee),
        })
    }

    pub(super) fn members(&self) -> &[Seat] {
        &self.members
    }

    pub(super) fn polynomial(&self) -> &PublicPolynomial {
        &self.polynomial
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(super) fn domain(&self) -> &Eip712Domain {
        &self.domain
    }

    pub(super) fn quorum(&self) -> usize {
        usize::try_from(self.polynomial.quorum()).unwrap_or(usize::MAX)
    }

    /// What the committee signs for this app and generation.
    pub(super) fn message(&self, pinned: &Pinned, app: Address, generation: u64) -> Vec<u8> {
        derive::app_message(
            pinned.chain_id,
            pinned.kms_auth.into(),
            app.into(),
            generation,
            &pinned.group_key,
        )
    }
}

/// Who can be asked. A member that was evicted has no key in the view any more and no seat here; the others' indices are those
/// of the ceremony all the same, which the polynomial names in its own order.
fn seats(members: &[Member], players: &[[u8; 32]]) -> Result<Vec<Seat>, KeyError> {
    let mut seats: Vec<Seat> = members
        .iter()
        .filter_map(|member| {
            let index = players.iter().position(|key| *key == member.dealing_key.0)?;
            let index = u32::try_from(index).ok()?;
            Some(Seat { node: member.node, url: member.url.trim_end_matches('/').to_owned(), index })
        })
        .collect();
    let nodes = seats.len();
    for same in
        [|one: &Seat, two: &Seat| one.index == two.index, |one: &Seat, two: &Seat| one.node == two.node]
    {
        seats.sort_by_key(|seat| (seat.index, seat.node));
        if seats.iter().enumerate().any(|(i, one)| seats.iter().skip(i + 1).any(|two| same(one, two))) {
            return Err(KeyError::View { what: format!("two of the {nodes} members have the same key") });
        }
    }
    Ok(seats)
}

/// Nodes that may have a copy of the single member's share. Any part that verifies is as good as the member's own, so a relayer
/// that makes replicas up costs a request each and no more.
fn replicas(members: &[Seat], replicas: &[Member]) -> Result<Vec<Seat>, KeyError> {
    let [member] = members else { return Ok(Vec::new()) };
    if replicas.len() >= MAX_NODES {
        let what = format!("{} replicas, at most {} are possible", replicas.len(), MAX_NODES - 1);
        return Err(KeyError::View { what });
    }
    let mut seats = Vec::new();
    for replica in replicas {
        if replica.node == member.node || seats.iter().any(|seat: &Seat| seat.node == replica.node) {
            return Err(KeyError::View { what: format!("replica {} is listed twice", replica.node) });
        }
        let url = replica.url.trim_end_matches('/').to_owned();
        seats.push(Seat { node: replica.node, url, index: member.index });
    }
    Ok(seats)
}

fn differs<T: PartialEq + std::fmt::Display>(what: &str, pinned: T, given: T) -> Result<(), KeyError> {
    if pinned == given {
        return Ok(());
    }
    Err(KeyError::View { what: format!("{what} {given}, but {pinned} is pinned") })
}
