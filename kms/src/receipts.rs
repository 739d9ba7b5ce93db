// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The node's receipts: signed, numbered without gaps, each naming the hash of the one before (G-8).

use std::sync::{Arc, Mutex, PoisonError};

use alloy::{
    primitives::{Address, B256, Bytes},
    sol_types::Eip712Domain,
};
use mandate_model::{
    Outcome,
    bundle::Bundle,
    receipt::Receipt,
    receipt_tree::ReceiptTree,
    wire::{BlockRef, kms::ReleaseRequest},
};
use mandate_witness::Witness;
use thiserror::Error;

use crate::{
    keys::{KeyError, NodeKeys},
    store::{RecentCodes, Store, StoreError},
};

mod writing;

use writing::Waiting;

/// Why a receipt could not be written. Without one nothing is answered.
#[derive(Debug, Error)]
pub enum ReceiptError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The store, for this one and those that were to be written with it.
    #[error(transparent)]
    NotKept(Arc<StoreError>),
    /// The newest receipt on disk is not this node's.
    #[error(
        "the newest receipt, number {sequence}, is not signed by {node}: the database was changed by somebody else"
    )]
    NotOurs {
        /// Its number.
        sequence: u64,
        /// This node.
        node: Address,
    },
}

/// What a receipt is about.
#[derive(Debug, Clone)]
pub struct Decision {
    /// What the guest sent.
    pub asked: ReleaseRequest,
    /// The node's clock when it looked at the evidence, Unix seconds.
    pub judged_at: u64,
    /// The finalised block that was judged, if it came to that.
    pub block: Option<BlockRef>,
    /// The head that was judged, or the block at which a remembered revocation was seen.
    pub head: Option<BlockRef>,
    /// What proves the verdicts at both.
    pub witnesses: Witnesses,
    /// The ABI-encoded boot request and its hash, when the evidence verified.
    pub request: Option<(B256, Bytes)>,
    /// What was decided.
    pub outcome: Outcome,
}

/// The witnesses of `KmsAuth.decide` that a decision rests on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Witnesses {
    /// At the finalised block.
    pub finalized: Option<Witness>,
    /// At the head.
    pub head: Option<Witness>,
}

/// Appends receipts. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ReceiptLog(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    keys: Arc<NodeKeys>,
    domain: Eip712Domain,
    dev_anchors: bool,
    next: Mutex<Next>,
    waiting: Mutex<Vec<Waiting>>,
    codes: RecentCodes,
}

#[derive(Debug)]
struct Next {
    previous: B256,
    /// Over all receipts; its count is the next number.
    tree: ReceiptTree,
}

/// Receipts that are read at a time when a tree is built again.
const PAGE: usize = 1_000;

impl ReceiptLog {
    /// Takes up the chain where the store left it.
    pub fn open(
        store: Store,
        keys: Arc<NodeKeys>,
        domain: Eip712Domain,
        dev_anchors: bool,
    ) -> Result<Self, ReceiptError> {
        let (count, previous) = match store.last_receipt()? {
            None => (0, B256::ZERO),
            Some(last) if last.node == keys.address() && last.is_signed(&domain) => {
                (last.sequence + 1, last.hash(&domain))
            }
            Some(last) => {
                return Err(ReceiptError::NotOurs { sequence: last.sequence, node: keys.address() });
            }
        };
        let kept = store.receipt_tree()?.filter(|tree| tree.count() <= count).unwrap_or_default();
        let tree = grown(&store, &domain, kept, count)?;
        let next = Next { previous, tree };
        Ok(Self(Arc::new(Inner {
            store,
            keys,
            domain,
            dev_anchors,
            next: Mutex::new(next),
            waiting: Mutex::default(),
            codes: RecentCodes::default(),
        })))
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.0.next.lock().unwrap_or_else(PoisonError::into_inner).tree.count()
    }

    /// The tree over all of them.
    pub fn tree(&self) -> ReceiptTree {
        self.0.next.lock().unwrap_or_else(PoisonError::into_inner).tree.clone()
    }

    /// The root over the first `count` receipts; nothing when there are fewer.
    pub async fn root_over(&self, count: u64) -> Result<Option<B256>, StoreError> {
        if count > self.count() {
            return Ok(None);
        }
        let domain = self.0.domain.clone();
        let tree = self.0.store.run(move |store| grown(store, &domain, ReceiptTree::default(), count));
        Ok(Some(tree.await?.root()))
    }

