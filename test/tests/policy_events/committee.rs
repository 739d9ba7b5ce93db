// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Random lives of the committee: nodes come, are renewed and go; rounds are opened, dealt, confirmed, missed; roots rotate.

use alloy::{
    primitives::{B256, Bytes, keccak256},
    signers::{SignerSync, local::PrivateKeySigner},
    sol_types::{SolCall, SolStruct, SolValue},
};
use mandate_model::{
    bindings::{KmsCommittee::*, Node, Vouch},
    signed,
};
use proptest::prelude::*;

use crate::{
    steps::{By, t},
    town::Town,
};

const NODES: u8 = 4;

#[derive(Debug, Clone, Copy)]
pub(crate) enum CommitteeStep {
    Wait(u64),
    Admit(u8, u64),
    Evict(u8),
    Url(u8, u8),
    /// The nodes from the first to this one vouch for this one, for so long.
    Attest(u8, u8, u64),
    Demand(u64),
    Replicate(bool),
    Nonce(u8, u8),
    Open(u8),
    Abort,
    /// Every node but this one posts its log; the sixth posts them all.
    Deal(u8),
    /// Every node confirms this output.
    Confirm(u8),
}

pub(crate) fn committee_step() -> impl Strategy<Value = CommitteeStep> {
    prop_oneof![
        2 => (1u64..400).prop_map(CommitteeStep::Wait),
        2 => (0..NODES, 1u64..2000).prop_map(|(n, life)| CommitteeStep::Admit(n, life)),
        1 => (0..NODES).prop_map(CommitteeStep::Evict),
        1 => (0..NODES, 0u8..3).prop_map(|(n, url)| CommitteeStep::Url(n, url)),
        3 => (0..NODES, 1..=NODES, 1u64..400).prop_map(|(n, voters, life)| CommitteeStep::Attest(n, voters, life)),
        1 => (0u64..300).prop_map(CommitteeStep::Demand),
        1 => any::<bool>().prop_map(CommitteeStep::Replicate),
        1 => (0..NODES, 0u8..3).prop_map(|(n, nonce)| CommitteeStep::Nonce(n, nonce)),
        3 => (1u8..5).prop_map(CommitteeStep::Open),
        1 => Just(CommitteeStep::Abort),
        3 => (0..NODES + 2).prop_map(CommitteeStep::Deal),
        3 => (0u8..3).prop_map(CommitteeStep::Confirm),
    ]
}

impl Town {
    fn node_key(&self, n: u8) -> PrivateKeySigner {
        self.chain.signers()[usize::from(n) + 3].clone()
    }

    pub(crate) async fn committee_step(&mut self, step: CommitteeStep) {
        match step {
            CommitteeStep::Wait(seconds) => self.wait(seconds),
            CommitteeStep::Admit(n, life) => self.admit(n, life).await,
            CommitteeStep::Evict(n) => {
                self.tell_committee(evictNodeCall { nodeKey: self.node_key(n).address() }).await;
            }
            CommitteeStep::Url(n, url) => {
                let nodeKey = self.node_key(n).address();
                self.tell_committee(setNodeUrlCall { nodeKey, url: format!("http://n{n}.example/{url}") })
                    .await;
            }
            CommitteeStep::Attest(n, voters, life) => self.attest(n, voters, life).await,
            CommitteeStep::Demand(grace) => {
                self.tell_committee(demandAttestationCall { grace: t(grace) }).await;
            }
            CommitteeStep::Replicate(replicated) => {
                self.tell_committee(setReplicationCall { replicated }).await;
            }
            CommitteeStep::Nonce(n, nonce) => {
                let (key, nonce) = (self.node_key(n), B256::repeat_byte(nonce + 1));
                let signature = self.signed(&key, &signed::Nonce { nonce });
                self.tell_committee(publishNonceCall { nodeKey: key.address(), nonce, signature }).await;
            }
            CommitteeStep::Open(kind) => {
                let (dealWindow, confirmWindow) = (t(300), t(300));
                self.tell_committee(openCeremonyCall { kind, dealWindow, confirmWindow }).await;
            }
            CommitteeStep::Abort => {
                let round_ = self.round().await;
                self.tell_committee(abortCeremonyCall { round_ }).await;
            }
            CommitteeStep::Deal(absent) => self.deal(absent).await,
            CommitteeStep::Confirm(output) => self.confirm(output).await,
        }
        self.take_in().await;
    }

