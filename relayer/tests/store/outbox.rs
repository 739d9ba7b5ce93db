// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Effects: claims, attempts, what the operator does to them.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use mandate_relayer::store::{EffectState, Lane, Next, OutboxQuery, Store};

use super::{Kind, LEASE, database, listed, pin, push, state};

crate::on_both_databases! {
    a_claimed_effect_is_nobody_elses_until_the_lease_ends;
    g10_ten_relayers_that_claim_at_once_get_each_effect_once;
    a_released_claim_is_free_and_a_renewed_one_is_not;
    a_failed_attempt_rests_and_those_that_failed_least_come_first;
    an_attempt_that_lost_its_claim_changes_nothing;
    an_effect_waits_for_its_time;
    g10_a_key_is_enqueued_once_and_taken_up_again_after_it_was_given_up;
    completing_enqueues_what_follows_once;
    the_outbox_is_listed_by_page_and_filter;
    an_effect_is_cancelled_and_retried_by_key;
    what_is_cancelled_is_counted_by_kind_and_stays_counted;
}

async fn keys(store: &Arc<dyn Store>, limit: u32) -> Vec<String> {
    let claimed = store.claim(Lane::Http, limit).await.unwrap();
    claimed.into_iter().map(|queued| queued.key).collect()
}

async fn a_claimed_effect_is_nobody_elses_until_the_lease_ends(kind: Kind) {
    let db = database(kind).await;
    let one = db.open().await;
    one.enqueue(vec![push("a"), push("b"), push("c")]).await.unwrap();
    assert_eq!(keys(&one, 2).await, ["a", "b"]);
    let other = db.open_another().await;
    assert_eq!(keys(&other, 9).await, ["c"]);
    assert!(keys(&one, 9).await.is_empty() && keys(&other, 9).await.is_empty());
    db.clock.shift(LEASE);
    assert_eq!(keys(&other, 9).await, ["a", "b", "c"]);
}

async fn g10_ten_relayers_that_claim_at_once_get_each_effect_once(kind: Kind) {
    let db = database(kind).await;
    let first = db.open().await;
    let all: Vec<_> = (0..200).map(|n| push(&format!("{n:03}"))).collect();
    first.enqueue(all).await.unwrap();
    let mut relayers = Vec::new();
    for _ in 0..10 {
        let store = db.open_another().await;
        relayers.push(tokio::spawn(async move {
            let mut mine = Vec::new();
            loop {
                match keys(&store, 7).await {
                    some if some.is_empty() => return mine,
                    some => mine.extend(some),
                }
            }
        }));
    }
    let mut claimed = Vec::new();
    for relayer in relayers {
        claimed.extend(relayer.await.unwrap());
    }
    assert_eq!(claimed.len(), 200);
    assert_eq!(claimed.iter().collect::<BTreeSet<_>>().len(), 200);
}

async fn a_released_claim_is_free_and_a_renewed_one_is_not(kind: Kind) {
    let db = database(kind).await;
    let (one, other) = (db.open().await, db.open_another().await);
    one.enqueue(vec![push("a")]).await.unwrap();
    assert_eq!(keys(&one, 1).await, ["a"]);
    db.clock.shift(LEASE / 2);
    one.renew(Lane::Http).await.unwrap();
    db.clock.shift(LEASE / 2);
    assert!(keys(&other, 1).await.is_empty());
    other.release(Lane::Http).await.unwrap();
    assert!(keys(&other, 1).await.is_empty(), "only one's own claims are given back");
    one.release(Lane::Http).await.unwrap();
    assert_eq!(keys(&other, 1).await, ["a"]);
}

async fn a_failed_attempt_rests_and_those_that_failed_least_come_first(kind: Kind) {
    let db = database(kind).await;
    let store = db.open().await;
    store.enqueue(vec![push("a"), push("b")]).await.unwrap();
    assert_eq!(keys(&store, 9).await, ["a", "b"]);
    let rest = Duration::from_secs(60);
    store.attempt_failed("a".to_owned(), "away".to_owned(), Next::After(rest)).await.unwrap();
    store.attempt_failed("b".to_owned(), "gone".to_owned(), Next::GiveUp).await.unwrap();
    assert_eq!((state(&store, "a").await.as_str(), state(&store, "b").await.as_str()), ("pending", "failed"));
    assert!(keys(&store, 9).await.is_empty());
    let due = store.next_due(Lane::Http).await.unwrap().unwrap();
    assert!(due > rest / 2 && due <= rest, "{due:?}");
    assert_eq!(store.next_due(Lane::Chain).await.unwrap(), None);
    store.enqueue(vec![push("c")]).await.unwrap();
    db.clock.shift(rest);
    assert_eq!(store.next_due(Lane::Http).await.unwrap(), Some(Duration::ZERO));
    let claimed = store.claim(Lane::Http, 9).await.unwrap();
    let order: Vec<_> = claimed.iter().map(|queued| (queued.key.as_str(), queued.attempts)).collect();
    assert_eq!(order, [("c", 0), ("a", 1)]);
}

async fn an_attempt_that_lost_its_claim_changes_nothing(kind: Kind) {
    let db = database(kind).await;
    let (slow, other) = (db.open().await, db.open_another().await);
    slow.enqueue(vec![push("a")]).await.unwrap();
    assert_eq!(keys(&slow, 1).await, ["a"]);
    db.clock.shift(LEASE);
    assert_eq!(keys(&other, 1).await, ["a"]);
    slow.attempt_failed("a".to_owned(), "late".to_owned(), Next::GiveUp).await.unwrap();
    let entry = &listed(&other, EffectState::Pending).await[0];
    assert_eq!((entry.attempts, &entry.last_error), (0, &None));
}

