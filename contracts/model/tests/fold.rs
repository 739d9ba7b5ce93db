// SPDX-License-Identifier: Apache-2.0 OR MIT
//! G-9: the state that is folded from events is the one that the contracts have.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]
// The contracts' own names, so that event fields can be filled by shorthand.
#![allow(non_snake_case)]

use alloy::primitives::{Address, B256, Bytes, U256, aliases::U40, keccak256};
use mandate_model::{
    bindings::{AppAuth, DomainRegistry, KmsAuth, KmsCommittee},
    event::{Event, Position},
    state::{CeremonyKind, Closing, Contracts, FOREVER, Incident, State, VersionState, fold},
    wire::BlockRef,
};
use proptest::prelude::*;

const KMS_AUTH: Address = Address::repeat_byte(0xa1);
const COMMITTEE: Address = Address::repeat_byte(0xa2);
const DOMAINS: Address = Address::repeat_byte(0xa3);
const APP: Address = Address::repeat_byte(0xb1);
const OWNER: Address = Address::repeat_byte(0xc1);
const GUARDIAN: Address = Address::repeat_byte(0xc2);

fn t(seconds: u64) -> U40 {
    U40::from(seconds)
}

struct Chain {
    state: State,
    now: u64,
    log_index: u64,
}

impl Chain {
    fn new() -> Self {
        let contracts = Contracts { kms_auth: KMS_AUTH, committee: COMMITTEE, domain_registry: DOMAINS };
        Self { state: State::new(contracts), now: 1000, log_index: 0 }
    }

    fn emit(&mut self, address: Address, event: impl Into<Event>) {
        let block = BlockRef { number: self.now, hash: keccak256(self.now.to_be_bytes()) };
        let (timestamp, transaction, log_index) = (self.now, B256::ZERO, self.log_index);
        self.log_index += 1;
        fold(&mut self.state, &event.into(), &Position { address, block, timestamp, transaction, log_index });
    }

    /// What `deployAndRegisterApp` emits.
    fn with_app() -> Self {
        let mut chain = Self::new();
        chain.emit(KMS_AUTH, KmsAuth::AppRegistered { app: APP, registrar: OWNER, foreign: false });
        chain.emit(APP, KmsAuth::OwnershipTransferred { previousOwner: Address::ZERO, newOwner: OWNER });
        chain.emit(APP, KmsAuth::NoticeSet { notice: t(100), from: t(1000) });
        chain.emit(APP, KmsAuth::GuardianSet { guardian: GUARDIAN, from: t(1000) });
        chain.emit(APP, AppAuth::GuardianPauseArmed {});
        chain.emit(APP, AppAuth::KeysRotated { generation: 1, previousUntil: t(0) });
        chain.emit(APP, AppAuth::TcbFloorSet { floor: 1, from: t(1000) });
        chain
    }

    fn app(&self) -> &mandate_model::state::App {
        self.state.app(APP).unwrap().1.unwrap()
    }
}

fn scheduled(code: B256, from: u64) -> AppAuth::CodeScheduled {
    AppAuth::CodeScheduled { codeHash: code, activeFrom: t(from), sourceUri: "git".into() }
}

#[test]
fn g9_superseded_version_retires_and_revoked_one_is_gone() {
    let mut chain = Chain::with_app();
    let (v1, v2) = (B256::repeat_byte(1), B256::repeat_byte(2));
    chain.emit(APP, scheduled(v1, 1100));
    chain.emit(APP, scheduled(v2, 1300));
    chain.emit(APP, AppAuth::CodeRetirementSet { codeHash: v1, retireAt: t(1350) });
    let state = |chain: &Chain, code, now| chain.app().codes[&code].state(now);
    assert_eq!(state(&chain, v1, 1099), VersionState::Scheduled);
    assert_eq!(state(&chain, v1, 1349), VersionState::Retiring);
    assert_eq!(state(&chain, v1, 1350), VersionState::Retired);
    assert_eq!(state(&chain, v2, 1300), VersionState::Active);
    chain.emit(APP, AppAuth::CodeRevoked { codeHash: v2, by: GUARDIAN });
    assert_eq!(state(&chain, v2, 1300), VersionState::Revoked);
    chain.emit(APP, scheduled(v1, 1500));
    assert_eq!(state(&chain, v1, 1600), VersionState::Active);
}

