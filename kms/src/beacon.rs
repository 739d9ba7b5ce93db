// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The freshness beacon: random nonces on chain, by which the node knows that the blocks it sees are not old (design §4).

use std::sync::{Arc, Mutex, PoisonError};

use alloy::primitives::B256;
use mandate_model::{signed, wire::relayer::Submission};
use mandate_runtime::{Ambient, entropy};
use mandate_witness::Freshness;

use crate::{ceremony::Context, keys::KeyError, relayer::Relayer};

/// Publishes nonces in time.
#[derive(Debug)]
pub(crate) struct Beacon {
    context: Context,
    relayer: Relayer,
    ambient: Ambient,
    freshness: Arc<Mutex<Freshness>>,
    unsent: Option<Submission>,
    /// The newest nonce that was seen at finality.
    seen: Option<B256>,
}

impl Beacon {
    pub(crate) fn new(
        context: Context,
        relayer: Relayer,
        ambient: Ambient,
        freshness: Arc<Mutex<Freshness>>,
    ) -> Self {
        Self { context, relayer, ambient, freshness, unsent: None, seen: None }
    }

    /// Makes a nonce when a third of the lease has gone since the last, and sees to it that it is on its way.
    pub(crate) async fn tick(&mut self) -> Result<(), KeyError> {
        if self.is_due() {
            self.unsent = Some(self.publish()?);
        }
        let Some(submission) = &self.unsent else { return Ok(()) };
        match self.relayer.submit(submission).await {
            Ok(()) => self.unsent = None,
            Err(error) => tracing::debug!(%error, "the relayer did not take the nonce; trying again"),
        }
        Ok(())
    }

    /// Whether a nonce is out that has not been seen at finality yet.
    pub(crate) fn is_waiting(&self) -> bool {
        let freshness = self.freshness.lock().unwrap_or_else(PoisonError::into_inner);
        freshness.last_published() != freshness.proven()
    }

    /// Takes note of what the finalised chain has as this node's nonce.
    pub(crate) fn observe(&mut self, nonce: B256) {
        if self.seen == Some(nonce) {
            return;
        }
        let now = self.ambient.clock.monotonic();
        if self.freshness.lock().unwrap_or_else(PoisonError::into_inner).observe_finalized(nonce, now) {
            self.seen = Some(nonce);
        }
    }

    fn is_due(&self) -> bool {
        let now = self.ambient.clock.monotonic();
        let freshness = self.freshness.lock().unwrap_or_else(PoisonError::into_inner);
        freshness.last_published().is_none_or(|at| now.saturating_sub(at) >= freshness.lease() / 3)
    }

    fn publish(&self) -> Result<Submission, KeyError> {
        let nonce = B256::from(entropy::bytes::<32>(&*self.ambient.entropy));
        let keys = &self.context.keys;
        let signature = keys.sign(&signed::Nonce { nonce }, &self.context.domain())?.into();
        // Noted before it leaves: the lease runs from here, however long the way to the chain and back is.
        let now = self.ambient.clock.monotonic();
        self.freshness.lock().unwrap_or_else(PoisonError::into_inner).note_published(nonce, now);
        Ok(Submission::Nonce { node: keys.address(), nonce, signature })
    }
}
