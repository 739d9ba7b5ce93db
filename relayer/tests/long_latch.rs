// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What became final while grants were held back is taken in by steps of bounded size, and comes to the same.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod common;

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
};

use alloy::{
    eips::BlockNumberOrTag, primitives::B256, providers::Provider, rpc::types::Filter, sol_types::SolEvent,
};
use common::{
    World,
    database::{Database, Kind},
    dying::{Dying, Life},
    keys,
    scripts::Act,
    world,
};
use mandate_model::{bindings::DomainRegistry, wire::BlockRef};
use mandate_relayer::{
    chain::LatchKind,
    effects::{Plan, Targets, at_finality},
    store::{AppRecord, Latch, Lock, OutboxQuery, Step, Store, StoredLog},
};

crate::on_both_databases! {
    g10_what_waited_for_a_latch_is_taken_in_by_small_steps_that_come_to_the_same;
    g10_blocks_that_came_meanwhile_wait_until_what_is_older_was_taken_in;
}

const URLS: [&str; 2] = ["http://node-1:1", "http://node-2:1"];
/// Logs of one step, as the follower has it.
const STEP: usize = 1_000;
/// More than a step takes.
const CROWDED: u64 = 2_300;

fn blocks(world: &World) -> Vec<BlockRef> {
    let head = world.chain.head().number();
    (1..=head).map(|number| BlockRef { number, hash: world.chain.block(number).unwrap().hash() }).collect()
}

/// The chain's own logs, and behind them thousands of approvals of domains in blocks that are there.
async fn many_logs(world: &World, blocks: &[BlockRef]) -> Vec<StoredLog> {
    let watched: Vec<_> = world.contracts().fixed().into_iter().chain([world.app]).collect();
    let filter = Filter::new().address(watched).from_block(1).to_block(blocks.len() as u64);
    let stored = |log: alloy::rpc::types::Log| StoredLog {
        block_number: log.block_number.unwrap(),
        block_hash: log.block_hash.unwrap(),
        timestamp: log.block_timestamp.unwrap(),
        tx_hash: log.transaction_hash.unwrap(),
        log_index: log.log_index.unwrap(),
        address: log.address(),
        topics: log.topics().to_vec(),
        data: log.inner.data.data,
    };
    let mut logs: Vec<_> =
        world.provider().get_logs(&filter).await.unwrap().into_iter().map(stored).collect();
    let approved = |log: &&StoredLog| log.topics[0] == DomainRegistry::DomainApproved::SIGNATURE_HASH;
    let template = logs.iter().find(approved).unwrap().clone();
    let empty = blocks.iter().filter(|block| block.number > template.block_number);
    for (n, block) in empty.enumerate() {
        let count = if n == 7 { CROWDED } else { 90 };
        logs.extend((0..count).map(|log_index| StoredLog {
            block_number: block.number,
            block_hash: block.hash,
            tx_hash: B256::left_padding_from(&(1 + log_index).to_be_bytes()),
            log_index,
            ..template.clone()
        }));
    }
    logs
}

/// What all of `logs` cause at once when they become final.
fn at_once(world: &World, logs: &[StoredLog]) -> BTreeSet<String> {
    let gateway = "http://gateway:1".to_owned();
    let plan = Plan { gateways: [gateway.clone()].into(), ..Plan::default() };
    let targets = Targets {
        peers: URLS.map(str::to_owned).into_iter().chain([gateway]).collect(),
        apps: [world.app].into(),
        plan: Arc::new(plan),
        ..Targets::default()
    };
    let born = logs.iter().find(|log| log.address == world.app).unwrap().tx_hash;
    let effects = logs.iter().flat_map(|log| {
        let loud = !(log.address == world.app && log.tx_hash == born);
        at_finality(&world.contracts(), &targets, log, loud)
    });
    effects.map(|new| new.key).collect()
}

async fn g10_what_waited_for_a_latch_is_taken_in_by_small_steps_that_come_to_the_same(kind: Kind) {
    Bench::new(kind).await.takes_in(0).await;
}

async fn g10_blocks_that_came_meanwhile_wait_until_what_is_older_was_taken_in(kind: Kind) {
    Bench::new(kind).await.takes_in(150).await;
}

/// A relayer that has followed many logs, of which nothing could become final.
struct Bench {
    world: World,
    kind: Kind,
    followed: Step,
    _db: Database,
    store: Arc<dyn Store>,
}

