// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Certificates: ordered when a domain is approved, ordered again before they end, revoked when it is released.

use alloy::primitives::{FixedBytes, keccak256};
use mandate_model::{
    bindings::DomainRegistry,
    wire::gateway::{DomainOrder, DomainRelease},
};

use super::{
    super::{Effect, NewEffect},
    Targets, decoded,
};
use crate::{chain::Contracts, store::StoredLog};

pub(super) fn of(contracts: &Contracts, targets: &Targets, log: &StoredLog, loud: bool) -> Vec<NewEffect> {
    if log.address != contracts.domain_registry {
        return Vec::new();
    }
    if let Some(e) = decoded::<DomainRegistry::DomainApproved>(log) {
        let effect = Effect::CertificateOrder { order: DomainOrder { name: e.name }, app: e.app };
        return vec![NewEffect::of_log(contracts, log, "gateways", effect)];
    }
    if let Some(e) = decoded::<DomainRegistry::CertificateRecorded>(log) {
        let effect = Effect::CertificateRenewal { domain: e.domainHash, fingerprint: e.fingerprint };
        let due = e.notAfter.to::<u64>().saturating_sub(targets.plan.renew_before);
        let due = due.saturating_add(jitter(&e, targets.plan.renew_before));
        return vec![NewEffect::of_log(contracts, log, "gateways", effect).not_before(due)];
    }
    match decoded::<DomainRegistry::DomainReleased>(log) {
        Some(e) if loud => {
            let notice = DomainRelease { domain_hash: e.domainHash, block_number: log.block_number };
            let one = |url: &String| {
                let effect = Effect::DomainRelease { target: url.clone(), notice: notice.clone() };
                NewEffect::of_log(contracts, log, url, effect)
            };
            targets.plan.gateways.iter().map(one).collect()
        }
        _ => Vec::new(),
    }
}

/// Up to a tenth of the time that is left for renewing, so that certificates of one day are not ordered in one minute. The
/// same for every relayer: it follows from the certificate.
fn jitter(recorded: &DomainRegistry::CertificateRecorded, renew_before: u64) -> u64 {
    let FixedBytes([high, low, ..]) = keccak256([recorded.domainHash, recorded.fingerprint].concat());
    let share = u64::from(u16::from_be_bytes([high, low]));
    (renew_before / 10).saturating_mul(share) / u64::from(u16::MAX)
}