    async fn admit(&self, n: u8, life: u64) {
        let hash = |kind: u8| B256::repeat_byte(16 * kind + n);
        let node_ = Node {
            nodeKey: self.node_key(n).address(),
            operator: self.chain.accounts()[0],
            dealingKey: hash(1),
            sealingKey: hash(2),
            url: format!("http://n{n}.example"),
            evidenceDigest: hash(3),
            admittedFrom: t(0),
            expiresAt: t(self.now() + life),
            attestedUntil: t(0),
        };
        self.tell_committee(admitNodeCall { node_ }).await;
    }

    async fn attest(&self, n: u8, voters: u8, life: u64) {
        let (nodeKey, hash) = (self.node_key(n).address(), |kind: u8| B256::repeat_byte(16 * kind + n));
        let (evidenceDigest, until) = (B256::repeat_byte(0x80 + n), t(self.now() + life));
        let demand = self.ask(self.contracts.committee, attestationOfCall { nodeKey }).await.demand;
        let (dealingKey, sealingKey) = (hash(1), hash(2));
        let message = signed::Vouch { nodeKey, dealingKey, sealingKey, evidenceDigest, demand, until };
        let mut keys: Vec<_> = (0..voters).map(|voter| self.node_key(voter)).collect();
        keys.sort_unstable_by_key(|key| key.address());
        let vouches =
            keys.iter().map(|key| Vouch { voter: key.address(), signature: self.signed(key, &message) });
        let vouches = vouches.collect();
        self.tell_committee(attestNodeCall { nodeKey, evidenceDigest, until, vouches }).await;
    }

    async fn deal(&self, absent: u8) {
        let round = self.round().await;
        for n in (0..NODES).filter(|n| *n != absent) {
            let (key, log) = (self.node_key(n), Bytes::from(vec![n; 8]));
            let message = signed::DealerLog { round, logHash: keccak256(&log) };
            let signature = self.signed(&key, &message);
            let call = postDealerLogCall { round_: round, dealer: key.address(), log, signature };
            self.tell_committee(call).await;
        }
    }

    async fn confirm(&self, output: u8) {
        let round = self.round().await;
        let polynomial = Bytes::from(vec![output; 3]);
        for n in 0..NODES {
            // A refreshed or reshared key is the key of the epoch before.
            let groupKey = self.group_key(output).await;
            let outputHash = keccak256((groupKey.clone(), polynomial.clone()).abi_encode_params());
            let key = self.node_key(n);
            let signature = self.signed(&key, &signed::Confirmation { round, outputHash });
            let (polynomial, player) = (polynomial.clone(), key.address());
            let call = confirmOutputCall { round_: round, player, groupKey, polynomial, signature };
            self.tell_committee(call).await;
        }
    }

    async fn group_key(&self, output: u8) -> Bytes {
        let present = self.ask(self.contracts.committee, currentEpochCall {}).await;
        let kind = self.ask(self.contracts.committee, ceremonyCall { round_: self.round().await }).await.kind;
        let keeps = present.number != 0 && matches!(kind, 2 | 3);
        if keeps { present.groupKey } else { vec![output + 1; 48].into() }
    }

    async fn round(&self) -> u64 {
        self.ask(self.contracts.committee, roundCall {}).await
    }

    fn signed(&self, key: &PrivateKeySigner, message: &impl SolStruct) -> Bytes {
        let domain = signed::domain(self.chain.chain_id(), self.contracts.committee);
        let hash = message.eip712_signing_hash(&domain);
        key.sign_hash_sync(&hash).unwrap().as_bytes().to_vec().into()
    }

