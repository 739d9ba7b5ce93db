// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A crash before or after any write leads to the same effects (G-10).

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod common;

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use alloy::{
    primitives::{Address, B256},
    providers::Provider,
    rpc::types::Filter,
    sol_types::SolEvent,
};
use common::{World, code, keys, payer, register_app, settle, world};
use futures::future::{BoxFuture, FutureExt};
use mandate_model::{
    bindings::KmsCommittee,
    wire::{
        BlockRef,
        relayer::{Delivered, Letter},
    },
};
use mandate_relayer::{
    Redact,
    effects::NewEffect,
    sender::Sender,
    store::{
        AppRecord, Delivery, InFlight, Lane, MailboxCaps, Progress, Queued, SignedTx, Step, Store,
        StoreError, StoredLog,
    },
};
use mandate_runtime::{Ambient, config::Secret};

/// A store whose process dies at one write: before it is done, or right after.
#[derive(Debug)]
struct Dying {
    store: Arc<dyn Store>,
    writes_left: AtomicI64,
    after: bool,
}

type Answer<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

fn dead() -> StoreError {
    StoreError::Corrupt { what: "test", why: "the process died".to_owned() }
}

impl Dying {
    fn at(store: &Arc<dyn Store>, write: i64, after: bool) -> Arc<Self> {
        Arc::new(Self { store: Arc::clone(store), writes_left: AtomicI64::new(write), after })
    }

    fn write<'a, T: Send + 'a>(&'a self, write: Answer<'a, T>) -> Answer<'a, T> {
        let left = self.writes_left.fetch_sub(1, Ordering::SeqCst);
        async move {
            match left {
                0 if self.after => write.await.and(Err(dead())),
                n if n <= 0 => Err(dead()),
                _ => write.await,
            }
        }
        .boxed()
    }
}

impl Store for Dying {
    fn progress(&self) -> Answer<'_, Progress> {
        self.store.progress()
    }
    fn block_hash(&self, number: u64) -> Answer<'_, Option<B256>> {
        self.store.block_hash(number)
    }
    fn apply(&self, step: Step) -> Answer<'_, ()> {
        self.write(self.store.apply(step))
    }
    fn logs(&self, from: u64, to: u64, limit: u32) -> Answer<'_, Vec<StoredLog>> {
        self.store.logs(from, to, limit)
    }
    fn apps(&self) -> Answer<'_, Vec<AppRecord>> {
        self.store.apps()
    }
    fn enqueue(&self, effects: Vec<NewEffect>) -> Answer<'_, ()> {
        self.write(self.store.enqueue(effects))
    }
    fn pending(&self, lane: Lane, limit: u32) -> Answer<'_, Vec<Queued>> {
        self.store.pending(lane, limit)
    }
    fn open_effects(&self) -> Answer<'_, u64> {
        self.store.open_effects()
    }
    fn open_of(&self, origin: String) -> Answer<'_, u64> {
        self.store.open_of(origin)
    }
    fn effect_state(&self, key: String) -> Answer<'_, Option<String>> {
        self.store.effect_state(key)
    }
    fn attempt_failed(&self, key: String, error: String, give_up: bool) -> Answer<'_, ()> {
        self.write(self.store.attempt_failed(key, error, give_up))
    }
    fn complete(&self, key: String, follow: Vec<NewEffect>) -> Answer<'_, ()> {
        self.write(self.store.complete(key, follow))
    }
    fn keep_transaction(&self, key: String, tx: SignedTx) -> Answer<'_, ()> {
        self.write(self.store.keep_transaction(key, tx))
    }
    fn in_flight(&self) -> Answer<'_, Vec<InFlight>> {
        self.store.in_flight()
    }
    fn mined(&self, key: String, block: Option<BlockRef>) -> Answer<'_, ()> {
        self.write(self.store.mined(key, block))
    }
    fn unsend(&self, key: String, error: String) -> Answer<'_, ()> {
        self.write(self.store.unsend(key, error))
    }
    fn deliver(&self, letter: Letter, hash: B256, caps: MailboxCaps) -> Answer<'_, Delivery> {
        self.write(self.store.deliver(letter, hash, caps))
    }
    fn letters(&self, recipient: Address, after: u64, limit: u32) -> Answer<'_, Vec<Delivered>> {
        self.store.letters(recipient, after, limit)
    }
}