    /// Keeps the tree, so that the next start need not build it from all receipts.
    pub async fn keep_tree(&self) -> Result<(), StoreError> {
        let tree = self.tree();
        self.0.store.run(move |store| store.put_receipt_tree(&tree)).await
    }

    /// Signs a receipt of `decision` and makes it durable before it returns.
    pub async fn append(&self, decision: Decision) -> Result<Receipt, ReceiptError> {
        let log = self.clone();
        let task = tokio::task::spawn_blocking(move || log.append_blocking(decision));
        task.await.map_err(|_| StoreError::Stopped)?
    }

    /// At most `limit` receipts whose number is `sequence` or more.
    pub async fn read(&self, sequence: u64, limit: usize) -> Result<Vec<Receipt>, StoreError> {
        self.0.store.run(move |store| store.receipts(sequence, limit)).await
    }

    /// Everything on which the receipt with this number rests, if that is still kept.
    pub async fn bundle(&self, sequence: u64) -> Result<Option<Bundle>, StoreError> {
        let committee = self.0.domain.verifying_contract.unwrap_or_default();
        self.0.store.run(move |store| store.bundle(sequence, committee)).await
    }

    /// The ABI-encoded boot request with this hash.
    pub async fn boot_request(&self, hash: B256) -> Result<Option<Bytes>, StoreError> {
        self.0.store.run(move |store| store.boot_request(hash)).await
    }
}

/// `tree` with the receipts after it, up to the `count`-th.
fn grown(
    store: &Store,
    domain: &Eip712Domain,
    mut tree: ReceiptTree,
    count: u64,
) -> Result<ReceiptTree, StoreError> {
    while tree.count() < count {
        let missing = usize::try_from(count - tree.count()).unwrap_or(usize::MAX);
        let page = store.receipts(tree.count(), missing.min(PAGE))?;
        let gap = || StoreError::Damaged { what: format!("receipt {}", tree.count()) };
        if page.first().is_none_or(|first| first.sequence != tree.count()) {
            return Err(gap());
        }
        page.iter().for_each(|receipt| tree.push(receipt.hash(domain)));
    }
    Ok(tree)
}

#[cfg(test)]
mod tests {
    use mandate_model::{
        Reason,
        receipt_chain::{ChainError, verify_chain},
        signed,
    };

    use super::*;
    use crate::store::Owner;

    struct Fixture {
        dir: tempfile::TempDir,
        keys: Arc<NodeKeys>,
        domain: Eip712Domain,
    }

    impl Fixture {
        fn new() -> Self {
            let keys = Arc::new(NodeKeys::from_seed([1; 32]).unwrap());
            let domain = signed::domain(31_337, Address::repeat_byte(2));
            Self { dir: tempfile::tempdir().unwrap(), keys, domain }
        }

        fn store(&self) -> Store {
            let owner = Owner {
                node: self.keys.address(),
                chain_id: 31_337,
                kms_auth: Address::ZERO,
                committee: Address::repeat_byte(2),
            };
            Store::open(self.dir.path(), &owner).unwrap()
        }

        fn log(&self) -> ReceiptLog {
            ReceiptLog::open(self.store(), self.keys.clone(), self.domain.clone(), true).unwrap()
        }
    }

    /// Many at once share durable writes, and are one chain all the same.
    #[tokio::test(flavor = "multi_thread")]
    async fn g8_receipts_that_are_written_together_are_one_chain() {
        let f = Fixture::new();
        let log = f.log();
        let appending = (0..64).map(|n| {
            let log = log.clone();
            tokio::spawn(async move { log.append(decision(&n.to_string())).await.unwrap() })
        });
        let appending: Vec<_> = appending.collect();
        let mut given = Vec::new();
        for receipt in appending {
            given.push(receipt.await.unwrap());
        }
        given.sort_by_key(|receipt| receipt.sequence);
        let kept = log.read(0, 100).await.unwrap();
        assert_eq!(kept, given, "what was answered is what is kept");
        verify_chain(&kept, f.keys.address(), &f.domain).unwrap();
        assert_eq!(log.count(), 64);
        drop(log);
        assert_eq!(f.log().count(), 64);
    }

