// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Roots over the node's receipts, signed for `ReceiptAnchor` (G-8). What was anchored before is read from the chain with
//! proof: whoever asks for a root cannot make the node sign another history.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use alloy::primitives::{Address, B256};
use mandate_model::{
    signed::{self, ReceiptRoot},
    wire::kms::SignedRoot,
};
use mandate_runtime::Clock;
use mandate_witness::Undecided;
use thiserror::Error;
use tokio::sync::Mutex;

use crate::{
    chain::{Anchored, Chain},
    keys::{KeyError, NodeKeys},
    receipts::ReceiptLog,
    store::StoreError,
};

/// For how long an answer is given again: each costs two proofs.
const CACHED: Duration = Duration::from_secs(5);
/// Roots of this run that need not be computed again when the chain shows them.
const REMEMBERED: usize = 16;

/// Why no root is signed.
#[derive(Debug, Error)]
pub(crate) enum AnchorError {
    /// None is configured.
    #[error("chain.receipt_anchor is not set: this node signs no roots")]
    NotConfigured,
    /// The chain could not be read.
    #[error("could not be verified: {0}")]
    Undecided(#[from] Undecided),
    /// What this node anchored before is not what it has.
    #[error(
        "the chain anchors {root} over {count} receipts, which is not this node's log: was an old copy of it restored?"
    )]
    OtherHistory {
        /// The anchored root.
        root: B256,
        /// Over how many receipts.
        count: u64,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The key.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// Signs the next root.
#[derive(Debug)]
pub(crate) struct Anchoring {
    contract: Option<Address>,
    chain_id: u64,
    chain: Chain,
    receipts: ReceiptLog,
    keys: Arc<NodeKeys>,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    answered: Option<(Duration, Option<SignedRoot>)>,
    signed: VecDeque<(u64, B256)>,
}

impl Anchoring {
    pub(crate) fn new(
        contract: Option<Address>,
        chain_id: u64,
        chain: Chain,
        receipts: ReceiptLog,
        keys: Arc<NodeKeys>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { contract, chain_id, chain, receipts, keys, clock, state: Mutex::default() }
    }

    /// The next root, or nothing when every receipt is anchored.
    pub(crate) async fn next(&self) -> Result<Option<SignedRoot>, AnchorError> {
        let contract = self.contract.ok_or(AnchorError::NotConfigured)?;
        let mut state = self.state.lock().await;
        let now = self.clock.monotonic();
        if let Some((at, answer)) = &state.answered
            && now.saturating_sub(*at) < CACHED
        {
            return Ok(answer.clone());
        }
        let anchored = self.chain.anchored(contract, self.keys.address()).await?;
        self.check_history(&state, anchored).await?;
        let tree = self.receipts.tree();
        let answer = match tree.count() > anchored.count {
            true => Some(self.sign(contract, anchored, tree.root(), tree.count())?),
            false => None,
        };
        if answer.is_some() {
            self.receipts.keep_tree().await?;
            state.signed.push_back((tree.count(), tree.root()));
            if state.signed.len() > REMEMBERED {
                state.signed.pop_front();
            }
        }
        state.answered = Some((now, answer.clone()));
        Ok(answer)
    }

    /// A root that extends another history would be a lie about this one.
    async fn check_history(&self, state: &State, anchored: Anchored) -> Result<(), AnchorError> {
        let Anchored { root, count, .. } = anchored;
        if count == 0 || state.signed.contains(&(count, root)) {
            return Ok(());
        }
        match self.receipts.root_over(count).await? {
            Some(ours) if ours == root => Ok(()),
            _ => Err(AnchorError::OtherHistory { root, count }),
        }
    }

    fn sign(
        &self,
        contract: Address,
        anchored: Anchored,
        root: B256,
        count: u64,
    ) -> Result<SignedRoot, AnchorError> {
        let Anchored { roots: index, root: previous_root, .. } = anchored;
        let message = ReceiptRoot { index, previousRoot: previous_root, root, count };
        let signature = self.keys.sign(&message, &signed::anchor_domain(self.chain_id, contract))?.into();
        Ok(SignedRoot { node: self.keys.address(), index, previous_root, root, count, signature })
    }
}
