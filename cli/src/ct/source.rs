// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a log is asked for, whichever API it has. Nothing of it is believed here but the head's signature.

use super::{
    LogError,
    entry::Entry,
    fetch::Fetch,
    head::SignedHead,
    logs::{Api, Log},
    merkle::Frontier,
    rfc6962, static_ct,
};

/// The largest head.
pub(super) const MAX_HEAD: usize = 64 << 10;
/// The largest answer with entries, as it is sent.
pub(super) const MAX_ENTRIES: usize = 32 << 20;
/// The most entries of one answer: a data tile's.
pub(super) const BATCH: u64 = 256;

/// A log with the means to ask it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) log: &'a Log,
    pub(super) fetch: &'a Fetch,
}

impl Source<'_> {
    /// The newest tree head.
    pub(super) async fn head(&self) -> Result<SignedHead, LogError> {
        match self.log.api {
            Api::Rfc6962 => rfc6962::head(self).await,
            Api::StaticCt => static_ct::head(self).await,
        }
    }

    /// The right edge of the tree of the first `size` leaves, of which `whole` is a head of at least that size. Believed by
    /// nobody until a signed root follows from it.
    pub(super) async fn frontier(&self, size: u64, whole: &SignedHead) -> Result<Frontier, LogError> {
        match self.log.api {
            _ if size == 0 => Ok(Frontier::default()),
            Api::Rfc6962 => rfc6962::frontier(self, size).await,
            Api::StaticCt => static_ct::frontier(self, size, whole.size).await,
        }
    }

    /// Entries from `start` on, at least one, none at or beyond `end`, which is the size of the tree.
    pub(super) async fn entries(&self, start: u64, end: u64) -> Result<Vec<Entry>, LogError> {
        match self.log.api {
            Api::Rfc6962 => rfc6962::entries(self, start, end).await,
            Api::StaticCt => static_ct::entries(self, start, end).await,
        }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.log.url)
    }
}
