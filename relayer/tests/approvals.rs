// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Approvals that a relayer pays for, and those that it does not; of members that are keys, and of members that are contracts.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod common;

use std::{sync::Arc, time::Duration};

use alloy::{
    network::TransactionBuilder,
    primitives::{Address, B256, Bytes, U256, aliases::U40, hex},
    providers::Provider,
    rpc::types::TransactionRequest,
    signers::{SignerSync, local::PrivateKeySigner},
    sol_types::{SolCall, SolStruct, SolValue},
};
use common::{World, eventually, key, sent, world};
use mandate_model::{
    bindings::{AppAuth, AppGovernor, AppInit, Call, GovernanceFactory, GovernanceToken, Role, RoleCouncil},
    signed,
    wire::relayer::{Accepted, Approval},
};
use mandate_relayer::{Config, Service};
use mandate_runtime::{
    Ambient,
    http::{Client, HttpError},
    net::TcpNet,
};
use tokio_util::sync::CancellationToken;

const FOREVER: u64 = 4_000_000_000;

fn role(members: Vec<Address>, threshold: u32) -> Role {
    Role { name: "core".to_owned(), threshold, members }
}

/// The code of a wallet that answers for `owner`'s key (ERC-1271), after as many bytes of memory as it is told to waste.
///
/// ```text
/// keccak256(memory[..waste]); hash, v, r, s from the call data to memory; ecrecover; is it the owner? then the magic value
/// ```
fn wallet_code(owner: Address, waste: u32) -> Bytes {
    let waste = [[0x63].as_slice(), &waste.to_be_bytes(), &hex!("5f2050")].concat();
    let copied = hex!("602060045f37600160a4603f3760406064604037");
    let recovered = hex!("6020608060805f60015afa50608051");
    let compared = [hex!("73").as_slice(), owner.as_slice(), &hex!("14")].concat();
    let answered = hex!("631626ba7e0260e01b5f5260205ff3");
    let code = [waste.as_slice(), &copied, &recovered, &compared, &answered].concat();
    let length = u8::try_from(code.len()).unwrap();
    [[0x60, length, 0x80].as_slice(), &hex!("60095f395ff3"), &code].concat().into()
}

async fn contract_wallet(world: &World, owner: Address, waste: u32) -> Address {
    let request = TransactionRequest::default().with_deploy_code(wallet_code(owner, waste));
    sent(world.wallet.send_transaction(request).await.unwrap()).await.contract_address.unwrap()
}

struct Town {
    world: World,
    council: Address,
    motion: U256,
    members: [PrivateKeySigner; 2],
    /// Members that are contracts, of this key: a thrifty one and a wasteful one.
    wallets: [Address; 2],
    wallet_key: PrivateKeySigner,
    url: String,
    stop: CancellationToken,
    _dir: tempfile::TempDir,
}

impl Drop for Town {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// A council of two with one open motion, and a relayer that pays for it if `configure` says so.
async fn town(configure: impl FnOnce(&mut Config, Address)) -> Town {
    let world = world(4, ["http://127.0.0.1:1", "http://127.0.0.1:1"]).await;
    let members = [key(0x61), key(0x62)];
    let owner = world.wallet.get_accounts().await.unwrap()[0];
    let wallet_key = key(0x63);
    let mut wallets = [Address::ZERO; 2];
    for (wallet, waste) in wallets.iter_mut().zip([32, 512 << 10]) {
        *wallet = contract_wallet(&world, wallet_key.address(), waste).await;
    }
    let roles = vec![
        role(members.iter().map(PrivateKeySigner::address).chain(wallets).collect(), 2),
        Role { name: "clerk".to_owned(), threshold: 1, members: vec![owner] },
    ];
    let lifetime = "86400".parse().unwrap();
    let council = *RoleCouncil::deploy(&world.wallet, roles, lifetime).await.unwrap().address();
    let motion = propose(&world, council).await;
    let dir = tempfile::tempdir().unwrap();
    let mut config = world.config(dir.path(), &[]);
    configure(&mut config, council);
    let service = Service::start(config, Ambient::system(), world.endpoints()).await.unwrap();
    let url = format!("http://{}/v1/approvals", service.address());
    let stop = CancellationToken::new();
    tokio::spawn(service.run(stop.clone()));
    Town { world, council, motion, members, wallets, wallet_key, url, stop, _dir: dir }
}

async fn propose(world: &World, council: Address) -> U256 {
    let calls = vec![Call { target: council, value: U256::ZERO, data: Bytes::new() }];
    let council = RoleCouncil::new(council, &world.wallet);
    let id = council.motionId(calls.clone(), "do".to_owned(), B256::ZERO).call().await.unwrap();
    sent(council.propose(calls, "do".to_owned(), B256::ZERO).send().await.unwrap()).await;
    id
}

impl Town {
    fn approval(&self, council: Address, by: &PrivateKeySigner, nonce: u64) -> Approval {
        self.approval_of(by.address(), council, by, nonce)
    }

