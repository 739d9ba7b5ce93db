// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Two of four whole nodes are seized, one more than the committee is made for and one fewer than its quorum: their seeds,
//! disks, mailboxes, the chain, and an app of the thief's own that the committee serves. What an app's secret is made of
//! cannot be had from all that, and can with the third (G-4; K4, K7, D5). Why not by cleverer means either is in
//! `kms/threshold/tests/secrecy.rs`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod support;

use alloy::primitives::Address;
use mandate_attestation::dev_pki::DevGuest;
use mandate_kms::Running;
use mandate_model::{Outcome, wire::kms::ReleaseResponse};
use mandate_threshold::{
    AppSecret, CombineError, Partial, PublicPolynomial, derive::APP_NAMESPACE, statement::STATEMENT_NAMESPACE,
};
use support::town::{CODE, Town, asking::partials, seized::Seized};

const ALL: [u8; 4] = [1, 2, 3, 4];
const REFRESH: u8 = 2;

struct Loot {
    town: Town,
    /// Nodes 3 and 4.
    left: Vec<Running>,
    /// Of nodes 1 and 2.
    seized: Vec<Seized>,
    app: Address,
    secret: AppSecret,
    public: PublicPolynomial,
}

/// A committee that served an app before two of its nodes were seized.
async fn seize() -> Loot {
    let town = Town::found().await;
    let mut nodes = town.start_all(&ALL).await;
    town.open_genesis(&ALL).await;
    town.reached(&nodes, 1).await;
    let app = town.register_app().await;
    town.final_block(town.chain.head().number()).await;
    let secret = town.secret(&nodes, app, 0).await;
    let left = nodes.split_off(2);
    for node in nodes {
        node.shutdown().await;
    }
    let seized = [1, 2].map(|n| town.seize(n)).into();
    let public = town.polynomial(0).await;
    Loot { town, left, seized, app, secret, public }
}

impl Loot {
    fn message(&self) -> Vec<u8> {
        self.town.message(self.app, &self.public)
    }

    fn own(&self, round: u64) -> Vec<Partial> {
        let sign = |node: &Seized| node.share(round).unwrap().sign(APP_NAMESPACE, &self.message());
        self.seized.iter().map(sign).collect()
    }

    /// What comes of the two own partials and these.
    fn with(&self, more: &[Partial]) -> Result<AppSecret, CombineError> {
        let (message, parts) = (self.message(), [self.own(1).as_slice(), more].concat());
        let signature = self.public.combine(APP_NAMESPACE, &message, &parts)?;
        Ok(AppSecret::derive(&signature, &message))
    }

    fn assert_not_enough(&self, more: &[Partial]) {
        let refused = self.with(more).unwrap_err();
        assert!(matches!(refused, CombineError::TooFew { needed: 3, valid: 2, .. }), "{refused}");
    }

    /// What a guest of another app gets from the two nodes that are left.
    async fn serve(&self, guest: &DevGuest) -> (Vec<Partial>, Vec<ReleaseResponse>) {
        let nodes: Vec<&Running> = self.left.iter().collect();
        let (request, responses) = self.town.ask(&nodes, guest).await;
        (partials(&request, &responses), responses)
    }
}

