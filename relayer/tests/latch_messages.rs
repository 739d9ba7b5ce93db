// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Whoever wants to know is told once that a latch was set and once that it was cleared, whatever restarts in between.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod common;

use std::sync::Arc;

use alloy::transports::BoxTransport;
use common::{
    World,
    database::{Database, Kind},
    proxy::{Faults, Proxy},
    scripts::Act,
    world,
};
use mandate_relayer::{
    chain::{Bounds, ChainReader, ChainView, Follower, LatchKind, operator},
    effects::{
        Effect, Plan,
        webhook::{EventKind, Occurrence, Subscription},
    },
    store::{OutboxEntry, OutboxQuery, Store},
};
use mandate_runtime::Ambient;

crate::on_both_databases! {
    a_latch_is_told_when_it_is_set_and_when_it_is_cleared_once_each;
}

struct Bench {
    world: World,
    proxies: Vec<Proxy>,
    store: Arc<dyn Store>,
}

impl Bench {
    async fn new(db: &Database, world: World) -> Self {
        let proxies = (0..3).map(|_| Proxy::new(world.provider())).collect();
        Self { world, proxies, store: db.open().await }
    }

    /// A relayer that was just started.
    fn relayer(&self) -> Follower {
        let names = ["e0", "e1", "e2"];
        let transports = names.into_iter().zip(&self.proxies).map(|(n, p)| (n, BoxTransport::new(p.clone())));
        let endpoints = self.world.endpoints_of(transports.collect(), 2, Ambient::system());
        let hook = |name: &str, events: &[EventKind]| Subscription {
            name: name.to_owned(),
            events: events.iter().copied().collect(),
            apps: [alloy::primitives::Address::repeat_byte(9)].into(),
            lead: 0,
        };
        let both = [EventKind::Latched, EventKind::LatchCleared];
        let webhooks = vec![
            hook("both", &both),
            hook("set", &[EventKind::Latched]),
            hook("neither", &[EventKind::Incident, EventKind::Revoked]),
        ];
        Follower::new(
            self.world.contracts(),
            ChainReader::new(endpoints),
            Arc::clone(&self.store),
            ChainView::default(),
            Ambient::system().clock,
            [],
            Bounds { reorg_window: 64, max_range: 50 },
        )
        .planning(Plan { webhooks, ..Plan::default() })
    }

    /// New blocks, and some looks at them.
    async fn look(&self, relayer: &mut Follower) {
        self.world.chain.mine(1);
        for _ in 0..8 {
            // What cannot be followed is tried again; that is not what this is about.
            let _ = relayer.tick().await;
        }
    }

    fn lie(&self, false_finality: bool) {
        self.proxies[1].set(Faults { false_finality, ..Faults::default() });
    }

    async fn told(&self) -> Vec<String> {
        let query = OutboxQuery { kind: Some("webhook".to_owned()), limit: 100, ..OutboxQuery::default() };
        self.store.outbox(query).await.unwrap().iter().map(said).collect()
    }
}

fn said(entry: &OutboxEntry) -> String {
    let Effect::Webhook { hook, message } = &entry.effect else { panic!("{entry:?}") };
    match &message.what {
        Occurrence::Latched { latch, detail, since } => {
            assert!(!detail.is_empty() && *since > 0);
            format!("{hook}: {latch} set")
        }
        Occurrence::LatchCleared { latch, .. } => format!("{hook}: {latch} cleared"),
        other => panic!("{other:?}"),
    }
}

async fn a_latch_is_told_when_it_is_set_and_when_it_is_cleared_once_each(kind: Kind) {
    let world = world(4, ["http://node-1:1", "http://node-2:1"]).await;
    let db = Database::new(kind, world.contracts()).await;
    let mut bench = Bench::new(&db, world).await;
    let mut relayer = bench.relayer();
    bench.look(&mut relayer).await;
    bench.lie(true);
    Act::Approve(0).perform(&bench.world).await;
    bench.look(&mut relayer).await;
    assert!(relayer.latches().is_set(LatchKind::Contradiction), "{:?}", relayer.latches().list());
    let set = ["both: contradiction set", "set: contradiction set"];
    assert_eq!(bench.told().await, set);

    // The lie goes on, and the relayer is started again, and again.
    for _ in 0..2 {
        drop(relayer);
        bench.store = bench.world.memory().await;
        bench.store = db.reopen().await;
        relayer = bench.relayer();
        bench.look(&mut relayer).await;
        assert_eq!(bench.told().await, set);
    }

    bench.lie(false);
    bench.look(&mut relayer).await;
    assert!(operator::clear(&*bench.store, LatchKind::Contradiction).await.unwrap());
    let cleared = [set.as_slice(), &["both: contradiction cleared"]].concat();
    assert_eq!(bench.told().await, cleared);
    drop(relayer);
    relayer = bench.relayer();
    bench.look(&mut relayer).await;
    assert!(!operator::clear(&*bench.store, LatchKind::Contradiction).await.unwrap());
    assert_eq!(bench.told().await, cleared);

    // What comes back is told again, though the second has not changed.
    bench.lie(true);
    bench.look(&mut relayer).await;
    assert_eq!(bench.told().await, [cleared.as_slice(), &set].concat());
}
