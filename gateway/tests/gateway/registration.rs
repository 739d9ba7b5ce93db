// SPDX-License-Identifier: Apache-2.0 OR MIT

use mandate_attestation::dev_pki::{Defect, DevGuest, DevPki};
use mandate_gateway::chain::At;
use mandate_model::{Outcome, Reason, outcome::PolicyReason};

use crate::{
    instance::Instance,
    world::{APP, OTHER_APP, World, code},
};

fn evidence_text(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Denied { reason: Reason::Evidence(text) } => text,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn g1_attack_evidence_that_binds_another_key_gets_no_route() {
    let (world, victim, thief) =
        (World::start().await, Instance::start("victim").await, Instance::start("thief").await);
    let mut request = world.request(APP, &victim.spki, &thief.upstream());
    request.spki = thief.spki.clone().into();
    let answer = world.send(&request).await.unwrap();
    assert!(evidence_text(&answer.outcome).contains("report data"), "{}", answer.outcome);
    assert!(answer.names.is_empty() && world.routes().await.is_empty());
}

#[tokio::test]
async fn g1_denied_by_finalised_or_newest_state_gets_no_route() {
    for at in [At::Finalized, At::Head] {
        let (world, instance) = (World::start().await, Instance::start("one").await);
        world.chain.deny(at, code(APP));
        let answer = world.send(&world.request(APP, &instance.spki, &instance.upstream())).await.unwrap();
        assert_eq!(answer.outcome, Outcome::Denied { reason: Reason::Policy(PolicyReason::CodeRevoked) });
        assert!(world.routes().await.is_empty());
    }
}

#[tokio::test]
async fn g6_undecided_gives_no_route() {
    let (world, instance) = (World::start().await, Instance::start("one").await);
    world.chain.set_undecided(true);
    let answer = world.send(&world.request(APP, &instance.spki, &instance.upstream())).await.unwrap();
    assert!(matches!(answer.outcome, Outcome::Undecided { .. }), "{}", answer.outcome);
    assert!(world.routes().await.is_empty());
}

#[tokio::test]
async fn g1_attack_evidence_that_does_not_verify_gets_no_route() {
    let (world, instance) = (World::start().await, Instance::start("one").await);
    let guest = DevGuest::new(APP, code(APP));
    for defect in [
        Defect::TamperedQuote,
        Defect::TudBit(0),
        Defect::RevokedPck,
        Defect::ForgedLog,
        Defect::OtherReportData,
    ] {
        let request =
            world.request_of(&guest.clone().with_defect(defect), &instance.spki, &instance.upstream());
        evidence_text(&world.send(&request).await.unwrap().outcome);
    }
    let mut request = world.request(APP, &instance.spki, &instance.upstream());
    let other_root = DevPki::from_seed([6; 32]);
    request.proof = other_root.evidence(&guest, request.report_data(), crate::world::NOW).encode().into();
    evidence_text(&world.send(&request).await.unwrap().outcome);
    request.proof = b"no evidence".to_vec().into();
    evidence_text(&world.send(&request).await.unwrap().outcome);
    assert!(world.routes().await.is_empty());
}

#[tokio::test]
async fn malformed_requests_are_refused_before_anything_is_verified() {
    let (world, instance) = (World::start().await, Instance::start("one").await);
    let good = world.request(APP, &instance.spki, &instance.upstream());
    let mut bad_spki = good.clone();
    bad_spki.spki = [good.spki.as_ref(), &[0]].concat().into();
    let mut bad_upstream = good.clone();
    bad_upstream.upstream = "unix:/run/secret.sock".to_owned();
    let mut too_large = good.clone();
    too_large.proof = vec![0; mandate_attestation::MAX_EVIDENCE + 1].into();
    for (request, status) in [(bad_spki, 400), (bad_upstream, 400), (too_large, 413)] {
        assert_eq!(world.send(&request).await.unwrap_err().status(), Some(status));
    }
}

#[tokio::test]
async fn attack_instance_id_of_another_app_is_refused() {
    let (world, victim, thief) =
        (World::start().await, Instance::start("victim").await, Instance::start("thief").await);
    world.register(APP, &victim).await;
    for claimed in [DevGuest::new(APP, code(APP)).instance_id, APP] {
        let guest = DevGuest { instance_id: claimed, ..DevGuest::new(OTHER_APP, code(OTHER_APP)) };
        let answer = world.send(&world.request_of(&guest, &thief.spki, &thief.upstream())).await.unwrap();
        assert!(
            matches!(answer.outcome, Outcome::Denied { reason: Reason::Request(_) }),
            "{}",
            answer.outcome
        );
    }
    assert_eq!(world.routes().await.len(), 1);
}

#[tokio::test]
async fn g7_revocation_between_decision_and_route_closes_the_route() {
    let (world, instance) = (World::start().await, Instance::start("one").await);
    let gate = world.chain.hold();
    let request = world.request(APP, &instance.spki, &instance.upstream());
    let mut registering = std::pin::pin!(world.send(&request));
    // Finalised state has said yes, and so has the newest: the answers are on their way.
    gate.add_permits(1);
    while world.chain.asked() < 2 {
        tokio::select! {
            answer = &mut registering => panic!("{answer:?}"),
            () = tokio::task::yield_now() => {}
        }
    }
    world.chain.deny(At::Head, code(APP));
    assert_eq!(world.notice(APP, 0).await, Default::default());
    gate.add_permits(10);
    let answer = registering.await.unwrap();
    assert_eq!(answer.outcome, Outcome::Denied { reason: Reason::Policy(PolicyReason::CodeRevoked) });
    assert!(answer.names.is_empty() && world.routes().await.is_empty());
}

#[tokio::test]
async fn registering_again_lengthens_the_lease_of_the_same_route() {
    let (world, instance) = (World::start().await, Instance::start("one").await);
    world.register(APP, &instance).await;
    let mut stream = world.pinned(&crate::world::passthrough(APP), &instance.spki).await.unwrap();
    crate::world::greeting(&mut stream).await;
    world.clock.advance(std::time::Duration::from_secs(599));
    world.register(APP, &instance).await;
    world.clock.advance(std::time::Duration::from_secs(599));
    assert_eq!(world.routes().await.len(), 1);
    assert_eq!(world.routes().await[0].connections, 1);
}
