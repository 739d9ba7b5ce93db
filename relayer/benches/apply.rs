// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How fast steps are written: a million events in steps of a backfill, folded as they come, since all of them are final.
//!
//! `cargo bench -p mandate-relayer --bench apply [-- EVENTS]`; in PostgreSQL when `MANDATE_TEST_POSTGRES` is set.

#![allow(clippy::unwrap_used, missing_docs, non_snake_case)]

use std::{sync::Arc, time::Instant};

use alloy::{
    primitives::{Address, LogData, aliases::U40, keccak256},
    sol_types::SolEvent,
};
use mandate_model::{
    bindings::{AppAuth, KmsAuth, KmsCommittee},
    wire::BlockRef,
};
use mandate_relayer::{
    chain::Contracts,
    config::StoreConfig,
    store::{self, AppRecord, Lock, Step, StoredLog},
};
use mandate_runtime::{Clock, clock::SystemClock, config::Secret};

const APPS: u64 = 2_000;
const LOGS_PER_BLOCK: u64 = 5;
const BLOCKS_PER_STEP: u64 = 5_000;

fn contracts() -> Contracts {
    Contracts {
        chain_id: 31_337,
        kms_auth: Address::repeat_byte(0x11),
        committee: Address::repeat_byte(0x22),
        domain_registry: Address::repeat_byte(0x33),
        role_council: Address::repeat_byte(0x44),
        governance_factory: None,
        receipt_anchor: None,
        genesis_block: 0,
    }
}

fn app(n: u64) -> Address {
    Address::from_word(keccak256(n.to_be_bytes()))
}

/// Registrations first, then what apps and nodes do from day to day.
fn event(n: u64) -> (Address, LogData) {
    let (contracts, owner) = (contracts(), Address::repeat_byte(1));
    if n < APPS {
        let event = KmsAuth::AppRegistered { app: app(n), registrar: owner, foreign: false };
        return (contracts.kms_auth, event.encode_log_data());
    }
    let (app, time) = (app(n * 7 % APPS), U40::from(1_700_000_000_u64 + n));
    let hash = keccak256((n / 3).to_be_bytes());
    match n % 4 {
        0 => {
            let sourceUri = "https://git.example/app".to_owned();
            (app, AppAuth::CodeScheduled { codeHash: hash, activeFrom: time, sourceUri }.encode_log_data())
        }
        1 => (app, AppAuth::DeviceScheduled { deviceId: hash, allowedFrom: time }.encode_log_data()),
        2 => (app, AppAuth::CodeRevoked { codeHash: hash, by: owner }.encode_log_data()),
        _ => {
            let node = Address::with_last_byte((n % 16) as u8);
            let event = KmsCommittee::NoncePublished { nodeKey: node, nonce: hash };
            (contracts.committee, event.encode_log_data())
        }
    }
}

fn log(n: u64) -> StoredLog {
    let block_number = n / LOGS_PER_BLOCK;
    let (address, data) = event(n);
    StoredLog {
        block_number,
        block_hash: keccak256(block_number.to_be_bytes()),
        timestamp: 1_700_000_000 + 12 * block_number,
        tx_hash: keccak256(n.to_le_bytes()),
        log_index: n % LOGS_PER_BLOCK,
        address,
        topics: data.topics().to_vec(),
        data: data.data,
    }
}

fn step(first: u64, events: u64) -> Step {
    let logs: Vec<StoredLog> = (first..first + events).map(log).collect();
    let last = logs.last().map(|log| BlockRef { number: log.block_number, hash: log.block_hash }).unwrap();
    let registered = (first..first + events).filter(|n| *n < APPS);
    let record = |n| AppRecord { app: app(n), registrar: Address::ZERO, foreign: false, block_number: n / 5 };
    Step {
        blocks: vec![last],
        logs,
        apps: registered.map(record).collect(),
        finalized: Some(last),
        ..Step::default()
    }
}

/// Kilobytes, as Linux tells them.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or_default()
}

#[tokio::main]
async fn main() {
    let wanted = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(1_000_000_u64);
    let dir = tempfile::tempdir().unwrap();
    let config = match std::env::var("MANDATE_TEST_POSTGRES") {
        Ok(url) => StoreConfig::server(Secret::new(url)),
        Err(_) => StoreConfig::file(dir.path().join("relayer.sqlite")),
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let store = store::open(&config, &contracts(), clock).await.unwrap();
    assert!(store.hold(Lock::Follow).await.unwrap());
    let per_step = LOGS_PER_BLOCK * BLOCKS_PER_STEP;
    let (mut writing, mut slowest) = (0.0, 0.0_f64);
    for first in (0..wanted).step_by(per_step as usize) {
        let step = step(first, per_step.min(wanted - first));
        let started = Instant::now();
        store.extend(Lock::Follow).await.unwrap();
        store.apply(step).await.unwrap();
        let took = started.elapsed().as_secs_f64();
        (writing, slowest) = (writing + took, slowest.max(took));
    }
    let folded = store.folded_apps(None, u32::MAX).await.unwrap();
    assert_eq!(folded.value.len() as u64, APPS.min(wanted));
    assert_eq!(store.logs(0, 10, 1_000).await.unwrap().len(), 55);
    println!("apply {:.0} events/s", wanted as f64 / writing);
    println!("slowest step of {per_step} events {slowest:.2} s");
    println!("peak memory {} MB", peak_memory() / 1_024);
    let bytes = std::fs::metadata(dir.path().join("relayer.sqlite")).map_or(0, |file| file.len());
    println!("file {} MB, folded state of {} apps", bytes >> 20, folded.value.len());
}
