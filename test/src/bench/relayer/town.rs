// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A chain with the contracts and a batcher that owns some apps, so that one transaction emits events of several contracts.

use alloy::{
    consensus::{SignableTransaction, TxEip1559, transaction::Recovered},
    network::{Ethereum, TransactionBuilder},
    primitives::{Address, B256, Bytes, TxKind, U256, aliases::U40, hex, keccak256},
    providers::{DynProvider, PendingTransactionBuilder, Provider},
    rpc::types::{TransactionReceipt, TransactionRequest},
    signers::{SignerSync, local::PrivateKeySigner},
    sol_types::SolCall,
};
use anyhow::{Context, Result, ensure};
use mandate_devchain::{Config, DevChain};
use mandate_model::{
    bindings::{AppAuth, AppInit, DomainRegistry, KmsAuth, KmsCommittee, Node},
    deployment::Deployment,
};

/// Calls in turn what its call data lists, each as target (20 bytes), length (2 bytes) and data; reverts if one does.
///
/// ```text
/// PUSH0                                          p = 0
/// loop: CALLDATASIZE DUP2 LT PUSH1 body JUMPI STOP
/// body: DUP1 CALLDATALOAD PUSH1 96 SHR           target
///       DUP2 PUSH1 20 ADD CALLDATALOAD PUSH1 240 SHR   length
///       DUP1 DUP4 PUSH1 22 ADD PUSH0 CALLDATACOPY
///       PUSH0 PUSH0 DUP3 PUSH0 PUSH0 DUP7 GAS CALL PUSH1 next JUMPI PUSH0 PUSH0 REVERT
/// next: SWAP1 POP ADD PUSH1 22 ADD PUSH1 loop JUMP
/// ```
const BATCHER: [u8; 54] = hex!(
    "5f5b368110600957005b803560601c8160140135"
    "60f01c80836016015f375f5f825f5f865af1602c57"
    "5f5ffd5b905001601601600156"
);

/// Copies the code behind it into place.
const CONSTRUCTOR: [u8; 9] = hex!("60368060095f395ff3");

/// Seconds between blocks.
pub(super) const BLOCK_TIME: u64 = 12;
/// Apps whose events are minted.
const APPS: u8 = 3;
/// Events of one transaction of [`Town::mint`].
pub(super) const EVENTS_PER_BLOCK: u64 = 5;

/// How many of them, the pauses of apps, are told to each gateway and node.
pub(super) const PUSHES_PER_BLOCK: u64 = 3;

const DOMAIN: &str = "shop.example";
/// Effects that stay in the outbox: the order for the domain's certificate, which no gateway here fills.
pub(super) const UNFILLED: u64 = 1;

/// The chain and what is on it.
pub(super) struct Town {
    pub(super) chain: DevChain,
    pub(super) deployment: Deployment,
    pub(super) apps: Vec<Address>,
    /// The block after those that set everything up.
    pub(super) first_minted: u64,
    wallet: DynProvider,
    batcher: Address,
    node: Address,
    node_url: String,
    sender: PrivateKeySigner,
    nonce: u64,
    minted: u64,
}

impl Town {
    /// Everything deployed, with one node below `node_url`; the genesis is `age` seconds before now.
    pub(super) async fn new(age: u64, finalized_lag: u64, node_url: &str) -> Result<Self> {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
        let config = Config {
            genesis_timestamp: Some(now.saturating_sub(age)),
            finalized_lag,
            safe_lag: finalized_lag / 2,
            // Calls are made at the newest blocks only; the state of 200,000 would fill the memory.
            state_history: Some(256),
            // The chain's own time, which moves only with its blocks.
            clock: std::sync::Arc::new(move || now.saturating_sub(age)),
            ..Config::default()
        };
        let chain = DevChain::new(config)?;
        let wallet = chain.wallet_provider();
        let batcher = deploy_batcher(&wallet).await?;
        let deployment = deploy(&chain, &wallet, batcher).await?;
        let node = Address::repeat_byte(0x51);
        admit(&wallet, &deployment, node, batcher, format!("{node_url}/0")).await?;
        let sender = chain.signers().into_iter().nth(1).context("the chain has no second account")?;
        let mut town = Self {
            chain,
            deployment,
            apps: Vec::new(),
            first_minted: 0,
            wallet,
            batcher,
            node,
            node_url: node_url.to_owned(),
            sender,
            nonce: 0,
            minted: 0,
        };
        for salt in 1..=APPS {
            let app = town.register(salt).await?;
            town.apps.push(app);
        }
        let app = *town.apps.first().context("no app")?;
        let approve = DomainRegistry::approveDomainCall { name: DOMAIN.to_owned(), app };
        town.batch(&[(town.deployment.domain_registry, approve.abi_encode())])?;
        town.first_minted = town.chain.head().number() + 1;
        Ok(town)
    }

