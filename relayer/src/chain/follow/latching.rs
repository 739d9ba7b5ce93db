// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What must not be and was seen: what it says about the leader, when grants must wait for an operator, and who is told.

use alloy::hex;
use mandate_model::wire::BlockRef;
use mandate_runtime::{entropy, redact::without_urls};

use super::{FollowError, Follower, LatchKind, Member, ReadError, StoreError};
use crate::{
    effects::{NewEffect, webhook::Occurrence},
    store::{Latch, Telling},
};

impl Follower {
    /// What a failure to follow says about the leader, and whether grants must wait for an operator.
    pub(super) async fn judge(
        &mut self,
        leader: &Member,
        followed: Result<(), FollowError>,
    ) -> Result<(), FollowError> {
        let Err(error) = followed else { return Ok(()) };
        let detail = format!("{}: {error}", leader.name());
        match &error {
            FollowError::Contradiction { number, known, .. } => {
                leader.health.distrust("its head does not contain the finalised block");
                // As long as k others are left to follow, this is one endpoint's lie.
                if self.reader.endpoints().trusted_but(leader.name()) < self.reader.endpoints().quorum() {
                    let block = BlockRef { number: *number, hash: *known };
                    self.latch(LatchKind::Finality, &detail, Some(block)).await?;
                }
            }
            FollowError::TooDeep { .. } => self.latch(LatchKind::Gap, &detail, None).await?,
            FollowError::Read(ReadError::Disagree { .. }) => {
                self.latch(LatchKind::Contradiction, &detail, None).await?;
            }
            _ => {}
        }
        Err(error)
    }

    pub(super) async fn latch(
        &self,
        kind: LatchKind,
        detail: &str,
        block: Option<BlockRef>,
    ) -> Result<(), StoreError> {
        let latch = Latch {
            kind: kind.name().to_owned(),
            detail: detail.to_owned(),
            block,
            since: self.clock.unix(),
        };
        let telling = self.telling(&latch);
        self.latches.set(&*self.store, kind, latch, telling).await
    }

    /// Who is told that it is set, and later that it was cleared. Each setting has an id of its own, so that one that comes
    /// back is told again; that it is told once follows from the transaction that sets or clears it.
    fn telling(&self, latch: &Latch) -> Telling {
        let id = hex::encode(entropy::bytes::<8>(&*self.reader.endpoints().ambient().entropy));
        let about = |what| format!("latch:{}:{}:{id}:{what}", latch.kind, latch.since);
        let (name, since) = (latch.kind.clone(), latch.since);
        let detail = without_urls(&latch.detail).into_owned();
        let set = Occurrence::Latched { latch: name.clone(), since, detail };
        let cleared = Occurrence::LatchCleared { latch: name, since };
        let to_all = |what: &Occurrence, about: &str| -> Vec<NewEffect> {
            let wanted = self.plan.webhooks.iter().filter(|hook| hook.wants(what));
            wanted
                .map(|hook| NewEffect::of_webhook(&self.contracts, &hook.name, about, what.clone()))
                .collect()
        };
        Telling { set: to_all(&set, &about("set")), cleared: to_all(&cleared, &about("cleared")) }
    }
}
