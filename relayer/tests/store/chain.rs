// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Steps, events, apps, and the state that is folded at finality.

use std::sync::Arc;

use alloy::primitives::{Address, B256};
use mandate_model::{
    event::{Event, Position},
    state::{State, fold},
    wire::BlockRef,
};
use mandate_relayer::store::{AppRecord, EventQuery, Lock, Progress, Step, Store, StoreError, StoredLog};

use super::{Kind, block, database, push};
use crate::common::random_events::{CONTRACTS, Random};

crate::on_both_databases! {
    a_step_is_written_whole_and_rolled_back_whole;
    events_are_read_by_page_and_filter;
    apps_are_read_by_page;
    g9_the_folded_state_equals_a_fold_from_genesis_after_reorganisations_and_restarts;
    g9_parts_of_the_folded_state_are_read_as_of_the_finalised_block;
}

async fn leading(store: &Arc<dyn Store>) {
    assert!(store.hold(Lock::Follow).await.unwrap());
}

fn record(n: u8, block_number: u64) -> AppRecord {
    AppRecord {
        app: Address::repeat_byte(n),
        registrar: Address::ZERO,
        foreign: n.is_multiple_of(2),
        block_number,
    }
}

async fn all_logs(store: &Arc<dyn Store>) -> Vec<StoredLog> {
    store.logs(0, u64::MAX, 1_000_000).await.unwrap()
}

async fn a_step_is_written_whole_and_rolled_back_whole(kind: Kind) {
    let db = database(kind).await;
    let store = db.open().await;
    leading(&store).await;
    assert_eq!(store.progress().await.unwrap(), Progress::default());
    let random = Random::new(1);
    let blocks: Vec<BlockRef> = (1..=3).map(|n| block(n, 1)).collect();
    let logs: Vec<_> = blocks.iter().flat_map(|b| [random.log(*b, 0), random.log(*b, 1)]).collect();
    let step = Step {
        quiet_until: Some(0),
        blocks: blocks.clone(),
        logs: logs.clone(),
        apps: vec![record(1, 1), record(2, 3)],
        finalized: Some(blocks[0]),
        effects: vec![push("a")],
        ..Step::default()
    };
    store.apply(step).await.unwrap();
    let progress = Progress { quiet_until: Some(0), head: Some(blocks[2]), finalized: Some(blocks[0]) };
    assert_eq!(store.progress().await.unwrap(), progress);
    assert_eq!(all_logs(&store).await, logs);
    assert_eq!(store.apps().await.unwrap(), [record(1, 1), record(2, 3)]);
    assert_eq!(store.block_hash(3).await.unwrap(), Some(blocks[2].hash));
    // The same blocks again: nothing of the step is written.
    let again = Step { blocks: vec![block(4, 1), blocks[1]], effects: vec![push("b")], ..Step::default() };
    store.apply(again).await.unwrap_err();
    assert_eq!(
        (store.block_hash(4).await.unwrap(), store.effect_state("b".to_owned()).await.unwrap()),
        (None, None)
    );
    store.apply(Step { rollback_to: Some(2), ..Step::default() }).await.unwrap();
    assert_eq!(store.progress().await.unwrap(), Progress { head: Some(blocks[1]), ..progress });
    assert_eq!(all_logs(&store).await, logs[..4]);
    assert_eq!(store.apps().await.unwrap(), [record(1, 1)]);
    assert_eq!(store.block_hash(3).await.unwrap(), None);
    // What is final stays.
    let refused = store.apply(Step { rollback_to: Some(0), ..Step::default() }).await;
    assert!(matches!(refused, Err(StoreError::Final { to: 0, finalized: 1 })), "{refused:?}");
    assert_eq!(all_logs(&store).await, logs[..4]);
}