    async fn tell_committee(&self, call: impl SolCall) {
        self.send(By::Owner, self.contracts.committee, call.abi_encode()).await;
    }

    pub(crate) async fn check_committee(&self) {
        let (to, folded) = (self.contracts.committee, &self.state.committee);
        self.check_governed(to, &folded.governed).await;
        let told = self.ask(to, nodesCall {}).await;
        assert_eq!(told.len(), folded.nodes.len());
        for node in told {
            let known = &folded.nodes[&node.nodeKey];
            assert_eq!((node.operator, node.url.as_str()), (known.operator, known.url.as_str()));
            assert_eq!((node.dealingKey, node.sealingKey), (known.dealing_key, known.sealing_key));
            assert_eq!(node.evidenceDigest, known.evidence_digest);
            assert_eq!((node.admittedFrom, node.expiresAt), (t(known.admitted_from), t(known.expires_at)));
            assert_eq!(node.attestedUntil, t(known.attested_until));
            assert_eq!(self.ask(to, nonceOfCall { nodeKey: node.nodeKey }).await, known.nonce);
        }
        assert_eq!(self.ask(to, attestationOfCall { nodeKey: to }).await.demand, folded.demand);
        assert_eq!(self.ask(to, replicatedFromCall {}).await, t(folded.replicated_from));
        self.check_rounds().await;
        self.check_epochs().await;
    }

    async fn check_rounds(&self) {
        let (to, folded) = (self.contracts.committee, &self.state.committee);
        assert_eq!(self.round().await, folded.ceremonies.keys().next_back().copied().unwrap_or_default());
        for (round, known) in &folded.ceremonies {
            let told = self.ask(to, ceremonyCall { round_: *round }).await;
            assert_eq!((told.kind, told.quorum), (known.kind, known.quorum));
            assert_eq!((told.dealUntil, told.confirmUntil), (t(known.deal_until), t(known.confirm_until)));
            assert_eq!((&told.dealers, &told.players), (&known.dealers, &known.players));
            for dealer in &told.dealers {
                let log = self.ask(to, dealerLogCall { round_: *round, dealer: *dealer }).await;
                assert_eq!(log, known.logs.get(dealer).copied().unwrap_or_default());
            }
        }
    }

    async fn check_epochs(&self) {
        let (to, folded) = (self.contracts.committee, &self.state.committee);
        let present = self.ask(to, currentEpochCall {}).await;
        assert_eq!(present.number, folded.current_epoch().map(|(number, _)| number).unwrap_or_default());
        assert_eq!(self.ask(to, outgoingEpochCall {}).await.number, folded.outgoing);
        for (number, known) in &folded.epochs {
            let told = self.ask(to, epochCall { number: *number }).await;
            assert_eq!((told.round, &told.groupKey), (known.round, &known.group_key), "epoch {number}");
            assert_eq!((told.startedAt, &told.polynomial), (t(known.started_at), &known.polynomial));
            assert_eq!(told.validUntil, t(known.valid_until), "epoch {number}");
            assert_eq!(told.members, folded.ceremonies[&known.round].players);
        }
    }
}

/// G-11: rounds that end well, under every kind, whatever else happens between them.
pub(crate) const SCRIPT: [CommitteeStep; 29] = {
    use CommitteeStep::*;
    [
        Admit(0, 100_000),
        Admit(1, 100_000),
        Admit(2, 100_000),
        Admit(3, 100_000),
        Attest(0, 4, 90_000),
        Attest(1, 4, 90_000),
        Attest(2, 4, 90_000),
        Attest(3, 4, 90_000),
        Nonce(0, 1),
        Open(1),
        Deal(9),
        Confirm(0),
        Url(1, 2),
        Demand(80_000),
        Attest(0, 4, 95_000),
        Replicate(true),
        Open(2),
        Deal(9),
        Confirm(1),
        Open(4),
        Deal(2),
        Wait(301),
        Confirm(2),
        Evict(3),
        Wait(20),
        Open(4),
        Deal(9),
        Confirm(0),
        Wait(200),
    ]
};
