// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The key client against nodes that hold real shares, verify real evidence and behave in every way.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod support;

use std::{collections::HashSet, time::Duration};

use alloy::{primitives::Address, signers::local::PrivateKeySigner};
use mandate_guest::{Fetched, KeyClient, KeyError, NodeOutcome, NodeReport, Pinned, Stated};
use mandate_model::{
    outcome::{PolicyReason, Reason},
    wire::relayer::CommitteeView,
};
use mandate_threshold::{AppSecret, AppStatement, derive::app_message, identity};
use support::{APP, CHAIN, EPOCH, GENERATION, KMS_AUTH, Manner, World, ambient, quoter};

use Manner::{Denies, Down, Honest, Undecided};

fn client() -> KeyClient {
    KeyClient::new(&ambient()).node_timeout(Duration::from_secs(20)).grace(Duration::from_millis(20))
}

async fn fetch(manners: &[Manner]) -> (World, Result<Fetched, KeyError>) {
    let world = World::start(manners).await;
    let fetched = client().fetch(&world.pinned, &world.view, 0, &quoter()).await;
    (world, fetched)
}

fn outcomes(reports: &[NodeReport], matching: fn(&NodeOutcome) -> bool) -> usize {
    reports.iter().filter(|report| matching(&report.outcome)).count()
}

fn report<'a>(world: &World, reports: &'a [NodeReport], i: usize) -> &'a NodeReport {
    reports.iter().find(|report| report.node == world.view.members[i].node).unwrap()
}

#[tokio::test]
async fn any_three_of_four_give_the_same_secret() {
    let mut secrets: Vec<AppSecret> = Vec::new();
    for down in 0..4 {
        let mut manners = [Honest; 4];
        manners[down] = Down;
        let (world, fetched) = fetch(&manners).await;
        let fetched = fetched.unwrap();
        assert_eq!((fetched.app, fetched.generation, fetched.epoch), (APP, GENERATION, EPOCH));
        let gone = report(&world, &fetched.reports, down);
        assert!(matches!(gone.outcome, NodeOutcome::Unreachable { .. }));
        assert!(gone.to_string().contains(&gone.node.to_string()) && gone.to_string().contains(&gone.url));
        assert_eq!(outcomes(&fetched.reports, |o| matches!(o, NodeOutcome::Allowed { .. })), 3);
        assert_eq!(fetched.receipts().count(), 3);
        secrets.push(fetched.secret);
    }
    assert!(secrets.windows(2).all(|pair| pair[0] == pair[1]));
}

#[tokio::test]
async fn a_single_node_committee_works_too() {
    let (_world, fetched) = fetch(&[Honest]).await;
    assert_eq!(fetched.unwrap().reports.len(), 1);
}

/// An eviction must not take the secret away from everybody: the others keep their indices.
#[tokio::test]
async fn evicted_members_leave_the_others_parts_good() {
    for gone in [0, 1, 3] {
        let world = World::start(&[Honest; 4]).await;
        let mut view = world.view.clone();
        (view.members[gone].dealing_key, view.members[gone].url) = (Default::default(), String::new());
        let fetched = client().fetch(&world.pinned, &view, 0, &quoter()).await.unwrap();
        assert_eq!(fetched.reports.len(), 3, "the evicted one is not asked");
        assert_eq!(outcomes(&fetched.reports, |o| matches!(o, NodeOutcome::Allowed { .. })), 3);
    }
    let world = World::start(&[Honest; 4]).await;
    let mut view = world.view.clone();
    for gone in [0, 2] {
        (view.members[gone].dealing_key, view.members[gone].url) = (Default::default(), String::new());
    }
    let error = client().fetch(&world.pinned, &view, 0, &quoter()).await.unwrap_err();
    assert!(matches!(error, KeyError::NotEnough { needed: 3, .. }), "{error}");
}

/// K6: any copy of the single member's share is as good as the member.
#[tokio::test]
async fn a_replica_answers_for_a_member_that_is_down_and_a_lying_one_is_named() {
    let world = World::with_replicas(&[Down, Manner::WrongBinding, Honest], 2).await;
    let (member, liar) = (world.view.members[0].node, world.view.replicas[0].node);
    let fetched = client().fetch(&world.pinned, &world.view, 0, &quoter()).await.unwrap();
    let of = |node| fetched.reports.iter().find(|report| report.node == node).unwrap();
    assert!(matches!(of(member).outcome, NodeOutcome::Unreachable { .. }));
    assert!(
        matches!(of(liar).outcome, NodeOutcome::BadPartial { .. } | NodeOutcome::NotAwaited),
        "{}",
        of(liar)
    );
    assert!(matches!(of(world.view.replicas[1].node).outcome, NodeOutcome::Allowed { .. }));

    let mut twice = world.view.clone();
    twice.replicas[1].node = liar;
    let error = client().fetch(&world.pinned, &twice, 0, &quoter()).await.unwrap_err();
    assert!(error.to_string().contains("listed twice"), "{error}");
    // A committee of several has none, whatever a relayer says.
    let several = World::start(&[Down, Down, Honest, Honest]).await;
    let mut view = several.view.clone();
    view.replicas = world.view.replicas.clone();
    let error = client().fetch(&several.pinned, &view, 0, &quoter()).await.unwrap_err();
    assert!(matches!(error, KeyError::NotEnough { .. }), "{error}");
}

