// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Random transactions, and those that must happen for the random ones to mean something.

use alloy::{
    primitives::{Address, B256, aliases::U40},
    sol_types::SolCall,
};
use mandate_model::bindings::{AppAuth, DomainRegistry, KmsAuth};
use proptest::prelude::*;

use crate::town::Town;

/// Security advisories that are denied and lifted.
pub(crate) const ADVISORIES: [&str; 2] = ["INTEL-SA-00001", "INTEL-SA-00002"];

pub(crate) const NOTICE: u64 = 100;
/// For how long a quorum's word on a node is good.
pub(crate) const ATTESTATION: u64 = 100_000;

pub(crate) fn t(seconds: u64) -> U40 {
    U40::from(seconds)
}

pub(crate) fn hash(n: u8) -> B256 {
    B256::repeat_byte(n + 1)
}

pub(crate) fn name(n: u8) -> String {
    format!("app-{n}.example")
}

/// Who sends a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    Owner,
    Guardian,
    Stranger,
}

#[derive(Debug, Clone)]
pub(crate) enum Step {
    Wait(u64),
    Send(By, Target, Vec<u8>),
    Require(Require),
}

/// A change of the app's conditions, by the number of the contract that is named.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Require {
    Add(usize),
    Remove(usize),
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Target {
    Registry,
    App,
    Domains,
}

fn on_app() -> impl Strategy<Value = Vec<u8>> {
    (0usize..23, 0u8..4, 0u64..400, any::<bool>()).prop_map(|(which, n, seconds, flag)| {
        let (codeHash, deviceId, until) = (hash(n), hash(n), t(1 << 33));
        match which {
            0 | 1 => {
                let (sourceUri, handover) = ("git+https://example".to_owned(), t(seconds));
                AppAuth::scheduleCodeCall { codeHash, sourceUri, supersede: flag, handover }.abi_encode()
            }
            2 => AppAuth::revokeCodeCall { codeHash, rotate: flag }.abi_encode(),
            3 => AppAuth::retireCodeCall { codeHash, retireAt: until }.abi_encode(),
            4 => AppAuth::addComposeHashCall { composeHash: codeHash }.abi_encode(),
            5 => AppAuth::removeComposeHashCall { composeHash: codeHash }.abi_encode(),
            6 => AppAuth::armGuardianPauseCall {}.abi_encode(),
            7 => AppAuth::allowDeviceCall { deviceId }.abi_encode(),
            8 => AppAuth::denyDeviceCall { deviceId }.abi_encode(),
            9 if flag => AppAuth::allowAnyDeviceCall {}.abi_encode(),
            9 => AppAuth::removeAnyDeviceCall {}.abi_encode(),
            10 if flag => AppAuth::allowTeeCall { tee: n }.abi_encode(),
            10 => AppAuth::removeTeeCall { tee: n }.abi_encode(),
            11 => AppAuth::setTcbFloorCall { floor: n + 1 }.abi_encode(),
            12 => AppAuth::rotateKeysCall { handover: t(seconds) }.abi_encode(),
            13..=16 => requirement(which, n, flag),
            17 => {
                let (sourceUri, handover) = (String::new(), t(seconds));
                AppAuth::scheduleCodeUntilCall {
                    codeHash,
                    sourceUri,
                    supersede: flag,
                    handover,
                    expiresAt: until,
                }
                .abi_encode()
            }
            18 if seconds < 20 => AppAuth::sunsetCall {}.abi_encode(),
            _ => governed(which, n, seconds),
        }
    })
}

fn requirement(which: usize, n: u8, flag: bool) -> Vec<u8> {
    let (ticket, advisoryId) = (hash(n), ADVISORIES[usize::from(n % 2)].to_owned());
    match which {
        13 => AppAuth::requireTicketCall { needed: flag }.abi_encode(),
        14 if flag => AppAuth::allowTicketCall { ticket }.abi_encode(),
        14 => AppAuth::revokeTicketCall { ticket }.abi_encode(),
        15 => AppAuth::denyAdvisoryCall { advisoryId }.abi_encode(),
        _ => AppAuth::liftAdvisoryCall { advisoryId }.abi_encode(),
    }
}

fn governed(which: usize, n: u8, seconds: u64) -> Vec<u8> {
    match which % 4 {
        0 => AppAuth::setNoticeCall { notice_: t(seconds) }.abi_encode(),
        1 => AppAuth::setGuardianCall { guardian_: Address::repeat_byte(n) }.abi_encode(),
        2 => AppAuth::transferOwnershipCall { newOwner: Address::repeat_byte(n) }.abi_encode(),
        _ => AppAuth::acceptOwnershipCall {}.abi_encode(),
    }
}

