// SPDX-License-Identifier: Apache-2.0 OR MIT

use std::collections::BTreeSet;

use alloy::primitives::U256;
use mandate_model::{
    bindings::{AppGovernor, DomainRegistry, KmsCommittee, RoleCouncil},
    wire::gateway::{DomainOrder, DomainRelease},
};

use super::{
    super::{
        Body,
        webhook::{EventKind, WebhookConfig},
    },
    *,
};

const APP: Address = Address::repeat_byte(0xaa);
const COUNCIL: Address = Address::repeat_byte(0x5c);
const CODE: B256 = B256::repeat_byte(0xc0);
const DAY: u64 = 86_400;

fn contracts() -> Contracts {
    Contracts::for_tests()
}

fn log(address: Address, event: &impl SolEvent) -> StoredLog {
    let data = event.encode_log_data();
    StoredLog {
        block_number: 7,
        block_hash: B256::repeat_byte(7),
        timestamp: 0,
        tx_hash: B256::repeat_byte(8),
        log_index: 2,
        address,
        topics: data.topics().to_vec(),
        data: data.data,
    }
}

fn hook(events: &[EventKind]) -> Subscription {
    WebhookConfig::new("ops", "https://x.example", "0123456789abcdef", events.iter().copied()).subscription()
}

fn targets_with(webhooks: Vec<Subscription>) -> Targets {
    let gateways = ["http://gateway".to_owned()].into();
    let plan = Plan { gateways, webhooks, renew_before: 30 * DAY, ..Plan::default() };
    Targets {
        peers: ["http://node-1", "http://gateway"].map(str::to_owned).into(),
        apps: [APP, Address::repeat_byte(0xbb)].into(),
        governance: [COUNCIL].into(),
        plan: Arc::new(plan),
    }
}

fn targets() -> Targets {
    targets_with(Vec::new())
}

fn pushes(log: &StoredLog) -> Vec<(String, RevocationNotice)> {
    let effects = at_head(&contracts(), &targets(), log);
    let push = |new: NewEffect| match new.effect {
        Effect::RevocationPush { target, notice } => (target, notice),
        other => panic!("{other:?}"),
    };
    effects.into_iter().map(push).collect()
}

fn finally(log: &StoredLog) -> Vec<NewEffect> {
    at_finality(&contracts(), &targets(), log, true)
}

fn time(seconds: u64) -> alloy::primitives::aliases::U40 {
    alloy::primitives::aliases::U40::from(seconds)
}

#[test]
fn g7_a_revocation_is_pushed_to_every_target_with_its_code() {
    let found = pushes(&log(APP, &AppAuth::CodeRevoked { codeHash: CODE, by: APP }));
    let notice = RevocationNotice { app: APP, code_hashes: vec![CODE], block_number: 7 };
    assert_eq!(found, [("http://gateway".to_owned(), notice.clone()), ("http://node-1".to_owned(), notice)]);
}

#[test]
fn g7_every_tightening_event_is_pushed_and_no_loosening_one() {
    let by = Address::ZERO;
    let tightening = [
        log(APP, &AppAuth::Paused { by, until: time(0) }),
        log(APP, &AppAuth::DeviceDenied { deviceId: B256::ZERO, by }),
        log(APP, &AppAuth::AnyDeviceRemoved {}),
        log(APP, &AppAuth::TeeRemoved { tee: 1, by }),
        log(APP, &AppAuth::TcbFloorSet { floor: 1, from: time(0) }),
        log(APP, &AppAuth::CodeRetirementSet { codeHash: B256::ZERO, retireAt: time(0) }),
    ];
    for log in &tightening {
        assert_eq!(pushes(log).len(), 2, "{log:?}");
    }
    let scheduled =
        AppAuth::CodeScheduled { codeHash: B256::ZERO, activeFrom: time(0), sourceUri: String::new() };
    assert!(pushes(&log(APP, &scheduled)).is_empty());
}

