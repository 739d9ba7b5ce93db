// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What may happen on a chain, as data; and whether a relayer that saw it happen ends where one ends that only saw the end.

use std::{collections::BTreeSet, sync::Arc};

use alloy::{
    network::TransactionBuilder,
    primitives::{Address, B256, Bytes},
    providers::Provider,
    rpc::types::{Filter, TransactionRequest},
    sol_types::SolCall,
};
use mandate_devchain::{DevChain, Replacement};
use mandate_model::bindings::{AppAuth, DomainRegistry};
use mandate_relayer::store::{Lock, Step, Store, StoredLog};

use super::{World, code, keys, settle};

/// One transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Revokes the n-th code of the app. Fails once it was revoked.
    Revoke(u8),
    /// Approves the n-th domain.
    Approve(u8),
    /// Denies the n-th device.
    Deny(u8),
}

impl Act {
    /// The transaction. Its gas is given, so that one that fails is mined as well.
    pub fn request(self, world: &World) -> TransactionRequest {
        let (to, data): (Address, Bytes) = match self {
            Self::Revoke(n) => {
                let call = AppAuth::revokeCodeCall { codeHash: code(1 + n % 9), rotate: false };
                (world.app, call.abi_encode().into())
            }
            Self::Deny(n) => {
                (world.app, AppAuth::denyDeviceCall { deviceId: B256::repeat_byte(n) }.abi_encode().into())
            }
            Self::Approve(n) => {
                let call =
                    DomainRegistry::approveDomainCall { name: format!("d{n}.example"), app: world.app };
                (world.deployment.domain_registry, call.abi_encode().into())
            }
        };
        TransactionRequest::default()
            .with_from(world.chain.accounts()[0])
            .with_to(to)
            .with_input(data)
            .with_gas_limit(500_000)
    }

    pub async fn perform(self, world: &World) {
        let pending = world.wallet.send_transaction(self.request(world)).await.unwrap();
        pending.get_receipt().await.unwrap();
    }
}

/// Replaces the newest `depth` blocks by `blocks`, and one more empty one so that the new branch is longer.
pub fn reorganise(world: &World, depth: u64, blocks: &[Vec<Act>]) {
    let plan = blocks.iter().take(depth as usize);
    let mut plan: Vec<Vec<Replacement>> =
        plan.map(|acts| acts.iter().map(|act| Replacement::from(act.request(world))).collect()).collect();
    plan.resize_with(depth as usize + 1, Vec::new);
    world.chain.reorg(depth, plan).unwrap();
}

/// The deepest reorganisation that the chain still takes, at most `wanted`.
pub fn possible(chain: &DevChain, wanted: u64) -> u64 {
    let finalized = chain.block(alloy::eips::BlockNumberOrTag::Finalized).map_or(0, |b| b.number());
    wanted.min(chain.head().number() - finalized)
}

pub type Place = (u64, B256, u64, B256, Address, Vec<B256>, Bytes);

pub fn places(logs: &[StoredLog]) -> Vec<Place> {
    let place = |l: &StoredLog| {
        (l.block_number, l.block_hash, l.log_index, l.tx_hash, l.address, l.topics.clone(), l.data.clone())
    };
    logs.iter().map(place).collect()
}

/// The logs of the watched contracts as the chain has them now.
pub async fn canonical(world: &World, store: &Arc<dyn Store>) -> Vec<Place> {
    let apps = store.apps().await.unwrap().into_iter().map(|record| record.app);
    let watched: Vec<_> = world.contracts().fixed().into_iter().chain(apps).collect();
    let filter = Filter::new().address(watched).from_block(1).to_block(world.chain.head().number());
    let logs = world.provider().get_logs(&filter).await.unwrap();
    let place = |l: &alloy::rpc::types::Log| {
        let (number, hash) = (l.block_number.unwrap(), l.block_hash.unwrap());
        let (index, tx) = (l.log_index.unwrap(), l.transaction_hash.unwrap());
        (number, hash, index, tx, l.address(), l.topics().to_vec(), l.inner.data.data.clone())
    };
    logs.iter().map(place).collect()
}

/// A store that never pushes what `like` would not push either.
pub async fn fresh(world: &World, like: &Arc<dyn Store>) -> Arc<dyn Store> {
    let store = world.memory().await;
    let quiet_until = like.progress().await.unwrap().quiet_until;
    assert!(store.hold(Lock::Follow).await.unwrap());
    store.apply(Step { quiet_until, ..Step::default() }).await.unwrap();
    store
}

/// Events and progress are those of a relayer that only saw the chain as it is now, and so are the effects, but for pushes
/// of revocations in blocks that are gone.
pub async fn assert_same_as_fresh(world: &World, store: &Arc<dyn Store>, context: &str) {
    let fresh = fresh(world, store).await;
    settle(&mut world.follower(Arc::clone(&fresh))).await;
    assert_same(world, store, &fresh, context).await;
}

pub async fn assert_same(world: &World, store: &Arc<dyn Store>, fresh: &Arc<dyn Store>, context: &str) {
    let (ours, theirs) = (store.progress().await.unwrap(), fresh.progress().await.unwrap());
    assert_eq!(ours, theirs, "{context}");
    let logs = places(&store.logs(0, u64::MAX, 100_000).await.unwrap());
    assert_eq!(logs, places(&fresh.logs(0, u64::MAX, 100_000).await.unwrap()), "{context}");
    assert_eq!(logs, canonical(world, store).await, "{context}");
    let (ours, theirs) = (keys(store).await, keys(fresh).await);
    let missing: Vec<_> = theirs.difference(&ours).collect();
    assert!(missing.is_empty(), "{context}: {missing:?}");
    let on_chain: BTreeSet<B256> =
        (0..=world.chain.head().number()).filter_map(|n| world.chain.block(n)).map(|b| b.hash()).collect();
    for extra in ours.difference(&theirs) {
        let block: B256 = extra.split(':').nth(2).unwrap().parse().unwrap();
        assert!(extra.starts_with("revocation_push:"), "{context}: a grant too many: {extra}");
        assert!(
            !on_chain.contains(&block),
            "{context}: {extra} is of a block that a fresh relayer saw as well"
        );
    }
}
