// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which epoch a node signs for, and what it signs in public. Each test fails when the check that it is about is taken out.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod support;

use alloy::{
    primitives::{Address, B256, B512},
    sol_types::SolValue,
};
use mandate_attestation::verify;
use mandate_kms::shares::RELEASE_INFO;
use mandate_model::{
    Outcome,
    bindings::BootRequest,
    wire::kms::{AppKeys, Given, MAX_STATEMENT_LIFE, ReleaseRequest, ReleaseResponse, RouteWish, Wish},
};
use mandate_threshold::{
    AppStatement, InstanceStatement, Output, Partial,
    derive::{APP_NAMESPACE, app_message},
    statement::INSTANCE_NAMESPACE,
};
use support::*;

/// Block time of the head that the script shows.
const HEAD: u64 = NOW + 12;

/// A node after a rotation: epoch 2 in force, epoch 1 of the root before valid until `until`.
fn rotated(until: u64) -> (World, Output) {
    let world = World::new();
    let ((old, old_share), (new, share)) = (committee_of_one(5), committee_of_one(6));
    assert_ne!(old.group_key(), new.group_key());
    let outgoing = holding(1, old, Some(old_share), until);
    world.shares.replace(Some(holding(2, new.clone(), Some(share), u64::MAX)), Some(outgoing));
    (world, new)
}

async fn ask(world: &World, change: impl FnOnce(&mut ReleaseRequest)) -> (ReleaseRequest, ReleaseResponse) {
    let mut request = world.bare_request();
    change(&mut request);
    let request = world.attested(request, &guest());
    let response = world.release(&request).await;
    (request, response)
}

/// Whether the sealed part is that of this root.
fn is_of(root: &Output, request: &ReleaseRequest, response: &ReleaseResponse) -> bool {
    let sealed = &response.partial().unwrap().sealed;
    let opened = mandate_threshold::open(&transport(), RELEASE_INFO, &request.report_data(), sealed).unwrap();
    let message = app_message(CHAIN, KMS_AUTH.into(), APP.into(), 1, &root.group_key());
    root.public().verify_partial(APP_NAMESPACE, &message, &Partial::decode(&opened).unwrap())
}

fn released(response: &ReleaseResponse) -> bool {
    response.given.is_some()
}

#[tokio::test]
async fn g11_both_roots_answer_during_the_handover_each_by_its_name() {
    let (world, new) = rotated(HEAD + 1);
    for (epoch, root) in [(0, &new), (2, &new), (1, &world.output)] {
        let (request, response) = ask(&world, |r| r.epoch = epoch).await;
        assert!(matches!(response.outcome, Outcome::Allowed { .. }), "{epoch}: {}", response.outcome);
        assert!(is_of(root, &request, &response), "epoch {epoch}");
        assert_eq!(response.partial().unwrap().epoch, if epoch == 1 { 1 } else { 2 });
    }
}

/// By the head's time: the loop that destroys the shares sees only what is final.
#[tokio::test]
async fn g11_outgoing_root_answers_no_more_when_the_head_is_past_its_handover() {
    let (world, _) = rotated(HEAD);
    let (_, response) = ask(&world, |r| r.epoch = 1).await;
    assert!(response.outcome.to_string().contains("epoch 1 is over"), "{}", response.outcome);
    assert!(matches!(response.outcome, Outcome::Denied { .. }) && !released(&response));
    assert_eq!(response.receipt.unwrap().outcome, response.outcome);
}

#[tokio::test]
async fn g11_epoch_that_is_over_is_denied_and_one_to_come_undecided() {
    let (world, _) = rotated(HEAD + 1);
    world.shares.end_outgoing();
    let (_, over) = ask(&world, |r| r.epoch = 1).await;
    assert!(matches!(over.outcome, Outcome::Denied { .. }) && !released(&over), "{}", over.outcome);
    let (_, to_come) = ask(&world, |r| r.epoch = 3).await;
    assert!(
        matches!(to_come.outcome, Outcome::Undecided { .. }) && !released(&to_come),
        "{}",
        to_come.outcome
    );
}

#[tokio::test]
async fn evidence_that_binds_another_epoch_or_statement_is_denied() {
    let (world, _) = rotated(HEAD + 1);
    let changes: [fn(&mut ReleaseRequest); 3] =
        [|r| r.epoch = 1, |r| r.wish = Wish::Statement(keys()), |r| r.wish = Wish::Statement(other_keys())];
    for (index, change) in changes.iter().enumerate() {
        let mut request = world.bare_request();
        request.wish = if index == 2 { Wish::Statement(keys()) } else { Wish::Secret };
        let mut request = world.attested(request, &guest());
        change(&mut request);
        let response = world.release(&request).await;
        assert!(response.outcome.to_string().contains("evidence"), "{index}: {}", response.outcome);
        assert!(!released(&response));
    }
}

fn keys() -> AppKeys {
    AppKeys { ca_spki_sha256: B256::repeat_byte(0xca), ethereum: Address::repeat_byte(0xee) }
}

fn other_keys() -> AppKeys {
    AppKeys { ethereum: APP, ..keys() }
}

fn statement(generation: u64) -> AppStatement {
    AppStatement {
        chain_id: CHAIN,
        kms_auth: KMS_AUTH.into(),
        app: APP.into(),
        generation,
        ca_spki_sha256: [0xca; 32],
        ethereum: [0xee; 20],
    }
}

