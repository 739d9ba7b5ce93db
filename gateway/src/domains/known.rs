// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What this gateway knows of the fleet's certificates, served or not.

use std::{collections::HashMap, sync::Mutex};

use alloy::primitives::{B256, keccak256};

use super::lock;
use crate::{
    certificates::{Certificate, CertificateError, Parent},
    store::{Damaged, Plan, Record, Slot},
};

/// One certificate.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) digest: B256,
    pub(super) plan: Option<Plan>,
    pub(super) obtained_at: u64,
    pub(super) state: State,
    /// Whether the store has it. One that it could not take is served, and offered again.
    pub(super) is_kept: bool,
}

/// What is to be thought of it.
#[derive(Debug, Clone)]
pub(super) enum State {
    /// For the right names and key, and in time when that was looked at.
    Sound(Certificate),
    /// Its time is over, which is a reason to renew it.
    Expired,
    /// Its time has not come, or the clock is wrong.
    Early,
    /// It is not what was written, which is a reason to call somebody.
    Damaged(Damaged),
}

impl Known {
    /// Checks what was kept against the derived key. Takes a moment: an operation on the curve.
    pub(super) fn examine(record: Record, parent: &Parent, now: u64) -> Self {
        let (digest, plan, obtained_at) = (record.digest(), record.plan, record.obtained_at);
        let state = match parent.secret(&record.slot) {
            Err(error) => State::Damaged(Damaged::of(&record.slot, error)),
            Ok(key) => match Certificate::check(record.slot.subject.clone(), record.issued, &key, now) {
                Ok(certificate) => State::Sound(certificate),
                Err(CertificateError::Dates { not_after, .. }) if is_past(not_after, now) => State::Expired,
                Err(CertificateError::Dates { .. }) => State::Early,
                Err(error) => State::Damaged(Damaged::of(&record.slot, error)),
            },
        };
        Self { digest, plan, obtained_at, state, is_kept: true }
    }

    pub(super) fn damaged(damaged: Damaged, digest: B256) -> Self {
        Self { digest, plan: None, obtained_at: 0, state: State::Damaged(damaged), is_kept: true }
    }

    /// The certificate, while it is valid.
    pub(super) fn sound(&self, now: u64) -> Option<&Certificate> {
        match &self.state {
            State::Sound(certificate) if !certificate.is_expired(now) => Some(certificate),
            _ => None,
        }
    }
}

fn is_past(not_after: i64, now: u64) -> bool {
    u64::try_from(not_after).map_or(true, |not_after| not_after <= now)
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Table(Mutex<HashMap<Slot, Known>>);

impl Table {
    pub(super) fn get(&self, slot: &Slot) -> Option<Known> {
        lock(&self.0).get(slot).cloned()
    }

    /// Whether there is a certificate for it that is valid.
    pub(super) fn is_sound(&self, slot: &Slot, now: u64) -> bool {
        lock(&self.0).get(slot).is_some_and(|known| known.sound(now).is_some())
    }

    pub(super) fn put(&self, slot: Slot, known: Known) {
        lock(&self.0).insert(slot, known);
    }

    pub(super) fn remove(&self, slot: &Slot) {
        lock(&self.0).remove(slot);
    }

    /// Notes the plan of a certificate, if it is still the one.
    pub(super) fn set_plan(&self, slot: &Slot, digest: B256, plan: Plan) {
        if let Some(known) = lock(&self.0).get_mut(slot).filter(|known| known.digest == digest) {
            known.plan = Some(plan);
        }
    }

    /// Those of apps, in the order of the names.
    pub(super) fn domains(&self) -> Vec<Slot> {
        let mut slots: Vec<_> = lock(&self.0).keys().filter(|slot| slot.app.is_some()).cloned().collect();
        slots.sort();
        slots
    }

    pub(super) fn of_hash(&self, hash: B256) -> Vec<Slot> {
        let mut slots = self.domains();
        slots.retain(|slot| keccak256(slot.subject.domain().as_str()) == hash);
        slots
    }

    pub(super) fn slots(&self) -> Vec<(Slot, Known)> {
        lock(&self.0).iter().map(|(slot, known)| (slot.clone(), known.clone())).collect()
    }
}
