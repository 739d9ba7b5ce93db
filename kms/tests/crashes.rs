// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A whole node crashes at every step of a ceremony at which anything of it gets out, and resumes from its disk (G-10).
//!
//! A step is a letter or a submission. The node loses its memory just before it has its effect, or just after, when the
//! node does not know that. There is one ceremony for each; what three others see of it is the same as without the crash.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod support;

use std::{collections::BTreeMap, time::Duration};

use alloy::primitives::{Address, Bytes};
use mandate_attestation::dev_pki::DevGuest;
use mandate_kms::Running;
use mandate_model::{bindings::KmsCommittee, wire::relayer::LetterKind};
use support::town::{CODE, Town, doomed::Doomed};

const GENESIS: u8 = 1;
const ROTATE: u8 = 4;
/// Refresh, reshare, rotate, in turn.
const KINDS: [u8; 3] = [2, 3, ROTATE];
/// Three dealings, three acknowledgements, a log, a confirmation.
const STEPS: usize = 8;
/// Longer than any ceremony here takes.
const PATIENCE: Duration = Duration::from_secs(90);

struct Drill {
    town: Town,
    others: Vec<Running>,
    victim: Address,
}

impl Drill {
    /// A ceremony in which the victim crashes after `passing` steps and comes back. Answers it with whether it crashed: when
    /// the three others were faster, nobody waits for its confirmation.
    async fn ceremony(&self, kind: u8, passing: usize, after: bool, victim: Doomed) -> (Doomed, bool) {
        let round = self.round().await + 1;
        let reached = self.town.carrier.hold_up(self.victim, passing, after);
        self.town.open_ceremony(kind).await;
        let crashed = tokio::select! {
            () = reached.notified() => true,
            () = self.is_over(round) => false,
        };
        victim.crash().await;
        self.town.carrier.let_go();
        let victim = self.town.start_doomed(1).await;
        self.town.reached(&self.others, round).await;
        self.town.reached(std::slice::from_ref(&victim.node), round).await;
        (victim, crashed)
    }

    async fn round(&self) -> u64 {
        KmsCommittee::new(self.town.committee, &self.town.provider).round().call().await.unwrap()
    }

    async fn is_over(&self, round: u64) {
        let contract = KmsCommittee::new(self.town.committee, &self.town.provider);
        let wait = self.town.patiently("end of the ceremony", async || {
            contract.ceremony(round).call().await.unwrap().state == 3
        });
        tokio::time::timeout(PATIENCE, wait).await.unwrap();
    }

    /// One dealing to each player and one acknowledgement to each dealer, however often they were sent.
    fn assert_one_word(&self, round: u64) {
        let mut said: BTreeMap<(Address, bool), Bytes> = BTreeMap::new();
        let letters = self.town.carrier.letters().into_iter();
        for letter in letters.filter(|l| l.from == self.victim && l.round == round) {
            let body = said.entry((letter.to, letter.kind == LetterKind::Ack)).or_insert(letter.body.clone());
            assert_eq!(*body, letter.body, "two letters to {} in round {round}", letter.to);
        }
        assert_eq!(said.len(), 6);
    }
}

/// One ceremony for each step, with the crash on this side of its effect.
async fn crash_at_every_step(after: bool) {
    let town = Town::found().await;
    let (others, mut victim) = (town.start_all(&[2, 3, 4]).await, town.start_doomed(1).await);
    town.admit(&[1, 2, 3, 4]).await;
    let app = town.register_app().await;
    let drill = Drill { victim: victim.node.node(), town, others };
    let (mut secret, mut crashes) = (None, 0);
    for passing in 0..STEPS {
        let kind = if passing == 0 { GENESIS } else { KINDS[passing % KINDS.len()] };
        let (back, crashed) = drill.ceremony(kind, passing, after, victim).await;
        victim = back;
        crashes += usize::from(crashed);
        drill.assert_one_word(drill.round().await);

        // Its share is needed: two of the others are not enough.
        let three = [&victim.node, &drill.others[0], &drill.others[1]];
        let (request, answers) = drill.town.ask(&three, &DevGuest::new(app, CODE)).await;
        let now = drill.town.combine(app, &request, &answers).await;
        let before = secret.replace(now.clone());
        let stays = before.is_none_or(|before| before == now);
        assert_eq!(stays, kind != ROTATE, "kind {kind}, after {passing} steps");
    }
    assert!(crashes >= STEPS - 1, "{crashes}");
    victim.crash().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g10_node_that_crashes_just_before_any_step_of_a_ceremony_resumes_with_the_same_words() {
    crash_at_every_step(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g10_node_that_crashes_just_after_any_step_of_a_ceremony_resumes_with_the_same_words() {
    crash_at_every_step(true).await;
}
