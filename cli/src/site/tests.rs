// SPDX-License-Identifier: Apache-2.0 OR MIT
//! For each step, what it is there to notice.

use alloy::primitives::aliases::U40;
use mandate_acme::caa::Property;
use mandate_attestation::dev_pki::{DevGuest, DevPki};

use super::*;
use crate::ct::sct::{SctError, Vouched};

mod connections;
mod keys;
mod own;

const NOW: u64 = 1_790_000_000;
const GATEWAY: Address = Address::repeat_byte(0x6a);
const APP: Address = Address::repeat_byte(0xa1);
const CODE: B256 = B256::repeat_byte(0x6b);
const NONCE: B256 = B256::repeat_byte(7);
const SHOWN: Shown = Shown { fingerprint: B256::repeat_byte(1), spki_hash: B256::repeat_byte(2) };
const ACCOUNT: &str = "https://ca.test/account/1";

fn name() -> DomainName {
    "app.example.org".parse().unwrap()
}

fn deployment() -> Deployment {
    let a = Address::repeat_byte;
    Deployment {
        chain_id: 31_337,
        kms_auth: a(1),
        app_implementation: a(2),
        committee: a(3),
        domain_registry: a(4),
        role_council: a(5),
        governance_factory: None,
        receipt_anchor: None,
        genesis_block: 1,
    }
}

fn statement() -> DomainStatement {
    DomainStatement {
        chain_id: 31_337,
        kms_auth: deployment().kms_auth,
        domain_registry: deployment().domain_registry,
        domain: name().to_string(),
        app: APP,
        spki_hash: SHOWN.spki_hash,
        issuer: "ca.test".to_owned(),
        account_uri: ACCOUNT.to_owned(),
        account_key_hash: B256::repeat_byte(3),
        nonce: Some(NONCE),
    }
}

fn pki() -> DevPki {
    DevPki::from_seed([5; 32])
}

fn answer_of(app: Address, statement: DomainStatement) -> DomainProvenance {
    let evidence = pki().evidence(&DevGuest::new(app, CODE), statement.report_data(), NOW);
    DomainProvenance {
        statement,
        made_at: NOW,
        development: false,
        evidence: Some(evidence.encode().into()),
        keys: None,
        signature: None,
    }
}

fn verifier() -> Verifier {
    pki().trust_anchors().into()
}

fn verified(app: Address) -> Verified {
    evidence(&answer_of(app, statement()), &verifier(), NOW).1.unwrap()
}

/// That a step has failed, and says why.
fn fails(step: &Step, why: &str) {
    assert!(step.standing == Standing::Failed && step.found.contains(why), "{step:?}");
}

fn is_undecided(step: &Step, why: &str) {
    assert!(step.standing == Standing::Undecided && step.found.contains(why), "{step:?}");
}

fn is_ok(step: &Step) {
    assert_eq!(step.standing, Standing::Ok, "{step:?}");
}

fn judged(change: impl FnOnce(&mut DomainStatement)) -> Step {
    let mut statement = statement();
    change(&mut statement);
    provenance(&statement, &name(), &SHOWN, NONCE, &deployment())
}

#[test]
fn statement_about_this_site_key_and_question_is_right() {
    is_ok(&judged(|_| {}));
}

/// A gateway's honest answer about its own certificate, shown by whoever sits in between with another one.
#[test]
fn attack_statement_about_another_certificates_key_fails() {
    fails(&judged(|s| s.spki_hash = B256::ZERO), "another key");
}

#[test]
fn attack_statement_of_another_domain_fails() {
    fails(&judged(|s| s.domain = "other.example.org".to_owned()), "not about app.example.org");
}

#[test]
fn attack_replayed_statement_fails() {
    fails(&judged(|s| s.nonce = Some(B256::ZERO)), "nonce");
    fails(&judged(|s| s.nonce = None), "nonce");
}

#[test]
fn attack_statement_of_another_deployment_fails() {
    fails(&judged(|s| s.chain_id = 1), "another deployment");
    fails(&judged(|s| s.kms_auth = Address::ZERO), "another deployment");
    fails(&judged(|s| s.domain_registry = Address::ZERO), "another deployment");
}

#[test]
fn evidence_for_exactly_this_statement_is_right() {
    let (step, verified) = evidence(&answer_of(GATEWAY, statement()), &verifier(), NOW);
    is_ok(&step);
    assert_eq!(verified.unwrap().app_id(), GATEWAY);
}

#[test]
fn attack_evidence_for_another_statement_fails() {
    let mut answer = answer_of(GATEWAY, statement());
    answer.statement.spki_hash = B256::ZERO;
    let (step, verified) = evidence(&answer, &verifier(), NOW);
    fails(&step, "does not hold for this statement");
    assert!(verified.is_none());
}

#[test]
fn attack_evidence_under_another_root_or_none_fails() {
    let other: Verifier = DevPki::from_seed([6; 32]).trust_anchors().into();
    fails(&evidence(&answer_of(GATEWAY, statement()), &other, NOW).0, "does not hold");
    let mut none = answer_of(GATEWAY, statement());
    none.evidence = None;
    fails(&evidence(&none, &verifier(), NOW).0, "no evidence");
    none.evidence = Some(vec![1, 2, 3].into());
    fails(&evidence(&none, &verifier(), NOW).0, "no evidence");
}

