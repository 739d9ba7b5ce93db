// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Ten relayers with one key on one PostgreSQL.
//!
//! While none dies, each effect is sent exactly once. When some die in the middle, each is sent at least once: what was under
//! way to a node or gateway is sent again, with the same content, and receivers take the second for what it is. On the chain it
//! is exactly once even then: a transaction is kept before it is broadcast, and whoever takes over sends that one.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod common;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use alloy::{
    primitives::{Address, B256},
    providers::Provider,
};
use common::{
    World, code,
    database::{Database, Kind},
    dying_chain::Receiver,
    eventually, payer, world,
};
use mandate_model::wire::relayer::RelayerStatus;
use mandate_relayer::{Config, Service, store::Store};
use mandate_runtime::{Ambient, http::Client, net::TcpNet};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const RELAYERS: usize = 10;

struct Many {
    world: World,
    receivers: [Receiver; 3],
    db: Database,
    store: Arc<dyn Store>,
    relayers: Vec<(String, JoinHandle<()>)>,
    stop: CancellationToken,
    _dir: tempfile::TempDir,
}

impl Many {
    async fn start() -> Self {
        let mut receivers = [Receiver::new(), Receiver::new(), Receiver::new()];
        let urls = [receivers[0].serve().await, receivers[1].serve().await];
        let world = world(4, [&urls[0], &urls[1]]).await;
        receivers[2].app = world.app;
        let gateway = receivers[2].serve().await;
        let db = Database::new(Kind::Postgres, world.contracts()).await;
        let dir = tempfile::tempdir().unwrap();
        let mut config = world.config(dir.path(), &[gateway]);
        config.store = db.config.clone();
        let store = db.open().await;
        let stop = CancellationToken::new();
        let mut many = Self { world, receivers, db, store, relayers: Vec::new(), stop, _dir: dir };
        for _ in 0..RELAYERS {
            many.add(&config).await;
        }
        let store = Arc::clone(&many.store);
        eventually("one follows", || async { store.progress().await.unwrap().head.is_some() }).await;
        many
    }

    async fn add(&mut self, config: &Config) {
        let ambient = Ambient { clock: self.db.clock.clone(), ..Ambient::system() };
        let service = Service::start(config.clone(), ambient, self.world.endpoints()).await.unwrap();
        let base = format!("http://{}", service.address());
        self.relayers.push((base, tokio::spawn(service.run(self.stop.clone()))));
    }

    /// Something for every lane: revocations, approvals, and nonces that nodes bring to different relayers.
    async fn cause(&self, n: u8) {
        self.world.revoke(self.world.app, code(n)).await;
        self.world.approve(&format!("shop-{n}.example")).await;
        let node = usize::from(n) % 2;
        let submission = self.world.nonce(&self.world.nodes[node], n);
        let (base, _) = self.relayers.iter().rev().nth(usize::from(n) % 3).unwrap();
        let client = Client::new(Arc::new(TcpNet));
        let _: serde_json::Value =
            client.post_json(&format!("{base}/v1/submissions"), &submission).await.unwrap();
        self.world.chain.mine(1);
    }

    async fn done(&self, effects: usize) {
        use mandate_relayer::store::{EffectState, OutboxQuery};
        eventually("every effect is done", || async {
            self.world.chain.mine(1);
            tokio::time::sleep(Duration::from_millis(20)).await;
            let query =
                OutboxQuery { state: Some(EffectState::Done), limit: 1_000, ..OutboxQuery::default() };
            let done = self.store.outbox(query).await.unwrap();
            done.iter().filter(|entry| entry.kind != "grant_push").count() >= effects
                && self.store.open_effects().await.unwrap() == 0
        })
        .await;
    }

    /// How often each receiver was told each thing.
    fn told(&self) -> Vec<BTreeMap<(Address, Vec<B256>), usize>> {
        let told = |receiver: &Receiver| {
            let mut counts = BTreeMap::new();
            for notice in receiver.notices.lock().unwrap().iter() {
                *counts.entry((notice.app, notice.code_hashes.clone())).or_default() += 1;
            }
            counts
        };
        self.receivers.iter().map(told).collect()
    }

    async fn spent(&self) -> u64 {
        self.world.provider().get_transaction_count(payer().address()).await.unwrap()
    }

    async fn end(self) {
        self.stop.cancel();
        for (_, relayer) in self.relayers {
            let _ = relayer.await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g10_ten_relayers_on_one_postgres_send_each_effect_once() {
    let many = Many::start().await;
    for n in 1..=9 {
        many.cause(n).await;
    }
    // Three pushes, an order, its two transactions and a nonce each.
    many.done(9 * 7).await;
    for told in many.told() {
        assert_eq!((told.len(), told.values().max()), (9, Some(&1)), "{told:?}");
    }
    assert_eq!(many.receivers[2].orders.lock().unwrap().len(), 9);
    assert_eq!(many.spent().await, 9 * 3);
    // Standing by is following too: each knows the head.
    let head = many.store.progress().await.unwrap().head.unwrap().number;
    for (base, _) in &many.relayers {
        let status: RelayerStatus =
            Client::new(Arc::new(TcpNet)).get_json(&format!("{base}/v1/status")).await.unwrap();
        assert!(status.head >= head);
    }
    many.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g10_relayers_that_die_in_the_middle_leave_nothing_unsent_and_nothing_twice_on_chain() {
    let mut many = Many::start().await;
    for n in 1..=9 {
        many.cause(n).await;
        if n % 3 == 0 {
            // Three of them at once, whatever they are doing; among them, sooner or later, the one that follows.
            for (_, relayer) in many.relayers.drain(..2) {
                relayer.abort();
                let _ = relayer.await;
            }
            // Nobody waits ten seconds here.
            many.db.clock.shift(Duration::from_secs(20));
        }
    }
    many.done(9 * 7).await;
    for told in many.told() {
        assert_eq!(told.len(), 9, "{told:?}");
        assert!(told.values().all(|times| *times <= 3), "{told:?}");
    }
    assert!(many.receivers[2].orders.lock().unwrap().len() >= 9);
    assert_eq!(many.spent().await, 9 * 3, "one transaction per effect, whoever died");
    many.end().await;
}