async fn events_are_read_by_page_and_filter(kind: Kind) {
    let db = database(kind).await;
    let store = db.open().await;
    leading(&store).await;
    let random = Random::new(2);
    let blocks: Vec<BlockRef> = (1..=20).map(|n| block(n, 1)).collect();
    let logs: Vec<_> =
        blocks.iter().flat_map(|b| (0..15).map(|n| random.log(*b, n)).collect::<Vec<_>>()).collect();
    store.apply(Step { blocks, logs: logs.clone(), ..Step::default() }).await.unwrap();
    // By pages of seven, everything comes once and in order.
    let mut pages = Vec::new();
    loop {
        let after = pages.last().map(|log: &StoredLog| (log.block_number, log.log_index));
        let page = store.events(EventQuery { after, limit: 7, ..EventQuery::default() }).await.unwrap();
        if page.is_empty() {
            break;
        }
        pages.extend(page);
    }
    assert_eq!(pages, logs);
    let (address, topic) = (logs[0].address, logs[0].topics[0]);
    let look_alike = {
        let mut topic = topic;
        topic[31] ^= 1;
        topic
    };
    let found = async |query: EventQuery| store.events(EventQuery { limit: 1_000, ..query }).await.unwrap();
    let like = |holds: &dyn Fn(&&StoredLog) -> bool| logs.iter().filter(holds).cloned().collect::<Vec<_>>();
    let by_address = found(EventQuery { addresses: vec![address], ..EventQuery::default() }).await;
    assert_eq!(by_address, like(&|log| log.address == address));
    let by_topic = found(EventQuery { topics: vec![topic, look_alike], ..EventQuery::default() }).await;
    assert_eq!(by_topic, like(&|log| log.topics[0] == topic));
    assert!(found(EventQuery { topics: vec![look_alike], ..EventQuery::default() }).await.is_empty());
    let both = EventQuery { addresses: vec![address], topics: vec![topic], ..EventQuery::default() };
    assert_eq!(found(both).await, like(&|log| log.address == address && log.topics[0] == topic));
    let until = found(EventQuery { until: Some(4), ..EventQuery::default() }).await;
    assert_eq!(until, like(&|log| log.block_number <= 4));
}

async fn apps_are_read_by_page(kind: Kind) {
    let db = database(kind).await;
    let store = db.open().await;
    leading(&store).await;
    let apps: Vec<_> = (1..=5).rev().map(|n| record(n, 1)).collect();
    store.apply(Step { blocks: vec![block(1, 1)], apps, ..Step::default() }).await.unwrap();
    let page = async |after| store.apps_page(after, 2).await.unwrap();
    assert_eq!(page(None).await, [record(1, 1), record(2, 1)]);
    assert_eq!(page(Some(Address::repeat_byte(2))).await, [record(3, 1), record(4, 1)]);
    assert_eq!(page(Some(Address::repeat_byte(4))).await, [record(5, 1)]);
}

/// What the events of `logs` tell, folded one by one from the beginning.
fn from_genesis(logs: &[StoredLog], until: u64) -> State {
    let mut state = State::new(CONTRACTS);
    for log in logs.iter().filter(|log| log.block_number <= until) {
        let data = alloy::primitives::LogData::new_unchecked(log.topics.clone(), log.data.clone());
        let event = Event::decode(log.address, &data).unwrap().unwrap();
        let at = Position {
            address: log.address,
            block: BlockRef { number: log.block_number, hash: log.block_hash },
            timestamp: log.timestamp,
            transaction: log.tx_hash,
            log_index: log.log_index,
        };
        fold(&mut state, &event, &at);
    }
    state
}

