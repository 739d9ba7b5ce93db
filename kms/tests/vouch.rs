// SPDX-License-Identifier: Apache-2.0 OR MIT
//! For whom a member vouches, and to whom the single member gives its share. Each test fails when the check that it is about
//! is taken out.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod support;

use alloy::primitives::{Address, B256, aliases::U40};
use mandate_kms::{chain::CommitteeRules, decide::Verdict, shares::COPY_INFO};
use mandate_model::{
    Outcome, Reason,
    outcome::PolicyReason,
    signed,
    wire::kms::{Candidate, Given, ReleaseRequest, ReleaseResponse, Wish},
};
use mandate_threshold::Share;
use sha2::{Digest, Sha256};
use support::*;

const RULES: CommitteeRules = CommitteeRules { kms_app: APP, demand: 3, is_replica: true };

fn candidate() -> Candidate {
    Candidate {
        node: Address::repeat_byte(0x9e),
        dealing_key: B256::repeat_byte(0xd0),
        sealing_key: B256::repeat_byte(0x5e),
        demand: 3,
        until: NOW + 1_000,
    }
}

fn world() -> World {
    let world = World::new();
    world.script(|s| s.rules = [Ok(RULES), Ok(RULES)]);
    world
}

async fn ask(world: &World, wish: Wish) -> (ReleaseRequest, ReleaseResponse) {
    let request = world.attested(ReleaseRequest { wish, ..world.bare_request() }, &guest());
    let response = world.release(&request).await;
    (request, response)
}

fn denied_for(response: &ReleaseResponse, why: &str) {
    let Outcome::Denied { reason: Reason::Request(reason) } = &response.outcome else {
        panic!("{}", response.outcome)
    };
    assert!(reason.contains(why), "{reason}");
    assert!(response.given.is_none() && response.receipt.is_some());
}

#[tokio::test]
async fn g8_vouch_is_over_the_evidence_and_the_nodes_keys_and_leaves_a_receipt() {
    let world = world();
    let (request, response) = ask(&world, Wish::Vouch(candidate())).await;
    let Some(Given::Vouch(signature)) = response.given else { panic!("{}", response.outcome) };
    let Candidate { node, dealing_key, sealing_key, demand, until } = candidate();
    let message = signed::Vouch {
        nodeKey: node,
        dealingKey: dealing_key,
        sealingKey: sealing_key,
        evidenceDigest: B256::from_slice(&Sha256::digest(&request.evidence)),
        demand,
        until: U40::from(until),
    };
    let domain = world.context.domain();
    assert_eq!(signed::signer(&message, &domain, &signature), Some(world.keys.address()));
    assert!(response.receipt.unwrap().is_signed(&domain));
}

#[tokio::test]
async fn g1_only_the_kms_own_app_is_vouched_for() {
    let world = world();
    let other = CommitteeRules { kms_app: Address::repeat_byte(0xee), ..RULES };
    world.script(|s| s.rules = [Ok(other), Ok(other)]);
    let (_, response) = ask(&world, Wish::Vouch(candidate())).await;
    denied_for(&response, "the KMS's own is");
}

#[tokio::test]
async fn g1_candidate_that_the_policy_denies_is_not_vouched_for() {
    for at_head in [false, true] {
        let world = world();
        let denied = Ok(Verdict::Denied(PolicyReason::TcbTooLow));
        world.script(|s| if at_head { s.head = denied } else { s.finalized = denied });
        let (_, response) = ask(&world, Wish::Vouch(candidate())).await;
        let policy = Outcome::Denied { reason: Reason::Policy(PolicyReason::TcbTooLow) };
        assert!(response.outcome == policy && response.given.is_none(), "{}", response.outcome);
    }
}

/// Who signs for the demand before would let a node in that the policy has barred since.
#[tokio::test]
async fn vouch_for_another_demand_than_the_newest_is_denied() {
    let world = world();
    for demand in [2, 4] {
        let (_, response) = ask(&world, Wish::Vouch(Candidate { demand, ..candidate() })).await;
        denied_for(&response, "the newest demand for attestation is 3");
    }
}