/// Whatever else it says.
#[test]
fn development_gateway_fails() {
    let mut answer = answer_of(GATEWAY, statement());
    answer.development = true;
    fails(&evidence(&answer, &verifier(), NOW).0, "development keys");
}

fn verdict(verdict: u8, reason: u8) -> Verdict {
    let answer = KmsAuth::decideReturn { verdict, reason, validUntil: u64::MAX };
    Verdict { block: 9, gateway: GATEWAY, answer }
}

fn allowed() -> Verdict {
    verdict(1, 0)
}

const CODE_REVOKED: u8 = mandate_model::outcome::PolicyReason::CodeRevoked as u8;

#[test]
fn code_of_the_gateway_app_or_of_the_domains_own_is_right() {
    for app in [GATEWAY, APP] {
        is_ok(&code(&verified(app), &statement(), &Ok((allowed(), allowed()))));
    }
}

#[test]
fn g7_attack_code_denied_at_the_head_fails() {
    let step = code(&verified(GATEWAY), &statement(), &Ok((allowed(), verdict(0, CODE_REVOKED))));
    fails(&step, "newest block 9: code hash revoked");
}

#[test]
fn g7_code_allowed_at_the_head_alone_fails() {
    let step = code(&verified(GATEWAY), &statement(), &Ok((verdict(0, CODE_REVOKED), allowed())));
    fails(&step, "finalised block 9");
}

/// Its owner may have its code allowed, but nobody gave it this domain.
#[test]
fn attack_code_of_an_app_that_is_neither_fails() {
    let stranger = Address::repeat_byte(0x77);
    fails(&code(&verified(stranger), &statement(), &Ok((allowed(), allowed()))), "neither the gateway app");
    // Not even by saying that the domain is its own: then it is the registry that says no.
    let mut own = statement();
    own.app = stranger;
    is_ok(&code(&verified(stranger), &own, &Ok((allowed(), allowed()))));
    fails(&registry(&name(), Some(&SHOWN), Some(&own), &recorded(|_| {}, |_| {})), "belongs to app");
}

/// A gateway app that was replaced is none any more as soon as a block shows it.
#[test]
fn g7_former_gateway_app_fails() {
    let replaced = Verdict { gateway: Address::repeat_byte(0x99), ..allowed() };
    fails(&code(&verified(GATEWAY), &statement(), &Ok((allowed(), replaced))), "neither");
}

#[test]
fn g6_code_that_cannot_be_judged_is_undecided() {
    is_undecided(&code(&verified(GATEWAY), &statement(), &Err("no quorum".to_owned())), "no quorum");
    is_undecided(&code(&verified(GATEWAY), &statement(), &Ok((verdict(7, 0), allowed()))), "verdict 7");
}

fn recorded(finalized: impl FnOnce(&mut Domain), head: impl FnOnce(&mut Domain)) -> Twice<Recorded> {
    let domain = Domain {
        name: name().to_string(),
        app: APP,
        approvedAt: U40::from(1),
        issuer: "ca.test".to_owned(),
        accountUri: ACCOUNT.to_owned(),
        certificate: SHOWN.fingerprint,
        spkiHash: SHOWN.spki_hash,
        notAfter: U40::from(2),
    };
    let (mut at_finality, mut at_head) = (domain.clone(), domain);
    finalized(&mut at_finality);
    head(&mut at_head);
    Ok((Recorded { block: 7, domain: at_finality }, Recorded { block: 9, domain: at_head }))
}

fn registered(recorded: &Twice<Recorded>) -> Step {
    registry(&name(), Some(&SHOWN), Some(&statement()), recorded)
}

#[test]
fn recorded_certificate_and_account_are_right() {
    is_ok(&registered(&recorded(|_| {}, |_| {})));
}

#[test]
fn attack_certificate_that_nobody_recorded_fails() {
    let other = |d: &mut Domain| (d.certificate, d.spkiHash) = (B256::ZERO, B256::ZERO);
    fails(&registered(&recorded(|_| {}, |d| d.spkiHash = B256::repeat_byte(9))), "another key");
    is_undecided(&registered(&recorded(other, other)), "no certificate is recorded");
}

#[test]
fn g7_domain_that_is_released_or_moved_fails() {
    fails(&registered(&recorded(|_| {}, |d| d.app = Address::ZERO)), "released or moved");
    fails(&registered(&recorded(|_| {}, |d| d.app = GATEWAY)), "released or moved");
    fails(&registered(&recorded(|d| d.app = Address::ZERO, |d| d.app = Address::ZERO)), "no app");
}

#[test]
fn attack_account_that_is_not_the_pinned_one_fails() {
    let account = |d: &mut Domain| d.accountUri = "https://ca.test/account/2".to_owned();
    fails(&registered(&recorded(account, account)), "account/2");
    let none = |d: &mut Domain| (d.issuer, d.accountUri) = (String::new(), String::new());
    is_undecided(&registered(&recorded(none, none)), "no account is pinned");
}

