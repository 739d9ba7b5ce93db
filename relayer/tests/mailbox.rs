// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The mailbox and the way in for submissions: strangers, forgeries and floods.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod common;

use std::{sync::Arc, time::Duration};

use alloy::primitives::{Address, B256, Bytes, aliases::U40};
use common::{World, admit, key, payer, settle, world};
use mandate_relayer::{
    chain::{Bounds, ChainView},
    config::MailboxConfig,
    intake::IntakeError,
    mailbox::Mailbox,
    store::Store,
    submissions::Submissions,
};
use mandate_runtime::clock::{Clock, ManualClock};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

const URLS: [&str; 2] = ["http://node-1:1", "http://node-2:1"];

struct Office {
    world: World,
    store: Arc<dyn Store>,
    clock: Arc<ManualClock>,
    view: ChainView,
    stop: CancellationToken,
}

impl Office {
    async fn open() -> Self {
        let world = world(2, URLS).await;
        let store = world.memory().await;
        let view = ChainView::default();
        let bounds = Bounds { reorg_window: 64, max_range: 50 };
        settle(&mut world.follower_with(Arc::clone(&store), view.clone(), bounds)).await;
        let clock = Arc::new(ManualClock::new(1_800_000_000));
        clock.advance(Duration::from_secs(1_000));
        Self { world, store, clock, view, stop: CancellationToken::new() }
    }

    fn mailbox(&self, config: MailboxConfig) -> Mailbox {
        let clock: Arc<dyn Clock> = self.clock.clone();
        let (provider, stop) = (self.world.provider(), self.stop.clone());
        let store = Arc::clone(&self.store);
        Mailbox::new(self.world.contracts(), provider, store, self.view.clone(), clock, config, stop)
    }

    fn submissions(&self, config: MailboxConfig) -> Submissions {
        let clock: Arc<dyn Clock> = self.clock.clone();
        let (provider, bell) = (self.world.provider(), Arc::new(Notify::new()));
        let store = Arc::clone(&self.store);
        Submissions::new(self.world.contracts(), provider, store, self.view.clone(), clock, config, bell)
    }

    fn node(&self, n: usize) -> Address {
        self.world.nodes[n].address()
    }
}

#[tokio::test]
async fn letters_between_nodes_arrive_in_order_once() {
    let office = Office::open().await;
    let mailbox = office.mailbox(MailboxConfig::default());
    let (to, from) = (office.node(1), &office.world.nodes[0]);
    for body in [b"one", b"two", b"one"] {
        mailbox.post(office.world.letter(from, to, 1, body)).await.unwrap();
    }
    let letters = mailbox.read(to, 0, Duration::ZERO).await.unwrap();
    let bodies: Vec<&[u8]> = letters.iter().map(|d| d.letter.body.as_ref()).collect();
    assert_eq!(bodies, [b"one", b"two"]);
    assert_eq!(mailbox.read(to, letters[0].cursor, Duration::ZERO).await.unwrap(), letters[1..]);
    assert!(mailbox.read(office.node(0), 0, Duration::ZERO).await.unwrap().is_empty());
}