impl Bench {
    async fn new(kind: Kind) -> Self {
        let world = world(4, URLS).await;
        Act::Approve(0).perform(&world).await;
        world.chain.mine(40);
        let blocks = blocks(&world);
        let logs = many_logs(&world, &blocks).await;
        let registered = logs.iter().find(|log| log.address == world.app).unwrap().block_number;
        let registrar = world.chain.accounts()[0];
        let app = AppRecord { app: world.app, registrar, foreign: false, block_number: registered };
        let followed = Step { quiet_until: Some(0), apps: vec![app], blocks, logs, ..Step::default() };
        let (db, store) = Self::filled(kind, &world, &followed).await;
        let kind_of_latch = LatchKind::Gap.name().to_owned();
        let latch = Latch { kind: kind_of_latch, detail: "x".to_owned(), block: None, since: 1 };
        store.set_latch(latch).await.unwrap();
        let ticked = world.follower(Arc::clone(&store)).tick().await.unwrap();
        assert!(!ticked.finalized);
        assert_eq!((store.progress().await.unwrap().finalized, keys(&store).await), (None, BTreeSet::new()));
        Self { world, kind, followed, _db: db, store }
    }

    async fn filled(kind: Kind, world: &World, step: &Step) -> (Database, Arc<dyn Store>) {
        let db = Database::new(kind, world.contracts()).await;
        let store = db.open().await;
        assert!(store.hold(Lock::Follow).await.unwrap());
        store.apply(step.clone()).await.unwrap();
        (db, store)
    }

    /// Clears the latch and ticks, as if the process died between any two steps, until everything final was taken in.
    async fn takes_in(&self, new_blocks: u64) {
        let Self { world, store, followed, .. } = self;
        assert!(store.clear_latch(LatchKind::Gap.name().to_owned()).await.unwrap());
        world.chain.mine(new_blocks);
        let finalized = world.chain.block(BlockNumberOrTag::Finalized).unwrap().number();
        let life = Life::endless();
        let (mut steps, mut before, mut effects) = (0, 0, 0);
        loop {
            let watched: Arc<dyn Store> = Dying::new(store, &life);
            let ticked = world.follower(watched).tick().await.unwrap();
            assert!(ticked.finalized);
            let reached = store.progress().await.unwrap().finalized.unwrap();
            assert_eq!(store.block_hash(reached.number).await.unwrap(), Some(reached.hash));
            let now = self.effects().await;
            self.assert_bounded(before, reached.number, now.len() - effects);
            (steps, before, effects) = (steps + 1, reached.number, now.len());
            if !ticked.unfinished {
                break;
            }
        }
        assert_eq!(before, finalized);
        assert!(steps >= 4, "{steps}");
        assert!(life.largest.load(Ordering::SeqCst) <= STEP, "a larger page was read");
        let end = followed.logs.partition_point(|log| log.block_number <= finalized);
        let ours = self.effects().await;
        assert!(ours.len() > 4_000);
        assert_eq!(ours, at_once(world, &followed.logs[..end]));
        self.assert_folded_as_at_once(finalized).await;
    }

    async fn effects(&self) -> BTreeSet<String> {
        let all = OutboxQuery { limit: 100_000, ..OutboxQuery::default() };
        self.store.outbox(all).await.unwrap().into_iter().map(|entry| entry.key).collect()
    }

    fn assert_bounded(&self, before: u64, reached: u64, effects: usize) {
        let of_step = |log: &&StoredLog| (before + 1..=reached).contains(&log.block_number);
        let taken = self.followed.logs.iter().filter(of_step).count();
        // A block is never divided.
        let most = STEP + if taken > CROWDED as usize { CROWDED as usize } else { 0 };
        assert!(taken <= most, "{taken} logs in one step");
        assert!(effects <= 3 * taken, "{effects} effects of {taken} logs");
    }

    async fn assert_folded_as_at_once(&self, finalized: u64) {
        let (_db, other) = Self::filled(self.kind, &self.world, &self.followed).await;
        let blocks = &self.followed.blocks;
        let last = blocks.iter().rfind(|block| block.number <= finalized).copied();
        other.apply(Step { finalized: last, ..Step::default() }).await.unwrap();
        assert_eq!(self.store.folded().await.unwrap().value, other.folded().await.unwrap().value);
    }
}