#[tokio::test]
async fn environment_encrypted_under_the_group_key_opens() {
    let (world, fetched) = fetch(&[Honest; 4]).await;
    let key = &world.pinned.group_key;
    let message = app_message(CHAIN, KMS_AUTH.into(), APP.into(), GENERATION, key);
    let sealed = identity::encrypt_to_app(key, &message, b"TOKEN=1", [1; 32]).unwrap();
    assert_eq!(fetched.unwrap().decrypt(&sealed).unwrap().as_slice(), b"TOKEN=1");
}

#[tokio::test]
async fn two_down_of_four_is_an_error_with_a_line_for_each_node() {
    let (world, error) = fetch(&[Honest, Down, Honest, Down]).await;
    let error = error.unwrap_err();
    let text = error.to_string();
    let mut lines = text.lines();
    assert_eq!(lines.next().unwrap(), "0 of 3 necessary nodes gave their part");
    assert_eq!(lines.clone().count(), 4);
    for member in &world.view.members {
        let line = lines.clone().find(|line| line.contains(&member.node.to_string())).unwrap();
        assert!(line.contains(member.url.trim_end_matches('/')), "{line}");
    }
    assert!(error.denied().is_none());
    assert_eq!(outcomes(error.reports(), |o| matches!(o, NodeOutcome::Unreachable { .. })), 2);
}

#[tokio::test]
async fn g4_two_parts_of_four_are_not_enough() {
    let (_world, error) = fetch(&[Honest, Honest, Undecided, Denies]).await;
    let KeyError::NotEnough { needed, allowed, reports } = error.unwrap_err() else { panic!() };
    assert_eq!((needed, allowed, reports.len()), (3, 2, 4));
}

#[tokio::test]
async fn all_denied_gives_the_reason_and_its_receipts() {
    let (_world, error) = fetch(&[Denies; 4]).await;
    let error = error.unwrap_err();
    assert_eq!(error.denied(), Some(&Reason::Policy(PolicyReason::CodeRevoked)));
    assert_eq!(error.to_string().matches("denied: code hash revoked").count(), 4);
    assert!(error.reports().iter().all(|report| report.outcome.receipt().is_some()));
}

#[tokio::test]
async fn g6_denials_undecided_and_silence_stay_apart() {
    let (world, error) = fetch(&[Denies, Undecided, Down, Honest]).await;
    let error = error.unwrap_err();
    let of = |i| &report(&world, error.reports(), i).outcome;
    assert!(matches!(of(0), NodeOutcome::Denied { .. }));
    assert!(matches!(of(1), NodeOutcome::Undecided { why } if why == "no fresh header"));
    assert!(matches!(of(2), NodeOutcome::Unreachable { .. }));
    assert!(matches!(of(3), NodeOutcome::Allowed { .. }));
    // One denial of four leaves a quorum possible: it may go better next time.
    assert!(error.denied().is_none());
}

#[tokio::test]
async fn a_lying_node_is_named_and_three_honest_ones_suffice() {
    let lies: [(Manner, &str); 6] = [
        (Manner::WrongMessage, "does not verify"),
        (Manner::WrongShare, "it claims index"),
        (Manner::WrongBinding, "does not open"),
        (Manner::OldEpoch, "its share of epoch 3, asked was 4"),
        (Manner::OtherGeneration, "for generation 0"),
        (Manner::NoReceipt, "without a receipt"),
    ];
    for (manner, expected) in lies {
        // Without the lie there is no quorum, so the lie must be looked at.
        let (world, error) = fetch(&[Honest, manner, Honest, Down]).await;
        let error = error.unwrap_err();
        let line = report(&world, error.reports(), 1).to_string();
        assert!(line.contains(expected), "{manner:?}: {line}");
        assert!(matches!(&error, KeyError::NotEnough { allowed: 2, .. }), "{manner:?}");
        let (_world, fetched) = fetch(&[Honest, manner, Honest, Honest]).await;
        assert_eq!(fetched.unwrap().generation, GENERATION, "{manner:?}");
    }
}