#[test]
fn g9_guardian_uses_up_its_pause_and_the_owner_does_not() {
    let mut chain = Chain::with_app();
    chain.emit(APP, AppAuth::Paused { by: OWNER, until: t(1100) });
    assert!(chain.app().guardian_pause_armed);
    chain.emit(APP, AppAuth::Paused { by: GUARDIAN, until: t(1200) });
    assert!(!chain.app().guardian_pause_armed);
    assert!(chain.app().is_paused(1199) && !chain.app().is_paused(1200));
}

#[test]
fn g9_denied_device_stays_denied_until_its_permission_begins() {
    let mut chain = Chain::with_app();
    let id = B256::repeat_byte(5);
    chain.emit(APP, AppAuth::DeviceScheduled { deviceId: id, allowedFrom: t(1000) });
    assert_eq!(chain.app().devices[&id].denied_until, 0);
    chain.emit(APP, AppAuth::DeviceDenied { deviceId: id, by: OWNER });
    assert_eq!((chain.app().devices[&id].allowed_from, chain.app().devices[&id].denied_until), (0, FOREVER));
    chain.emit(APP, AppAuth::DeviceScheduled { deviceId: id, allowedFrom: t(1200) });
    assert_eq!((chain.app().devices[&id].allowed_from, chain.app().devices[&id].denied_until), (1200, 1200));
}

#[test]
fn g9_same_event_means_what_its_emitter_makes_of_it() {
    let mut chain = Chain::with_app();
    chain.emit(KMS_AUTH, KmsAuth::NoticeSet { notice: t(5), from: t(1000) });
    chain.emit(COMMITTEE, KmsAuth::NoticeSet { notice: t(6), from: t(1000) });
    assert_eq!(chain.state.registry.governed.notice.at(1000), 5);
    assert_eq!(chain.state.committee.governed.notice.at(1000), 6);
    assert_eq!(chain.app().governed.notice.at(1000), 100);
}

/// Anybody can deploy a contract that emits our events.
#[test]
fn stranger_emitting_registry_events_changes_nothing() {
    let mut chain = Chain::with_app();
    let before = chain.state.clone();
    let stranger = Address::repeat_byte(0xee);
    chain.emit(stranger, KmsAuth::AppRegistered { app: stranger, registrar: stranger, foreign: false });
    chain.emit(stranger, KmsCommittee::NodeEvicted { nodeKey: OWNER, by: stranger });
    assert_eq!(chain.state, before);
    chain.emit(stranger, scheduled(B256::ZERO, 1));
    assert!(chain.state.app(stranger).is_none());
    assert_eq!(chain.app(), before.app(APP).unwrap().1.unwrap());
}

#[test]
fn g9_suspension_lasts_until_it_is_lifted() {
    let mut chain = Chain::with_app();
    let until = |chain: &Chain| chain.state.app(APP).unwrap().0.suspended_until;
    chain.emit(KMS_AUTH, KmsAuth::AppSuspensionSet { app: APP, suspended: true, from: t(1000) });
    assert_eq!(until(&chain), FOREVER);
    chain.emit(KMS_AUTH, KmsAuth::AppSuspensionSet { app: APP, suspended: false, from: t(1100) });
    assert_eq!(until(&chain), 1100);
}

