// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Instances that the committee vouches for. Each attack fails at one check, and gets a route without it.

use std::time::Duration;

use alloy::sol_types::SolValue;
use mandate_attestation::{dev_pki::DevGuest, verify};
use mandate_gateway::{chain::At, facts::Facts};
use mandate_model::{
    Outcome, Reason,
    bindings::BootRequest,
    outcome::PolicyReason,
    wire::gateway::{Proof, RegisterRequest, RevocationEffect, SignedInstance},
};
use mandate_threshold::{
    AppStatement, CeremonyInfo, DealerSession, DealingKey, InstanceStatement, Output, Partial, PlayerSession,
    Share,
    statement::{INSTANCE_NAMESPACE, STATEMENT_NAMESPACE},
};

use crate::{
    instance::Instance,
    world::{APP, DEPLOYED, DOMAIN, NOW, World, code, greeting, passthrough},
};

const LIFE: u64 = 3_600;

struct Committee {
    output: Output,
    shares: Vec<Share>,
}

impl Committee {
    fn new(seed: u8) -> Self {
        let keys: Vec<_> = (0..4).map(|n| DealingKey::from_seed([seed + n; 32])).collect();
        let all: Vec<_> = keys.iter().map(DealingKey::public).collect();
        let (namespace, dealers) = (b"gateway test".to_vec(), all.clone());
        let info = CeremonyInfo { namespace, round: 1, previous: None, dealers, players: all.clone() };
        let mut players: Vec<_> = keys.iter().map(|key| PlayerSession::new(&info, key).unwrap()).collect();
        let mut logs = Vec::new();
        for key in &keys {
            let (mut dealer, dealings) = DealerSession::start(&info, key, None, [9; 32]).unwrap();
            for dealing in dealings {
                let to = all.iter().position(|public| *public == dealing.recipient).unwrap();
                let ack = players[to].deal(&key.public(), &dealing.body).unwrap();
                dealer.acknowledge(&dealing.recipient, &ack).unwrap();
            }
            logs.push((key.public(), dealer.finish()));
        }
        let (mut outputs, shares): (Vec<_>, Vec<_>) =
            players.into_iter().map(|player| player.finish(&logs).unwrap()).unzip();
        Self { output: outputs.remove(0), shares }
    }

    fn combine(&self, namespace: &[u8], message: &[u8], signers: usize) -> Option<Vec<u8>> {
        let parts: Vec<Partial> =
            self.shares.iter().take(signers).map(|share| share.sign(namespace, message)).collect();
        let signature = self.output.public().combine(namespace, message, &parts).ok()?;
        Some(signature.as_bytes().to_vec())
    }

    fn sign(&self, statement: &InstanceStatement<'_>) -> Vec<u8> {
        self.combine(INSTANCE_NAMESPACE, &statement.message(), 3).unwrap()
    }
}

/// A gateway that knows the committee.
async fn start() -> (World, Committee, Instance) {
    let (world, committee) = (World::start().await, Committee::new(10));
    for at in [At::Finalized, At::Head] {
        world.chain.sign_with(at, &[committee.output.group_key()]);
    }
    (world, committee, Instance::start("one").await)
}

fn statement<'a>(boot_request: &'a [u8], registration: &'a [u8; 64], until: u64) -> InstanceStatement<'a> {
    let (chain_id, kms_auth) = (DEPLOYED.chain_id, DEPLOYED.kms_auth.into());
    InstanceStatement { chain_id, kms_auth, boot_request, registration, until }
}

/// The question that a node takes out of the evidence in `request`.
fn found(world: &World, request: &RegisterRequest) -> Vec<u8> {
    let Proof::Evidence(evidence) = &request.proof else { panic!("no evidence") };
    let evidence = mandate_attestation::Evidence::decode(evidence).unwrap();
    let verified = verify(&evidence, &world.pki.trust_anchors(), NOW, &request.report_data()).unwrap();
    BootRequest::from(&Facts::from(&verified)).abi_encode()
}

