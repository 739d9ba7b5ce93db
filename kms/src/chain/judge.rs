// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Executes the contracts' decision at the finalised block and at the head.

use std::fmt::Debug;

use alloy::primitives::{Address, B256};
use futures::future::BoxFuture;
use mandate_model::{
    bindings::{AppAuth, BootRequest, KmsAuth},
    outcome::PolicyReason,
    wire::kms::Candidate,
};
use mandate_witness::{At, BlockRef, Undecided, Witness};

use super::Chain;
use crate::decide::Verdict;

const DENIED: u8 = 0;
const ALLOWED: u8 = 1;

/// `VersionState.Revoked`.
const REVOKED: u8 = 5;

/// The generation of apps whose contract knows none.
const FOREIGN_GENERATION: u64 = 1;

/// What the contracts decided, where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// Their verdict.
    pub verdict: Verdict,
    /// The block whose state they were executed on.
    pub block: BlockRef,
    /// Its time.
    pub timestamp: u64,
    /// The key generation that is meant: the one asked for, or the current one where 0 was asked.
    pub generation: u64,
    /// The whole witness of the verdict, for whoever replays it (G-8).
    pub witness: Option<Witness>,
}

/// Has the contracts decide. Everything it answers is proven; everything else is an error (G-1, G-6).
pub trait Judge: Send + Sync + Debug {
    /// At the newest finalised block.
    fn finalized<'a>(&'a self, request: &'a BootRequest) -> BoxFuture<'a, Result<Judgement, Undecided>>;

    /// At the head. `request` names its generation.
    fn head<'a>(&'a self, request: &'a BootRequest) -> BoxFuture<'a, Result<Judgement, Undecided>>;

    /// Whether `code` is revoked in `app` at the newest block of this kind. Never in apps with foreign code.
    fn is_revoked(
        &self,
        app: Address,
        code: B256,
        at: At,
    ) -> BoxFuture<'_, Result<(bool, BlockRef), Undecided>>;

    /// What the committee's contracts say of `node` at the newest block of this kind.
    fn committee_rules(&self, node: Address, at: At) -> BoxFuture<'_, Result<CommitteeRules, Undecided>>;

    /// Until when `app` is paused, never for one with foreign code, and the block and its time at which that holds.
    fn paused_until(&self, app: Address, at: At) -> BoxFuture<'_, Result<Pause, Undecided>>;
}

/// What decides on a node's wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommitteeRules {
    /// The KMS's own app.
    pub kms_app: Address,
    /// The number of the newest demand for attestation.
    pub demand: u64,
    /// Whether the node may hold a copy of the single member's share.
    pub is_replica: bool,
}

impl CommitteeRules {
    /// Whether a member may vouch for `candidate`, which proved itself as `app`. A demand that this node does not see yet may
    /// follow a change of policy that it does not see either.
    pub fn may_be_vouched_for(&self, app: Address, candidate: &Candidate) -> Result<(), String> {
        self.check_app(app)?;
        match candidate.demand == self.demand {
            true => Ok(()),
            false => {
                Err(format!("the newest demand for attestation is {}, not {}", self.demand, candidate.demand))
            }
        }
    }

    /// Whether the node, which proved itself as `app`, may have a copy of the single member's share.
    pub fn may_have_a_copy(&self, app: Address) -> Result<(), String> {
        self.check_app(app)?;
        self.is_replica
            .then_some(())
            .ok_or_else(|| "KmsCommittee does not say that it is a replica".to_owned())
    }

    fn check_app(&self, app: Address) -> Result<(), String> {
        match app == self.kms_app && !app.is_zero() {
            true => Ok(()),
            false => Err(format!("it proves itself as app {app}, the KMS's own is {}", self.kms_app)),
        }
    }
}

/// A pause as a block shows it; over when `until` is not above `timestamp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pause {
    /// End of the pause, block time.
    pub until: u64,
    /// The block.
    pub block: BlockRef,
    /// Its time.
    pub timestamp: u64,
}

/// The [`Judge`] over verified reads.
#[derive(Debug, Clone)]
pub(crate) struct ChainJudge(pub(crate) Chain);

impl ChainJudge {
    async fn decide(&self, block: BlockRef, request: &BootRequest) -> Result<Judgement, Undecided> {
        let call = KmsAuth::decideCall { request: request.clone() };
        let read = self.0.read(block, self.0.kms_auth, &call).await?;
        let (answer, timestamp, witness) = (read.value, read.timestamp, read.execution.witness().ok());
        let verdict = verdict(answer.verdict, answer.reason, answer.validUntil).ok_or_else(|| {
            Undecided::Malformed {
                contract: self.0.kms_auth,
                function: "decide",
                why: format!("verdict {} with reason {}", answer.verdict, answer.reason),
            }
        })?;
        Ok(Judgement { verdict, block, timestamp, generation: request.generation, witness })
    }

    /// Whether `app` has the blessed code. What foreign code says of itself is worth remembering for nobody.
    async fn is_blessed(&self, block: BlockRef, app: Address) -> Result<bool, Undecided> {
        let call = KmsAuth::isRegisteredCall { app };
        let answer = self.0.read(block, self.0.kms_auth, &call).await?.value;
        Ok(answer.registered && !answer.foreign)
    }

