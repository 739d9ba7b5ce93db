// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One of four nodes deals as it likes: badly, not at all, differently to each, too late. The other three are whole nodes,
//! on the real contracts, and need nobody else: the epoch starts, of one key, and each of them holds a share that signs.
//!
//! When all four logs are good, the three whose dealing keys come first make the key. The villain is one of those, so that
//! what it deals would count. K7, K8.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod support;

use std::sync::atomic::Ordering;

use alloy::primitives::Address;
use mandate_kms::Running;
use mandate_model::bindings::KmsCommittee;
use mandate_threshold::{Output, check_log, observe};
use support::town::{
    Town,
    villain::{ALREADY_POSTED, TOO_LATE, Villain, first_dealer},
};

const ALL: [u8; 4] = [1, 2, 3, 4];
/// Of the town's ceremonies. Blocks come faster than their times say, so that the chain is ahead of the clock.
const WINDOW: u64 = 100_000;
const AHEAD: u64 = 3_600;

struct Siege {
    town: Town,
    honest: Vec<Running>,
    /// Who they are.
    names: [u8; 3],
    villain: u8,
}

impl Siege {
    /// A first ceremony of three whole nodes and a villain.
    async fn begin() -> Self {
        let town = Town::found().await;
        let villain = first_dealer(&ALL);
        let names: Vec<u8> = ALL.into_iter().filter(|n| *n != villain).collect();
        let honest = town.start_all(&names).await;
        town.open_genesis(&ALL).await;
        Self { town, honest, names: names.try_into().unwrap(), villain }
    }

    fn villain(&self) -> Villain<'_> {
        self.town.villain(self.villain, 1, &ALL)
    }

    async fn output(&self) -> Output {
        let committee = KmsCommittee::new(self.town.committee, &self.town.provider);
        Output::decode(&committee.currentEpoch().call().await.unwrap().polynomial).unwrap()
    }

    /// Each of the three took over the epoch, which it does only when its own output is the one on chain; and as it takes
    /// all three of them to make a secret, the share of each is right.
    async fn assert_won(&self) {
        self.town.reached(&self.honest, 1).await;
        let app: Address = self.town.register_app().await;
        self.town.final_block(self.town.chain.head().number()).await;
        self.town.secret(&self.honest, app, 0).await;
        assert!(self.output().await.revealed().is_empty(), "a share can be read from the logs");
    }

    /// Whether what the villain dealt is in the key: whether the key would be another one without it.
    async fn counts(&self) -> bool {
        let info = self.villain().info;
        let mut logs = self.town.dealer_logs(1, &ALL).await;
        let output = observe(&info, &logs).unwrap();
        assert_eq!(output, self.output().await, "everybody computes the same from the chain");
        let me = Town::keys(self.villain).dealing_public().0;
        logs.retain(|(dealer, _)| *dealer != me);
        observe(&info, &logs).unwrap().group_key() != output.group_key()
    }
}

/// The player refuses it, so the dealer must show the true part in its log, or its log would not count.
#[tokio::test(flavor = "multi_thread")]
async fn dealer_of_a_bad_share_must_reveal_it_and_the_player_goes_on_with_that() {
    let siege = Siege::begin().await;
    let (villain, [victim, others @ ..]) = (siege.villain(), siege.names);
    let (mut session, dealings) = villain.deal(1);
    let mut bad = villain.part(victim, &dealings).to_vec();
    *bad.last_mut().unwrap() ^= 1;
    villain.send_dealing(victim, &bad);
    others.iter().for_each(|n| villain.send_dealing(*n, villain.part(*n, &dealings)));
    villain.acknowledge_itself(&mut session, &dealings);
    villain.acknowledge(&siege.names).await;
    villain.take_acks(&mut session, &others).await;
    assert_eq!(session.waiting(), [Town::keys(victim).dealing_public().0]);
    villain.post(session.finish()).await.unwrap();
    siege.assert_won().await;
    assert!(siege.counts().await, "the test is about a dealer whose part is in the key");
    assert!(!villain.has_ack_of(victim));
}

/// Two of three get a bad share: then too many would have to be revealed, and the whole log counts as absent.
#[tokio::test(flavor = "multi_thread")]
async fn dealer_of_more_bad_shares_than_it_may_reveal_is_left_out() {
    let siege = Siege::begin().await;
    let (villain, [good, victims @ ..]) = (siege.villain(), siege.names);
    let (mut session, dealings) = villain.deal(1);
    villain.send_dealing(good, villain.part(good, &dealings));
    victims.iter().for_each(|n| villain.send_dealing(*n, villain.part(good, &dealings)));
    villain.acknowledge_itself(&mut session, &dealings);
    villain.acknowledge(&siege.names).await;
    villain.take_acks(&mut session, &[good]).await;
    let log = session.finish();
    assert!(check_log(&villain.info, &Town::keys(siege.villain).dealing_public().0, &log).is_err());
    villain.post(log).await.unwrap();
    siege.assert_won().await;
    assert!(!siege.counts().await);
    assert!(victims.iter().all(|n| !villain.has_ack_of(*n)));
}

