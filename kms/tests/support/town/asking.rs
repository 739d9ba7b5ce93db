// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What guests do in the town, and waiting until they can.

use alloy::primitives::Address;
use mandate_attestation::{Evidence, dev_pki::DevGuest};
use mandate_kms::{Running, shares::RELEASE_INFO};
use mandate_model::{
    bindings::KmsCommittee,
    wire::kms::{NodeNonce, NonceResponse, ReleaseRequest, ReleaseResponse},
};
use mandate_runtime::{Clock, clock::SystemClock};
use mandate_threshold::{
    AppSecret, Partial, PublicPolynomial, SealingKey,
    derive::{APP_NAMESPACE, app_message},
};

use super::{CODE, Town};

impl Town {
    /// Starts these nodes.
    pub async fn start_all(&self, of: &[u8]) -> Vec<Running> {
        let mut nodes = Vec::new();
        for n in of {
            nodes.push(self.start(*n).await);
        }
        nodes
    }

    /// Waits until each node is of this epoch and has its lease.
    pub async fn reached(&self, nodes: &[Running], epoch: u64) {
        for node in nodes {
            self.until(node, "epoch and lease", |status| status.epoch == epoch && status.fresh).await;
        }
    }

    /// The secret of an app that runs `CODE`, under the root of an epoch; 0 for the one in force.
    pub async fn secret(&self, nodes: &[Running], app: Address, epoch: u64) -> AppSecret {
        let every: Vec<&Running> = nodes.iter().collect();
        let (request, responses) = self.ask_for(&every, &DevGuest::new(app, CODE), epoch).await;
        self.combine(app, &request, &responses).await
    }

    /// What a guest does: nonces, evidence, releases.
    pub async fn ask(&self, nodes: &[&Running], guest: &DevGuest) -> (ReleaseRequest, Vec<ReleaseResponse>) {
        self.ask_for(nodes, guest, 0).await
    }

    /// The same for the root of an epoch.
    pub async fn ask_for(
        &self,
        nodes: &[&Running],
        guest: &DevGuest,
        epoch: u64,
    ) -> (ReleaseRequest, Vec<ReleaseResponse>) {
        let evidence = |data, now| self.pki.evidence(guest, data, now);
        self.ask_with(nodes, (epoch, 0), evidence).await
    }

    /// The same for an epoch and a generation, 0 for those in force, with evidence of any kind.
    pub async fn ask_with(
        &self,
        nodes: &[&Running],
        (epoch, generation): (u64, u64),
        evidence: impl FnOnce([u8; 64], u64) -> Evidence,
    ) -> (ReleaseRequest, Vec<ReleaseResponse>) {
        let mut nonces = Vec::new();
        for node in nodes {
            let url = format!("{}/v1/nonce", node.url());
            let answer: NonceResponse = self.client.post_json(&url, &serde_json::json!({})).await.unwrap();
            assert_eq!(answer.node, node.node());
            nonces.push(NodeNonce { node: answer.node, nonce: answer.nonce });
        }
        nonces.sort_by_key(|n| n.node);
        let mut request = ReleaseRequest {
            chain_id: self.chain.chain_id(),
            kms_auth: self.kms_auth,
            generation,
            epoch,
            transport_key: super::super::transport().public().into(),
            nonces,
            wish: Default::default(),
            evidence: Default::default(),
        };
        let now = SystemClock::new().unix();
        request.evidence = evidence(request.report_data(), now).encode().into();
        let mut responses = Vec::new();
        for node in nodes {
            let url = format!("{}/v1/release", node.url());
            responses.push(self.client.post_json(&url, &request).await.unwrap());
        }
        (request, responses)
    }

    /// The app secret that a quorum of answers gives.
    pub async fn combine(
        &self,
        app: Address,
        request: &ReleaseRequest,
        responses: &[ReleaseResponse],
    ) -> AppSecret {
        let public = self.polynomial(request.epoch).await;
        let message = self.message(app, &public);
        let signature = public.combine(APP_NAMESPACE, &message, &partials(request, responses)).unwrap();
        AppSecret::derive(&signature, &message)
    }

    /// The public side of an epoch; 0 for the one in force.
    pub async fn polynomial(&self, epoch: u64) -> PublicPolynomial {
        let committee = KmsCommittee::new(self.committee, &self.provider);
        let epoch = match epoch {
            0 => committee.currentEpoch().call().await.unwrap(),
            number => committee.epoch(number).call().await.unwrap(),
        };
        PublicPolynomial::decode(&epoch.polynomial, epoch.members.len()).unwrap()
    }

    /// What the committee signs for the first generation of `app`.
    pub fn message(&self, app: Address, public: &PublicPolynomial) -> Vec<u8> {
        self.message_of(app, 1, public)
    }

    /// The same for any.
    pub fn message_of(&self, app: Address, generation: u64, public: &PublicPolynomial) -> Vec<u8> {
        let group_key = public.group_key();
        app_message(self.chain.chain_id(), self.kms_auth.into(), app.into(), generation, &group_key)
    }
}

/// What the answers hold, opened with the guest's key.
pub fn partials(request: &ReleaseRequest, responses: &[ReleaseResponse]) -> Vec<Partial> {
    let open = |response: &ReleaseResponse| {
        let sealed = response.partial()?;
        let key: SealingKey = super::super::transport();
        let opened = mandate_threshold::open(&key, RELEASE_INFO, &request.report_data(), &sealed.sealed);
        Some(Partial::decode(&opened.unwrap()).unwrap())
    };
    responses.iter().filter_map(open).collect()
}