    async fn register(&self, salt: u8) -> Result<Address> {
        let init = AppInit {
            owner: self.batcher,
            guardian: self.batcher,
            notice: U40::from(1),
            codeHashes: vec![B256::repeat_byte(salt)],
            anyDevice: true,
            teeKinds: vec![1],
            tcbFloor: 1,
            ..AppInit::default()
        };
        let auth = KmsAuth::new(self.deployment.kms_auth, &self.wallet);
        let deployer = *self.chain.accounts().first().context("no account")?;
        let salt = B256::repeat_byte(salt);
        let app = auth.predictApp(deployer, salt).call().await?;
        sent(auth.deployAndRegisterApp(init, salt).send().await?).await?;
        Ok(app)
    }

    /// Makes so many blocks, [`BLOCK_TIME`] apart, each with one transaction that emits [`EVENTS_PER_BLOCK`] events.
    pub(super) fn mint(&mut self, blocks: u64) -> Result<()> {
        for _ in 0..blocks {
            self.mint_one(PUSHES_PER_BLOCK)?;
        }
        Ok(())
    }

    /// Makes so many blocks with 3 to 7 events each: a chain on which every range has a round number of logs looks like one
    /// whose provider cuts answers. Gives the number of events.
    pub(super) fn mint_unevenly(&mut self, blocks: u64) -> Result<u64> {
        let (mut random, mut events) = (0x2545_f491_4f6c_dd1d_u64, 0);
        for _ in 0..blocks {
            // xorshift: any sequence without a short period does.
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let pauses = 1 + random % 5;
            self.mint_one(pauses)?;
            events += pauses + EVENTS_PER_BLOCK - PUSHES_PER_BLOCK;
        }
        Ok(events)
    }

    fn mint_one(&mut self, pauses: u64) -> Result<()> {
        let time = self.chain.head().timestamp() + BLOCK_TIME;
        self.chain.set_next_timestamp(time)?;
        self.minted += 1;
        // Each above the one before, since time goes on.
        let mut calls = Vec::new();
        for (n, app) in (0..pauses).zip(self.apps.iter().cycle()) {
            let until = U40::from(time + 100 + n / u64::from(APPS));
            calls.push((*app, AppAuth::pauseCall { until }.abi_encode()));
        }
        let turn = self.minted % 2;
        let pin = DomainRegistry::pinAccountCall {
            name: DOMAIN.to_owned(),
            issuer: "ca.example".to_owned(),
            accountUri: format!("https://ca.example/acct/{turn}"),
        };
        calls.push((self.deployment.domain_registry, pin.abi_encode()));
        let url = format!("{}/{turn}", self.node_url);
        let url = KmsCommittee::setNodeUrlCall { nodeKey: self.node, url };
        calls.push((self.deployment.committee, url.abi_encode()));
        self.batch(&calls)
    }

    /// Makes so many blocks with nothing in them.
    pub(super) fn idle(&self, blocks: u64) -> Result<()> {
        for _ in 0..blocks {
            self.chain.set_next_timestamp(self.chain.head().timestamp() + BLOCK_TIME)?;
            self.chain.mine(1);
        }
        Ok(())
    }

    /// A block in which the first app is paused for longer.
    pub(super) fn pause(&mut self) -> Result<u64> {
        let time = self.chain.head().timestamp() + BLOCK_TIME;
        self.chain.set_next_timestamp(time)?;
        let app = *self.apps.first().context("no app")?;
        self.batch(&[(app, AppAuth::pauseCall { until: U40::from(time + 100) }.abi_encode())])?;
        Ok(self.chain.head().number())
    }

