// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Decisions that wait for somebody to execute them.

use mandate_model::bindings::{AppGovernor, RoleCouncil};

use super::{
    super::{Body, Effect, NewEffect},
    Targets, decoded,
};
use crate::{chain::Contracts, store::StoredLog};

/// A queued proposal is executed when its veto window ends; a motion as soon as an approval may have been the last one.
pub(super) fn of(contracts: &Contracts, targets: &Targets, log: &StoredLog) -> Vec<NewEffect> {
    if !targets.governance.contains(&log.address) {
        return Vec::new();
    }
    let check = |body, id| {
        let effect = Effect::CheckPassed { at: log.address, body, id };
        NewEffect::of_log(contracts, log, "execution", effect)
    };
    if let Some(e) = decoded::<AppGovernor::ProposalQueued>(log) {
        return vec![check(Body::Governor, e.proposalId).not_before(e.etaSeconds.saturating_to())];
    }
    match decoded::<RoleCouncil::MotionApproved>(log) {
        Some(e) => vec![check(Body::Council, e.motionId)],
        None => Vec::new(),
    }
}