#[tokio::test]
async fn statement_is_about_the_attested_app_and_takes_the_place_of_the_secret() {
    let world = World::new();
    let (_, response) = ask(&world, |r| r.wish = Wish::Statement(keys())).await;
    assert!(matches!(response.outcome, Outcome::Allowed { .. }), "{}", response.outcome);
    let Some(Given::Statement(part)) = response.given else { panic!("{:?}", response.given) };
    assert_eq!((part.epoch, part.generation), (1, 1));
    let partial = Partial::decode(&part.partial).unwrap();
    let signature = statement(1).combine(&world.output.public(), std::slice::from_ref(&partial)).unwrap();
    statement(1).verify(&world.output.group_key(), &signature).unwrap();
    assert!(statement(2).verify(&world.output.group_key(), &signature).is_err());
    assert!(response.receipt.unwrap().is_signed(&world.context.domain()));
    // Nor does it help to a secret.
    let message = app_message(CHAIN, KMS_AUTH.into(), APP.into(), 1, &world.output.group_key());
    assert!(!world.output.public().verify_partial(APP_NAMESPACE, &message, &partial));
}

#[tokio::test]
async fn g1_statement_is_signed_for_what_the_contracts_allow_only() {
    let world = World::new();
    world.script(|s| {
        s.head = Ok(mandate_kms::decide::Verdict::Denied(mandate_model::outcome::PolicyReason::CodeRevoked))
    });
    let (_, response) = ask(&world, |r| r.wish = Wish::Statement(keys())).await;
    assert!(matches!(response.outcome, Outcome::Denied { .. }) && !released(&response));
}

fn route() -> RouteWish {
    RouteWish { registration: B512::repeat_byte(0x4e), until: NOW + MAX_STATEMENT_LIFE }
}

#[tokio::test]
async fn g1_instance_statement_says_what_the_evidence_proves_and_is_nothing_else() {
    let world = World::new();
    let (request, response) = ask(&world, |r| r.wish = Wish::Instance(route())).await;
    assert!(matches!(response.outcome, Outcome::Allowed { .. }), "{}", response.outcome);
    let Some(Given::Instance(part)) = response.given else { panic!("{:?}", response.given) };
    let evidence = mandate_attestation::Evidence::decode(&request.evidence).unwrap();
    let anchors = world.pki.trust_anchors();
    let verified = verify(&evidence, &anchors, NOW, &request.report_data()).unwrap();
    let found = BootRequest::abi_decode_validate(&part.boot_request).unwrap();
    assert_eq!(found, mandate_kms::boot::boot_request(&verified, 0));

    let partial = Partial::decode(&part.partial).unwrap();
    let said = InstanceStatement {
        chain_id: CHAIN,
        kms_auth: KMS_AUTH.into(),
        boot_request: &part.boot_request,
        registration: &[0x4e; 64],
        until: NOW + MAX_STATEMENT_LIFE,
    };
    let public = world.output.public();
    assert!(public.verify_partial(INSTANCE_NAMESPACE, &said.message(), &partial));
    let later = InstanceStatement { until: said.until + 1, ..said };
    assert!(!public.verify_partial(INSTANCE_NAMESPACE, &later.message(), &partial));
    let secret = app_message(CHAIN, KMS_AUTH.into(), APP.into(), 1, &world.output.group_key());
    assert!(!public.verify_partial(APP_NAMESPACE, &secret, &partial));
}

/// Nobody can take a statement back, so it must end; and one without end must not be had by asking for it.
#[tokio::test]
async fn attack_instance_statement_that_would_outlast_a_day_is_not_signed() {
    let world = World::new();
    for until in [0, NOW, NOW + MAX_STATEMENT_LIFE + 1, u64::MAX] {
        let (_, response) = ask(&world, |r| r.wish = Wish::Instance(RouteWish { until, ..route() })).await;
        assert!(response.outcome.to_string().contains("a statement until"), "{until}: {}", response.outcome);
        assert!(matches!(response.outcome, Outcome::Denied { .. }) && !released(&response));
    }
}

/// The evidence was made for one registration; whoever carries it to a node must not get a statement for his own.
#[tokio::test]
async fn attack_evidence_for_one_registration_is_no_evidence_for_another() {
    let world = World::new();
    let changes: [fn(&mut ReleaseRequest); 4] = [
        |r| r.wish = Wish::Instance(RouteWish { registration: B512::ZERO, ..route() }),
        |r| r.wish = Wish::Instance(RouteWish { until: NOW + 1, ..route() }),
        |r| r.wish = Wish::Secret,
        |r| r.wish = Wish::Statement(keys()),
    ];
    for change in changes {
        let honest = ReleaseRequest { wish: Wish::Instance(route()), ..world.bare_request() };
        let mut request = world.attested(honest, &guest());
        change(&mut request);
        let response = world.release(&request).await;
        assert!(response.outcome.to_string().contains("report data"), "{}", response.outcome);
        assert!(!released(&response));
    }
}

#[tokio::test]
async fn g1_no_statement_is_signed_about_revoked_code() {
    let world = World::new();
    world.script(|s| {
        s.head = Ok(mandate_kms::decide::Verdict::Denied(mandate_model::outcome::PolicyReason::CodeRevoked))
    });
    let (_, response) = ask(&world, |r| r.wish = Wish::Instance(route())).await;
    assert!(matches!(response.outcome, Outcome::Denied { .. }) && !released(&response));
}