    /// What `asked` stands for. Apps with foreign code have one generation.
    async fn generation(&self, block: BlockRef, app: Address, asked: u64) -> Result<Option<u64>, Undecided> {
        let call = KmsAuth::isRegisteredCall { app };
        if self.0.read(block, self.0.kms_auth, &call).await?.value.foreign {
            return Ok((asked <= FOREIGN_GENERATION).then_some(FOREIGN_GENERATION));
        }
        if asked != 0 {
            return Ok(Some(asked));
        }
        Ok(Some(self.0.read(block, app, &AppAuth::generationCall {}).await?.value.current))
    }
}

impl Judge for ChainJudge {
    fn finalized<'a>(&'a self, request: &'a BootRequest) -> BoxFuture<'a, Result<Judgement, Undecided>> {
        Box::pin(async move {
            let block = self.0.block(At::Finalized).await?;
            let judgement = self.decide(block, request).await?;
            if !matches!(judgement.verdict, Verdict::Allowed { .. }) {
                return Ok(judgement);
            }
            Ok(match self.generation(block, request.info.appId, request.generation).await? {
                Some(generation) => Judgement { generation, ..judgement },
                None => {
                    let verdict = Verdict::Denied(PolicyReason::GenerationRetired);
                    Judgement { verdict, ..judgement }
                }
            })
        })
    }

    fn head<'a>(&'a self, request: &'a BootRequest) -> BoxFuture<'a, Result<Judgement, Undecided>> {
        Box::pin(async move {
            let block = self.0.block(At::Head).await?;
            self.decide(block, request).await
        })
    }

    fn is_revoked(
        &self,
        app: Address,
        code: B256,
        at: At,
    ) -> BoxFuture<'_, Result<(bool, BlockRef), Undecided>> {
        Box::pin(async move {
            let block = self.0.block(at).await?;
            if !self.is_blessed(block, app).await? {
                return Ok((false, block));
            }
            let state = self.0.read(block, app, &AppAuth::codeStateCall { codeHash: code }).await?.value;
            Ok((state.state == REVOKED, block))
        })
    }

    fn committee_rules(&self, node: Address, at: At) -> BoxFuture<'_, Result<CommitteeRules, Undecided>> {
        Box::pin(async move {
            let block = self.0.block(at).await?;
            let kms_app = self.0.read(block, self.0.kms_auth, &KmsAuth::kmsAppCall {}).await?.value;
            let (demand, _) = self.0.attestation_of(block, node).await?;
            let is_replica = self.0.is_replica(block, node).await?;
            Ok(CommitteeRules { kms_app, demand, is_replica })
        })
    }

    fn paused_until(&self, app: Address, at: At) -> BoxFuture<'_, Result<Pause, Undecided>> {
        Box::pin(async move {
            let block = self.0.block(at).await?;
            if !self.is_blessed(block, app).await? {
                return Ok(Pause { until: 0, block, timestamp: 0 });
            }
            let read = self.0.read(block, app, &AppAuth::pausedUntilCall {}).await?;
            Ok(Pause { until: read.value.to::<u64>(), block, timestamp: read.timestamp })
        })
    }
}

/// `None` for an answer that contradicts itself, or that this build does not know.
fn verdict(verdict: u8, reason: u8, valid_until: u64) -> Option<Verdict> {
    match (verdict, PolicyReason::try_from(reason)) {
        (ALLOWED, Ok(PolicyReason::Allowed)) => Some(Verdict::Allowed { valid_until }),
        (DENIED, Ok(PolicyReason::Allowed)) => None,
        (DENIED, Ok(reason)) => Some(Verdict::Denied(reason)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use alloy::primitives::B256;

    use super::*;

    #[test]
    fn g1_only_the_kms_own_app_has_a_wish_granted_and_only_as_the_contract_says() {
        let app = Address::repeat_byte(7);
        let rules = CommitteeRules { kms_app: app, demand: 3, is_replica: true };
        let candidate = |demand| Candidate {
            node: Address::repeat_byte(1),
            dealing_key: B256::ZERO,
            sealing_key: B256::ZERO,
            demand,
            until: 9,
        };
        let other = Address::repeat_byte(8);
        assert_eq!(rules.may_be_vouched_for(app, &candidate(3)), Ok(()));
        assert!(rules.may_be_vouched_for(app, &candidate(2)).is_err(), "from before the demand");
        assert!(rules.may_be_vouched_for(app, &candidate(4)).is_err(), "not seen here yet");
        assert!(rules.may_be_vouched_for(other, &candidate(3)).is_err());
        assert_eq!(rules.may_have_a_copy(app), Ok(()));
        assert!(rules.may_have_a_copy(other).is_err());
        assert!(CommitteeRules { is_replica: false, ..rules }.may_have_a_copy(app).is_err());
        let unset = CommitteeRules { kms_app: Address::ZERO, ..rules };
        assert!(unset.may_have_a_copy(Address::ZERO).is_err(), "no app is set");
    }

    #[test]
    fn g6_answers_that_contradict_themselves_or_are_unknown_are_no_verdict() {
        assert_eq!(verdict(ALLOWED, 0, 7), Some(Verdict::Allowed { valid_until: 7 }));
        assert_eq!(verdict(DENIED, 11, 0), Some(Verdict::Denied(PolicyReason::CodeRevoked)));
        assert_eq!(verdict(DENIED, 250, 0), None);
        assert_eq!(verdict(ALLOWED, 11, 7), None);
        assert_eq!(verdict(DENIED, 0, 0), None);
        assert_eq!(verdict(2, 0, 7), None);
    }
}