#[tokio::test(flavor = "multi_thread")]
async fn dealer_that_stays_silent_costs_the_rest_of_the_window() {
    let siege = Siege::begin().await;
    let villain = siege.villain();
    villain.acknowledge(&siege.names).await;
    siege.town.until_posted(&siege.names).await;
    let committee = KmsCommittee::new(siege.town.committee, &siege.town.provider);
    assert_eq!(committee.currentEpoch().call().await.unwrap().number, 0);
    siege.town.pass(WINDOW + AHEAD).await;
    siege.assert_won().await;
    assert!(!siege.counts().await);
}

/// One player gets another polynomial than the two others. It acknowledges that, which the log of the other cannot use.
#[tokio::test(flavor = "multi_thread")]
async fn dealer_that_equivocates_is_held_to_the_one_log_that_it_posted() {
    let siege = Siege::begin().await;
    let (villain, [victim, others @ ..]) = (siege.villain(), siege.names);
    let ((mut one, first), (mut two, second)) = (villain.deal(1), villain.deal(2));
    villain.send_dealing(victim, villain.part(victim, &first));
    others.iter().for_each(|n| villain.send_dealing(*n, villain.part(*n, &second)));
    // And the true one afterwards: the player stays with what it acknowledged.
    villain.send_dealing(victim, villain.part(victim, &second));
    villain.acknowledge_itself(&mut one, &first);
    villain.acknowledge_itself(&mut two, &second);
    villain.take_acks(&mut one, &[victim]).await;
    villain.take_acks(&mut two, &others).await;
    let (one, two) = (one.finish(), two.finish());
    villain.post(two.clone()).await.unwrap();
    assert_eq!(villain.post(one).await, Err(ALREADY_POSTED), "one log of each dealer");
    villain.acknowledge(&siege.names).await;
    siege.assert_won().await;
    assert!(siege.counts().await, "the test is about a dealer whose part is in the key");
    let me = Town::keys(siege.villain).dealing_public().0;
    let logs = siege.town.dealer_logs(1, &ALL).await;
    assert!(logs.contains(&(me, two)));
}

#[tokio::test(flavor = "multi_thread")]
async fn dealer_that_posts_after_all_others_but_in_time_counts_like_them() {
    let siege = Siege::begin().await;
    let villain = siege.villain();
    let log = full_log(&siege, &villain).await;
    siege.town.until_posted(&siege.names).await;
    siege.town.pass(WINDOW * 9 / 10).await;
    villain.post(log).await.unwrap();
    siege.assert_won().await;
    assert!(siege.counts().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn dealer_that_posts_too_late_is_left_out_by_everybody_alike() {
    let siege = Siege::begin().await;
    let villain = siege.villain();
    let log = full_log(&siege, &villain).await;
    siege.town.until_posted(&siege.names).await;
    siege.town.pass(WINDOW + AHEAD).await;
    assert_eq!(villain.post(log).await, Err(TOO_LATE));
    siege.assert_won().await;
    assert!(!siege.counts().await);
}

/// A perfect log, not yet posted.
async fn full_log(siege: &Siege, villain: &Villain<'_>) -> Vec<u8> {
    let (mut session, dealings) = villain.deal(1);
    siege.names.iter().for_each(|n| villain.send_dealing(*n, villain.part(*n, &dealings)));
    villain.acknowledge_itself(&mut session, &dealings);
    villain.acknowledge(&siege.names).await;
    villain.take_acks(&mut session, &siege.names).await;
    session.finish()
}

/// Bytes that are no log, and a log whose acknowledgements were damaged: the contract takes them, as it cannot read logs.
#[tokio::test(flavor = "multi_thread")]
async fn log_that_is_none_is_left_out_and_ends_the_dealing_for_nobody_else() {
    for damage in [|log: &mut Vec<u8>| log.truncate(10), |log: &mut Vec<u8>| log[400] ^= 1] {
        let siege = Siege::begin().await;
        let villain = siege.villain();
        let mut log = full_log(&siege, &villain).await;
        damage(&mut log);
        villain.post(log).await.unwrap();
        siege.assert_won().await;
        assert!(!siege.counts().await);
    }
}

/// A perfect dealer that then confirms a root of its own, of which it has the share.
#[tokio::test(flavor = "multi_thread")]
async fn g11_player_that_confirms_another_root_is_outvoted() {
    let siege = Siege::begin().await;
    let villain = siege.villain();
    let log = full_log(&siege, &villain).await;
    siege.town.carrier.drops_confirmations.store(true, Ordering::SeqCst);
    villain.post(log).await.unwrap();
    siege.town.until_posted(&ALL).await;
    let (own_root, _) = support::committee_of_one(9);
    villain.confirm(&own_root).await;
    siege.town.carrier.drops_confirmations.store(false, Ordering::SeqCst);
    siege.assert_won().await;
    assert_ne!(siege.output().await.group_key(), own_root.group_key());
}

/// Of a sender and kind one letter is kept, and only one that was accepted.
#[tokio::test(flavor = "multi_thread")]
async fn flood_of_letters_changes_nothing() {
    let siege = Siege::begin().await;
    let villain = siege.villain();
    for n in siege.names {
        for junk in 0..50u8 {
            villain.send_dealing(n, &[junk; 300]);
        }
    }
    let log = full_log(&siege, &villain).await;
    villain.post(log).await.unwrap();
    siege.assert_won().await;
}