/// As the contract does it: the epoch before ends now, or after the notice of 500 s when the key is another.
fn epoch(chain: &mut Chain, round: u64, number: u64, kind: CeremonyKind) {
    let previousUntil = t(chain.now + if kind == CeremonyKind::Rotate { 500 } else { 0 });
    let kind = kind as u8;
    let (dealUntil, confirmUntil) = (t(chain.now + 10), t(chain.now + 20));
    let (quorum, dealers, players) = (1, vec![OWNER], vec![OWNER]);
    let opened =
        KmsCommittee::CeremonyOpened { round, kind, dealUntil, confirmUntil, quorum, dealers, players };
    chain.emit(COMMITTEE, opened);
    let log = Bytes::from_static(b"log");
    chain.emit(COMMITTEE, KmsCommittee::DealerLogPosted { round, dealer: OWNER, log });
    chain.emit(COMMITTEE, KmsCommittee::OutputConfirmed { round, player: OWNER, outputHash: B256::ZERO });
    let (groupKey, polynomial) = (Bytes::from(vec![number as u8; 48]), Bytes::from_static(&[1]));
    chain.emit(
        COMMITTEE,
        KmsCommittee::EpochStarted { epoch: number, round, groupKey, polynomial, previousUntil },
    );
}

#[test]
fn g11_two_epochs_are_valid_only_inside_the_handover_window() {
    let mut chain = Chain::new();
    epoch(&mut chain, 1, 1, CeremonyKind::Genesis);
    chain.now = 2000;
    epoch(&mut chain, 2, 2, CeremonyKind::Refresh);
    assert_eq!(chain.state.committee.epochs[&1].valid_until, 2000);
    chain.now = 3000;
    let (dealUntil, confirmUntil) = (t(3010), t(3020));
    let opened = KmsCommittee::CeremonyOpened {
        round: 3,
        kind: 2,
        dealUntil,
        confirmUntil,
        quorum: 1,
        dealers: vec![OWNER],
        players: vec![OWNER],
    };
    chain.emit(COMMITTEE, opened);
    chain.emit(COMMITTEE, KmsCommittee::CeremonyAborted { round: 3 });
    epoch(&mut chain, 4, 3, CeremonyKind::Rotate);
    let committee = &chain.state.committee;
    assert_eq!(committee.epochs[&2].valid_until, 3500);
    assert_eq!(committee.epochs[&1].valid_until, 2000);
    assert_eq!(committee.current_epoch().unwrap().0, 3);
    assert!(committee.ceremonies[&3].aborted);
    assert_eq!(committee.ceremonies[&4].epoch, Some(3));
    assert_eq!(committee.ceremonies[&4].logs[&OWNER], keccak256(b"log"));
    chain.now = 3200;
    epoch(&mut chain, 5, 4, CeremonyKind::Refresh);
    epoch(&mut chain, 6, 5, CeremonyKind::Rotate);
    let until = |n| chain.state.committee.epochs[&n].valid_until;
    assert_eq!([until(2), until(3), until(4), until(5)], [3200, 3200, 3700, FOREVER]);
}

#[test]
fn g9_domain_is_approved_certified_and_released() {
    let mut chain = Chain::with_app();
    let hash = keccak256(b"app.example");
    let recorded = |n| DomainRegistry::CertificateRecorded {
        domainHash: hash,
        fingerprint: B256::repeat_byte(n),
        spkiHash: B256::ZERO,
        notAfter: t(5000),
    };
    chain.emit(DOMAINS, recorded(9));
    chain.emit(
        DOMAINS,
        DomainRegistry::DomainApproved { domainHash: hash, app: APP, name: "app.example".into() },
    );
    let (issuer, accountUri) = ("ca.example".into(), "https://ca.example/1".into());
    chain.emit(DOMAINS, DomainRegistry::AccountPinned { domainHash: hash, issuer, accountUri });
    chain.emit(DOMAINS, recorded(1));
    chain.emit(DOMAINS, recorded(2));
    let domain = &chain.state.domains.domains[&hash];
    assert_eq!((domain.app, domain.issuer.as_str(), domain.approved_at), (APP, "ca.example", 1000));
    assert_eq!(domain.certificates.len(), 2);
    chain.emit(DOMAINS, DomainRegistry::DomainReleased { domainHash: hash, app: APP, by: OWNER });
    assert!(chain.state.domains.domains.is_empty());
}