    /// One transaction, and so one block, with all these calls.
    fn batch(&mut self, calls: &[(Address, Vec<u8>)]) -> Result<()> {
        let mut input = Vec::new();
        for (to, data) in calls {
            input.extend_from_slice(to.as_slice());
            input.extend_from_slice(&u16::try_from(data.len())?.to_be_bytes());
            input.extend_from_slice(data);
        }
        let tx = TxEip1559 {
            chain_id: self.chain.chain_id(),
            nonce: self.nonce,
            gas_limit: 2_000_000,
            max_fee_per_gas: 2_000_000_000,
            max_priority_fee_per_gas: 1,
            to: TxKind::Call(self.batcher),
            value: U256::ZERO,
            input: input.into(),
            ..TxEip1559::default()
        };
        let signature = self.sender.sign_hash_sync(&tx.signature_hash())?;
        let before = self.chain.head().number();
        let signed = Recovered::new_unchecked(tx.into_signed(signature).into(), self.sender.address());
        self.chain.resubmit(signed)?;
        self.nonce += 1;
        let block = self.chain.head();
        let made = block.transactions().first().is_some_and(|mined| mined.succeeded());
        ensure!(block.number() == before + 1 && made, "the batch was not executed in a block of its own");
        Ok(())
    }
}

async fn sent(pending: PendingTransactionBuilder<Ethereum>) -> Result<TransactionReceipt> {
    let receipt = pending.get_receipt().await?;
    ensure!(receipt.status(), "transaction {} failed", receipt.transaction_hash);
    Ok(receipt)
}

async fn deploy_batcher(wallet: &DynProvider) -> Result<Address> {
    let code = Bytes::from([&CONSTRUCTOR[..], &BATCHER[..]].concat());
    let request = TransactionRequest::default().with_deploy_code(code);
    let receipt = sent(wallet.send_transaction(request).await?).await?;
    let address = receipt.contract_address.context("no batcher was made")?;
    ensure!(wallet.get_code_at(address).await?.as_ref() == BATCHER, "the batcher's code is another");
    Ok(address)
}

async fn deploy(chain: &DevChain, wallet: &DynProvider, batcher: Address) -> Result<Deployment> {
    let owner = *chain.accounts().first().context("no account")?;
    let notice = U40::from(1);
    let implementation = *AppAuth::deploy(wallet).await?.address();
    let kms_auth = *KmsAuth::deploy(wallet, implementation, owner, owner, notice).await?.address();
    let committee = *KmsCommittee::deploy(wallet, owner, owner, notice, U40::ZERO).await?.address();
    let registry = DomainRegistry::deploy(wallet, kms_auth, owner).await?;
    sent(registry.setRecorder(batcher, true).send().await?).await?;
    Ok(Deployment {
        chain_id: chain.chain_id(),
        kms_auth,
        app_implementation: implementation,
        committee,
        domain_registry: *registry.address(),
        governance_factory: None,
        receipt_anchor: None,
        role_council: owner,
        genesis_block: 1,
    })
}

async fn admit(
    wallet: &DynProvider,
    at: &Deployment,
    node_key: Address,
    operator: Address,
    url: String,
) -> Result<()> {
    let node = Node {
        nodeKey: node_key,
        operator,
        dealingKey: keccak256([node_key.as_slice(), b"d"].concat()),
        sealingKey: keccak256([node_key.as_slice(), b"s"].concat()),
        url,
        evidenceDigest: B256::repeat_byte(1),
        admittedFrom: U40::ZERO,
        expiresAt: U40::from(1_000_000_000_000_u64),
        attestedUntil: U40::ZERO,
    };
    sent(KmsCommittee::new(at.committee, wallet).admitNode(node).send().await?).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use alloy::rpc::types::Filter;

    use super::*;

    #[tokio::test]
    async fn every_minted_block_has_five_events_of_five_contracts() {
        let mut town = Town::new(3_600, 2, "http://node.example").await.unwrap();
        let first = town.chain.head().number() + 1;
        town.mint(4).unwrap();
        let logs = town.chain.provider().get_logs(&Filter::new().from_block(first)).await.unwrap();
        assert_eq!(logs.len() as u64, 4 * EVENTS_PER_BLOCK);
        let emitters: std::collections::BTreeSet<_> = logs.iter().map(|log| log.address()).collect();
        assert_eq!(emitters.len(), 5);
        let before = town.chain.head().number();
        assert_eq!(town.pause().unwrap(), before + 1);
    }
}
