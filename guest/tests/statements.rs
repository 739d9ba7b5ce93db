// SPDX-License-Identifier: Apache-2.0 OR MIT
//! An instance that shows gateways the committee's word in place of its evidence.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod support;

use std::{sync::Arc, time::Duration};

use alloy::primitives::B512;
use mandate_guest::{
    KeyClient, KeyError,
    instance::{Prover, RegisterError, Statements},
};
use mandate_model::wire::{
    gateway::{Proof, SignedInstance},
    kms::RouteWish,
};
use mandate_runtime::{Ambient, clock::ManualClock};
use mandate_threshold::InstanceStatement;
use support::{
    Manner::{self, Denies, Down, Honest, OtherFindings, Undecided},
    World, ambient, quoter,
};

const NOW: u64 = 1_790_000_000;
const HOUR: Duration = Duration::from_secs(3_600);

fn check(world: &World, signed: &SignedInstance, registration: &[u8; 64]) {
    let statement = InstanceStatement {
        chain_id: world.pinned.chain_id,
        kms_auth: world.pinned.kms_auth.into(),
        boot_request: &signed.boot_request,
        registration,
        until: signed.until,
    };
    statement.verify(&world.pinned.group_key, &signed.signature).unwrap();
}

async fn ask(manners: &[Manner]) -> (World, Result<SignedInstance, KeyError>) {
    let world = World::start(manners).await;
    let route = RouteWish { registration: B512::repeat_byte(7), until: NOW + 60 };
    let client = KeyClient::new(&ambient()).grace(Duration::from_millis(200));
    let signed = client.instance_statement(&world.pinned, &world.view, route, &quoter()).await;
    (world, signed)
}

#[tokio::test]
async fn committee_says_what_it_found_and_one_liar_changes_nothing_of_it() {
    let (world, signed) = ask(&[Honest, Down, Honest, Honest]).await;
    let signed = signed.unwrap();
    assert_eq!(signed.until, NOW + 60);
    check(&world, &signed, &[7; 64]);
    let (world, among_liars) = ask(&[Honest, OtherFindings, Honest, Honest]).await;
    let among_liars = among_liars.unwrap();
    assert_eq!(among_liars.boot_request, signed.boot_request);
    check(&world, &among_liars, &[7; 64]);
}

#[tokio::test]
async fn too_few_or_wrong_parts_make_no_statement() {
    let (_, signed) = ask(&[Honest, Honest, Down, Down]).await;
    assert!(matches!(signed, Err(KeyError::NotEnough { .. })), "{signed:?}");
    // Right parts about different findings do not combine.
    let (_, signed) = ask(&[Honest, OtherFindings, Honest, Down]).await;
    assert!(matches!(signed, Err(KeyError::NotEnough { .. })), "{signed:?}");
    let lies: [(Manner, &str); 4] = [
        (Manner::WrongMessage, "does not verify"),
        (Manner::WrongShare, "it claims index"),
        (Manner::OldEpoch, "its share of epoch 3, asked was 4"),
        (Manner::GivesSecret, "a part that was not asked for"),
    ];
    for (manner, expected) in lies {
        let error = ask(&[Honest, manner, Honest, Down]).await.1.unwrap_err().to_string();
        assert!(error.contains(expected), "{manner:?}: {error}");
    }
}

fn statements(world: &World, clock: &Arc<ManualClock>) -> Statements {
    let ambient = Ambient { clock: clock.clone(), ..ambient() };
    Statements::new(&ambient, world.pinned, vec![world.relayer.clone()], Arc::new(quoter()))
}

async fn shown(statements: &Statements, report_data: [u8; 64]) -> Result<SignedInstance, RegisterError> {
    match statements.prove(report_data).await? {
        Proof::Statement(signed) => Ok(signed),
        Proof::Evidence(_) => panic!("evidence"),
    }
}

#[tokio::test]
async fn statement_serves_until_half_of_its_life_and_through_trouble_until_its_end() {
    let (world, clock) = (World::start(&[Honest; 4]).await, Arc::new(ManualClock::new(NOW)));
    let statements = statements(&world, &clock);
    let first = shown(&statements, [1; 64]).await.unwrap();
    assert_eq!(first.until, NOW + 12 * 3_600);
    check(&world, &first, &[1; 64]);
    clock.advance(5 * HOUR);
    assert_eq!(shown(&statements, [1; 64]).await.unwrap(), first);
    clock.advance(HOUR);
    let second = shown(&statements, [1; 64]).await.unwrap();
    assert_eq!(second.until, NOW + 18 * 3_600);
    // Another registration is another statement.
    check(&world, &shown(&statements, [2; 64]).await.unwrap(), &[2; 64]);
    let third = shown(&statements, [1; 64]).await.unwrap();

    world.behave(Undecided);
    clock.advance(11 * HOUR);
    assert_eq!(shown(&statements, [1; 64]).await.unwrap(), third);
    clock.advance(HOUR);
    let error = shown(&statements, [1; 64]).await.unwrap_err();
    assert!(error.to_string().contains("no statement of the committee"), "{error}");
}

#[tokio::test]
async fn g6_denied_renewal_ends_the_use_of_a_statement_and_a_refusal_has_another_one_asked_for() {
    let (world, clock) = (World::start(&[Honest; 4]).await, Arc::new(ManualClock::new(NOW)));
    let statements = statements(&world, &clock);
    let first = shown(&statements, [1; 64]).await.unwrap();
    clock.advance(Duration::from_secs(60));
    statements.refused().await;
    let second = shown(&statements, [1; 64]).await.unwrap();
    assert_eq!(second.until, first.until + 60);
    world.behave(Denies);
    assert_eq!(shown(&statements, [1; 64]).await.unwrap(), second);
    clock.advance(6 * HOUR);
    let denied = shown(&statements, [1; 64]).await.unwrap_err();
    assert!(matches!(&denied, RegisterError::Committee(error) if error.denied().is_some()), "{denied}");
    // Nor is the old one shown when the committee falls silent.
    world.behave(Undecided);
    assert!(shown(&statements, [1; 64]).await.is_err());
}