    fn decision(text: &str) -> Decision {
        let outcome = Outcome::Denied { reason: Reason::Request(text.to_owned()) };
        Decision {
            asked: asked(),
            judged_at: 1,
            block: None,
            head: None,
            witnesses: Witnesses::default(),
            request: None,
            outcome,
        }
    }

    fn asked() -> ReleaseRequest {
        ReleaseRequest {
            chain_id: 31_337,
            kms_auth: Address::ZERO,
            generation: 0,
            epoch: 0,
            transport_key: B256::repeat_byte(3),
            nonces: Vec::new(),
            wish: Default::default(),
            evidence: Bytes::from_static(b"evidence"),
        }
    }

    async fn three(f: &Fixture) -> Vec<Receipt> {
        let log = f.log();
        for text in ["a", "b", "c"] {
            log.append(decision(text)).await.unwrap();
        }
        log.read(0, 10).await.unwrap()
    }

    #[tokio::test]
    async fn g8_chain_is_unbroken_across_a_restart() {
        let f = Fixture::new();
        f.log().append(decision("before")).await.unwrap();
        let log = f.log();
        log.append(decision("after")).await.unwrap();
        let all = log.read(0, 10).await.unwrap();
        assert_eq!(all.iter().map(|r| r.sequence).collect::<Vec<_>>(), [0, 1]);
        assert!(all.iter().all(|r| r.dev_anchors));
        verify_chain(&all, f.keys.address(), &f.domain).unwrap();
    }

    #[tokio::test]
    async fn g8_dropped_reordered_or_changed_receipts_are_noticed() {
        let f = Fixture::new();
        let all = three(&f).await;
        let check = |list: &[Receipt]| verify_chain(list, f.keys.address(), &f.domain);
        assert_eq!(
            check(&[all[0].clone(), all[2].clone()]),
            Err(ChainError::Sequence { expected: 1, found: 2 })
        );
        assert_eq!(
            check(&[all[1].clone(), all[0].clone()]),
            Err(ChainError::Sequence { expected: 2, found: 0 })
        );
        let mut changed = all.clone();
        changed[1].outcome = Outcome::Allowed { valid_until: 1 };
        assert_eq!(check(&changed), Err(ChainError::Signature(1)));
        let mut relinked = all[1].clone();
        relinked.previous = B256::repeat_byte(9);
        relinked.signature = f.keys.sign(&relinked.body(), &f.domain).unwrap().into();
        assert_eq!(check(&[all[0].clone(), relinked]), Err(ChainError::Previous(1)));
    }

    #[tokio::test]
    async fn receipts_of_a_stranger_on_disk_are_refused_at_start() {
        let f = Fixture::new();
        let mut last = three(&f).await.pop().unwrap();
        last.sequence = 3;
        f.store()
            .put_receipts(std::iter::once(crate::store::Kept { receipt: &last, request: None, case: None }))
            .unwrap();
        let reopened = ReceiptLog::open(f.store(), f.keys.clone(), f.domain.clone(), true);
        assert!(matches!(reopened, Err(ReceiptError::NotOurs { sequence: 3, .. })));
    }

    #[tokio::test]
    async fn g8_the_tree_is_the_same_after_a_restart_with_and_without_what_was_kept() {
        let f = Fixture::new();
        let all = three(&f).await;
        let expected: ReceiptTree = all.iter().map(|receipt| receipt.hash(&f.domain)).collect();
        assert_eq!(f.log().tree(), expected);
        f.log().keep_tree().await.unwrap();
        let log = f.log();
        assert_eq!(log.tree(), expected);
        log.append(decision("d")).await.unwrap();
        assert_eq!(log.root_over(3).await.unwrap(), Some(expected.root()));
        assert_ne!(log.root_over(4).await.unwrap(), Some(expected.root()));
        assert_eq!(log.root_over(5).await.unwrap(), None);
    }

    #[tokio::test]
    async fn concurrent_appends_share_no_number() {
        let f = Fixture::new();
        let log = f.log();
        let appends = (0..16).map(|n| log.append(decision(&n.to_string())));
        let done = futures::future::join_all(appends).await;
        assert!(done.iter().all(Result::is_ok));
        let all = log.read(0, 100).await.unwrap();
        assert_eq!(all.len(), 16);
        verify_chain(&all, f.keys.address(), &f.domain).unwrap();
    }
}
