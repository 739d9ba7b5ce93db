// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the contracts say of themselves, beside what was folded.

use std::collections::BTreeMap;

use alloy::primitives::{Address, B256, U256, keccak256};
use mandate_model::{
    bindings::{AppAuth, DomainRegistry, KmsAuth, Version as Told},
    boot::BootFacts,
    state::{App, Governed, Version},
};
use mandate_witness::BlockRef;

use crate::{
    steps::{ADVISORIES, hash, name, t},
    town::Town,
};

/// `contracts/types/Upgrades.sol`: an end that is past, and of which nobody kept the time.
const LONG_AGO: u64 = 1;

fn assert_version(told: Told, version: &Version, now: u64) {
    assert_eq!((told.activeFrom, told.revoked), (t(version.active_from), version.revoked));
    match told.retireAt.to::<u64>() {
        LONG_AGO => assert!(version.retire_at <= now, "{version:?} has not ended by {now}"),
        told => assert_eq!(told, version.retire_at),
    }
}

impl Town {
    pub(crate) async fn check(&self) {
        let app = self.state.app(self.app).unwrap().1.unwrap();
        self.check_governed(self.contracts.kms_auth, &self.state.registry.governed).await;
        self.check_governed(self.app, &app.governed).await;
        self.check_app(app).await;
        self.check_registry().await;
        self.check_domains().await;
        self.check_decision().await;
    }

    pub(crate) fn now(&self) -> u64 {
        self.chain.head().timestamp()
    }

    pub(crate) async fn check_governed(&self, to: Address, governed: &Governed) {
        let now = self.now();
        assert_eq!(self.ask(to, KmsAuth::ownerCall {}).await, governed.owner);
        assert_eq!(self.ask(to, KmsAuth::guardianCall {}).await, governed.guardian.at(now));
        assert_eq!(self.ask(to, KmsAuth::noticeCall {}).await, t(governed.notice.at(now)));
        let pending = self.ask(to, KmsAuth::pendingOwnerCall {}).await;
        let (owner, from) = governed.pending_owner.unwrap_or_default();
        assert_eq!((pending.newOwner, pending.acceptableFrom), (owner, t(from)));
        let pending = self.ask(to, KmsAuth::pendingGuardianCall {}).await;
        let (guardian, from) = governed.guardian.pending(now).unwrap_or_default();
        assert_eq!((pending.newGuardian, pending.from), (guardian, t(from)));
        let pending = self.ask(to, KmsAuth::pendingNoticeCall {}).await;
        let (notice, from) = governed.notice.pending(now).unwrap_or_default();
        assert_eq!((pending.newNotice, pending.from), (t(notice), t(from)));
    }

    async fn check_app(&self, app: &App) {
        let (to, now) = (self.app, self.now());
        for n in 0..4 {
            let told = self.ask(to, AppAuth::codeStateCall { codeHash: hash(n) }).await;
            let version = app.codes.get(&hash(n)).cloned().unwrap_or_default();
            assert_eq!(told.state, version.state(now) as u8, "code {n}");
            assert_version(told.version.into(), &version, now);
            let any = app.any_device_from.is_some_and(|from| from <= now);
            let device = app.devices.get(&hash(n)).copied().unwrap_or_default();
            let listed = device.allowed_from != 0 && device.allowed_from <= now;
            let allowed = self.ask(to, AppAuth::isDeviceAllowedCall { deviceId: hash(n) }).await;
            assert_eq!(allowed, now >= device.denied_until && (any || listed), "device {n}");
            let allowed = self.ask(to, AppAuth::isTeeAllowedCall { tee: n }).await;
            assert_eq!(allowed, app.tees.get(&n).is_some_and(|from| *from <= now), "TEE {n}");
        }
        assert_eq!(self.ask(to, AppAuth::tcbFloorCall {}).await, app.tcb_floor.at(now));
        assert_eq!(self.ask(to, AppAuth::pausedUntilCall {}).await, t(app.paused_until));
        assert_eq!(self.ask(to, AppAuth::isGuardianPauseArmedCall {}).await, app.guardian_pause_armed);
        let generation = self.ask(to, AppAuth::generationCall {}).await;
        assert_eq!((generation.current, generation.previousUntil), (app.generation, t(app.previous_until)));
        assert_eq!(self.ask(to, AppAuth::isSunsetCall {}).await, app.sunset);
        self.check_requirements(app).await;
    }

    async fn check_requirements(&self, app: &App) {
        let (to, now) = (self.app, self.now());
        let told = self.ask(to, AppAuth::conditionsCall {}).await;
        let told: BTreeMap<_, _> = told.into_iter().map(|c| (c.condition, c.endsAt.to::<u64>())).collect();
        let in_force = app.conditions.iter().filter(|(_, end)| **end == 0 || now < **end);
        assert_eq!(told, in_force.map(|(condition, end)| (*condition, *end)).collect());
        let told = self.ask(to, AppAuth::ticketRequirementCall {}).await;
        let end = app.ticket_needed.pending(now).map(|(_, from)| from).unwrap_or_default();
        assert_eq!((told.needed, told.endsAt), (app.ticket_needed.at(now), t(end)));
        for n in 0..4 {
            let from = self.ask(to, AppAuth::ticketAllowedFromCall { ticket: hash(n) }).await;
            assert_eq!(from, t(app.tickets.get(&hash(n)).copied().unwrap_or_default()), "ticket {n}");
        }
        for id in ADVISORIES {
            let until = self.ask(to, AppAuth::advisoryDeniedUntilCall { advisoryId: id.to_owned() }).await;
            assert_eq!(until, t(app.advisories.get(&keccak256(id)).copied().unwrap_or_default()), "{id}");
        }
    }

