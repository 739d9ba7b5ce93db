// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the sender has to say to webhooks.

use super::{SendError, Sender};
use crate::effects::{
    NewEffect,
    webhook::{Occurrence, Subscription},
};

impl Sender {
    /// Tells these webhooks what becomes of account and transactions.
    #[must_use]
    pub fn telling(self, webhooks: Vec<Subscription>) -> Self {
        Self { webhooks, ..self }
    }

    /// Tells whoever wants to know; once, however often, for the same `about`.
    pub(super) async fn tell(&self, about: &str, what: Occurrence) -> Result<(), SendError> {
        let wanted = self.webhooks.iter().filter(|hook| hook.wants(&what));
        let told = wanted.map(|hook| NewEffect::of_webhook(&self.contracts, &hook.name, about, what.clone()));
        let told: Vec<NewEffect> = told.collect();
        if !told.is_empty() {
            self.store.enqueue(told).await?;
        }
        Ok(())
    }
}