#[tokio::test]
async fn committee_says_in_public_which_keys_the_app_has() {
    let (world, fetched) = fetch(&[Honest, Down, Honest, Honest]).await;
    let fetched = fetched.unwrap();
    let stated = client().statement(&world.pinned, &world.view, &fetched, &quoter()).await.unwrap();
    let Stated { statement, signature } = stated;
    statement.verify(&world.pinned.group_key, &signature).unwrap();
    assert_eq!((statement.app, statement.generation), (APP.into(), GENERATION));
    let key = PrivateKeySigner::from_slice(fetched.secret.k256_key().as_slice()).unwrap();
    assert_eq!(statement.ethereum, key.address());
    let other = AppStatement { ca_spki_sha256: [0; 32], ..statement };
    assert!(other.verify(&world.pinned.group_key, &signature).is_err());
}

#[tokio::test]
async fn wrong_part_of_a_statement_is_named_and_one_of_the_secret_is_not_taken_for_it() {
    let fetched = fetch(&[Honest; 4]).await.1.unwrap();
    let lies: [(Manner, &str); 5] = [
        (Manner::WrongMessage, "does not verify"),
        (Manner::WrongShare, "it claims index"),
        (Manner::OldEpoch, "its share of epoch 3, asked was 4"),
        (Manner::OtherGeneration, "for generation 0"),
        (Manner::GivesSecret, "a part that was not asked for"),
    ];
    for (manner, expected) in lies {
        let world = World::start(&[Honest, manner, Honest, Down]).await;
        let error = client().statement(&world.pinned, &world.view, &fetched, &quoter()).await.unwrap_err();
        let line = report(&world, error.reports(), 1).to_string();
        assert!(line.contains(expected), "{manner:?}: {line}");
    }
}

#[tokio::test]
async fn g8_answers_whose_receipt_is_not_the_nodes_own_do_not_count() {
    let lies: [(Manner, &str); 5] = [
        (Manner::ForgedReceipt, "not signed with its key"),
        (Manner::TwoFaced, "and signs \"denied: app paused\""),
        (Manner::StaleReceipt, "about another request"),
        (Manner::DeniesAndGives, "but with a partial signature"),
        (Manner::Impostor, "it says that it is node 0xEee"),
    ];
    for (manner, expected) in lies {
        let (world, error) = fetch(&[Honest, Honest, manner, Down]).await;
        let error = error.unwrap_err();
        let report = report(&world, error.reports(), 2);
        assert!(matches!(report.outcome, NodeOutcome::BadAnswer { .. }), "{manner:?}: {report}");
        assert!(report.to_string().contains(expected), "{manner:?}: {report}");
    }
}

#[tokio::test]
async fn silent_nodes_are_not_waited_for_once_a_quorum_is_there() {
    for manner in [Manner::Silent, Manner::Mute] {
        let (world, fetched) = fetch(&[Honest, manner, Honest, Honest]).await;
        let fetched = fetched.unwrap();
        let silent = &report(&world, &fetched.reports, 1).outcome;
        match manner {
            Manner::Silent => assert_eq!(*silent, NodeOutcome::NotAwaited),
            _ => assert!(matches!(silent, NodeOutcome::Unreachable { .. })),
        }
    }
}

/// Hedging: who was left out in haste is asked after all when one of the quick ones does not help.
#[tokio::test]
async fn slow_node_is_left_out_in_haste_and_asked_when_it_is_needed() {
    let client = || client().grace(Duration::from_secs(5));
    let world = World::start(&[Honest, Manner::Slow, Honest, Honest]).await;
    let begin = std::time::Instant::now();
    let fetched = client().fetch(&world.pinned, &world.view, 0, &quoter()).await.unwrap();
    assert!(begin.elapsed() < support::SLOW, "it was waited for");
    assert!(matches!(report(&world, &fetched.reports, 1).outcome, NodeOutcome::Unreachable { .. }));

    let world = World::start(&[Honest, Manner::Slow, Honest, Denies]).await;
    let fetched = client().fetch(&world.pinned, &world.view, 0, &quoter()).await.unwrap();
    assert!(matches!(report(&world, &fetched.reports, 1).outcome, NodeOutcome::Allowed { .. }));
    assert!(matches!(report(&world, &fetched.reports, 3).outcome, NodeOutcome::Denied { .. }));

    let world = World::start(&[Denies, Manner::Slow, Denies, Denies]).await;
    let begin = std::time::Instant::now();
    let error = client().fetch(&world.pinned, &world.view, 0, &quoter()).await.unwrap_err();
    assert!(
        error.denied().is_some() && begin.elapsed() < support::SLOW,
        "no one could outvote them: {error}"
    );
}

