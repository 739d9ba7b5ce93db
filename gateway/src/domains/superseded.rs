// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Certificates that others have followed. A renewal ends none, and for weeks whoever has the key could go on with them: when a
//! domain goes, they are revoked as well. They are kept until their time is over.

use mandate_acme::keys::KeyError;
use thiserror::Error;

use super::{
    Domains,
    known::{Known, State},
};
use crate::store::{Damaged, Generation, Row, Slot, StoreError};

/// Why superseded certificates are not dealt with.
#[derive(Debug, Error)]
pub(super) enum SupersededError {
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It may be one that is to be revoked.
    #[error(
        "a superseded certificate of {slot} in the store is damaged ({what}); restore table `superseded` from a backup, or \
         give it up: DELETE FROM superseded WHERE subject = '{}'", slot.subject
    )]
    Damaged { slot: Slot, what: String },
    #[error("{0}")]
    NotRevoked(String),
}

impl Domains {
    pub(super) async fn generation(&self) -> Result<Generation, KeyError> {
        self.keys.parent().await?.generation()
    }

    /// Has the issuer end every superseded certificate of a name that is gone for good, each forgotten when that is done.
    pub(super) async fn retire_superseded(&self, slot: &Slot) -> Result<(), SupersededError> {
        let generation = self.generation().await?;
        for row in self.store.superseded(generation, slot.clone()).await? {
            if let Some(certificate) = self.superseded(slot, &row).await?
                && let Some(leaf) = certificate.leaf()
                && let Some(problem) = self.revoke(slot, leaf).await
            {
                return Err(SupersededError::NotRevoked(problem));
            }
            self.store.drop_superseded(generation, slot.clone(), row.digest).await?;
        }
        Ok(())
    }

    /// Forgets those whose time is over, after another one has joined them.
    pub(super) async fn forget_expired(&self, slot: &Slot) -> Result<(), SupersededError> {
        let generation = self.generation().await?;
        for row in self.store.superseded(generation, slot.clone()).await? {
            if self.superseded(slot, &row).await?.is_none() {
                self.store.drop_superseded(generation, slot.clone(), row.digest).await?;
            }
        }
        Ok(())
    }

    /// The certificate while it is valid: for this name and this gateway's key for it. Whoever can write to the store must not
    /// have another domain's certificate revoked with this one's.
    async fn superseded(
        &self,
        slot: &Slot,
        row: &Row,
    ) -> Result<Option<crate::certificates::Certificate>, SupersededError> {
        let damaged = |what: String| SupersededError::Damaged { slot: slot.clone(), what };
        let record = row.parse().map_err(|Damaged { what, .. }| damaged(what))?;
        let known = Known::examine(record, &*self.keys.parent().await?, self.now());
        match known.state {
            State::Sound(certificate) => Ok(Some(certificate)),
            State::Expired => Ok(None),
            State::Early => Err(damaged("it is not valid yet: is the clock right?".to_owned())),
            State::Damaged(Damaged { what, .. }) => Err(damaged(what)),
        }
    }
}
