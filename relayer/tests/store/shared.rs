// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What relayers on one database do to each other: locks, latches, letters, other deployments.

use std::sync::Arc;

use alloy::primitives::{Address, B256, Bytes};
use mandate_model::wire::relayer::{Letter, LetterKind};
use mandate_relayer::{
    chain::Contracts,
    store::{self, Delivery, EffectState, Latch, Lock, MailboxCaps, Step, Store, StoreError, Telling},
};

use super::{Kind, LEASE, block, contracts, database, listed, push};

crate::on_both_databases! {
    one_relayer_follows_and_another_takes_over_when_it_dies;
    g10_a_step_of_a_relayer_that_was_superseded_is_refused;
    a_lock_that_was_lost_is_not_extended;
    a_latch_keeps_its_first_reason_until_it_is_cleared;
    a_latch_is_told_once_when_it_is_set_and_once_when_it_is_cleared;
    letters_keep_their_place_and_are_capped;
    letters_that_come_at_once_are_read_in_order_and_none_is_missed;
    a_database_of_another_deployment_is_refused;
}

async fn one_relayer_follows_and_another_takes_over_when_it_dies(kind: Kind) {
    let db = database(kind).await;
    let (one, other) = (db.open().await, db.open_another().await);
    assert!(one.hold(Lock::Follow).await.unwrap());
    assert!(!other.hold(Lock::Follow).await.unwrap());
    // It lives, and renews.
    db.clock.shift(LEASE * 4 / 5);
    assert!(one.hold(Lock::Follow).await.unwrap());
    db.clock.shift(LEASE * 4 / 5);
    assert!(!other.hold(Lock::Follow).await.unwrap());
    // It dies.
    db.clock.shift(LEASE);
    assert!(other.hold(Lock::Follow).await.unwrap());
    assert!(!one.hold(Lock::Follow).await.unwrap());
    // One that leaves in peace leaves at once.
    other.let_go(Lock::Follow).await.unwrap();
    assert!(one.hold(Lock::Follow).await.unwrap());
    assert!(other.hold(Lock::Signer(Address::ZERO)).await.unwrap(), "locks are apart");
}

async fn g10_a_step_of_a_relayer_that_was_superseded_is_refused(kind: Kind) {
    let db = database(kind).await;
    let (slow, other) = (db.open().await, db.open_another().await);
    let step = |n| Step { blocks: vec![block(n, 1)], ..Step::default() };
    let refused = slow.apply(step(1)).await;
    assert!(matches!(refused, Err(StoreError::NotHeld(Lock::Follow))), "{refused:?}");
    assert!(slow.hold(Lock::Follow).await.unwrap());
    slow.apply(step(1)).await.unwrap();
    db.clock.shift(LEASE);
    assert!(other.hold(Lock::Follow).await.unwrap());
    let refused = slow.apply(step(2)).await;
    assert!(matches!(refused, Err(StoreError::NotHeld(Lock::Follow))), "{refused:?}");
    other.apply(step(2)).await.unwrap();
    assert_eq!(slow.progress().await.unwrap().head, Some(block(2, 1)));
}

async fn a_lock_that_was_lost_is_not_extended(kind: Kind) {
    let db = database(kind).await;
    let (slow, other) = (db.open().await, db.open_another().await);
    assert!(!slow.extend(Lock::Follow).await.unwrap());
    assert!(slow.hold(Lock::Follow).await.unwrap());
    db.clock.shift(LEASE);
    assert!(slow.extend(Lock::Follow).await.unwrap(), "nobody wanted it");
    db.clock.shift(LEASE);
    assert!(other.hold(Lock::Follow).await.unwrap());
    other.let_go(Lock::Follow).await.unwrap();
    assert!(!slow.extend(Lock::Follow).await.unwrap(), "what it has read may be old");
    let refused = slow.apply(Step::default()).await;
    assert!(matches!(refused, Err(StoreError::NotHeld(_))), "{refused:?}");
}

async fn a_latch_keeps_its_first_reason_until_it_is_cleared(kind: Kind) {
    let db = database(kind).await;
    let (one, other) = (db.open().await, db.open_another().await);
    assert!(one.latches().await.unwrap().is_empty());
    let latch = |kind: &str, detail: &str, since| Latch {
        kind: kind.to_owned(),
        detail: detail.to_owned(),
        block: Some(block(since, 2)),
        since,
    };
    one.set_latch(latch("contradiction", "first", 5)).await.unwrap();
    other.set_latch(latch("contradiction", "second", 6)).await.unwrap();
    one.set_latch(Latch { block: None, ..latch("gap", "no block 7", 7) }).await.unwrap();
    let all = other.latches().await.unwrap();
    assert_eq!(
        all,
        [latch("contradiction", "first", 5), Latch { block: None, ..latch("gap", "no block 7", 7) }]
    );
    assert!(other.clear_latch("contradiction".to_owned()).await.unwrap());
    assert!(!one.clear_latch("contradiction".to_owned()).await.unwrap());
    assert_eq!(one.latches().await.unwrap().len(), 1);
}