#[test]
fn a_suspension_concerns_its_app_and_a_revoked_os_image_every_app() {
    let auth = contracts().kms_auth;
    let set = |suspended| KmsAuth::AppSuspensionSet { app: APP, suspended, from: time(0) };
    assert_eq!(pushes(&log(auth, &set(true))).len(), 2);
    assert!(pushes(&log(auth, &set(false))).is_empty());
    let image = KmsAuth::OsImageRevoked { osImageHash: B256::ZERO, by: APP };
    assert_eq!(pushes(&log(auth, &image)).len(), 4);
}

fn approved() -> DomainRegistry::DomainApproved {
    DomainRegistry::DomainApproved { domainHash: B256::ZERO, app: APP, name: "shop.example".to_owned() }
}

#[test]
fn events_of_strangers_cause_nothing() {
    let stranger = Address::repeat_byte(0xcc);
    let hooks =
        targets_with(vec![hook(&[EventKind::Revoked, EventKind::Scheduled, EventKind::AboutToActivate])]);
    let revoked = log(stranger, &AppAuth::CodeRevoked { codeHash: B256::ZERO, by: APP });
    assert!(at_head(&contracts(), &hooks, &revoked).is_empty());
    let scheduled = AppAuth::CodeScheduled { codeHash: CODE, activeFrom: time(9), sourceUri: String::new() };
    for log in [log(stranger, &approved()), log(stranger, &scheduled)] {
        assert!(at_finality(&contracts(), &hooks, &log, true).is_empty());
    }
}

#[test]
fn approved_domain_causes_an_order_whether_it_is_news_or_not() {
    let log = log(contracts().domain_registry, &approved());
    for loud in [false, true] {
        let effects = at_finality(&contracts(), &targets(), &log, loud);
        let order = DomainOrder { name: "shop.example".to_owned() };
        assert_eq!(effects.len(), 1);
        assert_eq!(effects[0].effect, Effect::CertificateOrder { order, app: APP });
        assert_eq!(effects[0].not_before, None);
    }
}

#[test]
fn recorded_certificate_causes_its_renewal_before_it_ends() {
    let recorded = |fingerprint| DomainRegistry::CertificateRecorded {
        domainHash: B256::repeat_byte(1),
        fingerprint,
        spkiHash: B256::ZERO,
        notAfter: time(100 * DAY),
    };
    let due = |fingerprint| {
        let effects = finally(&log(contracts().domain_registry, &recorded(fingerprint)));
        let domain = B256::repeat_byte(1);
        assert_eq!(effects[0].effect, Effect::CertificateRenewal { domain, fingerprint });
        effects[0].not_before.unwrap()
    };
    let all: BTreeSet<u64> = (0..20).map(|n| due(B256::repeat_byte(n))).collect();
    assert!(all.len() > 15, "not all at once: {all:?}");
    assert!(all.iter().all(|due| (70 * DAY..=73 * DAY).contains(due)), "{all:?}");
    assert_eq!(due(CODE), due(CODE), "every relayer means the same moment");
}

#[test]
fn released_domain_is_told_to_every_gateway_and_to_no_node() {
    let domain_hash = B256::repeat_byte(1);
    let released = DomainRegistry::DomainReleased { domainHash: domain_hash, app: APP, by: APP };
    let log = log(contracts().domain_registry, &released);
    let effects = finally(&log);
    let notice = DomainRelease { domain_hash, block_number: 7 };
    assert_eq!(effects.len(), 1);
    assert_eq!(effects[0].effect, Effect::DomainRelease { target: "http://gateway".to_owned(), notice });
    assert!(at_finality(&contracts(), &targets(), &log, false).is_empty(), "it is long gone");
}