    async fn check_registry(&self) {
        let (to, now, registry) = (self.contracts.kms_auth, self.now(), &self.state.registry);
        for n in 0..4 {
            let told = self.ask(to, KmsAuth::osImageStateCall { osImageHash: hash(n) }).await;
            let version = registry.os_images.get(&hash(n)).cloned().unwrap_or_default();
            assert_eq!(told.state, version.state(now) as u8, "OS image {n}");
            assert_version(told.version, &version, now);
        }
        let registration = registry.apps[&self.app];
        let told = self.ask(to, KmsAuth::isRegisteredCall { app: self.app }).await;
        assert_eq!((told.registered, told.foreign), (true, registration.foreign));
        let suspended = self.ask(to, KmsAuth::isSuspendedCall { app: self.app }).await;
        assert_eq!(suspended, now < registration.suspended_until);
        assert_eq!(self.ask(to, KmsAuth::kmsAppCall {}).await, registry.kms_app.at(now));
        assert_eq!(self.ask(to, KmsAuth::gatewayAppCall {}).await, registry.gateway_app.at(now));
    }

    async fn check_domains(&self) {
        let (to, domains) = (self.contracts.domain_registry, &self.state.domains);
        assert_eq!(self.ask(to, DomainRegistry::ownerCall {}).await, domains.owner);
        let guardian = self.chain.accounts()[1];
        let recorder = self.ask(to, DomainRegistry::isRecorderCall { recorder: guardian }).await;
        assert_eq!(recorder, domains.recorders.contains(&guardian));
        for n in 0..3 {
            self.check_incidents(n).await;
            let told = self.ask(to, DomainRegistry::domainCall { name: name(n) }).await;
            let Some(domain) = domains.domains.get(&keccak256(name(n))) else {
                assert_eq!(told.app, Address::ZERO);
                continue;
            };
            assert_eq!(
                (told.app, told.name, told.approvedAt),
                (domain.app, domain.name.clone(), t(domain.approved_at))
            );
            assert_eq!((told.issuer, told.accountUri), (domain.issuer.clone(), domain.account_uri.clone()));
            let newest = domain.certificates.last();
            assert_eq!(told.certificate, newest.map(|c| c.fingerprint).unwrap_or_default());
            assert_eq!(told.notAfter, t(newest.map(|c| c.not_after).unwrap_or_default()));
        }
    }

    async fn check_incidents(&self, n: u8) {
        let (to, none) = (self.contracts.domain_registry, BTreeMap::new());
        let incidents = self.state.domains.incidents_of(&keccak256(name(n))).unwrap_or(&none);
        let open = incidents.values().filter(|incident| incident.closing.is_none()).count();
        let told = self.ask(to, DomainRegistry::openIncidentsCall { name: name(n) }).await;
        assert_eq!(told, U256::from(open), "{}", name(n));
        for fingerprint in [hash(0), hash(1)] {
            let call = DomainRegistry::incidentCall { name: name(n), fingerprint };
            let told = self.ask(to, call).await;
            let (state, reported_at, closed_at, reporter) = match incidents.get(&fingerprint) {
                None => (0, 0, 0, Address::ZERO),
                Some(i) => {
                    let closed_at = i.closing.as_ref().map(|closing| closing.at);
                    (
                        1 + u8::from(closed_at.is_some()),
                        i.reported_at,
                        closed_at.unwrap_or_default(),
                        i.reporter,
                    )
                }
            };
            assert_eq!(
                (told.state, told.reportedAt, told.closedAt, told.reporter),
                (state, t(reported_at), t(closed_at), reporter),
                "{} {fingerprint}",
                name(n)
            );
        }
    }

    /// The chain's own answer, and the one that is executed on a proof at the same block.
    async fn check_decision(&self) {
        let head = self.chain.head();
        let block = BlockRef { number: head.number(), hash: head.hash() };
        for code in [hash(0), hash(1)] {
            let facts = BootFacts {
                app_id: self.app,
                compose_hash: code,
                instance_id: Address::repeat_byte(9),
                device_id: hash(1),
                mr_aggregated: B256::ZERO,
                mr_system: B256::ZERO,
                os_image_hash: hash(0),
                tcb_status: "SWHardeningNeeded".into(),
                advisory_ids: vec![ADVISORIES[0].into()],
                tee: 1,
                ticket: hash(0),
            };
            let call = KmsAuth::decideCall { request: facts.request(0) };
            let proven = self.reader.read_at(block, self.contracts.kms_auth, &call).await.unwrap();
            assert_eq!(proven.timestamp, self.now());
            assert_eq!(proven.value, self.ask(self.contracts.kms_auth, call).await);
        }
    }
}
