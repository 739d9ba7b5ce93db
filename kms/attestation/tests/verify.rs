// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Evidence that is right, and what its facts are.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod common;

use alloy::primitives::{Address, B256};
use common::{NOW, REPORT_DATA, check, check_under, guest, minted, pki};
use mandate_attestation::{
    DigestVersion, Event, EvidenceError, QuoteError, Tee, TrustAnchors, Verified,
    dev_pki::{Defect, DevGuest, DevPki, DevTcb, QuoteVersion},
    verify,
};

fn assert_facts(verified: &Verified, guest: &DevGuest) {
    assert_eq!(verified.app_id(), guest.app_id);
    assert_eq!(verified.compose_hash(), guest.compose_hash);
    assert_eq!(verified.launch_ticket(), guest.launch_ticket);
    assert_eq!(verified.os_image_hash(), guest.os_image_hash());
    assert_eq!(verified.instance_id(), guest.instance_id);
    assert_eq!(verified.device_id(), guest.device_id());
    assert_eq!(verified.mr_aggregated(), guest.mr_aggregated());
    assert_eq!(verified.mr_system(), guest.mr_system());
    assert_eq!(verified.tee(), Tee::Tdx);
    assert_eq!(verified.tcb_status(), guest.tcb.status);
    assert_eq!(verified.advisories(), guest.tcb.advisories);
    assert_eq!(verified.key_provider(), guest.key_provider);
    assert!(verified.is_development());
}

#[test]
fn g1_every_fact_is_the_guests() {
    for quote_version in QuoteVersion::ALL {
        for digest_version in [DigestVersion::V1, DigestVersion::V2] {
            let guest = DevGuest {
                quote_version,
                digest_version,
                logs_boot_events: quote_version == QuoteVersion::V5,
                device: [9; 16],
                os_image: "another image".to_owned(),
                launch_ticket: Some(B256::repeat_byte(0x71)),
                ..guest()
            };
            assert_facts(&check(minted(&guest)).unwrap(), &guest);
        }
    }
}

#[test]
fn g1_tcb_status_and_advisories_are_reported_for_the_policy_to_judge() {
    for status in ["SWHardeningNeeded", "ConfigurationNeeded", "OutOfDate", "OutOfDateConfigurationNeeded"] {
        let tcb = DevTcb { status: status.to_owned(), advisories: vec!["INTEL-SA-00837".to_owned()] };
        let guest = DevGuest { tcb, ..guest() };
        assert_facts(&check(minted(&guest)).unwrap(), &guest);
    }
}

fn rated(status: &str, advisory: &str) -> DevTcb {
    DevTcb { status: status.to_owned(), advisories: vec![advisory.to_owned()] }
}

/// The module and the quoting enclave can only lower the platform's status, and their advisories apply too.
#[test]
fn g1_module_and_quoting_enclave_count_in_the_status() {
    let status_of = |guest: &DevGuest| {
        let facts = check(minted(guest)).unwrap();
        (facts.tcb_status().to_owned(), facts.advisories().to_vec())
    };
    let merged = |status: &str, advisories: &[&str]| {
        (status.to_owned(), advisories.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>())
    };
    let module = DevGuest { module_tcb: rated("OutOfDate", "INTEL-SA-2"), ..guest() };
    assert_eq!(status_of(&module), merged("OutOfDate", &["INTEL-SA-2"]));
    let enclave = DevGuest {
        tcb: rated("ConfigurationNeeded", "INTEL-SA-1"),
        qe_tcb: rated("OutOfDate", "INTEL-SA-3"),
        ..guest()
    };
    let expected = merged("OutOfDateConfigurationNeeded", &["INTEL-SA-1", "INTEL-SA-3"]);
    assert_eq!(status_of(&enclave), expected);
    let both = DevGuest { module_tcb: rated("OutOfDate", "INTEL-SA-2"), ..enclave };
    let expected = merged("OutOfDateConfigurationNeeded", &["INTEL-SA-1", "INTEL-SA-2", "INTEL-SA-3"]);
    assert_eq!(status_of(&both), expected);
}

