// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Asks nodes of the committee as a guest would: nonces, evidence that binds them and the wish, an answer from each.

use alloy::primitives::{Address, B256};
use futures::future::join_all;
use mandate_attestation::Quoter;
use mandate_model::wire::kms::{Given, NodeNonce, NonceResponse, ReleaseRequest, ReleaseResponse, Wish};
use mandate_runtime::http::Client;

use super::MembershipError;
use crate::committee::Member;

/// A node's answer, or why there is none.
pub(super) type Answer = (Address, Result<Given, String>);

/// Who is asked, and by whom.
pub(super) struct Asking<'a> {
    pub(super) http: &'a Client,
    pub(super) quoter: &'a dyn Quoter,
    pub(super) chain_id: u64,
    pub(super) kms_auth: Address,
    pub(super) members: &'a [Member],
}

impl Asking<'_> {
    /// Asks all of them at once. The request, for what it binds, and an answer for each.
    pub(super) async fn ask(
        &self,
        wish: Wish,
        transport_key: B256,
    ) -> Result<(ReleaseRequest, Vec<Answer>), MembershipError> {
        let mut answers = Vec::new();
        let mut given = Vec::new();
        for (member, nonce) in join_all(self.members.iter().map(|member| self.nonce(member))).await {
            match nonce {
                Ok(nonce) => given.push((member, nonce)),
                Err(why) => answers.push((member.node, Err(why))),
            }
        }
        let mut nonces: Vec<NodeNonce> =
            given.iter().map(|(member, nonce)| NodeNonce { node: member.node, nonce: *nonce }).collect();
        nonces.sort_unstable_by_key(|nonce| nonce.node);
        let mut request = ReleaseRequest {
            chain_id: self.chain_id,
            kms_auth: self.kms_auth,
            generation: 0,
            epoch: 0,
            transport_key,
            nonces,
            wish,
            evidence: Default::default(),
        };
        request.evidence = self.quoter.evidence(request.report_data()).await?.encode().into();
        let releases = given.iter().map(|(member, _)| self.release(member, &request));
        answers.extend(join_all(releases).await);
        Ok((request, answers))
    }

    async fn nonce<'m>(&self, member: &'m Member) -> (&'m Member, Result<B256, String>) {
        let answer: Result<NonceResponse, _> =
            self.http.post_json(&format!("{}/v1/nonce", base(member)), &()).await;
        let nonce = match answer {
            Ok(answer) if answer.node == member.node => Ok(answer.nonce),
            Ok(answer) => Err(format!("node {} answers at its URL", answer.node)),
            Err(error) => Err(error.to_string()),
        };
        (member, nonce)
    }

    async fn release(&self, member: &Member, request: &ReleaseRequest) -> Answer {
        let answer: Result<ReleaseResponse, _> =
            self.http.post_json(&format!("{}/v1/release", base(member)), request).await;
        let given = match answer {
            Ok(ReleaseResponse { given: Some(given), .. }) => Ok(given),
            Ok(ReleaseResponse { outcome, .. }) => Err(outcome.to_string()),
            Err(error) => Err(error.to_string()),
        };
        (member.node, given)
    }
}

fn base(member: &Member) -> &str {
    member.url.trim_end_matches('/')
}