async fn g9_the_folded_state_equals_a_fold_from_genesis_after_reorganisations_and_restarts(kind: Kind) {
    for seed in 0..4 {
        let db = database(kind).await;
        let mut store = db.open().await;
        leading(&store).await;
        let random = Random::new(seed);
        assert!(random.kinds() > 60, "every event of four contracts");
        let (mut head, mut final_at) = (0_u64, 0_u64);
        for round in 0..40_u8 {
            if random.below(4) == 0 {
                head = final_at + random.below(head - final_at + 1);
                if head > 0 && head >= final_at && store.block_hash(head).await.unwrap().is_some() {
                    store.apply(Step { rollback_to: Some(head), ..Step::default() }).await.unwrap();
                } else {
                    head = store.progress().await.unwrap().head.map_or(0, |b| b.number);
                }
            }
            let blocks: Vec<_> = (1..=1 + random.below(4)).map(|n| block(head + n, round)).collect();
            let logs: Vec<_> = blocks
                .iter()
                .flat_map(|b| (0..random.below(40)).map(|n| random.log(*b, n)).collect::<Vec<_>>())
                .collect();
            head = blocks.last().unwrap().number;
            // Finality ends within what was stored before, within the step, or stays.
            let to = final_at + random.below(head - final_at + 1);
            let hash = match blocks.iter().find(|b| b.number == to) {
                Some(block) => Some(block.hash),
                None => store.block_hash(to).await.unwrap(),
            };
            let finalized = hash.filter(|_| to > final_at).map(|hash| BlockRef { number: to, hash });
            final_at = finalized.map_or(final_at, |f| f.number);
            store.apply(Step { blocks, logs, finalized, ..Step::default() }).await.unwrap();
            if random.below(8) == 0 {
                drop(store);
                store = db.reopen().await;
                leading(&store).await;
            }
            let folded = store.folded().await.unwrap();
            assert_eq!(folded.at.map_or(0, |b| b.number), final_at);
            if let Some(state) = folded.value {
                assert_eq!(
                    state,
                    from_genesis(&all_logs(&store).await, final_at),
                    "seed {seed} round {round}"
                );
            }
        }
        assert!(final_at > 40, "the test must make blocks final: {final_at}");
    }
}

async fn g9_parts_of_the_folded_state_are_read_as_of_the_finalised_block(kind: Kind) {
    let db = database(kind).await;
    let store = db.open().await;
    leading(&store).await;
    assert_eq!(store.folded().await.unwrap().value, None, "nothing is final");
    let random = Random::new(9);
    let blocks: Vec<BlockRef> = (1..=50).map(|n| block(n, 1)).collect();
    let logs: Vec<_> =
        blocks.iter().flat_map(|b| (0..30).map(|n| random.log(*b, n)).collect::<Vec<_>>()).collect();
    let at = Some(blocks[39]);
    store.apply(Step { blocks, logs: logs.clone(), finalized: at, ..Step::default() }).await.unwrap();
    let state = from_genesis(&logs, 40);
    let committee = store.folded_committee().await.unwrap();
    assert_eq!((committee.at, committee.value), (at, state.committee.clone()));
    for app in state.registry.apps.keys() {
        let read = store.folded_app(*app).await.unwrap();
        let value = read.value.unwrap();
        assert_eq!((read.at, &value.registration), (at, &state.registry.apps[app]));
        assert_eq!(value.policy.as_ref(), state.policies.get(app));
    }
    assert_eq!(store.folded_app(Address::ZERO).await.unwrap().value, None);
    let mut apps = Vec::new();
    while let Some(last) = {
        let page = store.folded_apps(apps.last().map(|(app, _)| *app), 2).await.unwrap();
        apps.extend(page.value.clone());
        page.value.last().copied()
    } {
        assert_eq!(apps.last(), Some(&last));
    }
    assert_eq!(apps, state.registry.apps.clone().into_iter().collect::<Vec<_>>());
    let first = store.folded_domains(None, 1).await.unwrap().value;
    let rest = store.folded_domains(first.first().map(|(hash, _)| *hash), 99).await.unwrap().value;
    let all: Vec<(B256, _)> = first.into_iter().chain(rest).collect();
    assert_eq!(all, state.domains.domains.clone().into_iter().collect::<Vec<_>>());
    assert!(!apps.is_empty() && !all.is_empty());
}
