// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Signed transactions: whose nonce, and what becomes of them.

use std::sync::Arc;

use alloy::primitives::{Address, B256, Bytes};
use mandate_relayer::store::{EffectState, Landed, Lane, Lock, SignedTx, Store, StoreError};

use super::{Kind, LEASE, block, database, listed, pin, state};

const SIGNER: Address = Address::repeat_byte(0x51);
const LOCK: Lock = Lock::Signer(SIGNER);

crate::on_both_databases! {
    g10_a_transaction_is_kept_only_under_the_signers_lock;
    g10_a_nonce_is_never_kept_for_two_effects;
    g10_a_relayer_that_lost_the_lock_keeps_nothing;
    a_replacement_has_the_nonce_of_what_it_replaces;
    what_was_cancelled_before_it_was_kept_is_not_sent;
    what_was_cancelled_after_it_was_sent_keeps_its_nonce;
    a_mined_transaction_is_told_and_may_be_lost_again;
}

fn tx(nonce: u64, n: u8) -> SignedTx {
    SignedTx {
        hash: B256::repeat_byte(n),
        signer: SIGNER,
        nonce,
        max_fee: u128::MAX,
        priority_fee: 7,
        raw: Bytes::from(vec![n]),
    }
}

async fn keep(store: &Arc<dyn Store>, key: &str, tx: SignedTx) -> bool {
    store.keep_transaction(key.to_owned(), tx).await.unwrap()
}

/// A relayer that holds the lock and has claimed what was enqueued.
async fn ready(store: &Arc<dyn Store>, keys: &[&str]) {
    store.enqueue(keys.iter().map(|key| pin(key)).collect()).await.unwrap();
    assert!(store.hold(LOCK).await.unwrap());
    assert_eq!(store.claim(Lane::Chain, 99).await.unwrap().len(), keys.len());
}

async fn g10_a_transaction_is_kept_only_under_the_signers_lock(kind: Kind) {
    let db = database(kind).await;
    let store = db.open().await;
    store.enqueue(vec![pin("a")]).await.unwrap();
    store.claim(Lane::Chain, 9).await.unwrap();
    let kept = store.keep_transaction("a".to_owned(), tx(0, 1)).await;
    assert!(matches!(kept, Err(StoreError::NotHeld(LOCK))), "{kept:?}");
    assert!(store.hold(LOCK).await.unwrap());
    assert!(keep(&store, "a", tx(0, 1)).await);
    let flight = store.in_flight(SIGNER).await.unwrap();
    assert_eq!((flight.len(), &flight[0].txs), (1, &vec![tx(0, 1)]));
    assert!(store.in_flight(Address::ZERO).await.unwrap().is_empty());
    assert_eq!(listed(&store, EffectState::Sent).await[0].tx_hash, Some(B256::repeat_byte(1)));
}

async fn g10_a_nonce_is_never_kept_for_two_effects(kind: Kind) {
    let db = database(kind).await;
    let store = db.open().await;
    ready(&store, &["a", "b"]).await;
    assert!(keep(&store, "a", tx(5, 1)).await);
    assert!(!keep(&store, "b", tx(5, 2)).await);
    assert!(keep(&store, "b", tx(6, 2)).await);
    assert!(!keep(&store, "b", tx(7, 3)).await, "an effect has one nonce");
}

async fn g10_a_relayer_that_lost_the_lock_keeps_nothing(kind: Kind) {
    let db = database(kind).await;
    let (slow, other) = (db.open().await, db.open_another().await);
    ready(&slow, &["a"]).await;
    assert!(!other.hold(LOCK).await.unwrap());
    db.clock.shift(LEASE);
    assert!(other.hold(LOCK).await.unwrap());
    let kept = slow.keep_transaction("a".to_owned(), tx(0, 1)).await;
    assert!(matches!(kept, Err(StoreError::NotHeld(LOCK))), "{kept:?}");
    // What it had claimed is the other's now.
    assert_eq!(other.claim(Lane::Chain, 9).await.unwrap().len(), 1);
    other.let_go(LOCK).await.unwrap();
    assert!(slow.hold(LOCK).await.unwrap());
    assert!(!keep(&slow, "a", tx(0, 1)).await, "with the lock, but without the claim");
}

