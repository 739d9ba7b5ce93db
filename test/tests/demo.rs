// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The whole story end to end, on real sockets: each of the ten steps, and each refusal with its reason.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use mandate_cli::demo::{
    self, Options,
    report::{Event, Kind},
};

async fn tell(embedded_issuer: bool) -> Vec<Event> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let dir = tempfile::tempdir().unwrap();
    let options = Options { dir: dir.path().to_owned(), rpc_port: 0, embedded_issuer };
    let mut events: Vec<Event> = Vec::new();
    let outcome = demo::run(options, &mut events).await.unwrap();
    outcome.world.shutdown().await;
    let failed: Vec<_> = events.iter().filter(|e| e.kind == Kind::Failed).collect();
    assert_eq!(outcome.held, 10, "{failed:#?}");
    events
}

/// The texts of one kind of event in one step.
fn texts(events: &[Event], step: usize, kind: Kind) -> Vec<&str> {
    events.iter().filter(|e| e.step == step && e.kind == kind).map(|e| e.text.as_str()).collect()
}

fn count(texts: &[&str], part: &str) -> usize {
    texts.iter().filter(|text| text.contains(part)).count()
}

fn fact<'a>(events: &'a [Event], step: usize, name: &str) -> &'a serde_json::Value {
    events.iter().filter(|e| e.step == step).find_map(|e| e.facts.get(name)).unwrap()
}

// One function, so that the story is told once: nextest gives every test a process of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn story_holds_in_each_of_its_ten_steps() {
    let events = &tell(true).await;
    every_step_has_its_place(events);
    contracts_are_deployed(events);
    committee_makes_a_group_key(events);
    dao_votes_code_in(events);
    g1_guest_combines_its_secret_from_three_nodes(events);
    domain_is_served_under_its_certificate(events);
    site_is_checked_end_to_end(events);
    v2_gets_the_secret_of_v1(events);
    g7_revocation_reaches_gateway_and_nodes(events);
    refusals_name_their_reasons(events);
}

fn every_step_has_its_place(events: &[Event]) {
    for step in 1..=10 {
        let held: Vec<_> = events.iter().filter(|e| e.step == step && e.kind == Kind::Held).collect();
        assert_eq!(held.len(), 1, "step {step}");
        assert!(held[0].block.is_some(), "step {step} names no block");
        assert!(held[0].transaction.is_some(), "step {step} names no transaction");
    }
    // What `--json` prints reads back as it was.
    for event in events {
        let line = serde_json::to_string(event).unwrap();
        assert_eq!(&serde_json::from_str::<Event>(&line).unwrap(), event);
    }
}

fn contracts_are_deployed(events: &[Event]) {
    let told = texts(events, 2, Kind::Done);
    for contract in ["KmsAuth", "AppAuth", "RoleCouncil", "AppGovernor", "KmsCommittee", "DomainRegistry"] {
        assert_eq!(count(&told, &format!("{contract}:")), 1, "{contract}");
    }
    assert_eq!(count(&texts(events, 3, Kind::Done), "KMS node"), 4);
}

fn committee_makes_a_group_key(events: &[Event]) {
    let key = fact(events, 4, "group_key").as_str().unwrap();
    assert_eq!(key.len(), 2 + 2 * 48);
    assert_eq!(fact(events, 4, "quorum"), "3 of 4");
}

fn dao_votes_code_in(events: &[Event]) {
    let told = texts(events, 5, Kind::Done);
    for (what, times) in [
        ("proposes", 1),
        ("votes for", 2),
        ("votes against", 1),
        ("queued", 1),
        ("executed", 1),
        ("notice", 1),
    ] {
        assert_eq!(count(&told, what), times, "{what}: {told:#?}");
    }
}

fn g1_guest_combines_its_secret_from_three_nodes(events: &[Event]) {
    let told = texts(events, 6, Kind::Done);
    assert!(count(&told, "KmsAuth says yes") >= 3, "{told:#?}");
}

fn domain_is_served_under_its_certificate(events: &[Event]) {
    assert_eq!(fact(events, 7, "page"), "notes v1");
    assert_ne!(fact(events, 7, "certificate").as_str().unwrap(), format!("0x{}", "00".repeat(32)));
}

/// As `mandate domain verify` checks it, over the gateway's own TLS, with evidence from its agent, on proven state.
fn site_is_checked_end_to_end(events: &[Event]) {
    let told = texts(events, 7, Kind::Done);
    for (step, found) in [
        ("tls", "the certificate leads to a trusted root"),
        ("provenance", "this key and our nonce"),
        ("evidence", "the evidence binds the statement"),
        ("committee", "that the committee vouches for"),
        ("code", "the gateway app's code, and KmsAuth allows it"),
        ("registry", "this certificate and account are recorded"),
        ("caa", "DNS was not asked"),
        ("ct", "no incident is open"),
    ] {
        let line = told.iter().filter(|text| text.contains(&format!(": {step}: ")) && text.contains(found));
        assert_eq!(line.count(), 1, "{step}: {told:#?}");
    }
}

fn v2_gets_the_secret_of_v1(events: &[Event]) {
    assert_eq!(fact(events, 6, "app_key_address"), fact(events, 8, "app_key_address"));
    // A node that is slow is left out.
    assert!(count(&texts(events, 8, Kind::Refused), "code hash retired") >= 3);
    assert_eq!(fact(events, 8, "page"), "notes v2");
    assert_eq!(count(&texts(events, 8, Kind::Done), "the committee's statement about it"), 1);
}

fn g7_revocation_reaches_gateway_and_nodes(events: &[Event]) {
    assert_eq!(count(&texts(events, 9, Kind::Done), "closes the open connection"), 1);
    let refused = texts(events, 9, Kind::Refused);
    assert_eq!(count(&refused, "code hash revoked"), 4);
    assert_eq!(count(&refused, "no route"), 1);
    assert_eq!(count(&refused, "statement about v2 has not ended"), 1);
}

fn refusals_name_their_reasons(events: &[Event]) {
    let refused = texts(events, 10, Kind::Refused);
    assert_eq!(count(&refused, "code hash not allowed"), 4, "{refused:#?}");
    assert_eq!(count(&refused, "evidence: "), 4, "{refused:#?}");
    assert_eq!(count(&refused, "undecided: "), 1, "{refused:#?}");
    assert_eq!(count(&refused, "unreachable"), 2, "{refused:#?}");
    assert_eq!(count(&texts(events, 10, Kind::Done), "come back"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn story_holds_with_debians_pebble() {
    let events = tell(false).await;
    let authority = fact(&events, 7, "issued_by").as_str().unwrap();
    assert!(authority.contains("pebble"), "pebble is not installed: {authority}");
    assert!(fact(&events, 7, "account").as_str().unwrap().starts_with("https://"));
}