/// `partial` under the name of another index.
fn renamed(partial: &Partial, index: u8) -> Partial {
    let mut bytes = partial.encode().to_vec();
    bytes[0] = index;
    Partial::decode(&bytes).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn g4_two_of_four_nodes_with_all_their_state_do_not_make_a_secret_and_three_do() {
    let loot = seize().await;
    loot.assert_not_enough(&[]);
    // Theirs once more, and theirs under every name that is not theirs.
    let own = loot.own(1);
    loot.assert_not_enough(&own);
    let forged: Vec<Partial> = (0..4).flat_map(|index| own.iter().map(move |p| renamed(p, index))).collect();
    loot.assert_not_enough(&forged);
    // A share that was made up.
    let other = support::committee_of_one(5).1;
    let made_up: Vec<Partial> =
        (0..4).map(|index| renamed(&other.sign(APP_NAMESPACE, &loot.message()), index)).collect();
    loot.assert_not_enough(&made_up);

    // The third makes the secret, from its disk or in its memory.
    let Loot { town, left, seized, .. } = &loot;
    assert_eq!((left.len(), seized.len()), (2, 2));
    let third = DevGuest::new(loot.app, CODE);
    let (request, responses) = town.ask(&[&left[0]], &third).await;
    assert!(loot.with(&partials(&request, &responses)).unwrap() == loot.secret);
}

/// The two that are left serve the thief's own app as they should, and in public; nothing of that is of use elsewhere.
#[tokio::test(flavor = "multi_thread")]
async fn g4_what_honest_nodes_give_for_one_app_does_not_open_another() {
    let loot = seize().await;
    let own_app = loot.town.register_another_app().await;
    loot.town.final_block(loot.town.chain.head().number()).await;
    assert_ne!(own_app, loot.app);
    let (replayed, _) = loot.serve(&DevGuest::new(own_app, CODE)).await;
    let text = loot.town.message(own_app, &loot.public);
    assert!(
        replayed.len() == 2 && replayed.iter().all(|p| loot.public.verify_partial(APP_NAMESPACE, &text, p))
    );
    loot.assert_not_enough(&replayed);
    // Nor what they say in public, not even over the same bytes.
    let share = loot.seized[0].share(1).unwrap();
    let public = renamed(&share.sign(STATEMENT_NAMESPACE, &loot.message()), 2);
    loot.assert_not_enough(&[public]);
    // Nor do they answer evidence of the thief's app with anything for the other, or code that is not allowed.
    let (nothing, told) =
        loot.serve(&DevGuest::new(loot.app, alloy::primitives::B256::repeat_byte(0xdd))).await;
    assert!(nothing.is_empty() && told.iter().all(|t| matches!(t.outcome, Outcome::Denied { .. })));
}

/// Letters to the others passed by: they are sealed, to their recipients alone. Those to the seized nodes they had already.
#[tokio::test(flavor = "multi_thread")]
async fn g4_letters_between_honest_nodes_open_with_no_key_of_the_seized() {
    let town = Town::found().await;
    let nodes = town.start_all(&ALL).await;
    town.open_genesis(&ALL).await;
    town.reached(&nodes, 1).await;
    let (mut opened, mut closed) = (0, 0);
    for thief in [1, 2] {
        let thief = town.villain(thief, 1, &ALL);
        let dealings = town.carrier.letters().into_iter().filter(|l| l.kind.as_str() == "dealing");
        for letter in dealings {
            let mine = letter.to == thief.keys.address();
            assert_eq!(thief.open_letter(&letter).is_some(), mine, "to {}", letter.to);
            *(if mine { &mut opened } else { &mut closed }) += 1;
        }
    }
    assert!(opened >= 6 && closed >= 18, "{opened} and {closed}");
}

/// Proactive security: one share of each of two epochs' makings is two shares of none. K7, R2, R4, R5.
#[tokio::test(flavor = "multi_thread")]
async fn g4_shares_of_different_epochs_do_not_add_up() {
    let town = Town::found().await;
    let mut nodes = town.start_all(&ALL).await;
    town.open_genesis(&ALL).await;
    town.reached(&nodes, 1).await;
    let app = town.register_app().await;
    // Nodes 1 and 2 are copied, and leave no trace of it; then the shares are made anew.
    let mut copies = Vec::new();
    for n in [1u8, 2] {
        nodes.remove(0).shutdown().await;
        copies.push(town.seize(n).share(1).unwrap());
        nodes.push(town.start(n).await);
    }
    town.reached(&nodes, 1).await;
    let before = town.polynomial(0).await;
    town.open_ceremony(REFRESH).await;
    town.reached(&nodes, 2).await;
    let now = town.polynomial(0).await;
    assert_eq!(before.group_key(), now.group_key());
    // Later the third and fourth are seized: with the old two that would be four.
    for node in nodes {
        node.shutdown().await;
    }
    let message = town.message(app, &now);
    let fresh = [3, 4].map(|n| town.seize(n).share(2).unwrap());
    let parts: Vec<Partial> =
        copies.iter().chain(&fresh).map(|share| share.sign(APP_NAMESPACE, &message)).collect();
    for public in [&before, &now] {
        let refused = public.combine(APP_NAMESPACE, &message, &parts).unwrap_err();
        assert!(matches!(refused, CombineError::TooFew { valid: 2, .. }), "{refused}");
    }
    // Their old shares are on no disk any more.
    assert!([3, 4].iter().all(|n| town.seize(*n).share(1).is_none()));
}