async fn a_replacement_has_the_nonce_of_what_it_replaces(kind: Kind) {
    let db = database(kind).await;
    let store = db.open().await;
    ready(&store, &["a"]).await;
    assert!(keep(&store, "a", tx(5, 1)).await);
    assert!(keep(&store, "a", tx(5, 2)).await);
    assert!(!keep(&store, "a", tx(6, 3)).await);
    let flight = store.in_flight(SIGNER).await.unwrap();
    assert_eq!((flight.len(), &flight[0].txs), (1, &vec![tx(5, 1), tx(5, 2)]));
    store.unsend("a".to_owned(), "lost".to_owned()).await.unwrap();
    assert!(store.in_flight(SIGNER).await.unwrap().is_empty());
    let entry = &listed(&store, EffectState::Pending).await[0];
    assert_eq!((entry.attempts, entry.last_error.as_deref(), entry.tx_hash), (1, Some("lost"), None));
}

async fn what_was_cancelled_before_it_was_kept_is_not_sent(kind: Kind) {
    let db = database(kind).await;
    let store = db.open().await;
    ready(&store, &["a"]).await;
    assert!(store.cancel("a".to_owned()).await.unwrap());
    assert!(!keep(&store, "a", tx(0, 1)).await);
    assert!(store.in_flight(SIGNER).await.unwrap().is_empty());
}

async fn what_was_cancelled_after_it_was_sent_keeps_its_nonce(kind: Kind) {
    let db = database(kind).await;
    let store = db.open().await;
    ready(&store, &["a", "b"]).await;
    assert!(keep(&store, "a", tx(0, 1)).await && keep(&store, "b", tx(1, 2)).await);
    assert!(store.cancel("a".to_owned()).await.unwrap());
    let flight = store.in_flight(SIGNER).await.unwrap();
    assert_eq!((flight.len(), flight[0].cancelled, flight[1].cancelled), (2, true, false));
    // An empty transaction takes the nonce.
    assert!(keep(&store, "a", tx(0, 3)).await);
    assert_eq!(state(&store, "a").await, "cancelled");
    store.unsend("a".to_owned(), "cancelled".to_owned()).await.unwrap();
    assert_eq!(
        (state(&store, "a").await.as_str(), store.in_flight(SIGNER).await.unwrap().len()),
        ("cancelled", 1)
    );
    // Or the first one was mined after all.
    assert!(store.cancel("b".to_owned()).await.unwrap());
    let landed = Landed { block: block(3, 1), tx: B256::repeat_byte(2) };
    store.mined("b".to_owned(), Some(landed)).await.unwrap();
    assert_eq!(state(&store, "b").await, "mined");
    assert!(!store.cancel("b".to_owned()).await.unwrap());
}

async fn a_mined_transaction_is_told_and_may_be_lost_again(kind: Kind) {
    let db = database(kind).await;
    let store = db.open().await;
    ready(&store, &["a"]).await;
    assert!(keep(&store, "a", tx(0, 1)).await && keep(&store, "a", tx(0, 2)).await);
    let landed = Landed { block: block(3, 1), tx: B256::repeat_byte(1) };
    store.mined("a".to_owned(), Some(landed)).await.unwrap();
    assert_eq!(store.in_flight(SIGNER).await.unwrap()[0].mined, Some(landed.block));
    assert_eq!(listed(&store, EffectState::Mined).await[0].tx_hash, Some(B256::repeat_byte(1)));
    store.mined("a".to_owned(), None).await.unwrap();
    let flight = store.in_flight(SIGNER).await.unwrap();
    assert_eq!((flight[0].mined, flight[0].txs.len()), (None, 2));
    store.mined("a".to_owned(), Some(landed)).await.unwrap();
    store.complete("a".to_owned(), Vec::new()).await.unwrap();
    assert!(store.in_flight(SIGNER).await.unwrap().is_empty());
    assert_eq!(listed(&store, EffectState::Done).await[0].tx_hash, Some(B256::repeat_byte(1)));
}