/// What happens on the chain, in three acts; the last is a reorganisation.
async fn act(world: &World, n: usize) {
    match n {
        0 => {
            world.revoke(world.app, code(1)).await;
            world.approve("one.example").await;
        }
        1 => {
            let late = register_app(&world.wallet, &world.deployment, 2).await;
            world.revoke(late, code(2)).await;
            world.approve("two.example").await;
            world.chain.mine(80);
        }
        _ => {
            world.revoke(world.app, code(3)).await;
        }
    }
}

async fn dying_follower_run(world: &World, store: &Arc<dyn Store>, mut write: i64, after: bool) -> bool {
    let mut died = false;
    loop {
        let dying = Dying::at(store, write, after);
        let mut follower = world.follower(dying);
        loop {
            match follower.tick().await {
                Ok(ticked) if ticked.blocks == 0 && ticked.rolled_back == 0 => return died,
                Ok(_) => {}
                Err(_) => break,
            }
        }
        // The process starts again, and lives.
        (died, write) = (true, i64::MAX);
    }
}

#[tokio::test]
async fn g10_a_crash_at_any_write_of_the_follower_leads_to_the_same_effects() {
    let world = world(10, ["http://node-1:1", "http://node-2:1"]).await;
    // A relayer that never crashes, and its twins that crash at one write each.
    let steady = world.memory().await;
    let mut twins = Vec::new();
    for write in 0..4 {
        for after in [false, true] {
            twins.push((world.memory().await, write, after));
        }
    }
    settle(&mut world.follower(Arc::clone(&steady))).await;
    for (store, _, _) in &twins {
        settle(&mut world.follower(Arc::clone(store))).await;
    }
    let mut crashes = 0;
    for n in 0..3 {
        act(&world, n).await;
        settle(&mut world.follower(Arc::clone(&steady))).await;
        for (store, write, after) in &twins {
            crashes += usize::from(dying_follower_run(&world, store, *write, *after).await);
        }
        if n == 2 {
            world.chain.reorg(2, Vec::new()).unwrap();
            settle(&mut world.follower(Arc::clone(&steady))).await;
            for (store, write, after) in &twins {
                crashes += usize::from(dying_follower_run(&world, store, *write, *after).await);
            }
        }
    }
    assert!(crashes >= 12, "the test must crash somewhere: {crashes}");
    let expected = keys(&steady).await;
    assert!(expected.iter().any(|key| key.starts_with("certificate_order")));
    for (store, write, after) in &twins {
        assert_eq!(keys(store).await, expected, "crash at write {write}, after: {after}");
        assert_eq!(store.progress().await.unwrap(), steady.progress().await.unwrap());
        assert_eq!(
            store.logs(0, u64::MAX, 10_000).await.unwrap(),
            steady.logs(0, u64::MAX, 10_000).await.unwrap()
        );
    }
}

fn sender(world: &World, store: Arc<dyn Store>) -> Sender {
    let config = mandate_relayer::config::SenderConfig::default();
    let redact = Redact::new(&Secret::new(String::new()));
    Sender::new(world.contracts(), Ambient::system(), world.provider(), store, payer(), config, redact)
}

async fn nonces_on_chain(world: &World) -> usize {
    let filter = Filter::new()
        .address(world.deployment.committee)
        .event_signature(KmsCommittee::NoncePublished::SIGNATURE_HASH)
        .from_block(0);
    world.provider().get_logs(&filter).await.unwrap().len()
}

#[tokio::test]
async fn g10_a_crash_at_any_write_of_the_sender_spends_one_transaction_per_effect() {
    for write in 0..6 {
        for after in [false, true] {
            let world = world(2, ["http://node-1:1", "http://node-2:1"]).await;
            let store = world.memory().await;
            let wanted = [world.nonce(&world.nodes[0], 1), world.nonce(&world.nodes[1], 2)];
            let effects: Vec<NewEffect> = wanted
                .iter()
                .zip(&world.nodes)
                .map(|(submission, node)| {
                    NewEffect::of_submission(&world.contracts(), node.address(), submission.clone())
                })
                .collect();
            store.enqueue(effects.clone()).await.unwrap();
            let mut running = sender(&world, Dying::at(&store, write, after));
            for _ in 0..12 {
                settle(&mut world.follower(Arc::clone(&store))).await;
                if running.tick().await.is_err() {
                    running = sender(&world, Arc::clone(&store));
                }
                world.chain.mine(1);
            }
            assert_eq!(nonces_on_chain(&world).await, 2, "crash at write {write}, after: {after}");
            for effect in &effects {
                assert_eq!(store.effect_state(effect.key.clone()).await.unwrap().as_deref(), Some("done"));
            }
            let spent = world.provider().get_transaction_count(payer().address()).await.unwrap();
            assert_eq!(spent, 2, "crash at write {write}, after: {after}");
        }
    }
}