#[tokio::test]
async fn what_a_node_says_stays_on_one_line_without_control_characters() {
    let (world, error) = fetch(&[Honest, Honest, Manner::Fails, Denies]).await;
    let error = error.unwrap_err();
    assert_eq!(error.to_string().lines().count(), 5);
    assert!(!error.to_string().contains('\u{1b}'));
    assert!(matches!(report(&world, error.reports(), 2).outcome, NodeOutcome::Unreachable { .. }));
}

#[tokio::test]
async fn g5_a_relayer_that_shows_another_committee_is_refused() {
    let world = World::start(&[Honest; 4]).await;
    let other = World::start(&[Honest; 1]).await;
    type Change = fn(&mut CommitteeView, &World);
    let changes: [(Change, &str); 9] = [
        (|view, _| view.chain_id = 1, "chain id 1, but 31337 is pinned"),
        (|view, _| view.kms_auth = Address::ZERO, "KmsAuth"),
        (|view, _| view.committee = Address::ZERO, "KmsCommittee"),
        (
            |view, other| {
                (view.polynomial, view.members) = (other.view.polynomial.clone(), other.view.members.clone())
            },
            "group key",
        ),
        (|view, other| view.polynomial = other.view.polynomial.clone(), "made for 1 nodes, not 4"),
        (|view, _| view.polynomial = vec![0; 10].into(), "malformed"),
        (|view, _| view.members.clear(), "0 members"),
        (|view, _| view.members[1].dealing_key = view.members[0].dealing_key, "the same key"),
        (|view, _| view.members[1].node = view.members[3].node, "the same key"),
    ];
    for (change, expected) in changes {
        let mut view = world.view.clone();
        change(&mut view, &other);
        let error = client().fetch(&world.pinned, &view, 0, &quoter()).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[tokio::test]
async fn g5_a_relayer_that_mixes_up_nodes_only_costs_their_parts() {
    let world = World::start(&[Honest; 4]).await;
    let mut view = world.view.clone();
    let (first, second) = (view.members[0].url.clone(), view.members[1].url.clone());
    (view.members[0].url, view.members[1].url) = (second, first);
    let error = client().fetch(&world.pinned, &view, 0, &quoter()).await.unwrap_err();
    assert_eq!(outcomes(error.reports(), |o| matches!(o, NodeOutcome::BadAnswer { .. })), 2);
}

#[tokio::test]
async fn another_pinned_group_key_is_another_committee() {
    let world = World::start(&[Honest; 4]).await;
    let pinned = Pinned { group_key: [1; 48], ..world.pinned };
    let error = client().fetch(&pinned, &world.view, 0, &quoter()).await.unwrap_err();
    assert!(matches!(error, KeyError::View { .. }));
}

#[tokio::test]
async fn a_generation_that_was_asked_for_must_be_the_one_that_comes() {
    let world = World::start(&[Honest; 4]).await;
    let good = client().fetch(&world.pinned, &world.view, GENERATION, &quoter()).await.unwrap();
    assert_eq!(good.generation, GENERATION);
    let error = client().fetch(&world.pinned, &world.view, 7, &quoter()).await.unwrap_err();
    assert_eq!(outcomes(error.reports(), |o| matches!(o, NodeOutcome::BadPartial { .. })), 4);
}

#[tokio::test]
async fn relayers_are_asked_in_turn_and_each_failure_is_told() {
    let world = World::start(&[Honest; 4]).await;
    let dead = "http://127.0.0.1:1".to_owned();
    let view = client().committee(&[dead.clone(), format!("{}/", world.relayer)], 0).await.unwrap();
    assert_eq!(view, world.view);
    let error = client().committee(&[dead], 0).await.unwrap_err().to_string();
    assert!(error.contains("http://127.0.0.1:1/v1/committee"), "{error}");
    assert!(client().committee(&[], 0).await.unwrap_err().to_string().contains("none is configured"));
}

#[tokio::test]
async fn g12_reports_and_errors_hold_no_secret() {
    let (_world, fetched) = fetch(&[Honest; 4]).await;
    let fetched = fetched.unwrap();
    let text = format!("{fetched:?}");
    let mut secrets = HashSet::from([hex::encode(fetched.secret.expose())]);
    secrets.insert(hex::encode(fetched.secret.k256_key()));
    assert!(secrets.iter().all(|secret| !text.contains(secret)));
}
