// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Verified reads of `ReceiptAnchor`.

use alloy::primitives::{Address, B256};
use mandate_model::bindings::ReceiptAnchor;
use mandate_witness::{At, Undecided};

use super::Chain;

/// What a node has anchored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Anchored {
    /// How many roots.
    pub(crate) roots: u64,
    /// The newest; zero for none.
    pub(crate) root: B256,
    /// How many receipts that one covers.
    pub(crate) count: u64,
}

impl Chain {
    /// What `node` has anchored, by finalised state.
    pub(crate) async fn anchored(&self, anchor: Address, node: Address) -> Result<Anchored, Undecided> {
        let block = self.block(At::Finalized).await?;
        let roots = self.read(block, anchor, &ReceiptAnchor::anchorCountCall { node }).await?.value;
        let latest = self.read(block, anchor, &ReceiptAnchor::latestCall { node }).await?.value;
        Ok(Anchored { roots: roots.saturating_to(), root: latest.root, count: latest.count })
    }
}