/// The request with the committee's word in place of its evidence, as `say` has it say.
fn stated(
    world: &World,
    mut request: RegisterRequest,
    say: impl FnOnce(&InstanceStatement<'_>) -> Vec<u8>,
) -> RegisterRequest {
    let (boot_request, registration, until) = (found(world, &request), request.report_data(), NOW + LIFE);
    let signature = say(&statement(&boot_request, &registration, until)).into();
    request.proof = Proof::Statement(SignedInstance { boot_request: boot_request.into(), until, signature });
    request
}

async fn refused(world: &World, request: &RegisterRequest, why: &str) {
    let answer = world.send(request).await.unwrap();
    match &answer.outcome {
        Outcome::Denied { reason: Reason::Request(text) } => assert!(text.contains(why), "{text}"),
        other => panic!("{other:?}"),
    }
    assert!(answer.names.is_empty() && world.routes().await.is_empty());
}

const UNSIGNED: &str = "no statement about this key, place and domains is signed";

#[tokio::test]
async fn g1_instance_that_the_committee_vouches_for_gets_the_same_route() {
    let (world, committee, instance) = start().await;
    let request = world.request(APP, &instance.spki, &instance.upstream());
    let by_evidence = world.send(&request).await.unwrap();
    let listed = world.routes().await;
    let request = stated(&world, request, |said| committee.sign(said));
    assert_eq!(world.send(&request).await.unwrap(), by_evidence);
    assert_eq!(world.routes().await, listed);
    let mut stream = world.pinned(&passthrough(APP), &instance.spki).await.unwrap();
    assert!(greeting(&mut stream).await.contains("one"));
}

#[tokio::test]
async fn g5_attack_statement_of_another_deployment_or_committee_is_refused() {
    let (world, committee, instance) = start().await;
    let request = || world.request(APP, &instance.spki, &instance.upstream());
    let other_chain = stated(&world, request(), |said| {
        committee.sign(&InstanceStatement { chain_id: DEPLOYED.chain_id + 1, ..*said })
    });
    let other_kms =
        stated(&world, request(), |said| committee.sign(&InstanceStatement { kms_auth: [9; 20], ..*said }));
    let stranger = Committee::new(50);
    let strangers = stated(&world, request(), |said| stranger.sign(said));
    for request in [other_chain, other_kms, strangers] {
        refused(&world, &request, UNSIGNED).await;
    }
}

#[tokio::test]
async fn g1_attack_statement_about_another_key_place_or_domain_is_refused() {
    let (world, committee, instance) = start().await;
    let thief = Instance::start("thief").await;
    world.chain.approve(DOMAIN, APP);
    world.chain.approve("other.example.org", APP);
    let guest = DevGuest::new(APP, code(APP));
    let honest = world.request_for(&guest, &instance.spki, &instance.upstream(), &[DOMAIN]);
    let honest = stated(&world, honest, |said| committee.sign(said));
    let changes: [&dyn Fn(&mut RegisterRequest); 5] = [
        &|r| r.spki = thief.spki.clone().into(),
        &|r| r.upstream = thief.upstream(),
        &|r| r.domains = vec!["other.example.org".to_owned()],
        &|r| r.domains.push("other.example.org".to_owned()),
        &|r| r.domains.clear(),
    ];
    for change in changes {
        let mut request = honest.clone();
        change(&mut request);
        refused(&world, &request, UNSIGNED).await;
    }
    assert!(matches!(world.send(&honest).await.unwrap().outcome, Outcome::Allowed { .. }));
}

#[tokio::test]
async fn g1_attack_facts_or_end_that_nobody_signed_are_refused() {
    let (world, committee, instance) = start().await;
    let request = world.request(APP, &instance.spki, &instance.upstream());
    let other_code = DevGuest::new(APP, code(crate::world::OTHER_APP));
    let other_facts = found(&world, &world.request_of(&other_code, &instance.spki, &instance.upstream()));
    let honest = stated(&world, request, |said| committee.sign(said));
    let changes: [&dyn Fn(&mut SignedInstance); 4] = [
        &|s| s.boot_request = other_facts.clone().into(),
        &|s| s.until += 1,
        &|s| s.signature = Default::default(),
        &|s| s.signature = vec![0; 1 << 16].into(),
    ];
    for change in changes {
        let mut request = honest.clone();
        let Proof::Statement(signed) = &mut request.proof else { panic!("no statement") };
        change(signed);
        refused(&world, &request, UNSIGNED).await;
    }
}

#[tokio::test]
async fn attack_statement_that_has_ended_is_refused_and_its_route_ends_with_it() {
    let (world, committee, instance) = start().await;
    let request = world.request(APP, &instance.spki, &instance.upstream());
    let request = stated(&world, request, |said| committee.sign(said));
    world.clock.advance(Duration::from_secs(LIFE - 60));
    let answer = world.send(&request).await.unwrap();
    assert_eq!(answer.lease, 60, "the gateway's own lease would outlast the statement");
    world.clock.advance(Duration::from_secs(60));
    while !world.routes().await.is_empty() {
        tokio::task::yield_now().await;
    }
    refused(&world, &request, "the committee's statement ended at").await;
}

#[tokio::test]
async fn g11_attack_statement_under_a_key_that_is_over_is_refused() {
    let (world, former, instance) = start().await;
    let (former_key, key) = (former.output.group_key(), Committee::new(50).output.group_key());
    let request = world.request(APP, &instance.spki, &instance.upstream());
    let request = stated(&world, request, |said| former.sign(said));
    // Over by the newest block, and by both.
    world.chain.sign_with(At::Head, &[key]);
    refused(&world, &request, UNSIGNED).await;
    world.chain.sign_with(At::Finalized, &[key]);
    refused(&world, &request, UNSIGNED).await;
    // Not in force by what is final.
    world.chain.sign_with(At::Head, &[former_key]);
    refused(&world, &request, UNSIGNED).await;
    // In its handover.
    for at in [At::Finalized, At::Head] {
        world.chain.sign_with(at, &[key, former_key]);
    }
    assert!(matches!(world.send(&request).await.unwrap().outcome, Outcome::Allowed { .. }));
}

#[tokio::test]
async fn attack_what_the_committee_signed_for_something_else_is_no_statement() {
    let (world, committee, instance) = start().await;
    let request = || world.request(APP, &instance.spki, &instance.upstream());
    let about_app = AppStatement {
        chain_id: DEPLOYED.chain_id,
        kms_auth: DEPLOYED.kms_auth.into(),
        app: APP.into(),
        generation: 1,
        ca_spki_sha256: [1; 32],
        ethereum: [2; 20],
    };
    let app_signature = committee.combine(STATEMENT_NAMESPACE, &about_app.message(), 3).unwrap();
    refused(&world, &stated(&world, request(), |_| app_signature), UNSIGNED).await;
    // Nor were it about the very same text.
    let passed_off =
        stated(&world, request(), |said| committee.combine(STATEMENT_NAMESPACE, &said.message(), 3).unwrap());
    refused(&world, &passed_off, UNSIGNED).await;
    // Fewer than a quorum give no signature, and one node's part is none.
    let part = stated(&world, request(), |said| {
        assert_eq!(committee.combine(INSTANCE_NAMESPACE, &said.message(), 2), None);
        committee.shares[0].sign_instance(said).encode().to_vec()
    });
    refused(&world, &part, UNSIGNED).await;
}

#[tokio::test]
async fn g1_g7_attack_revoked_code_with_a_valid_statement_gets_no_route_and_loses_the_one_it_has() {
    for at in [At::Finalized, At::Head] {
        let (world, committee, instance) = start().await;
        let request = world.request(APP, &instance.spki, &instance.upstream());
        let request = stated(&world, request, |said| committee.sign(said));
        assert!(matches!(world.send(&request).await.unwrap().outcome, Outcome::Allowed { .. }));
        let mut stream = world.pinned(&passthrough(APP), &instance.spki).await.unwrap();
        greeting(&mut stream).await;
        world.chain.set_head(7);
        world.chain.deny(At::Head, code(APP));
        world.chain.deny(at, code(APP));
        assert_eq!(world.notice(APP, 7).await, RevocationEffect { closed: 1, kept: 0, pending: 0 });
        crate::world::closed(&mut stream).await;
        let answer = world.send(&request).await.unwrap();
        assert_eq!(answer.outcome, Outcome::Denied { reason: Reason::Policy(PolicyReason::CodeRevoked) });
        assert!(world.routes().await.is_empty());
    }
}

#[tokio::test]
async fn g6_committee_that_cannot_be_read_leaves_a_statement_undecided() {
    for at in [At::Finalized, At::Head] {
        let (world, committee, instance) = start().await;
        world.chain.sign_with(at, &[]);
        let request = world.request(APP, &instance.spki, &instance.upstream());
        let request = stated(&world, request, |said| committee.sign(said));
        let answer = world.send(&request).await.unwrap();
        assert!(matches!(answer.outcome, Outcome::Undecided { .. }), "{}", answer.outcome);
        assert!(world.routes().await.is_empty());
    }
}

#[tokio::test]
async fn statement_that_is_too_large_or_says_nothing_is_refused() {
    let (world, committee, instance) = start().await;
    let mut request = world.request(APP, &instance.spki, &instance.upstream());
    let registration = request.report_data();
    let with = |boot_request: Vec<u8>| {
        let signature = committee.sign(&statement(&boot_request, &registration, NOW + LIFE)).into();
        Proof::Statement(SignedInstance { boot_request: boot_request.into(), until: NOW + LIFE, signature })
    };
    request.proof = with(vec![0; 31]);
    refused(&world, &request, "does not decode").await;
    request.proof = with(vec![0; (16 << 10) + 1]);
    assert_eq!(world.send(&request).await.unwrap_err().status(), Some(413));
}
