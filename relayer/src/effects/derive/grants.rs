// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Events after which more is allowed, and from when on.

use alloy::primitives::Address;
use mandate_model::{
    bindings::{AppAuth, KmsAuth},
    wire::kms::GrantNotice,
};

use super::{
    super::{Effect, NewEffect},
    Targets, decoded,
};
use crate::{chain::Contracts, store::StoredLog};

pub(super) fn of(contracts: &Contracts, targets: &Targets, log: &StoredLog) -> Vec<NewEffect> {
    let Some((app, from)) = loosened(contracts, targets, log) else { return Vec::new() };
    let notice = GrantNotice { app, block_number: log.block_number };
    let one = |url: &String| {
        let effect = Effect::GrantPush { target: url.clone(), notice: notice.clone() };
        NewEffect::of_log(contracts, log, url, effect).not_before(from)
    };
    targets.peers.iter().map(one).collect()
}

/// The app whose allowed set `log` makes larger, and the time of it.
fn loosened(contracts: &Contracts, targets: &Targets, log: &StoredLog) -> Option<(Address, u64)> {
    if log.address == contracts.kms_auth {
        if let Some(e) = decoded::<KmsAuth::AppRegistered>(log) {
            return Some((e.app, 0));
        }
        let e = decoded::<KmsAuth::AppSuspensionSet>(log).filter(|e| !e.suspended)?;
        return Some((e.app, e.from.to()));
    }
    let app = Some(log.address).filter(|app| targets.apps.contains(app))?;
    loosened_from(log).map(|from| (app, from))
}

fn loosened_from(log: &StoredLog) -> Option<u64> {
    if let Some(e) = decoded::<AppAuth::CodeScheduled>(log) {
        return Some(e.activeFrom.to());
    }
    if let Some(e) = decoded::<AppAuth::DeviceScheduled>(log) {
        return Some(e.allowedFrom.to());
    }
    if let Some(e) = decoded::<AppAuth::AnyDeviceScheduled>(log) {
        return Some(e.allowedFrom.to());
    }
    if let Some(e) = decoded::<AppAuth::TeeScheduled>(log) {
        return Some(e.allowedFrom.to());
    }
    if let Some(e) = decoded::<AppAuth::TcbFloorSet>(log) {
        return Some(e.from.to());
    }
    if let Some(e) = decoded::<AppAuth::ConditionRemoved>(log) {
        return Some(e.from.to());
    }
    if let Some(e) = decoded::<AppAuth::TicketAllowed>(log) {
        return Some(e.from.to());
    }
    if let Some(e) = decoded::<AppAuth::AdvisoryLifted>(log) {
        return Some(e.from.to());
    }
    // A retirement can have been moved to a later time, which is more.
    if decoded::<AppAuth::CodeRetirementSet>(log).is_some() {
        return Some(0);
    }
    decoded::<AppAuth::TicketRequirementSet>(log).filter(|e| !e.needed).map(|e| e.from.to())
}