#[tokio::test]
async fn evidence_that_binds_another_candidate_is_denied() {
    let world = world();
    let changes: [fn(&mut Candidate); 5] = [
        |c| c.node = APP,
        |c| c.dealing_key = B256::ZERO,
        |c| c.sealing_key = B256::ZERO,
        |c| c.demand = 0,
        |c| c.until += 1,
    ];
    for change in changes {
        let honest = ReleaseRequest { wish: Wish::Vouch(candidate()), ..world.bare_request() };
        let mut other = candidate();
        change(&mut other);
        let request = ReleaseRequest { wish: Wish::Vouch(other), ..world.attested(honest, &guest()) };
        let response = world.release(&request).await;
        assert!(response.outcome.to_string().contains("evidence"), "{}", response.outcome);
        assert!(response.given.is_none());
    }
}

#[tokio::test]
async fn g6_rules_that_cannot_be_read_are_undecided() {
    let world = world();
    world.script(|s| s.rules[1] = Err(no_header()));
    for wish in [Wish::Vouch(candidate()), Wish::Copy(APP)] {
        let (_, response) = ask(&world, wish).await;
        assert!(matches!(response.outcome, Outcome::Undecided { .. }), "{}", response.outcome);
        assert!(response.given.is_none() && !response.outcome.to_string().contains("token"));
    }
    world.script(|s| s.rules = [Err(no_header()), Ok(RULES)]);
    let (_, response) = ask(&world, Wish::Copy(APP)).await;
    assert!(matches!(response.outcome, Outcome::Undecided { .. }), "{}", response.outcome);
}

#[tokio::test]
async fn node_without_a_seat_vouches_and_gives_nothing_else() {
    let world = world();
    world.seat.set(NOW);
    let (_, response) = ask(&world, Wish::Vouch(candidate())).await;
    assert!(matches!(response.given, Some(Given::Vouch(_))), "{}", response.outcome);
    for wish in [Wish::Secret, Wish::Copy(APP)] {
        let (_, response) = ask(&world, wish).await;
        let Outcome::Undecided { why } = &response.outcome else { panic!("{}", response.outcome) };
        assert!(why.contains("attestation ended") && response.given.is_none(), "{why}");
    }
}

#[tokio::test]
async fn replica_gets_the_single_members_share_sealed_to_its_own_key() {
    let world = world();
    let (request, response) = ask(&world, Wish::Copy(APP)).await;
    let Some(Given::Copy(copy)) = response.given else { panic!("{}", response.outcome) };
    let opened =
        mandate_threshold::open(&transport(), COPY_INFO, &request.report_data(), &copy.sealed).unwrap();
    let share = Share::decode(&opened).unwrap();
    let partial = share.sign(b"namespace", b"message");
    assert!(world.output.public().verify_partial(b"namespace", b"message", &partial));
    let other = mandate_threshold::SealingKey::from_seed([0x78; 32]);
    assert!(mandate_threshold::open(&other, COPY_INFO, &request.report_data(), &copy.sealed).is_err());
}

#[tokio::test]
async fn copy_is_denied_to_whom_the_contract_does_not_name_at_finality_and_at_the_head() {
    let not = CommitteeRules { is_replica: false, ..RULES };
    for rules in [[Ok(not), Ok(RULES)], [Ok(RULES), Ok(not)]] {
        let world = world();
        world.script(|s| s.rules = rules);
        let (_, response) = ask(&world, Wish::Copy(APP)).await;
        denied_for(&response, "does not say that it is a replica");
    }
}

/// Whatever the contract says: t copies of different shares would be the key.
#[tokio::test]
async fn g4_member_of_several_gives_its_share_to_nobody() {
    let world = world();
    let (output, shares) = committee_of_four();
    world.shares.replace(Some(holding(1, output, Some(shares[0].clone()), u64::MAX)), None);
    let (_, response) = ask(&world, Wish::Copy(APP)).await;
    let denied =
        Outcome::Denied { reason: Reason::Request("copies are of a single member's share only".into()) };
    assert!(response.outcome == denied && response.given.is_none(), "{}", response.outcome);
}
