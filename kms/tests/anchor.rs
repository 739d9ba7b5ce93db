// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Roots over a node's receipts: what the contract takes and proves, and what a node does not sign.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod support;

use std::{sync::Arc, time::Duration};

use alloy::primitives::{Address, B256};
use mandate_attestation::dev_pki::{Defect, DevGuest};
use mandate_kms::Running;
use mandate_model::{
    bindings::ReceiptAnchor,
    receipt::Receipt,
    receipt_tree,
    signed::{self, ReceiptRoot},
    wire::kms::SignedRoot,
};
use mandate_runtime::{clock::ManualClock, http::HttpError};
use support::town::{CODE, Town};

/// Longer than a node gives the same answer again.
const LATER: Duration = Duration::from_secs(6);

struct Anchored {
    town: Town,
    anchor: Address,
    clock: Arc<ManualClock>,
    node: Running,
}

/// One node that is admitted and signs roots.
async fn anchored() -> Anchored {
    let town = Town::found().await;
    let anchor = *ReceiptAnchor::deploy(&town.provider, town.committee).await.unwrap().address();
    town.open_genesis(&[1]).await;
    let clock = Arc::new(ManualClock::new(1_800_000_000));
    let mut config = town.config(1);
    config.chain.receipt_anchor = Some(anchor);
    let node = town.start_with(1, config, clock.clone()).await;
    Anchored { town, anchor, clock, node }
}

impl Anchored {
    /// A denial, which leaves a receipt like any other decision.
    async fn decide(&self) {
        let guest = DevGuest::new(Address::ZERO, CODE).with_defect(Defect::TamperedQuote);
        let (_, responses) = self.town.ask(&[&self.node], &guest).await;
        assert!(responses[0].receipt.is_some(), "{:?}", responses[0].outcome);
    }

    async fn root(&self) -> Result<Option<SignedRoot>, HttpError> {
        self.clock.advance(LATER);
        self.town.client.get_json(&format!("{}/v1/receipts/root", self.node.url())).await
    }

    async fn post(&self, r: &SignedRoot) {
        let contract = ReceiptAnchor::new(self.anchor, &self.town.provider);
        let call = contract.postRoot(r.node, r.index, r.previous_root, r.root, r.count, r.signature.clone());
        let block = self.town.mined(call.into_transaction_request()).await;
        self.town.final_block(block).await;
    }

    /// EIP-712 hashes of all receipts.
    async fn hashes(&self) -> Vec<B256> {
        let url = format!("{}/v1/receipts", self.node.url());
        let receipts: Vec<Receipt> = self.town.client.get_json(&url).await.unwrap();
        let domain = signed::domain(self.town.chain.chain_id(), self.town.committee);
        receipts.iter().map(|receipt| receipt.hash(&domain)).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn g8_every_receipt_is_proven_by_the_contract_against_roots_that_extend_each_other() {
    let a = anchored().await;
    assert_eq!(a.root().await.unwrap(), None, "no receipts");
    for _ in 0..3 {
        a.decide().await;
    }
    let first = a.root().await.unwrap().unwrap();
    assert_eq!((first.node, first.index, first.count), (a.node.node(), 0, 3));
    a.post(&first).await;
    assert_eq!(a.root().await.unwrap(), None, "everything is anchored");
    for _ in 0..2 {
        a.decide().await;
    }
    let second = a.root().await.unwrap().unwrap();
    assert_eq!((second.index, second.count, second.previous_root), (1, 5, first.root));
    a.post(&second).await;

    let contract = ReceiptAnchor::new(a.anchor, &a.town.provider);
    let hashes = a.hashes().await;
    for (index, of) in [(0, 3), (1, 5)] {
        for (n, hash) in hashes[..of].iter().enumerate() {
            let proof = receipt_tree::proof(&hashes[..of], n).unwrap();
            let verify = async |hash, proof| {
                let index = alloy::primitives::U256::from(index);
                contract.verify(a.node.node(), index, hash, proof).call().await.unwrap()
            };
            assert!(verify(*hash, proof.clone()).await, "receipt {n} of {of}");
            assert!(!verify(B256::repeat_byte(1), proof).await);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn g8_node_whose_log_is_not_the_anchored_one_signs_no_root() {
    let a = anchored().await;
    a.decide().await;
    let (root, count, previous) = (B256::repeat_byte(0xbb), 1, B256::ZERO);
    let message = ReceiptRoot { index: 0, previousRoot: previous, root, count };
    let domain = signed::anchor_domain(a.town.chain.chain_id(), a.anchor);
    let signature = Town::keys(1).sign(&message, &domain).unwrap().into();
    let node = a.node.node();
    a.post(&SignedRoot { node, index: 0, previous_root: previous, root, count, signature }).await;
    a.decide().await;
    let refused = a.root().await.unwrap_err();
    assert_eq!(refused.status(), Some(409), "{refused}");
    assert!(refused.to_string().contains("not this node's log"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn node_without_an_anchor_says_so() {
    let town = Town::found().await;
    let node = town.start(1).await;
    let url = format!("{}/v1/receipts/root", node.url());
    let refused = town.client.get_json::<Option<SignedRoot>>(&url).await.unwrap_err();
    assert_eq!(refused.status(), Some(404), "{refused}");
}