#[tokio::test]
async fn a_transaction_that_a_reorganisation_drops_is_sent_again() {
    let world = world(20, ["http://node-1:1", "http://node-2:1"]).await;
    let store = world.memory().await;
    let effect = NewEffect::of_submission(
        &world.contracts(),
        world.nodes[0].address(),
        world.nonce(&world.nodes[0], 1),
    );
    store.enqueue(vec![effect.clone()]).await.unwrap();
    let mut follower = world.follower(Arc::clone(&store));
    let mut running = sender(&world, Arc::clone(&store));
    settle(&mut follower).await;
    for _ in 0..2 {
        running.tick().await.unwrap();
        settle(&mut follower).await;
    }
    let state = || async { store.effect_state(effect.key.clone()).await.unwrap().unwrap() };
    assert_eq!((state().await.as_str(), nonces_on_chain(&world).await), ("mined", 1));
    world.chain.reorg(1, Vec::new()).unwrap();
    assert_eq!(nonces_on_chain(&world).await, 0);
    for _ in 0..4 {
        settle(&mut follower).await;
        running.tick().await.unwrap();
    }
    assert_eq!((state().await.as_str(), nonces_on_chain(&world).await), ("mined", 1));
    world.chain.mine(20);
    settle(&mut follower).await;
    running.tick().await.unwrap();
    assert_eq!(state().await, "done");
}

#[tokio::test]
async fn transactions_that_wait_for_a_block_do_not_wait_for_each_other() {
    let world = world(2, ["http://node-1:1", "http://node-2:1"]).await;
    let store = world.memory().await;
    let mut effects = Vec::new();
    for n in 1..=5 {
        let node = &world.nodes[usize::from(n % 2)];
        effects.push(NewEffect::of_submission(&world.contracts(), node.address(), world.nonce(node, n)));
    }
    store.enqueue(effects).await.unwrap();
    world.automine(false);
    let mut running = sender(&world, Arc::clone(&store));
    running.tick().await.unwrap();
    running.tick().await.unwrap();
    let in_flight = store.in_flight().await.unwrap();
    let used: BTreeSet<u64> = in_flight.iter().flat_map(|effect| &effect.txs).map(|tx| tx.nonce).collect();
    assert_eq!(used, (0..5).collect());
    world.chain.mine(1);
    running.tick().await.unwrap();
    assert_eq!(nonces_on_chain(&world).await, 5);
}

#[tokio::test]
async fn what_the_chain_refuses_is_given_up_and_what_it_shows_already_is_done() {
    let world = world(2, ["http://node-1:1", "http://node-2:1"]).await;
    let store = world.memory().await;
    // Signed by somebody else than the node that it names: only the contract can tell here.
    let mut forged = world.nonce(&world.nodes[1], 9);
    if let mandate_model::wire::relayer::Submission::Nonce { node, .. } = &mut forged {
        *node = world.nodes[0].address();
    }
    let effect = NewEffect::of_submission(&world.contracts(), world.nodes[0].address(), forged);
    store.enqueue(vec![effect.clone()]).await.unwrap();
    let config = mandate_relayer::config::SenderConfig { attempts: 1, ..Default::default() };
    let redact = Redact::new(&Secret::new(String::new()));
    let ambient = Ambient::system();
    let mut running = Sender::new(
        world.contracts(),
        ambient,
        world.provider(),
        Arc::clone(&store),
        payer(),
        config,
        redact,
    );
    running.tick().await.unwrap();
    assert_eq!(store.effect_state(effect.key.clone()).await.unwrap().as_deref(), Some("failed"));
    assert_eq!(
        world.provider().get_transaction_count(payer().address()).await.unwrap(),
        0,
        "a dry run costs nothing"
    );
}