async fn a_latch_is_told_once_when_it_is_set_and_once_when_it_is_cleared(kind: Kind) {
    let db = database(kind).await;
    let store = db.open().await;
    let latch = Latch { kind: "gap".to_owned(), detail: "why".to_owned(), block: None, since: 5 };
    let telling = |n: u8| Telling {
        set: vec![push(&format!("set {n}"))],
        cleared: vec![push(&format!("cleared {n}"))],
    };
    let told = async |store: &Arc<dyn Store>| -> Vec<String> {
        listed(store, EffectState::Pending).await.into_iter().map(|entry| entry.key).collect()
    };
    assert!(store.latch(latch.clone(), telling(1)).await.unwrap());
    // Again by the same relayer, by another, and after a restart: it is set already, and was told.
    assert!(!store.latch(latch.clone(), telling(2)).await.unwrap());
    drop(store);
    let store = db.reopen().await;
    let other = db.open_another().await;
    assert!(!other.latch(latch.clone(), telling(3)).await.unwrap());
    assert_eq!(told(&store).await, ["set 1"]);
    // Who clears it knows nothing of who was told.
    assert!(other.clear_latch("gap".to_owned()).await.unwrap());
    assert!(!store.clear_latch("gap".to_owned()).await.unwrap());
    assert_eq!(told(&store).await, ["set 1", "cleared 1"]);
    // It comes back.
    assert!(store.latch(latch, telling(4)).await.unwrap());
    assert_eq!(told(&store).await, ["set 1", "cleared 1", "set 4"]);
}

fn letter(from: u8, to: u8, n: u32) -> (Letter, B256) {
    let letter = Letter {
        from: Address::repeat_byte(from),
        to: Address::repeat_byte(to),
        round: u64::from(n),
        kind: LetterKind::Dealing,
        body: Bytes::from(n.to_be_bytes()),
        signature: Bytes::new(),
    };
    let hash = alloy::primitives::keccak256([&[from, to][..], &n.to_be_bytes()[..]].concat());
    (letter, hash)
}

const CAPS: MailboxCaps = MailboxCaps { per_recipient: 4, per_sender: 2 };

async fn letters_keep_their_place_and_are_capped(kind: Kind) {
    let db = database(kind).await;
    let store = db.open().await;
    let send = async |from, n| {
        let (letter, hash) = letter(from, 9, n);
        store.deliver(letter, hash, CAPS).await.unwrap()
    };
    let Delivery::At(first) = send(1, 1).await else { panic!() };
    assert_eq!(send(1, 1).await, Delivery::At(first));
    assert!(matches!(send(1, 2).await, Delivery::At(_)));
    assert_eq!(send(1, 3).await, Delivery::SenderFull);
    assert!(matches!((send(2, 1).await, send(2, 2).await), (Delivery::At(_), Delivery::At(_))));
    assert_eq!(send(3, 1).await, Delivery::RecipientFull);
    let all = store.letters(Address::repeat_byte(9), 0, 99).await.unwrap();
    assert_eq!((all.len(), &all[0].letter), (4, &letter(1, 9, 1).0));
    assert_eq!(store.letters(Address::repeat_byte(9), all[1].cursor, 1).await.unwrap()[0], all[2]);
    // A later round forgets them.
    assert!(store.hold(Lock::Follow).await.unwrap());
    store.apply(Step { forget_letters_below: Some(2), ..Step::default() }).await.unwrap();
    assert_eq!(store.letters(Address::repeat_byte(9), 0, 99).await.unwrap().len(), 2);
}

/// A reader remembers the newest place that it has seen: a letter with a lower one that came later would be lost to it.
async fn letters_that_come_at_once_are_read_in_order_and_none_is_missed(kind: Kind) {
    let db = database(kind).await;
    let reader = db.open().await;
    let caps = MailboxCaps { per_recipient: 1_000, per_sender: 1_000 };
    let mut writers = Vec::new();
    for from in 1..=4_u8 {
        let store = db.open_another().await;
        writers.push(tokio::spawn(async move {
            for n in 0..40 {
                let (letter, hash) = letter(from, 9, n);
                store.deliver(letter, hash, caps).await.unwrap();
            }
        }));
    }
    let (mut read, mut cursor) = (0, 0);
    let read_on = async |cursor: u64| reader.letters(Address::repeat_byte(9), cursor, 1_000).await.unwrap();
    while writers.iter().any(|writer| !writer.is_finished()) {
        let some = read_on(cursor).await;
        read += some.len();
        cursor = some.last().map_or(cursor, |letter| letter.cursor);
        tokio::task::yield_now().await;
    }
    read += read_on(cursor).await.len();
    assert_eq!(read, 160);
}

async fn a_database_of_another_deployment_is_refused(kind: Kind) {
    let db = database(kind).await;
    drop(db.open().await);
    let other = Contracts { chain_id: 2, ..contracts() };
    let clock: Arc<dyn mandate_runtime::Clock> = db.clock.clone();
    let refused = store::open(&db.config, &other, clock).await.map(drop);
    assert!(matches!(refused, Err(StoreError::OtherDeployment { chain_id: 31_337, .. })), "{refused:?}");
}

#[tokio::test]
async fn a_second_process_on_one_sqlite_file_is_told_and_the_operator_is_not_kept_out() {
    let db = database(Kind::Sqlite).await;
    let serving = db.open().await;
    let clock = || -> Arc<dyn mandate_runtime::Clock> { db.clock.clone() };
    let second = store::open(&db.config, &contracts(), clock()).await.map(drop);
    assert!(matches!(&second, Err(StoreError::InUse(path)) if path.contains("relayer.sqlite")), "{second:?}");
    let operator = store::open_beside(&db.config, &contracts(), clock()).await.unwrap();
    serving.enqueue(vec![super::push("a")]).await.unwrap();
    assert!(operator.cancel("a".to_owned()).await.unwrap());
    drop(serving);
    store::open(&db.config, &contracts(), clock()).await.unwrap();
}
