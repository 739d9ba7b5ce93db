// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Values that change at a time to come, and the lifecycle of versions: as `contracts/types/Timed.sol` and
//! `contracts/libraries/VersionList.sol` have them.

use alloy::primitives::{Address, aliases::U40};
use serde::{Deserialize, Serialize};

use crate::event::{Event, Position};

/// The end of time in the contracts: the greatest `uint40`.
pub const FOREVER: u64 = (1 << 40) - 1;

/// Seconds since the epoch, as the contracts have them.
pub(super) fn time(value: U40) -> u64 {
    value.to::<u64>()
}

/// A value in force, and the one that takes its place at a time to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Timed<T> {
    /// In force until `next`.
    pub value: T,
    /// The value to come, and from when it is in force.
    pub next: Option<(T, u64)>,
}

impl<T: Copy> Timed<T> {
    /// The value in force at `now`.
    pub fn at(&self, now: u64) -> T {
        match self.next {
            Some((next, from)) if from <= now => next,
            _ => self.value,
        }
    }

    /// The value to come and from when, as long as that is to come at `now`.
    pub fn pending(&self, now: u64) -> Option<(T, u64)> {
        self.next.filter(|(_, from)| now < *from)
    }

    pub(super) fn set(&mut self, to: T, from: u64, now: u64) {
        *self = if from <= now {
            Self { value: to, next: None }
        } else {
            Self { value: self.at(now), next: Some((to, from)) }
        };
    }
}

/// Owner, guardian and notice, which every governed contract has.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Governed {
    /// Who governs.
    pub owner: Address,
    /// Who may accept the ownership, and from when.
    pub pending_owner: Option<(Address, u64)>,
    /// Who may tighten at once; zero for nobody.
    pub guardian: Timed<Address>,
    /// Seconds between the decision to loosen and its effect.
    pub notice: Timed<u64>,
}

impl Governed {
    pub(super) fn emits(event: &Event) -> bool {
        use Event::*;
        matches!(event, NoticeSet(_) | GuardianSet(_) | OwnershipTransferStarted(_) | OwnershipTransferred(_))
    }

    pub(super) fn fold(&mut self, event: &Event, at: &Position) {
        match event {
            Event::NoticeSet(e) => self.notice.set(time(e.notice), time(e.from), at.timestamp),
            Event::GuardianSet(e) => self.guardian.set(e.guardian, time(e.from), at.timestamp),
            Event::OwnershipTransferStarted(e) => {
                let pending = (e.newOwner, time(e.acceptableFrom));
                self.pending_owner = Some(pending).filter(|(owner, _)| !owner.is_zero());
            }
            Event::OwnershipTransferred(e) => (self.owner, self.pending_owner) = (e.newOwner, None),
            _ => {}
        }
    }
}

/// Where a version stands in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum VersionState {
    /// Never scheduled.
    None = 0,
    /// Not in force yet.
    Scheduled = 1,
    /// In force.
    Active = 2,
    /// In force until it retires.
    Retiring = 3,
    /// No longer in force.
    Retired = 4,
    /// Ended for good.
    Revoked = 5,
}

/// One code hash or OS image.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Version {
    /// From when it is in force; 0 when it was never scheduled.
    pub active_from: u64,
    /// When it retires; 0 when it does not.
    pub retire_at: u64,
    /// Whether it was revoked.
    pub revoked: bool,
    /// Where its source is, as told when it was scheduled last.
    pub source_uri: String,
}

impl Version {
    /// Where it stands at `now`.
    pub fn state(&self, now: u64) -> VersionState {
        match self {
            Self { revoked: true, .. } => VersionState::Revoked,
            Self { active_from: 0, .. } => VersionState::None,
            Self { retire_at, .. } if *retire_at != 0 && *retire_at <= now => VersionState::Retired,
            Self { active_from, .. } if now < *active_from => VersionState::Scheduled,
            Self { retire_at: 0, .. } => VersionState::Active,
            _ => VersionState::Retiring,
        }
    }

    pub(super) fn schedule(&mut self, active_from: U40, source_uri: &str) {
        (self.active_from, self.retire_at) = (time(active_from), 0);
        source_uri.clone_into(&mut self.source_uri);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timed_value_settles_when_its_time_has_come() {
        let mut value = Timed { value: 1, next: None };
        value.set(2, 100, 50);
        assert_eq!((value.at(99), value.at(100)), (1, 2));
        value.set(3, 200, 150);
        assert_eq!((value.at(199), value.at(200)), (2, 3));
        value.set(4, 160, 160);
        assert_eq!(value, Timed { value: 4, next: None });
    }

    #[test]
    fn version_lives_from_schedule_to_retirement() {
        let mut version = Version::default();
        assert_eq!(version.state(5), VersionState::None);
        version.schedule(U40::from(10), "");
        assert_eq!(version.state(9), VersionState::Scheduled);
        assert_eq!(version.state(10), VersionState::Active);
        version.retire_at = 20;
        assert_eq!((version.state(19), version.state(20)), (VersionState::Retiring, VersionState::Retired));
        version.revoked = true;
        assert_eq!(version.state(15), VersionState::Revoked);
    }
}
