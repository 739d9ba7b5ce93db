// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which effects a log causes. Pure.

use std::{collections::BTreeSet, sync::Arc};

use alloy::{
    primitives::{Address, B256, LogData},
    sol_types::SolEvent,
};
use mandate_model::{
    bindings::{AppAuth, KmsAuth},
    wire::{BlockRef, kms::RevocationNotice},
};

use super::{
    Effect, NewEffect,
    webhook::{Message, Occurrence, Place, Subscription, about_to_activate, told_at_finality, told_at_head},
};
use crate::{chain::Contracts, store::StoredLog};

mod domains;
mod governance;
mod grants;

/// What the configuration says about effects; the same for every log.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// Base URLs of the gateways.
    pub gateways: BTreeSet<String>,
    /// Who wants to be told what.
    pub webhooks: Vec<Subscription>,
    /// Governors and councils that are named.
    pub governance: BTreeSet<Address>,
    /// Whether the owners of registered apps count among them.
    pub discover: bool,
    /// Whether what they decide is executed.
    pub execute: bool,
    /// A certificate is ordered again this many seconds before its end.
    pub renew_before: u64,
}

/// Whom effects are for.
#[derive(Debug, Clone, Default)]
pub struct Targets {
    /// Base URLs of nodes and gateways that are told of revocations and grants.
    pub peers: BTreeSet<String>,
    /// Registered apps.
    pub apps: BTreeSet<Address>,
    /// Governors and councils whose decisions are executed.
    pub governance: BTreeSet<Address>,
    /// What the configuration says.
    pub plan: Arc<Plan>,
}

/// What must be done as soon as the head shows `log` (G-7): whoever may still act on an older view is told to look again.
pub fn at_head(contracts: &Contracts, targets: &Targets, log: &StoredLog) -> Vec<NewEffect> {
    let mut effects = Vec::new();
    for (app, code_hashes) in tightened(contracts, targets, log) {
        let notice = RevocationNotice { app, code_hashes, block_number: log.block_number };
        for url in &targets.peers {
            let target = format!("{app}:{url}");
            let effect = Effect::RevocationPush { target: url.clone(), notice: notice.clone() };
            effects.push(NewEffect::of_log(contracts, log, &target, effect));
        }
    }
    if let Some(what) = told_at_head(contracts, targets, log) {
        effects.extend(messages(contracts, targets, log, &what));
    }
    effects
}

/// What must be done once `log` is final. Of what was final before this relayer first ran, `loud` is not set: what then
/// still concerns somebody is done, what was only news is not.
pub fn at_finality(contracts: &Contracts, targets: &Targets, log: &StoredLog, loud: bool) -> Vec<NewEffect> {
    let mut effects = domains::of(contracts, targets, log, loud);
    effects.extend(governance::of(contracts, targets, log));
    if loud {
        effects.extend(grants::of(contracts, targets, log));
        if let Some(what) = told_at_finality(contracts, targets, log) {
            effects.extend(messages(contracts, targets, log, &what));
        }
    }
    effects
}

/// One message to each webhook that wants it, and later another where something is to come.
fn messages(contracts: &Contracts, targets: &Targets, log: &StoredLog, what: &Occurrence) -> Vec<NewEffect> {
    let place = Place {
        block: BlockRef { number: log.block_number, hash: log.block_hash },
        transaction: log.tx_hash,
        log_index: log.log_index,
    };
    let message = |what| Message { chain_id: contracts.chain_id, place: Some(place), what };
    let later = about_to_activate(what);
    let mut effects = Vec::new();
    for hook in &targets.plan.webhooks {
        if hook.wants(what) {
            let effect = Effect::Webhook { hook: hook.name.clone(), message: message(what.clone()) };
            effects.push(NewEffect::of_log(contracts, log, &hook.name, effect));
        }
        if let Some((what, at)) = later.clone().filter(|(what, _)| hook.wants(what)) {
            let effect = Effect::Webhook { hook: hook.name.clone(), message: message(what) };
            let new = NewEffect::of_log(contracts, log, &format!("{}:about-to-activate", hook.name), effect);
            effects.push(new.not_before(at.saturating_sub(hook.lead)));
        }
    }
    effects
}

/// The apps whose allowed set `log` made smaller, and the code hashes it revoked in them.
fn tightened(contracts: &Contracts, targets: &Targets, log: &StoredLog) -> Vec<(Address, Vec<B256>)> {
    match log.address {
        a if a == contracts.kms_auth => tightened_by_registry(targets, log),
        a if targets.apps.contains(&a) => tightened_by_app(log).map(|codes| (a, codes)).into_iter().collect(),
        _ => Vec::new(),
    }
}

fn tightened_by_registry(targets: &Targets, log: &StoredLog) -> Vec<(Address, Vec<B256>)> {
    if let Some(e) = decoded::<KmsAuth::AppSuspensionSet>(log) {
        return if e.suspended { vec![(e.app, Vec::new())] } else { Vec::new() };
    }
    match decoded::<KmsAuth::OsImageRevoked>(log) {
        Some(_) => targets.apps.iter().map(|app| (*app, Vec::new())).collect(),
        None => Vec::new(),
    }
}

fn tightened_by_app(log: &StoredLog) -> Option<Vec<B256>> {
    match log.topics.first()? {
        t if *t == AppAuth::CodeRevoked::SIGNATURE_HASH => {
            decoded::<AppAuth::CodeRevoked>(log).map(|e| vec![e.codeHash])
        }
        t if TIGHTENING.contains(t) => Some(Vec::new()),
        _ => None,
    }
}

/// Events of an app, other than a revocation, after which fewer boots are allowed.
const TIGHTENING: &[B256] = &[
    AppAuth::Paused::SIGNATURE_HASH,
    AppAuth::DeviceDenied::SIGNATURE_HASH,
    AppAuth::AnyDeviceRemoved::SIGNATURE_HASH,
    AppAuth::TeeRemoved::SIGNATURE_HASH,
    AppAuth::TcbFloorSet::SIGNATURE_HASH,
    AppAuth::CodeRetirementSet::SIGNATURE_HASH,
    AppAuth::CodesSuperseded::SIGNATURE_HASH,
    AppAuth::Sunset::SIGNATURE_HASH,
    AppAuth::ConditionAdded::SIGNATURE_HASH,
    AppAuth::TicketRequirementSet::SIGNATURE_HASH,
    AppAuth::TicketRevoked::SIGNATURE_HASH,
    AppAuth::AdvisoryDenied::SIGNATURE_HASH,
];

/// The log as event `E`, or nothing when it is another event.
pub(crate) fn decoded<E: SolEvent>(log: &StoredLog) -> Option<E> {
    let data = LogData::new(log.topics.clone(), log.data.clone())?;
    E::decode_log_data_validate(&data).ok()
}

#[cfg(test)]
mod tests;
