// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the store promises, on both databases.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

#[path = "../common/mod.rs"]
mod common;

mod chain;
mod opening;
mod outbox;
mod shared;
mod transactions;

use std::sync::Arc;

use alloy::primitives::{Address, B256};
use common::{database::Database, random_events::CONTRACTS};
use mandate_model::wire::{BlockRef, kms::RevocationNotice};
use mandate_relayer::{
    chain::Contracts,
    effects::{Effect, NewEffect},
    store::{EffectState, OutboxEntry, OutboxQuery, Store},
};

pub use common::database::{Kind, LEASE};

pub fn contracts() -> Contracts {
    Contracts {
        governance_factory: None,
        receipt_anchor: None,
        role_council: Default::default(),
        chain_id: 31_337,
        kms_auth: CONTRACTS.kms_auth,
        committee: CONTRACTS.committee,
        domain_registry: CONTRACTS.domain_registry,
        genesis_block: 0,
    }
}

pub async fn database(kind: Kind) -> Database {
    Database::new(kind, contracts()).await
}

pub fn block(number: u64, branch: u8) -> BlockRef {
    let mut hash = B256::repeat_byte(branch);
    hash[..8].copy_from_slice(&number.to_be_bytes());
    BlockRef { number, hash }
}

/// A push of the HTTP lane.
pub fn push(key: &str) -> NewEffect {
    let notice = RevocationNotice { app: Address::repeat_byte(1), code_hashes: Vec::new(), block_number: 7 };
    NewEffect {
        key: key.to_owned(),
        origin: "chain".to_owned(),
        effect: Effect::RevocationPush { target: "http://node".to_owned(), notice },
        not_before: None,
    }
}

/// A transaction of the chain lane.
pub fn pin(key: &str) -> NewEffect {
    let effect = Effect::PinAccount {
        name: "shop.example".to_owned(),
        app: Default::default(),
        issuer: "ca.example".to_owned(),
        account_uri: "https://ca.example/1".to_owned(),
    };
    NewEffect { effect, ..push(key) }
}

pub async fn listed(store: &Arc<dyn Store>, state: EffectState) -> Vec<OutboxEntry> {
    let query = OutboxQuery { state: Some(state), limit: 1_000, ..OutboxQuery::default() };
    store.outbox(query).await.unwrap()
}

pub async fn state(store: &Arc<dyn Store>, key: &str) -> String {
    store.effect_state(key.to_owned()).await.unwrap().unwrap()
}