#[test]
fn every_loosening_event_is_a_grant_at_its_time_and_no_tightening_one() {
    let (from, hash) = (time(1_000), B256::ZERO);
    let loosening = [
        log(APP, &AppAuth::CodeScheduled { codeHash: hash, activeFrom: from, sourceUri: String::new() }),
        log(APP, &AppAuth::DeviceScheduled { deviceId: hash, allowedFrom: from }),
        log(APP, &AppAuth::AnyDeviceScheduled { allowedFrom: from }),
        log(APP, &AppAuth::TeeScheduled { tee: 1, allowedFrom: from }),
        log(APP, &AppAuth::TcbFloorSet { floor: 1, from }),
        log(APP, &AppAuth::ConditionRemoved { condition: APP, from }),
        log(APP, &AppAuth::TicketAllowed { ticket: hash, from }),
        log(APP, &AppAuth::TicketRequirementSet { needed: false, from }),
        log(APP, &AppAuth::AdvisoryLifted { advisoryHash: hash, from }),
        log(contracts().kms_auth, &KmsAuth::AppSuspensionSet { app: APP, suspended: false, from }),
    ];
    for log in &loosening {
        let effects = finally(log);
        assert_eq!(effects.len(), 2, "{log:?}");
        let due = Some(1_000);
        assert!(effects.iter().all(|new| new.effect.is_grant() && new.not_before == due), "{effects:?}");
    }
    let registered = KmsAuth::AppRegistered { app: APP, registrar: APP, foreign: false };
    assert_eq!(finally(&log(contracts().kms_auth, &registered)).len(), 2);
    let tightening = [
        log(APP, &AppAuth::CodeRevoked { codeHash: hash, by: APP }),
        log(APP, &AppAuth::TicketRequirementSet { needed: true, from }),
        log(APP, &AppAuth::Paused { by: APP, until: from }),
        log(contracts().kms_auth, &KmsAuth::AppSuspensionSet { app: APP, suspended: true, from }),
    ];
    for log in &tightening {
        assert!(finally(log).is_empty(), "{log:?}");
        assert!(at_head(&contracts(), &targets(), log).iter().all(|new| !new.effect.is_grant()));
    }
    assert!(at_finality(&contracts(), &targets(), &loosening[0], false).is_empty(), "old news are no news");
}

#[test]
fn decisions_are_executed_when_they_may_be_and_only_of_those_that_are_named() {
    let id = U256::from(7);
    let queued = AppGovernor::ProposalQueued { proposalId: id, etaSeconds: U256::from(5_000) };
    let approved = RoleCouncil::MotionApproved { motionId: id, role: U256::ZERO, member: APP };
    let effects = finally(&log(COUNCIL, &queued));
    assert_eq!(effects[0].effect, Effect::CheckPassed { at: COUNCIL, body: Body::Governor, id });
    assert_eq!(effects[0].not_before, Some(5_000));
    let effects = finally(&log(COUNCIL, &approved));
    assert_eq!(effects[0].effect, Effect::CheckPassed { at: COUNCIL, body: Body::Council, id });
    assert!(finally(&log(APP, &queued)).is_empty() && finally(&log(APP, &approved)).is_empty());
}

/// The message to the one webhook, and when it is due.
fn told(effects: Vec<NewEffect>) -> Vec<(EventKind, u64)> {
    let message = |new: NewEffect| match new.effect {
        Effect::Webhook { hook, message } => {
            assert_eq!((hook.as_str(), message.place.unwrap().log_index), ("ops", 2));
            Some((message.what.kind(), new.not_before.unwrap_or(0)))
        }
        _ => None,
    };
    effects.into_iter().filter_map(message).collect()
}