#[test]
fn g9_incident_outlives_its_closing_and_the_release() {
    let mut chain = Chain::with_app();
    let (domainHash, name) = (keccak256(b"app.example"), "app.example".to_owned());
    let fingerprint = B256::repeat_byte(1);
    let (reporter, evidence) = (Address::repeat_byte(7), "https://ct.example/log 5".to_owned());
    let closed = DomainRegistry::IncidentClosed {
        domainHash,
        fingerprint,
        by: OWNER,
        app: APP,
        reason: "ordered by hand".into(),
    };
    chain.emit(DOMAINS, closed.clone());
    assert!(chain.state.domains.incidents.is_empty(), "what was not reported cannot be closed");
    let approved = |app| DomainRegistry::DomainApproved { domainHash, app, name: name.clone() };
    chain.emit(DOMAINS, approved(APP));
    let reported = DomainRegistry::IncidentReported {
        domainHash,
        fingerprint,
        reporter,
        app: APP,
        name: name.clone(),
        evidence: evidence.clone(),
    };
    chain.emit(DOMAINS, reported);
    let open = Incident { reporter, reported_at: 1000, evidence, closing: None };
    assert_eq!(chain.state.domains.incidents_of(&domainHash).unwrap()[&fingerprint], open);
    chain.now = 1100;
    chain.emit(DOMAINS, closed);
    chain.emit(DOMAINS, DomainRegistry::DomainReleased { domainHash, app: APP, by: OWNER });
    assert_eq!(chain.state.domains.incidents_of(&domainHash), None);
    chain.emit(DOMAINS, approved(OWNER));
    assert_eq!(chain.state.domains.incidents_of(&domainHash), None, "they were those of another app");
    chain.emit(DOMAINS, DomainRegistry::DomainReleased { domainHash, app: OWNER, by: OWNER });
    chain.emit(DOMAINS, approved(APP));
    let closing = Some(Closing { by: OWNER, at: 1100, reason: "ordered by hand".into() });
    let incidents = chain.state.domains.incidents_of(&domainHash).unwrap();
    assert_eq!(incidents[&fingerprint], Incident { closing, ..open });
}

#[test]
fn g9_nodes_come_and_go() {
    let mut chain = Chain::new();
    let nodeKey = Address::repeat_byte(1);
    let (admittedFrom, expiresAt) = (t(1000), t(9000));
    let admitted = KmsCommittee::NodeAdmitted {
        nodeKey,
        operator: OWNER,
        evidenceDigest: B256::repeat_byte(5),
        dealingKey: B256::repeat_byte(6),
        sealingKey: B256::repeat_byte(7),
        url: "http://first".into(),
        admittedFrom,
        expiresAt,
        attestedUntil: t(0),
    };
    chain.emit(COMMITTEE, admitted.clone());
    assert_eq!(chain.state.committee.nodes[&nodeKey].url, "http://first");
    chain.emit(COMMITTEE, KmsCommittee::NodeUrlSet { nodeKey, url: "http://n".into() });
    chain.emit(COMMITTEE, KmsCommittee::NoncePublished { nodeKey, nonce: B256::repeat_byte(4) });
    let node = &chain.state.committee.nodes[&nodeKey];
    assert_eq!((node.operator, node.expires_at, node.url.as_str()), (OWNER, 9000, "http://n"));
    assert_eq!((node.dealing_key, node.sealing_key), (B256::repeat_byte(6), B256::repeat_byte(7)));
    assert_eq!(node.nonce, B256::repeat_byte(4));
    chain.emit(COMMITTEE, admitted);
    let node = &chain.state.committee.nodes[&nodeKey];
    assert_eq!((node.url.as_str(), node.nonce), ("http://first", B256::repeat_byte(4)));
    let (evidenceDigest, voters) = (B256::repeat_byte(8), vec![OWNER]);
    chain.emit(COMMITTEE, KmsCommittee::NodeAttested { nodeKey, evidenceDigest, until: t(5000), voters });
    let node = &chain.state.committee.nodes[&nodeKey];
    assert_eq!((node.evidence_digest, node.attested_until), (evidenceDigest, 5000));
    for (demand, until) in [(1, 6000), (2, 4000)] {
        chain.emit(COMMITTEE, KmsCommittee::AttestationDemanded { demand, until: t(until) });
        assert_eq!(chain.state.committee.demand, demand);
        assert_eq!(chain.state.committee.nodes[&nodeKey].attested_until, until.min(5000));
    }
    chain.emit(COMMITTEE, KmsCommittee::ReplicationSet { from: t(7000) });
    assert_eq!(chain.state.committee.replicated_from, 7000);
    chain.emit(COMMITTEE, KmsCommittee::NodeEvicted { nodeKey, by: OWNER });
    assert!(chain.state.committee.nodes.is_empty());
}