    fn approval_of(&self, member: Address, council: Address, by: &PrivateKeySigner, nonce: u64) -> Approval {
        let (motion, role) = (self.motion, U256::ZERO);
        let deadline = U256::from(FOREVER);
        let message = signed::Approval { motionId: motion, role, member, nonce: U256::from(nonce), deadline };
        let domain = signed::council_domain(self.world.chain.chain_id(), council);
        let signature = by.sign_hash_sync(&message.eip712_signing_hash(&domain)).unwrap();
        Approval { council, motion, role, member, deadline, signature: signature.as_bytes().into() }
    }

    async fn send(&self, approval: &Approval) -> Result<Accepted, HttpError> {
        let client = Client::new(Arc::new(TcpNet)).timeout(Duration::from_secs(20));
        client.post_json(&self.url, approval).await
    }

    async fn has_approved(&self, council: Address, member: Address) -> bool {
        let council = RoleCouncil::new(council, &self.world.wallet);
        council.hasApproved(self.motion, U256::ZERO, member).call().await.unwrap()
    }
}

#[tokio::test]
async fn approval_of_a_configured_councils_member_reaches_the_chain_and_costs_the_member_nothing() {
    let town = town(|config, council| config.approvals.councils.extend([council])).await;
    let approval = town.approval(town.council, &town.members[0], 0);
    let accepted = town.send(&approval).await.unwrap();
    assert_eq!(town.send(&approval).await.unwrap(), accepted, "the same again is the same");
    eventually("the approval", || town.has_approved(town.council, town.members[0].address())).await;
    let balance = town.world.wallet.get_balance(town.members[0].address()).await.unwrap();
    assert!(balance.is_zero());
}

#[tokio::test]
async fn approval_of_a_contract_wallet_is_judged_by_the_wallet_and_sent() {
    let town = town(|config, council| config.approvals.councils.extend([council])).await;
    let wallet = town.wallets[0];
    let approval = town.approval_of(wallet, town.council, &town.wallet_key, 0);
    let accepted = town.send(&approval).await.unwrap();
    assert_eq!(town.send(&approval).await.unwrap(), accepted, "the same again is the same");
    eventually("the approval", || town.has_approved(town.council, wallet)).await;
    assert_eq!(town.world.wallet.get_transaction_count(common::payer().address()).await.unwrap(), 1);
    // It counts with that of a key.
    town.send(&town.approval(town.council, &town.members[0], 0)).await.unwrap();
    let council = RoleCouncil::new(town.council, &town.world.wallet);
    eventually("the second of two", || async {
        council.approvals(town.motion, U256::ZERO).call().await.unwrap() == 2
    })
    .await;
}

#[tokio::test]
async fn attack_wallet_that_did_not_sign_or_whose_answer_is_dear_is_not_paid_for() {
    let town = town(|config, council| config.approvals.councils.extend([council])).await;
    let [thrifty, wasteful] = town.wallets;
    let good = town.approval_of(thrifty, town.council, &town.wallet_key, 0);
    let wrong = [
        town.approval_of(thrifty, town.council, &town.members[0], 0),
        town.approval_of(thrifty, town.council, &town.wallet_key, 1),
        Approval { deadline: U256::from(FOREVER - 1), ..good.clone() },
        Approval { signature: Bytes::new(), ..good },
    ];
    for approval in &wrong {
        let refused = town.send(approval).await.unwrap_err();
        assert_eq!(refused.status(), Some(403), "{refused}");
        assert!(refused.to_string().contains("InvalidSignature"), "{refused}");
    }
    let dear = town.approval_of(wasteful, town.council, &town.wallet_key, 0);
    let refused = town.send(&dear).await.unwrap_err();
    assert!(refused.to_string().contains("send it yourself"), "{refused}");
    assert_eq!(town.world.wallet.get_transaction_count(common::payer().address()).await.unwrap(), 0);
}

#[tokio::test]
async fn attack_nothing_is_paid_for_what_the_council_would_refuse() {
    let town = town(|config, council| config.approvals.councils.extend([council])).await;
    let good = town.approval(town.council, &town.members[0], 0);
    let stranger = key(0x77);
    let wrong = [
        Approval { member: town.members[1].address(), ..good.clone() },
        Approval { role: U256::from(1), ..good.clone() },
        Approval { motion: U256::from(9), ..good.clone() },
        Approval { deadline: U256::from(FOREVER - 1), ..good.clone() },
        town.approval(town.council, &town.members[0], 1),
        town.approval(town.council, &stranger, 0),
        Approval { signature: Bytes::from_static(&[0; 65]), ..good.clone() },
    ];
    for approval in &wrong {
        let refused = town.send(approval).await.unwrap_err();
        assert_eq!(refused.status(), Some(403), "{refused}");
    }
    let late = Approval { deadline: U256::from(1), ..good.clone() };
    assert_eq!(town.send(&late).await.unwrap_err().status(), Some(400));
    let long = Approval { signature: vec![0; 5_000].into(), ..good };
    assert_eq!(town.send(&long).await.unwrap_err().status(), Some(413));
    let payer = common::payer().address();
    assert_eq!(town.world.wallet.get_transaction_count(payer).await.unwrap(), 0);
}

#[tokio::test]
async fn attack_council_that_nobody_vouches_for_is_not_paid_for() {
    let town = town(|_, _| {}).await;
    let refused = town.send(&town.approval(town.council, &town.members[0], 0)).await.unwrap_err();
    assert_eq!(refused.status(), Some(403), "{refused}");
    assert!(refused.to_string().contains("does not pay"), "{refused}");
}

#[tokio::test]
async fn member_has_a_budget_and_an_approval_a_price() {
    let town = town(|config, council| {
        config.approvals.councils.insert(council);
        config.approvals.per_hour = 0;
    })
    .await;
    let approval = town.approval(town.council, &town.members[0], 0);
    assert_eq!(town.send(&approval).await.unwrap_err().status(), Some(429));
    let town = self::town(|config, council| {
        config.approvals.councils.insert(council);
        config.approvals.max_gas = 30_000;
    })
    .await;
    let refused = town.send(&town.approval(town.council, &town.members[0], 0)).await.unwrap_err();
    assert_eq!(refused.status(), Some(403));
    assert!(refused.to_string().contains("send it yourself"), "{refused}");
}

/// A factory whose council owns a registered app, and one that owns none.
#[tokio::test]
async fn factorys_council_that_owns_an_app_is_found_and_others_are_not() {
    let mut town = town(|config, _| config.approvals.per_hour = 5).await;
    let wallet = &town.world.wallet.clone();
    let owner = wallet.get_accounts().await.unwrap()[0];
    let token = *GovernanceToken::deploy(wallet, "T".into(), "T".into(), vec![owner], vec![U256::from(1)])
        .await
        .unwrap()
        .address();
    let settings = mandate_model::bindings::GovernorSettings {
        votingPeriod: 10,
        quorumNumerator: U256::from(1),
        ..Default::default()
    };
    let governor = *AppGovernor::deploy(wallet, "G".into(), token, settings).await.unwrap().address();
    let factory =
        GovernanceFactory::deploy(wallet, town.world.deployment.kms_auth, governor, token, town.council)
            .await
            .unwrap();
    let members = town.members.iter().map(PrivateKeySigner::address).collect();
    let roles = vec![role(members, 2), role(vec![owner], 1)];
    let init = AppInit {
        notice: "1".parse().unwrap(),
        codeHashes: vec![common::code(1)],
        anyDevice: true,
        teeKinds: vec![1],
        tcbFloor: 1,
        ..AppInit::default()
    };
    let salt = B256::repeat_byte(1);
    let predicted = factory.predict(owner, salt).call().await.unwrap();
    let lifetime: U40 = "86400".parse().unwrap();
    let arguments = (init, roles, lifetime, salt).abi_encode_params();
    let data = [GovernanceFactory::deployWithCouncilCall::SELECTOR.as_slice(), &arguments].concat();
    let request = TransactionRequest::default().with_to(*factory.address()).with_input(data);
    sent(wallet.send_transaction(request).await.unwrap()).await;
    let council = predicted.council;
    assert_eq!(AppAuth::new(predicted.app, wallet).owner().call().await.unwrap(), council);

    let dir = tempfile::tempdir().unwrap();
    let mut config = town.world.config(dir.path(), &[]);
    config.deployment.governance_factory = Some(*factory.address());
    let service = Service::start(config, Ambient::system(), town.world.endpoints()).await.unwrap();
    town.url = format!("http://{}/v1/approvals", service.address());
    let stop = town.stop.child_token();
    tokio::spawn(service.run(stop));
    town.motion = propose(&town.world, council).await;
    let approval = town.approval(council, &town.members[0], 0);
    eventually("the app is seen", || async { town.send(&approval).await.is_ok() }).await;
    eventually("the approval", || town.has_approved(council, town.members[0].address())).await;
    let by_hand = town.approval(town.council, &town.members[0], 0);
    assert_eq!(town.send(&by_hand).await.unwrap_err().status(), Some(403), "not the factory's");
}
