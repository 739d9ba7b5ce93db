// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Blocks that the caller itself vouches for.

use std::sync::{Mutex, PoisonError};

use futures::future::{BoxFuture, ready};
use mandate_model::wire::BlockRef;

use super::{HeaderError, HeaderSource};

/// Hands out what it was given: for a development chain in the same process, and for replaying a receipt.
#[derive(Debug)]
pub struct Pinned {
    blocks: Mutex<(BlockRef, BlockRef)>,
}

impl Pinned {
    /// Pins both the finalised block and the head.
    pub fn new(finalized: BlockRef, head: BlockRef) -> Self {
        Self { blocks: Mutex::new((finalized, head)) }
    }

    /// Pins one block as both.
    pub fn at(block: BlockRef) -> Self {
        Self::new(block, block)
    }

    /// Moves on.
    pub fn set(&self, finalized: BlockRef, head: BlockRef) {
        *self.blocks.lock().unwrap_or_else(PoisonError::into_inner) = (finalized, head);
    }

    fn blocks(&self) -> (BlockRef, BlockRef) {
        *self.blocks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HeaderSource for Pinned {
    fn finalized(&self) -> BoxFuture<'_, Result<BlockRef, HeaderError>> {
        Box::pin(ready(Ok(self.blocks().0)))
    }

    fn head(&self) -> BoxFuture<'_, Result<BlockRef, HeaderError>> {
        Box::pin(ready(Ok(self.blocks().1)))
    }
}