#[tokio::test]
async fn forged_letters_and_letters_of_strangers_are_refused() {
    let office = Office::open().await;
    let mailbox = office.mailbox(MailboxConfig::default());
    let (to, from) = (office.node(1), &office.world.nodes[0]);
    let good = office.world.letter(from, to, 1, b"body");

    let mut forgeries = vec![good.clone(); 5];
    forgeries[0].body = Bytes::from_static(b"other");
    forgeries[1].round = 2;
    forgeries[2].to = office.node(0);
    forgeries[3].from = office.node(1);
    forgeries[4].signature = Bytes::from_static(b"short");
    for forged in forgeries {
        assert!(matches!(mailbox.post(forged).await, Err(IntakeError::Forged(_))));
    }
    let stranger = key(0x77);
    let letter = office.world.letter(&stranger, to, 1, b"body");
    assert!(
        matches!(mailbox.post(letter).await, Err(IntakeError::NotANode(who)) if who == stranger.address())
    );
    let letter = office.world.letter(from, stranger.address(), 1, b"body");
    assert!(matches!(mailbox.post(letter).await, Err(IntakeError::NotANode(_))));
    assert!(mailbox.read(to, 0, Duration::ZERO).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_node_that_was_admitted_a_moment_ago_can_write_but_strangers_do_not_make_the_relayer_ask() {
    let office = Office::open().await;
    let mailbox = office.mailbox(MailboxConfig::default());
    let late = key(0x53);
    admit(&office.world.wallet, &office.world.deployment, late.address(), "http://node-3:1").await;
    let letter = office.world.letter(&late, office.node(0), 1, b"hello");
    // A stranger has just made the relayer ask the chain; the next question has to wait.
    let stranger = office.world.letter(&key(0x77), office.node(0), 1, b"x");
    assert!(mailbox.post(stranger).await.is_err());
    office.clock.advance(Duration::from_secs(1));
    mailbox.post(letter).await.unwrap();
}

#[tokio::test]
async fn caps_on_length_and_number_hold() {
    let office = Office::open().await;
    let config =
        MailboxConfig { max_letter: 100, per_sender: 3, per_recipient: 4, ..MailboxConfig::default() };
    let mailbox = office.mailbox(config);
    let (to, nodes) = (office.node(1), &office.world.nodes);
    let long = office.world.letter(&nodes[0], to, 1, &[0; 101]);
    assert!(matches!(mailbox.post(long).await, Err(IntakeError::TooLong { given: 101, most: 100, .. })));
    for n in 0..3 {
        mailbox.post(office.world.letter(&nodes[0], to, 1, &[n])).await.unwrap();
    }
    let more = office.world.letter(&nodes[0], to, 1, &[9]);
    assert!(matches!(mailbox.post(more).await, Err(IntakeError::TooMany(_))));
    mailbox.post(office.world.letter(&nodes[1], to, 1, &[10])).await.unwrap();
    let full = office.world.letter(&nodes[1], to, 1, &[11]);
    assert!(matches!(mailbox.post(full).await, Err(IntakeError::TooMany(_))));
    mailbox.post(office.world.letter(&nodes[0], to, 1, &[0])).await.unwrap();
    assert_eq!(mailbox.read(to, 0, Duration::ZERO).await.unwrap().len(), 4);
}

#[tokio::test]
async fn answers_stay_small_however_long_the_letters() {
    let office = Office::open().await;
    let mailbox = office.mailbox(MailboxConfig::default());
    let (to, from) = (office.node(1), &office.world.nodes[0]);
    for n in 0..6 {
        mailbox.post(office.world.letter(from, to, 1, &vec![n; 64 << 10])).await.unwrap();
    }
    let (mut after, mut got) = (0, 0);
    loop {
        let letters = mailbox.read(to, after, Duration::ZERO).await.unwrap();
        let Some(last) = letters.last() else { break };
        assert!(serde_json::to_vec(&letters).unwrap().len() < 1 << 20);
        (after, got) = (last.cursor, got + letters.len());
    }
    assert_eq!(got, 6);
}

#[tokio::test]
async fn a_reader_that_waits_gets_the_next_letter_at_once() {
    let office = Office::open().await;
    let mailbox = office.mailbox(MailboxConfig::default());
    let (to, from) = (office.node(1), &office.world.nodes[0]);
    let waiting = {
        let mailbox = mailbox.clone();
        tokio::spawn(async move { mailbox.read(to, 0, Duration::from_secs(20)).await })
    };
    tokio::task::yield_now().await;
    mailbox.post(office.world.letter(from, to, 1, b"now")).await.unwrap();
    assert_eq!(waiting.await.unwrap().unwrap().len(), 1);
    // The clock has not moved; one that waits in vain ends with its time, or when the relayer stops.
    let waiting = {
        let mailbox = mailbox.clone();
        tokio::spawn(async move { mailbox.read(to, 1_000, Duration::from_secs(20)).await })
    };
    office.stop.cancel();
    assert!(waiting.await.unwrap().unwrap().is_empty());
}

#[tokio::test]
async fn g10_the_same_submission_is_one_effect() {
    let office = Office::open().await;
    let submissions = office.submissions(MailboxConfig::default());
    let nonce = office.world.nonce(&office.world.nodes[0], 1);
    let first = submissions.accept(nonce.clone()).await.unwrap();
    assert_eq!(submissions.accept(nonce.clone()).await.unwrap(), first);
    assert_eq!(office.store.open_effects().await.unwrap(), 1);
    office.store.complete(first.effect.clone(), Vec::new()).await.unwrap();
    assert_eq!(submissions.accept(nonce).await.unwrap(), first);
    assert_eq!(office.store.open_effects().await.unwrap(), 0, "what is done is not done again");
    let other = submissions.accept(office.world.nonce(&office.world.nodes[0], 2)).await.unwrap();
    assert_ne!(other, first);
}

#[tokio::test]
async fn forged_and_foreign_submissions_are_refused() {
    use mandate_model::wire::relayer::Submission;

    let office = Office::open().await;
    let submissions = office.submissions(MailboxConfig::default());
    let stranger = office.world.nonce(&payer(), 1);
    assert!(matches!(submissions.accept(stranger).await, Err(IntakeError::NotANode(_))));
    let Submission::Nonce { nonce, signature, .. } = office.world.nonce(&office.world.nodes[0], 1) else {
        panic!()
    };
    let forged = Submission::Nonce { node: office.node(1), nonce, signature };
    assert!(matches!(submissions.accept(forged).await, Err(IntakeError::Forged(_))));
    let log = Bytes::from(vec![0; (64 << 10) + 1]);
    let long = Submission::DealerLog { round: 1, node: office.node(0), log, signature: Bytes::new() };
    assert!(matches!(submissions.accept(long).await, Err(IntakeError::TooLong { .. })));
    assert_eq!(office.store.open_effects().await.unwrap(), 0);
}

/// What the members signed is for the contract to check; that the node itself asks for the transaction is for the relayer.
#[tokio::test]
async fn attestation_is_taken_from_the_node_that_it_is_about_and_within_bounds() {
    use mandate_model::{
        signed,
        wire::relayer::{Submission, Vouch},
    };

    let office = Office::open().await;
    let submissions = office.submissions(MailboxConfig::default());
    let (node, until, evidence_digest) = (office.node(0), 2_000_000_000, B256::repeat_byte(7));
    let message = signed::Attestation { evidenceDigest: evidence_digest, until: U40::from(until) };
    let signature = office.world.sign(&office.world.nodes[0], &message);
    let vouch = || Vouch { voter: node, signature: vec![0; 65].into() };
    let attestation = |vouches| {
        let signature = signature.clone();
        Submission::Attestation { node, evidence_digest, until, vouches, signature }
    };
    submissions.accept(attestation(vec![vouch(); 3])).await.unwrap();
    let Submission::Attestation { vouches, signature, .. } = attestation(vec![vouch()]) else { panic!() };
    let later = Submission::Attestation { node, evidence_digest, until: until + 1, vouches, signature };
    assert!(matches!(submissions.accept(later).await, Err(IntakeError::Forged(_))));
    let many = submissions.accept(attestation(vec![vouch(); 65])).await;
    assert!(matches!(many, Err(IntakeError::TooLong { what: "vouches", given: 65, most: 64 })));
    let long = Vouch { signature: vec![0; 66].into(), ..vouch() };
    let long = submissions.accept(attestation(vec![long])).await;
    assert!(matches!(long, Err(IntakeError::TooLong { what: "signature", .. })));
    assert_eq!(office.store.open_effects().await.unwrap(), 1);
}

#[tokio::test]
async fn one_node_cannot_spend_the_relayers_gas_without_end() {
    let office = Office::open().await;
    let config = MailboxConfig { open_submissions: 2, submissions_per_hour: 3, ..MailboxConfig::default() };
    let submissions = office.submissions(config);
    let nonce = |n| office.world.nonce(&office.world.nodes[0], n);
    let mut keys = Vec::new();
    for n in 1..=2 {
        keys.push(submissions.accept(nonce(n)).await.unwrap().effect);
    }
    assert!(matches!(submissions.accept(nonce(3)).await, Err(IntakeError::TooMany(_))));
    for key in keys {
        office.store.complete(key, Vec::new()).await.unwrap();
    }
    submissions.accept(nonce(3)).await.unwrap();
    assert!(matches!(submissions.accept(nonce(4)).await, Err(IntakeError::TooMany(_))));
    submissions.accept(office.world.nonce(&office.world.nodes[1], 4)).await.unwrap();
    office.clock.advance(Duration::from_secs(3_600));
    submissions.accept(nonce(4)).await.unwrap();
}