#[test]
fn g6_renewal_whose_record_is_on_its_way_is_undecided() {
    let before = |d: &mut Domain| d.certificate = B256::repeat_byte(8);
    is_undecided(&registered(&recorded(before, before)), "not recorded (yet)");
    is_undecided(&registered(&recorded(before, |_| {})), "not finally");
    is_undecided(&registered(&Err("no proof".to_owned())), "no proof");
    is_undecided(&registry(&name(), None, None, &recorded(|_| {}, |_| {})), "no certificate to compare");
}

fn record(tag: &str, value: &str) -> Property {
    Property { flags: 128, tag: tag.to_owned(), value: value.as_bytes().to_vec() }
}

fn caa_of(records: &[(&str, &str)]) -> Step {
    let records = records.iter().map(|(tag, value)| record(tag, value)).collect();
    caa(&name(), "ca.test", ACCOUNT, &Ok(Some(Published { properties: records, authenticated: false })))
}

const OURS: &str = "ca.test; accounturi=https://ca.test/account/1; validationmethods=tls-alpn-01";

#[test]
fn caa_that_names_the_account_and_one_method_is_right() {
    is_ok(&caa_of(&[("issue", OURS), ("issuewild", ";")]));
    is_ok(&caa_of(&[("issue", &OURS.replace("tls-alpn-01", "dns-01")), ("issuewild", ";")]));
}

#[test]
fn caa_says_whether_dnssec_vouches_for_it() {
    let records = vec![record("issue", OURS), record("issuewild", ";")];
    for (authenticated, part) in [(true, "DNSSEC vouches"), (false, "without DNSSEC")] {
        let published = Published { properties: records.clone(), authenticated };
        let step = caa(&name(), "ca.test", ACCOUNT, &Ok(Some(published)));
        is_ok(&step);
        assert!(step.found.contains(part), "{step:?}");
    }
}

#[test]
fn certificate_that_known_logs_have_is_right_and_a_forged_timestamp_fails() {
    let vouched =
        |by: &[&str], unknown| Ok(Vouched { by: by.iter().map(ToString::to_string).collect(), unknown });
    let step = logged(&vouched(&["https://log.example"], 1));
    is_ok(&step);
    assert!(step.found.contains("logged by 1 logs") && step.found.contains("log.example"), "{step:?}");
    is_undecided(&logged(&vouched(&[], 0)), "no timestamp");
    is_undecided(&logged(&vouched(&[], 2)), "2 timestamps");
    is_undecided(&logged(&Err(SctError::NoIssuer)), "issuer");
    fails(&logged(&Err(SctError::Forged { log: "x".to_owned() })), "not that log's word");
    fails(&logged(&Err(SctError::Unreadable("y"))), "cannot be read");
}

#[test]
fn attack_caa_that_lets_others_order_fails() {
    fails(&caa_of(&[("issue", OURS), ("issue", "other.test"), ("issuewild", ";")]), "another authority");
    fails(&caa_of(&[("issue", "ca.test"), ("issuewild", ";")]), "every account");
    fails(
        &caa_of(&[("issue", &OURS.replace("account/1", "account/2")), ("issuewild", ";")]),
        "another account",
    );
    fails(&caa(&name(), "ca.test", ACCOUNT, &Ok(None)), "any authority");
}

#[test]
fn g6_caa_that_nobody_tells_is_undecided() {
    is_undecided(&caa(&name(), "ca.test", ACCOUNT, &Err("SERVFAIL".to_owned())), "SERVFAIL");
    is_undecided(
        &caa(
            &name(),
            "ca.test",
            "",
            &Ok(Some(Published { properties: vec![record("issue", OURS)], authenticated: true })),
        ),
        "no account",
    );
}

#[test]
fn g7_attack_open_incident_fails_as_soon_as_a_block_shows_it() {
    is_ok(&incidents(&name(), &Ok((0, 0))));
    fails(&incidents(&name(), &Ok((0, 1))), "1 incidents are open");
    fails(&incidents(&name(), &Ok((2, 0))), "2 incidents are open");
    is_undecided(&incidents(&name(), &Err("no proof".to_owned())), "no proof");
}

#[test]
fn g6_only_what_was_looked_at_and_right_counts_as_right() {
    let (ok, failed) = (Step::ok(step::TLS, ""), Step::failed(step::TLS, ""));
    let (undecided, skipped) = (Step::undecided(step::TLS, ""), Step::skipped(step::TLS, ""));
    let all = |steps: &[&Step]| conclude(&steps.iter().map(|step| (*step).clone()).collect::<Vec<_>>());
    assert_eq!(all(&[&ok, &ok]), Standing::Ok);
    assert_eq!(all(&[&ok, &undecided]), Standing::Undecided);
    assert_eq!(all(&[&ok, &skipped]), Standing::Undecided);
    assert_eq!(all(&[&undecided, &failed, &ok]), Standing::Failed);
    assert_eq!(all(&[]), Standing::Undecided);
}
