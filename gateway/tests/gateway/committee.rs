// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Under which group keys statements count, by the real `KmsCommittee` on the development chain.

use alloy::{
    primitives::{Address, B256, Bytes, aliases::U40, keccak256},
    providers::DynProvider,
    signers::{SignerSync, local::PrivateKeySigner},
    sol_types::{SolStruct, SolValue},
};
use mandate_devchain::{Config, DevChain};
use mandate_gateway::chain::{At, Chain, VerifiedChain};
use mandate_model::{
    bindings::{KmsCommittee, Node},
    signed,
};

use crate::contracts::{GoesOn, newest, reader, verified};

const DAY: u64 = 86_400;
const GENESIS: u8 = 1;
const ROTATE: u8 = 4;

/// What was sent is mined, and succeeded.
macro_rules! mined {
    ($call:expr) => {
        assert!($call.send().await.unwrap().get_receipt().await.unwrap().status())
    };
}

/// A committee of one node, which makes whatever key it is told to.
struct Committee {
    chain: DevChain,
    contract: KmsCommittee::KmsCommitteeInstance<DynProvider>,
    node: PrivateKeySigner,
    verified: VerifiedChain,
}

impl Committee {
    async fn found() -> Self {
        let chain = DevChain::new(Config::default()).unwrap();
        let (owner, provider) = (chain.accounts()[0], chain.wallet_provider());
        let notice = U40::from(DAY);
        let contract = KmsCommittee::deploy(provider, owner, owner, notice, U40::ZERO).await.unwrap();
        let node = PrivateKeySigner::from_bytes(&B256::repeat_byte(7)).unwrap();
        let admitted = Node {
            nodeKey: node.address(),
            operator: owner,
            dealingKey: B256::repeat_byte(1),
            sealingKey: B256::repeat_byte(2),
            url: "http://node.example".to_owned(),
            expiresAt: U40::from(chain.now() + 100 * DAY),
            ..Node::default()
        };
        mined!(contract.admitNode(admitted));
        let nowhere = Address::ZERO;
        let verified = verified(&chain, nowhere, nowhere).with_committee(Some(*contract.address()));
        Self { chain, contract, node, verified }
    }

    fn signed(&self, message: &impl SolStruct) -> Bytes {
        let domain = signed::domain(self.chain.chain_id(), *self.contract.address());
        let signature = self.node.sign_hash_sync(&message.eip712_signing_hash(&domain)).unwrap();
        signature.as_bytes().to_vec().into()
    }

    /// A ceremony that ends with the key `[key; 48]`.
    async fn hold(&self, kind: u8, key: u8) {
        let window = U40::from(DAY);
        mined!(self.contract.openCeremony(kind, window, window));
        let round = self.contract.round().call().await.unwrap();
        let (log, node) = (Bytes::from_static(b"log"), self.node.address());
        let signature = self.signed(&signed::DealerLog { round, logHash: keccak256(&log) });
        mined!(self.contract.postDealerLog(round, node, log, signature));
        let (group_key, polynomial) = (Bytes::from(vec![key; 48]), Bytes::from_static(b"polynomial"));
        let output = keccak256((group_key.clone(), polynomial.clone()).abi_encode_params());
        let signature = self.signed(&signed::Confirmation { round, outputHash: output });
        mined!(self.contract.confirmOutput(round, node, group_key, polynomial, signature));
    }

    /// The first byte of each key that counts; nothing when there is no answer.
    async fn keys(&self, at: At) -> Option<Vec<u8>> {
        let keys = self.verified.group_keys(at).await.ok()?;
        Some(keys.keys.iter().map(|key| key[0]).collect())
    }
}

#[tokio::test]
async fn g11_statements_count_under_both_keys_until_the_handover_ends() {
    let committee = Committee::found().await;
    committee.chain.mine(2);
    assert_eq!(committee.keys(At::Finalized).await, None, "there is no key yet");
    committee.hold(GENESIS, 1).await;
    assert_eq!(committee.keys(At::Head).await, Some(vec![1]));
    assert_eq!(committee.keys(At::Finalized).await, None, "it is not final");

    committee.hold(ROTATE, 2).await;
    assert_eq!(committee.keys(At::Head).await, Some(vec![2, 1]));
    committee.chain.mine(2);
    assert_eq!(committee.keys(At::Finalized).await, Some(vec![2, 1]));
    // Blocks that follow each other at once are ahead of the clock, so a little more than the notice.
    committee.chain.increase_time(DAY + 3_600);
    committee.chain.mine(1);
    assert_eq!(committee.keys(At::Head).await, Some(vec![2]));
}

/// The root is rotated between two reads: the later one alone would make the key before it of the one in force.
#[tokio::test]
async fn g11_both_epochs_are_read_at_one_block() {
    let committee = Committee::found().await;
    committee.hold(GENESIS, 1).await;
    let before = newest(&committee.chain);
    committee.hold(ROTATE, 2).await;
    let headers = GoesOn::through([before, newest(&committee.chain)]);
    let reader = reader(&committee.chain, headers);
    let nowhere = Address::ZERO;
    let verified =
        VerifiedChain::new(reader, nowhere, nowhere).with_committee(Some(*committee.contract.address()));
    let keys = verified.group_keys(At::Head).await.unwrap();
    assert_eq!((keys.keys, keys.block), (vec![[1; 48]], before));
}

#[tokio::test]
async fn g6_committee_that_is_not_there_or_not_set_has_no_keys() {
    let Committee { chain, verified: there, .. } = Committee::found().await;
    chain.mine(2);
    let error = async |committee: VerifiedChain| committee.group_keys(At::Finalized).await.unwrap_err().0;
    assert!(error(there.clone()).await.contains("no group key yet"));
    assert!(error(there.clone().with_committee(None)).await.contains("chain.committee is not set"));
    let empty = error(there.with_committee(Some(Address::repeat_byte(9)))).await;
    assert!(!empty.is_empty() && !empty.contains("no group key yet"), "{empty}");
}