fn incident(domainHash: B256, app: Address, closing: bool) -> Event {
    let fingerprint = B256::repeat_byte(5);
    if closing {
        return DomainRegistry::IncidentClosed {
            domainHash,
            fingerprint,
            by: OWNER,
            app,
            reason: "no".into(),
        }
        .into();
    }
    let (name, evidence) = ("a.b".into(), "log 1".into());
    DomainRegistry::IncidentReported { domainHash, fingerprint, reporter: OWNER, app, name, evidence }.into()
}

fn any_event() -> impl Strategy<Value = (Address, Event)> {
    let emitter = prop_oneof![Just(KMS_AUTH), Just(COMMITTEE), Just(DOMAINS), Just(APP), Just(OWNER)];
    let small = 0u8..4;
    (emitter, small, 900u64..1200, any::<bool>(), 0usize..13).prop_map(|(emitter, n, from, flag, which)| {
        let (hash, who) = (B256::repeat_byte(n), Address::repeat_byte(n));
        let event = match which {
            0 => scheduled(hash, from).into(),
            1 => AppAuth::CodeRetirementSet { codeHash: hash, retireAt: t(from) }.into(),
            2 => AppAuth::CodeRevoked { codeHash: hash, by: who }.into(),
            3 => AppAuth::TcbFloorSet { floor: n, from: t(from) }.into(),
            4 => KmsAuth::NoticeSet { notice: t(from), from: t(from) }.into(),
            5 => KmsAuth::GuardianSet { guardian: who, from: t(from) }.into(),
            6 => KmsAuth::AppRegistered { app: who, registrar: who, foreign: flag }.into(),
            7 => KmsAuth::AppSuspensionSet { app: who, suspended: flag, from: t(from) }.into(),
            8 => DomainRegistry::DomainApproved { domainHash: hash, app: who, name: "a.b".into() }.into(),
            9 => DomainRegistry::RecorderSet { recorder: who, allowed: flag }.into(),
            11 => incident(hash, who, flag),
            10 => KmsCommittee::NoncePublished { nodeKey: who, nonce: hash }.into(),
            _ => mandate_model::bindings::AppGovernor::ProposalExecuted { proposalId: U256::from(n) }.into(),
        };
        (emitter, event)
    })
}

proptest! {
    /// What an indexer stores and loads again must be what it had, or a restart would change what it says.
    #[test]
    fn g9_state_survives_storing(events in prop::collection::vec(any_event(), 0..60)) {
        let mut chain = Chain::with_app();
        for (emitter, event) in events {
            let log = event.encode();
            prop_assert_eq!(Event::decode(emitter, &log), Ok(Some(event.clone())));
            chain.emit(emitter, event);
        }
        let stored = serde_json::to_string(&chain.state).unwrap();
        prop_assert_eq!(serde_json::from_str::<State>(&stored).unwrap(), chain.state);
    }

    /// A revocation is for good, whatever else happens (G-3).
    #[test]
    fn g3_revoked_code_stays_revoked(events in prop::collection::vec(any_event(), 0..60)) {
        let mut chain = Chain::with_app();
        let code = B256::repeat_byte(1);
        chain.emit(APP, AppAuth::CodeRevoked { codeHash: code, by: GUARDIAN });
        for (emitter, event) in events {
            chain.emit(emitter, event);
        }
        prop_assert_eq!(chain.app().codes[&code].state(u64::MAX), VersionState::Revoked);
    }
}