#[test]
fn webhooks_hear_at_the_head_of_what_ends_and_at_finality_of_what_is_to_come() {
    use EventKind::{AboutToActivate, Incident, Paused, Revoked, Rotated, Scheduled};
    let all = [Scheduled, AboutToActivate, Revoked, Paused, Rotated, Incident];
    let targets = targets_with(vec![hook(&all)]);
    let (auth, committee) = (contracts().kms_auth, contracts().committee);
    let scheduled =
        AppAuth::CodeScheduled { codeHash: CODE, activeFrom: time(10_000), sourceUri: String::new() };
    let image =
        KmsAuth::OsImageScheduled { osImageHash: CODE, activeFrom: time(10_000), sourceUri: String::new() };
    let at_the_head = [
        (log(APP, &AppAuth::CodeRevoked { codeHash: CODE, by: APP }), Revoked),
        (log(APP, &AppAuth::Sunset { by: APP }), Revoked),
        (log(auth, &KmsAuth::OsImageRevoked { osImageHash: CODE, by: APP }), Revoked),
        (log(APP, &AppAuth::Paused { by: APP, until: time(9) }), Paused),
        (log(auth, &KmsAuth::AppSuspensionSet { app: APP, suspended: true, from: time(0) }), Paused),
        (log(committee, &KmsCommittee::NodeEvicted { nodeKey: APP, by: APP }), Incident),
        (log(committee, &KmsCommittee::CeremonyAborted { round: 3 }), Incident),
        (log(contracts().domain_registry, &reported(APP)), Incident),
    ];
    for (log, kind) in &at_the_head {
        assert_eq!(told(at_head(&contracts(), &targets, log)), [(*kind, 0)], "{log:?}");
        assert!(told(at_finality(&contracts(), &targets, log, true)).is_empty());
    }
    for log in [log(APP, &scheduled), log(auth, &image)] {
        assert!(told(at_head(&contracts(), &targets, &log)).is_empty());
        let expected = [(Scheduled, 0), (AboutToActivate, 10_000 - 3_600)];
        assert_eq!(told(at_finality(&contracts(), &targets, &log, true)), expected);
    }
    let rotated = log(APP, &AppAuth::KeysRotated { generation: 2, previousUntil: time(5) });
    assert_eq!(told(at_finality(&contracts(), &targets, &rotated, true)), [(Rotated, 0)]);
    assert!(told(at_finality(&contracts(), &targets, &rotated, false)).is_empty(), "old news are no news");
}

fn reported(app: Address) -> DomainRegistry::IncidentReported {
    let (hash, fingerprint, reporter) = (B256::repeat_byte(1), CODE, COUNCIL);
    let (name, evidence) = ("shop.example".to_owned(), "https://ct.example/log\n5".to_owned());
    DomainRegistry::IncidentReported { domainHash: hash, fingerprint, reporter, app, name, evidence }
}

#[test]
fn webhook_names_who_reported_an_incident_and_only_to_those_of_its_app() {
    let registry = contracts().domain_registry;
    let mine = Subscription { apps: [APP].into(), ..hook(&[EventKind::Incident]) };
    let targets = targets_with(vec![mine]);
    let effects = at_head(&contracts(), &targets, &log(registry, &reported(APP)));
    let texts = effects.iter().filter_map(|new| match &new.effect {
        Effect::Webhook { message, .. } => Some(message.what.text()),
        _ => None,
    });
    let text = format!(
        "shop.example: certificate {CODE} is not recorded, reports {COUNCIL}, unchecked: https://ct.example/log5"
    );
    let told_to_mine: Vec<_> = texts.collect();
    assert!(told_to_mine.len() == 1 && text.starts_with(&told_to_mine[0]), "{told_to_mine:?}");
    assert!(told_to_mine[0].contains(&COUNCIL.to_string()));
    assert!(told(at_head(&contracts(), &targets, &log(registry, &reported(COUNCIL)))).is_empty());
    assert!(
        told(at_head(&contracts(), &targets, &log(APP, &reported(APP)))).is_empty(),
        "not the registry's"
    );
}

#[test]
fn g10_keys_tell_blocks_logs_apps_and_targets_apart() {
    let revoked = AppAuth::CodeRevoked { codeHash: B256::ZERO, by: APP };
    let first = log(APP, &revoked);
    let two = |name: &str| Subscription { name: name.to_owned(), ..hook(&[EventKind::Revoked]) };
    let targets = targets_with(vec![two("one"), two("two")]);
    let mut keys = BTreeSet::new();
    let variants = [
        first.clone(),
        StoredLog { block_hash: B256::ZERO, ..first.clone() },
        StoredLog { tx_hash: B256::ZERO, ..first.clone() },
        StoredLog { log_index: 3, ..first.clone() },
    ];
    for log in &variants {
        keys.extend(at_head(&contracts(), &targets, log).into_iter().map(|e| e.key));
    }
    assert_eq!(keys.len(), 4 * 4);
    let again: BTreeSet<_> = at_head(&contracts(), &targets, &first).into_iter().map(|e| e.key).collect();
    assert!(again.is_subset(&keys), "the same log gives the same keys");
}