fn on_registry() -> impl Strategy<Value = Vec<u8>> {
    (0usize..9, 0u8..4, 0u64..400).prop_map(|(which, n, seconds)| {
        let osImageHash = hash(n);
        match which {
            0 | 1 => KmsAuth::scheduleOsImageCall { osImageHash, sourceUri: String::new() }.abi_encode(),
            2 => KmsAuth::retireOsImageCall { osImageHash, retireAt: t(0) }.abi_encode(),
            3 => KmsAuth::revokeOsImageCall { osImageHash }.abi_encode(),
            _ => governed(which, n, seconds),
        }
    })
}

fn on_domains() -> impl Strategy<Value = Vec<u8>> {
    (0usize..9, 0u8..3, any::<bool>()).prop_map(|(which, n, flag)| {
        let name = name(n);
        match which {
            0 => DomainRegistry::releaseDomainCall { name }.abi_encode(),
            1 => {
                let (issuer, accountUri) = (format!("ca{n}.example"), "https://ca.example/1".to_owned());
                DomainRegistry::pinAccountCall { name, issuer, accountUri }.abi_encode()
            }
            5 | 6 => report(name, u8::from(flag)),
            7 | 8 => close(name, u8::from(flag)),
            _ => {
                let (fingerprint, notAfter) = (hash(u8::from(flag)), t(5000));
                DomainRegistry::recordCertificateCall { name, fingerprint, spkiHash: B256::ZERO, notAfter }
                    .abi_encode()
            }
        }
    })
}

fn report(name: String, n: u8) -> Vec<u8> {
    let evidence = format!("log {n}");
    DomainRegistry::reportIncidentCall { name, fingerprint: hash(n), evidence }.abi_encode()
}

fn close(name: String, n: u8) -> Vec<u8> {
    DomainRegistry::closeIncidentCall { name, fingerprint: hash(n), reason: "known".into() }.abi_encode()
}

fn by() -> impl Strategy<Value = By> {
    prop_oneof![6 => Just(By::Owner), 3 => Just(By::Guardian), 1 => Just(By::Stranger)]
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (1u64..300).prop_map(Step::Wait),
        1 => (0usize..3, any::<bool>())
            .prop_map(|(n, add)| Step::Require(if add { Require::Add(n) } else { Require::Remove(n) })),
        6 => (by(), on_app()).prop_map(|(by, data)| Step::Send(by, Target::App, data)),
        2 => (by(), on_registry()).prop_map(|(by, data)| Step::Send(by, Target::Registry, data)),
        2 => (by(), on_domains()).prop_map(|(by, data)| Step::Send(by, Target::Domains, data)),
    ]
}

/// Calls that need the app's or an account's address, or the present time.
pub(crate) async fn warm_up(town: &mut Town) {
    let (app, guardian, until) = (town.app, town.chain.accounts()[1], t(town.now() + 500));
    let calls = [
        (
            By::Owner,
            Target::Domains,
            DomainRegistry::setRecorderCall { recorder: guardian, allowed: true }.abi_encode(),
        ),
        (By::Owner, Target::Domains, DomainRegistry::approveDomainCall { name: name(0), app }.abi_encode()),
        (By::Owner, Target::Domains, DomainRegistry::approveDomainCall { name: name(1), app }.abi_encode()),
        (By::Stranger, Target::Domains, report(name(0), 0)),
        (By::Stranger, Target::Domains, report(name(0), 1)),
        (By::Owner, Target::Domains, close(name(0), 1)),
        (By::Owner, Target::Domains, DomainRegistry::releaseDomainCall { name: name(0) }.abi_encode()),
        (By::Owner, Target::Domains, DomainRegistry::approveDomainCall { name: name(0), app }.abi_encode()),
        (By::Owner, Target::Registry, KmsAuth::setKmsAppCall { app }.abi_encode()),
        (By::Owner, Target::Registry, KmsAuth::setGatewayAppCall { app }.abi_encode()),
        (By::Guardian, Target::Registry, KmsAuth::suspendAppCall { app }.abi_encode()),
        (By::Owner, Target::Registry, KmsAuth::liftSuspensionCall { app }.abi_encode()),
        (By::Guardian, Target::App, AppAuth::pauseCall { until }.abi_encode()),
        (
            By::Owner,
            Target::Registry,
            KmsAuth::scheduleOsImageCall { osImageHash: hash(0), sourceUri: String::new() }.abi_encode(),
        ),
        (By::Owner, Target::App, AppAuth::transferOwnershipCall { newOwner: guardian }.abi_encode()),
    ];
    for (by, target, data) in calls {
        town.step(&Step::Send(by, target, data)).await;
        town.check().await;
    }
    town.step(&Step::Wait(600)).await;
    town.check().await;
}
