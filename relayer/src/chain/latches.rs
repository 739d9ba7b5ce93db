// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Latches: what was seen that must not be, kept until an operator has looked.
//!
//! A latch holds back *grants*, which are what follows from finality: the finalised block does not advance, what waits in
//! the outbox to be granted is not sent, and nobody is told that something is allowed. It holds back no *revocation*: those
//! follow from the head, and the head is followed on as far as it can be (G-6, G-7).

use std::{
    collections::BTreeMap,
    fmt,
    str::FromStr,
    sync::{Arc, PoisonError, RwLock},
};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    metrics,
    store::{Latch, Store, StoreError, Telling},
};

/// What was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LatchKind {
    /// Blocks between what was processed and what is shown cannot be had, or their logs are not complete.
    Gap,
    /// A finalised block was replaced.
    Finality,
    /// An endpoint serves another chain than before.
    ChainId,
    /// Endpoints contradict each other about what is final, or about the logs of final blocks.
    Contradiction,
}

impl LatchKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Gap, Self::Finality, Self::ChainId, Self::Contradiction];

    /// As the operator writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gap => "gap",
            Self::Finality => "finality",
            Self::ChainId => "chain-id",
            Self::Contradiction => "contradiction",
        }
    }
}

impl fmt::Display for LatchKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// There is no such latch.
#[derive(Debug, Error)]
#[error("there is no latch {0:?}; there are: gap, finality, chain-id, contradiction")]
pub struct UnknownLatch(String);

impl FromStr for LatchKind {
    type Err = UnknownLatch;

    fn from_str(name: &str) -> Result<Self, UnknownLatch> {
        let known = Self::ALL.into_iter().find(|kind| kind.name() == name);
        known.ok_or_else(|| UnknownLatch(name.to_owned()))
    }
}

/// The latches, as the parts of the relayer see them; the store has the last word.
#[derive(Debug, Clone, Default)]
pub struct Latches(Arc<RwLock<BTreeMap<String, String>>>);

impl Latches {
    /// Whether grants must wait.
    pub fn hold_grants(&self) -> bool {
        !self.0.read().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Name and detail of each.
    pub fn list(&self) -> Vec<(String, String)> {
        let set = self.0.read().unwrap_or_else(PoisonError::into_inner);
        set.iter().map(|(name, detail)| (name.clone(), detail.clone())).collect()
    }

    /// Whether `kind` is set.
    pub fn is_set(&self, kind: LatchKind) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).contains_key(kind.name())
    }

    /// Reads them from the store: an operator's command may have cleared one, another relayer may have set one.
    ///
    /// # Errors
    /// When the store fails; what was known stays.
    pub async fn reload(&self, store: &dyn Store) -> Result<(), StoreError> {
        let stored = store.latches().await?;
        let set = stored.into_iter().map(|Latch { kind, detail, .. }| (kind, detail)).collect();
        self.replace(set);
        Ok(())
    }

    /// Sets one, in memory at once and then in the store, and has it told. The first detail stays: it tells how it began.
    ///
    /// # Errors
    /// When the store fails; grants are held all the same until the next reload.
    pub async fn set(
        &self,
        store: &dyn Store,
        kind: LatchKind,
        latch: Latch,
        telling: Telling,
    ) -> Result<(), StoreError> {
        if self.is_set(kind) {
            return Ok(());
        }
        tracing::error!(latch = %kind, detail = latch.detail, "latched: grants are held until an operator clears it");
        let mut set = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        set.insert(kind.name().to_owned(), latch.detail.clone());
        self.replace(set);
        store.latch(latch, telling).await?;
        Ok(())
    }

    fn replace(&self, set: BTreeMap<String, String>) {
        for kind in LatchKind::ALL {
            let value = if set.contains_key(kind.name()) { 1.0 } else { 0.0 };
            metrics::LATCHED.set(value, [kind.name()]);
        }
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = set;
    }
}

/// What an operator may do with the latches of a store, whether its relayer runs or not.
pub mod operator {
    use super::{Latch, LatchKind, Store, StoreError};

    /// Every latch that is set, oldest first.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn list(store: &dyn Store) -> Result<Vec<Latch>, StoreError> {
        let mut latches = store.latches().await?;
        latches.sort_by_key(|latch| latch.since);
        Ok(latches)
    }

    /// Clears one. Tells whether it was set. A running relayer notices at its next look at the chain, and sets it again if
    /// the cause is still there.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn clear(store: &dyn Store, kind: LatchKind) -> Result<bool, StoreError> {
        store.clear_latch(kind.name().to_owned()).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latch_names_are_read_as_they_are_written() {
        for kind in LatchKind::ALL {
            assert_eq!(kind.to_string().parse::<LatchKind>().unwrap(), kind);
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        }
        assert!("everything".parse::<LatchKind>().is_err());
    }
}