#[test]
fn g1_what_the_app_extends_after_boot_changes_no_fact_but_the_aggregate() {
    let app_events = vec![
        Event::runtime(DigestVersion::V1, "compose-hash", [9; 32]),
        Event::runtime(DigestVersion::V2, "app-id", [9; 20]),
        Event::runtime(DigestVersion::V1, "system-ready", []),
    ];
    let extended = DevGuest { app_events, ..guest() };
    assert_facts(&check(minted(&extended)).unwrap(), &extended);
    assert_ne!(extended.mr_aggregated(), guest().mr_aggregated());
    assert_eq!(extended.mr_system(), guest().mr_system());
}

#[test]
fn evidence_is_the_same_for_the_same_seed_guest_and_time() {
    let evidence = |seed| DevPki::from_seed([seed; 32]).evidence(&guest(), REPORT_DATA, NOW).encode();
    assert_eq!(evidence(1), evidence(1));
    assert_ne!(evidence(1), evidence(2));
}

#[test]
fn g1_development_evidence_is_worthless_under_the_vendors_root() {
    let refused = check_under(minted(&guest()), &TrustAnchors::production());
    assert!(matches!(refused, Err(EvidenceError::Quote(QuoteError::Untrusted(_)))), "{refused:?}");
}

#[test]
fn g8_evidence_made_for_another_request_is_refused() {
    let evidence = pki().evidence(&guest(), REPORT_DATA, NOW);
    let mut other = REPORT_DATA;
    other[63] ^= 1;
    let refused = verify(&evidence, &pki().trust_anchors(), NOW, &other);
    assert_eq!(refused, Err(EvidenceError::ReportDataMismatch));
}

#[test]
fn g1_evidence_ages() {
    let evidence = pki().evidence(&guest(), REPORT_DATA, NOW);
    let at = |now| verify(&evidence, &pki().trust_anchors(), now, &REPORT_DATA);
    assert!(at(NOW + 29 * 86_400).is_ok());
    for now in [0, NOW - 2 * 86_400, NOW + 31 * 86_400, u64::MAX / 2] {
        let refused = at(now);
        assert!(matches!(refused, Err(EvidenceError::Quote(QuoteError::Expired(_)))), "{now}: {refused:?}");
    }
}

#[test]
fn g1_a_revoked_platform_does_not_revoke_its_neighbour() {
    let revoked = minted(&guest().with_defect(Defect::RevokedPck));
    let neighbour = minted(&DevGuest { device: [2; 16], ..guest() });
    let mixed = mandate_attestation::TdxEvidence { collateral: revoked.collateral, ..neighbour };
    assert!(check(mixed).is_ok());
}

#[test]
fn g1_collateral_of_another_root_is_refused() {
    let stranger = DevPki::from_seed([7; 32]).evidence(&guest(), REPORT_DATA, NOW);
    let mixed =
        mandate_attestation::TdxEvidence { collateral: common::tdx(stranger).collateral, ..minted(&guest()) };
    let refused = check(mixed);
    assert!(matches!(refused, Err(EvidenceError::Quote(QuoteError::Untrusted(_)))), "{refused:?}");
}

#[test]
fn a_config_id_that_names_the_booted_code_is_no_defect() {
    let named = DevGuest { compose_hash: B256::ZERO, ..guest() }.with_defect(Defect::OtherConfigId);
    assert!(check(minted(&named)).is_ok());
}

#[test]
fn evidence_of_one_guest_says_nothing_about_another() {
    let (a, b) = (minted(&guest()), minted(&DevGuest { app_id: Address::repeat_byte(0xbb), ..guest() }));
    let mixed = mandate_attestation::TdxEvidence { event_log: b.event_log, ..a };
    assert_eq!(check(mixed), Err(EvidenceError::LogMismatch));
}
