// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The rules of one app.

use std::collections::BTreeMap;

use alloy::primitives::{Address, B256};
use serde::{Deserialize, Serialize};

use super::timed::{FOREVER, Governed, Timed, Version, time};
use crate::event::{Event, Position};

/// One device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Device {
    /// From when it is allowed; 0 when it is not listed.
    pub allowed_from: u64,
    /// Until when it is denied; 0 when it was never denied.
    pub denied_until: u64,
}

/// What an `AppAuth` told of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct App {
    /// Owner, guardian, notice.
    pub governed: Governed,
    /// Code hashes.
    pub codes: BTreeMap<B256, Version>,
    /// Devices.
    pub devices: BTreeMap<B256, Device>,
    /// From when every device that is not denied is allowed.
    pub any_device_from: Option<u64>,
    /// Kinds of TEE by number, and from when each is allowed.
    pub tees: BTreeMap<u8, u64>,
    /// The worst TCB status that is still allowed, by number.
    pub tcb_floor: Timed<u8>,
    /// Until when nothing is released.
    pub paused_until: u64,
    /// Whether the guardian has its pause.
    pub guardian_pause_armed: bool,
    /// Present key generation.
    pub generation: u64,
    /// Until when the generation before is given out too.
    pub previous_until: u64,
    /// Whether the app is closed for good.
    pub sunset: bool,
    /// Contracts that must say yes as well, and until when; 0 without an end.
    pub conditions: BTreeMap<Address, u64>,
    /// Whether a boot must carry a launch ticket.
    pub ticket_needed: Timed<bool>,
    /// Hashes of launch tickets, and from when each can be used.
    pub tickets: BTreeMap<B256, u64>,
    /// keccak256 of the ids of denied advisories, and until when each is denied.
    pub advisories: BTreeMap<B256, u64>,
}

impl App {
    pub(super) fn emits(event: &Event) -> bool {
        use Event::*;
        Governed::emits(event)
            || matches!(
                event,
                CodeScheduled(_)
                    | CodeRetirementSet(_)
                    | CodesSuperseded(_)
                    | CodeRevoked(_)
                    | Paused(_)
                    | GuardianPauseArmed(_)
                    | Sunset(_)
                    | DeviceScheduled(_)
                    | DeviceDenied(_)
                    | AnyDeviceScheduled(_)
                    | AnyDeviceRemoved(_)
                    | TeeScheduled(_)
                    | TeeRemoved(_)
                    | TcbFloorSet(_)
                    | KeysRotated(_)
                    | ConditionAdded(_)
                    | ConditionRemoved(_)
                    | TicketRequirementSet(_)
                    | TicketAllowed(_)
                    | TicketRevoked(_)
                    | AdvisoryDenied(_)
                    | AdvisoryLifted(_)
            )
    }

    pub(super) fn fold(&mut self, event: &Event, at: &Position) {
        match event {
            Event::CodeScheduled(e) => {
                self.codes.entry(e.codeHash).or_default().schedule(e.activeFrom, &e.sourceUri);
            }
            Event::CodeRetirementSet(e) => {
                self.codes.entry(e.codeHash).or_default().retire_at = time(e.retireAt);
            }
            Event::CodesSuperseded(e) => self.supersede(e.by, time(e.retireAt)),
            Event::CodeRevoked(e) => self.codes.entry(e.codeHash).or_default().revoked = true,
            Event::Paused(e) => {
                self.paused_until = time(e.until);
                // The owner needs no arming; only the guardian's pause is used up.
                self.guardian_pause_armed &= e.by == self.governed.owner;
            }
            Event::GuardianPauseArmed(_) => self.guardian_pause_armed = true,
            Event::DeviceScheduled(e) => self.allow_device(e.deviceId, time(e.allowedFrom)),
            Event::DeviceDenied(e) => {
                self.devices.insert(e.deviceId, Device { allowed_from: 0, denied_until: FOREVER });
            }
            Event::AnyDeviceScheduled(e) => self.any_device_from = Some(time(e.allowedFrom)),
            Event::AnyDeviceRemoved(_) => self.any_device_from = None,
            Event::TeeScheduled(e) => drop(self.tees.insert(e.tee, time(e.allowedFrom))),
            Event::TeeRemoved(e) => drop(self.tees.remove(&e.tee)),
            Event::TcbFloorSet(e) => self.tcb_floor.set(e.floor, time(e.from), at.timestamp),
            Event::KeysRotated(e) => {
                (self.generation, self.previous_until) = (e.generation, time(e.previousUntil));
            }
            Event::Sunset(_) => self.sunset = true,
            Event::ConditionAdded(e) => drop(self.conditions.insert(e.condition, 0)),
            Event::ConditionRemoved(e) => drop(self.conditions.insert(e.condition, time(e.from))),
            Event::TicketRequirementSet(e) => self.ticket_needed.set(e.needed, time(e.from), at.timestamp),
            Event::TicketAllowed(e) => drop(self.tickets.insert(e.ticket, time(e.from))),
            Event::TicketRevoked(e) => drop(self.tickets.remove(&e.ticket)),
            Event::AdvisoryDenied(e) => drop(self.advisories.insert(e.advisoryHash, FOREVER)),
            Event::AdvisoryLifted(e) => drop(self.advisories.insert(e.advisoryHash, time(e.from))),
            other => self.governed.fold(other, at),
        }
    }

    /// Every other version that would have lived longer ends with the upgrade.
    fn supersede(&mut self, by: B256, end: u64) {
        let others = self.codes.iter_mut().filter(|(hash, version)| **hash != by && version.active_from != 0);
        for (_, version) in others {
            if version.retire_at == 0 || version.retire_at > end {
                version.retire_at = end;
            }
        }
    }

    /// A denial ends when the permission begins.
    fn allow_device(&mut self, id: B256, from: u64) {
        let device = self.devices.entry(id).or_default();
        let denied_until = if device.denied_until == 0 { 0 } else { from };
        *device = Device { allowed_from: from, denied_until };
    }

    /// Whether a pause is on at `now`.
    pub fn is_paused(&self, now: u64) -> bool {
        now < self.paused_until
    }
}
