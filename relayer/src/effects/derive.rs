// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which effects a log causes. Pure.

use std::collections::BTreeSet;

use alloy::{
    primitives::{Address, B256, LogData},
    sol_types::SolEvent,
};
use mandate_model::{
    bindings::{AppAuth, DomainRegistry, KmsAuth},
    wire::{gateway::DomainOrder, kms::RevocationNotice},
};

use super::{Effect, NewEffect};
use crate::{chain::Contracts, store::StoredLog};

/// Whom effects are for.
#[derive(Debug, Clone, Default)]
pub struct Targets {
    /// Base URLs of nodes and gateways that are told of revocations.
    pub revocations: BTreeSet<String>,
    /// Registered apps.
    pub apps: BTreeSet<Address>,
}

/// What must be done as soon as the head shows `log` (G-7): whoever may still act on an older view is told to look again.
pub fn at_head(contracts: &Contracts, targets: &Targets, log: &StoredLog) -> Vec<NewEffect> {
    let notices = tightened(contracts, targets, log).into_iter().map(|(app, code_hashes)| RevocationNotice {
        app,
        code_hashes,
        block_number: log.block_number,
    });
    notices
        .flat_map(|notice| {
            targets.revocations.iter().map(move |url| {
                let target = format!("{}:{url}", notice.app);
                let effect = Effect::RevocationPush { target: url.clone(), notice: notice.clone() };
                NewEffect::of_log(contracts, log, &target, effect)
            })
        })
        .collect()
}

/// What must be done once `log` is final.
pub fn at_finality(contracts: &Contracts, log: &StoredLog) -> Vec<NewEffect> {
    if log.address != contracts.domain_registry {
        return Vec::new();
    }
    let approved = decoded::<DomainRegistry::DomainApproved>(log);
    let order =
        approved.map(|e| Effect::CertificateOrder { order: DomainOrder { name: e.name }, app: e.app });
    order.map(|effect| NewEffect::of_log(contracts, log, "gateways", effect)).into_iter().collect()
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
mod tests {
    use super::*;

    const APP: Address = Address::repeat_byte(0xaa);

    fn contracts() -> Contracts {
        Contracts::for_tests()
    }

    fn log(address: Address, event: &impl SolEvent) -> StoredLog {
        let data = event.encode_log_data();
        StoredLog {
            block_number: 7,
            block_hash: B256::repeat_byte(7),
            timestamp: 1_700_000_000,
            tx_hash: B256::repeat_byte(8),
            log_index: 2,
            address,
            topics: data.topics().to_vec(),
            data: data.data,
        }
    }

    fn targets() -> Targets {
        Targets {
            revocations: ["http://node-1", "http://gateway"].map(str::to_owned).into(),
            apps: [APP, Address::repeat_byte(0xbb)].into(),
        }
    }

    fn pushes(log: &StoredLog) -> Vec<(String, RevocationNotice)> {
        let effects = at_head(&contracts(), &targets(), log);
        effects
            .into_iter()
            .map(|new| match new.effect {
                Effect::RevocationPush { target, notice } => (target, notice),
                other => panic!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn g7_a_revocation_is_pushed_to_every_target_with_its_code() {
        let code = B256::repeat_byte(1);
        let found = pushes(&log(APP, &AppAuth::CodeRevoked { codeHash: code, by: APP }));
        let notice = RevocationNotice { app: APP, code_hashes: vec![code], block_number: 7 };
        assert_eq!(
            found,
            [("http://gateway".to_owned(), notice.clone()), ("http://node-1".to_owned(), notice)]
        );
    }

    #[test]
    fn g7_every_tightening_event_is_pushed_and_no_loosening_one() {
        let by = Address::ZERO;
        let tightening = [
            log(APP, &AppAuth::Paused { by, until: Default::default() }),
            log(APP, &AppAuth::DeviceDenied { deviceId: B256::ZERO, by }),
            log(APP, &AppAuth::AnyDeviceRemoved {}),
            log(APP, &AppAuth::TeeRemoved { tee: 1, by }),
            log(APP, &AppAuth::TcbFloorSet { floor: 1, from: Default::default() }),
            log(APP, &AppAuth::CodeRetirementSet { codeHash: B256::ZERO, retireAt: Default::default() }),
        ];
        for log in &tightening {
            assert_eq!(pushes(log).len(), 2, "{log:?}");
        }
        let scheduled = AppAuth::CodeScheduled {
            codeHash: B256::ZERO,
            activeFrom: Default::default(),
            sourceUri: String::new(),
        };
        assert!(pushes(&log(APP, &scheduled)).is_empty());
    }

    #[test]
    fn a_suspension_concerns_its_app_and_a_revoked_os_image_every_app() {
        let auth = contracts().kms_auth;
        let set = |suspended| KmsAuth::AppSuspensionSet { app: APP, suspended, from: Default::default() };
        assert_eq!(pushes(&log(auth, &set(true))).len(), 2);
        assert!(pushes(&log(auth, &set(false))).is_empty());
        let image = KmsAuth::OsImageRevoked { osImageHash: B256::ZERO, by: APP };
        assert_eq!(pushes(&log(auth, &image)).len(), 4);
    }

    #[test]
    fn events_of_strangers_cause_nothing() {
        let stranger = Address::repeat_byte(0xcc);
        assert!(pushes(&log(stranger, &AppAuth::CodeRevoked { codeHash: B256::ZERO, by: APP })).is_empty());
        let approved = DomainRegistry::DomainApproved {
            domainHash: B256::ZERO,
            app: APP,
            name: "shop.example".to_owned(),
        };
        assert!(at_finality(&contracts(), &log(stranger, &approved)).is_empty());
        assert_eq!(at_finality(&contracts(), &log(contracts().domain_registry, &approved)).len(), 1);
    }

    #[test]
    fn g10_keys_tell_blocks_logs_apps_and_targets_apart() {
        let revoked = AppAuth::CodeRevoked { codeHash: B256::ZERO, by: APP };
        let first = log(APP, &revoked);
        let mut keys = BTreeSet::new();
        let variants = [
            first.clone(),
            StoredLog { block_hash: B256::ZERO, ..first.clone() },
            StoredLog { tx_hash: B256::ZERO, ..first.clone() },
            StoredLog { log_index: 3, ..first.clone() },
        ];
        for log in &variants {
            keys.extend(at_head(&contracts(), &targets(), log).into_iter().map(|e| e.key));
        }
        assert_eq!(keys.len(), 8);
        let again: BTreeSet<_> =
            at_head(&contracts(), &targets(), &first).into_iter().map(|e| e.key).collect();
        assert!(again.is_subset(&keys), "the same log gives the same keys");
    }
}
