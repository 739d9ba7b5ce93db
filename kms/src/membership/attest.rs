// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Has a quorum vouch for this node before its attestation ends.

use alloy::primitives::{Address, B256, Bytes, aliases::U40};
use mandate_model::{
    signed,
    wire::{
        kms::{Candidate, Given, ReleaseRequest, Wish},
        relayer::{Submission, Vouch},
    },
};

use super::{
    Membership, MembershipError, News, PATIENCE,
    ask::{Answer, Asking},
};
use crate::{
    committee::Member,
    release::{evidence_digest, vouch_message},
};

/// Who may vouch, and how many of them must.
struct Voters {
    members: Vec<Member>,
    quorum: usize,
}

impl Membership {
    /// Nothing to do while more than half of the period is left, where there is no period, or for who is not in the list.
    pub(super) async fn attest(&mut self, news: News) -> Result<(), MembershipError> {
        let period = self.period(news.block).await?;
        let now = self.parts.ambient.clock.monotonic();
        let on_its_way = self
            .asked
            .is_some_and(|(demand, since)| demand == news.demand && now.saturating_sub(since) < PATIENCE);
        if period == 0 || news.until >= news.time + period / 2 {
            self.asked = None;
            return Ok(());
        }
        if on_its_way {
            return Ok(());
        }
        let me = self.parts.context.keys.address();
        let listed = self.parts.chain.members(news.block).await?;
        let Some(own) = listed.iter().find(|member| member.node == me) else { return Ok(()) };
        self.check_keys(own)?;
        let voters = self.voters(news, listed).await?;
        let candidate = self.candidate(news, period);
        let (request, answers) = self.ask_all(&voters, candidate, news).await?;
        let vouches = self.quorum_of(&voters, candidate, &request, answers)?;
        self.submit(candidate, evidence_digest(&request.evidence), vouches).await?;
        tracing::info!(until = candidate.until, "a quorum vouched for this node");
        self.asked = Some((news.demand, now));
        Ok(())
    }

    /// Members of the epoch in force that are in the list; before the first, everybody in the list.
    async fn voters(&self, news: News, listed: Vec<Member>) -> Result<Voters, MembershipError> {
        Ok(match self.parts.chain.epoch(news.block).await? {
            Some(epoch) => Voters {
                quorum: epoch.quorum as usize,
                members: listed.into_iter().filter(|member| epoch.members.contains(&member.node)).collect(),
            },
            None => Voters { quorum: quorum(listed.len()), members: listed },
        })
    }

    fn check_keys(&self, own: &Member) -> Result<(), MembershipError> {
        let keys = &self.parts.context.keys;
        let same = keys.dealing_public() == own.dealing_key && keys.sealing_public() == own.sealing_key;
        same.then_some(()).ok_or(MembershipError::OtherKeys)
    }

    fn candidate(&self, news: News, period: u64) -> Candidate {
        let keys = &self.parts.context.keys;
        Candidate {
            node: keys.address(),
            dealing_key: keys.dealing_public(),
            sealing_key: keys.sealing_public(),
            demand: news.demand,
            until: news.time + period,
        }
    }

    async fn ask_all(
        &self,
        voters: &Voters,
        candidate: Candidate,
        news: News,
    ) -> Result<(ReleaseRequest, Vec<Answer>), MembershipError> {
        let parts = &self.parts;
        let quoter = parts.quoter.as_deref().ok_or(MembershipError::NoQuoter { until: news.until })?;
        let asking = Asking {
            http: &parts.http,
            quoter,
            chain_id: parts.context.chain_id,
            kms_auth: parts.kms_auth,
            members: &voters.members,
        };
        // Nothing secret comes back.
        asking.ask(Wish::Vouch(candidate), B256::ZERO).await
    }

    /// The vouches that are right, in the contract's order, if they are enough.
    fn quorum_of(
        &self,
        voters: &Voters,
        candidate: Candidate,
        request: &ReleaseRequest,
        answers: Vec<Answer>,
    ) -> Result<Vec<Vouch>, MembershipError> {
        let domain = self.parts.context.domain();
        let message = vouch_message(&candidate, request);
        let (mut vouches, mut reports) = (Vec::new(), Vec::new());
        for (voter, answer) in answers {
            match answer.and_then(signature_of) {
                Ok(signature) if signed::signer(&message, &domain, &signature) == Some(voter) => {
                    vouches.push(Vouch { voter, signature });
                }
                Ok(_) => reports.push(report(voter, "its signature is not over what was asked")),
                Err(why) => reports.push(report(voter, &why)),
            }
        }
        if vouches.len() < voters.quorum {
            let (got, needed) = (vouches.len(), voters.quorum);
            return Err(MembershipError::TooFew { got, needed, reports: reports.join("; ") });
        }
        vouches.sort_unstable_by_key(|vouch| vouch.voter);
        Ok(vouches)
    }

    async fn submit(
        &self,
        candidate: Candidate,
        evidence_digest: B256,
        vouches: Vec<Vouch>,
    ) -> Result<(), MembershipError> {
        let Candidate { node, until, .. } = candidate;
        let message =
            signed::Attestation { evidenceDigest: evidence_digest, until: U40::saturating_from(until) };
        let context = &self.parts.context;
        let signature = context.keys.sign(&message, &context.domain())?.into();
        let submission = Submission::Attestation { node, evidence_digest, until, vouches, signature };
        Ok(self.parts.relayer.submit(&submission).await?)
    }
}

/// As the contract counts before the first epoch.
fn quorum(listed: usize) -> usize {
    listed - listed.saturating_sub(1) / 3
}

fn signature_of(given: Given) -> Result<Bytes, String> {
    match given {
        Given::Vouch(signature) => Ok(signature),
        _ => Err("it gave something that was not asked for".to_owned()),
    }
}

fn report(voter: Address, why: &str) -> String {
    format!("{voter}: {why}")
}
