// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The relayer: carries letters and submissions, and is believed in nothing.

use alloy::primitives::Address;
use mandate_model::wire::relayer::{Delivered, Letter, Submission};
use mandate_runtime::http::{Client, HttpError};
use serde::de::IgnoredAny;

/// A relayer's API, as far as a node uses it.
#[derive(Debug, Clone)]
pub(crate) struct Relayer {
    client: Client,
    base: String,
}

impl Relayer {
    /// `base` is its URL without a path.
    pub(crate) fn new(client: Client, base: &str) -> Self {
        Self { client, base: base.trim_end_matches('/').to_owned() }
    }

    /// Has it put something on chain. The same again does no harm.
    pub(crate) async fn submit(&self, submission: &Submission) -> Result<(), HttpError> {
        let _: IgnoredAny =
            self.client.post_json(&format!("{}/v1/submissions", self.base), submission).await?;
        Ok(())
    }

    /// Has it put a letter into a mailbox. The same again does no harm.
    pub(crate) async fn send(&self, letter: &Letter) -> Result<(), HttpError> {
        let _: IgnoredAny = self.client.post_json(&format!("{}/v1/mailbox", self.base), letter).await?;
        Ok(())
    }

    /// What came for `node` after `cursor`.
    pub(crate) async fn mailbox(&self, node: Address, cursor: u64) -> Result<Vec<Delivered>, HttpError> {
        self.client.get_json(&format!("{}/v1/mailbox/{node}?after={cursor}&wait=0", self.base)).await
    }
}