async fn an_effect_waits_for_its_time(kind: Kind) {
    let db = database(kind).await;
    let store = db.open().await;
    let mut later = push("later");
    let now = mandate_runtime::Clock::unix(&*db.clock);
    later.not_before = Some(now + 100);
    store.enqueue(vec![later]).await.unwrap();
    assert!(keys(&store, 1).await.is_empty());
    assert_eq!(listed(&store, EffectState::Pending).await[0].not_before, now + 100);
    db.clock.shift(Duration::from_secs(100));
    assert_eq!(keys(&store, 1).await, ["later"]);
}

async fn g10_a_key_is_enqueued_once_and_taken_up_again_after_it_was_given_up(kind: Kind) {
    let db = database(kind).await;
    let store = db.open().await;
    store.enqueue(vec![push("a"), push("a"), push("b")]).await.unwrap();
    store.enqueue(vec![push("a")]).await.unwrap();
    assert_eq!(listed(&store, EffectState::Pending).await.len(), 2);
    assert_eq!(keys(&store, 1).await, ["a"]);
    store.attempt_failed("a".to_owned(), "no".to_owned(), Next::GiveUp).await.unwrap();
    store.complete("b".to_owned(), Vec::new()).await.unwrap();
    store.enqueue(vec![push("a"), push("b")]).await.unwrap();
    assert_eq!(keys(&store, 9).await, ["a"], "what is done stays done");
}

async fn completing_enqueues_what_follows_once(kind: Kind) {
    let db = database(kind).await;
    let store = db.open().await;
    store.enqueue(vec![push("a")]).await.unwrap();
    for _ in 0..2 {
        store.complete("a".to_owned(), vec![pin("pin 1"), pin("pin 2")]).await.unwrap();
    }
    assert_eq!(state(&store, "a").await, "done");
    let follow: Vec<_> = store.claim(Lane::Chain, 9).await.unwrap();
    assert_eq!(follow.iter().map(|q| q.key.as_str()).collect::<Vec<_>>(), ["pin 1", "pin 2"]);
    assert_eq!(store.open_effects().await.unwrap(), 2);
    assert_eq!(store.open_of("chain".to_owned()).await.unwrap(), 2);
}

async fn the_outbox_is_listed_by_page_and_filter(kind: Kind) {
    let db = database(kind).await;
    let store = db.open().await;
    store.enqueue(vec![push("a"), pin("b"), push("c"), pin("d")]).await.unwrap();
    let list = async |query: OutboxQuery| {
        let entries = store.outbox(query).await.unwrap();
        entries.into_iter().map(|entry| (entry.sequence, entry.key)).collect::<Vec<_>>()
    };
    let keys = |entries: &[(u64, String)]| entries.iter().map(|e| e.1.clone()).collect::<String>();
    let query = || OutboxQuery { limit: 2, ..OutboxQuery::default() };
    let first = list(query()).await;
    assert_eq!(keys(&first), "ab");
    assert_eq!(keys(&list(OutboxQuery { after: first[1].0, ..query() }).await), "cd");
    assert_eq!(keys(&list(OutboxQuery { lane: Some(Lane::Http), ..query() }).await), "ac");
    assert_eq!(keys(&list(OutboxQuery { kind: Some("pin_account".to_owned()), ..query() }).await), "bd");
    assert!(list(OutboxQuery { state: Some(EffectState::Done), ..query() }).await.is_empty());
    let entry = store.outbox(query()).await.unwrap().remove(0);
    assert_eq!(entry.effect, push("a").effect);
    assert!(entry.created.abs_diff(mandate_runtime::Clock::unix(&*db.clock)) < 60);
}

async fn an_effect_is_cancelled_and_retried_by_key(kind: Kind) {
    let db = database(kind).await;
    let store = db.open().await;
    store.enqueue(vec![push("a"), push("done")]).await.unwrap();
    store.complete("done".to_owned(), Vec::new()).await.unwrap();
    assert!(!store.cancel("done".to_owned()).await.unwrap());
    assert!(!store.cancel("nothing".to_owned()).await.unwrap());
    assert!(store.cancel("a".to_owned()).await.unwrap());
    assert!(!store.cancel("a".to_owned()).await.unwrap());
    assert!(keys(&store, 9).await.is_empty());
    store.enqueue(vec![push("a")]).await.unwrap();
    assert_eq!(state(&store, "a").await, "cancelled", "its cause does not bring it back");
    assert!(store.retry("a".to_owned()).await.unwrap());
    assert!(!store.retry("done".to_owned()).await.unwrap());
    assert_eq!(keys(&store, 9).await, ["a"]);
    store
        .attempt_failed("a".to_owned(), "x".to_owned(), Next::After(Duration::from_secs(900)))
        .await
        .unwrap();
    assert!(store.retry("a".to_owned()).await.unwrap(), "and need not wait");
    assert_eq!(keys(&store, 9).await, ["a"]);
}

async fn what_is_cancelled_is_counted_by_kind_and_stays_counted(kind: Kind) {
    let db = database(kind).await;
    let store = db.open().await;
    assert!(store.cancellations().await.unwrap().is_empty());
    store.enqueue(vec![push("a"), push("b"), pin("c")]).await.unwrap();
    for key in ["a", "b", "c", "a", "nothing"] {
        store.cancel(key.to_owned()).await.unwrap();
    }
    assert!(store.retry("a".to_owned()).await.unwrap());
    assert!(store.cancel("a".to_owned()).await.unwrap());
    let count = |kind: &str, times| (kind.to_owned(), times);
    let counted = [count("pin_account", 1), count("revocation_push", 3)];
    assert_eq!(store.cancellations().await.unwrap(), counted);
    drop(store);
    assert_eq!(db.reopen().await.cancellations().await.unwrap(), counted);
}
