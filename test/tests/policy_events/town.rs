// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A chain with the contracts of one deployment, an app, and the state that is folded from their events.

use std::sync::Arc;

use alloy::{
    network::TransactionBuilder,
    primitives::{Address, B256, Bytes},
    providers::{DynProvider, Provider},
    rpc::types::{Filter, TransactionRequest},
    sol_types::SolCall,
};
use mandate_devchain::{Config, DevChain};
use mandate_model::{
    bindings::{AppAuth, AppInit, DomainRegistry, KmsAuth, KmsCommittee},
    event::Located,
    state::{Contracts, State, fold},
};
use mandate_witness::{BlockRef, ChainSpec, Pinned, RpcWitnessSource, VerifiedReader};

use crate::steps::{ATTESTATION, By, NOTICE, Require, Step, Target, hash, t};

const START: u64 = 1_800_000_000;

pub(crate) struct Town {
    pub(crate) chain: DevChain,
    pub(crate) provider: DynProvider,
    pub(crate) contracts: Contracts,
    pub(crate) app: Address,
    pub(crate) state: State,
    next: u64,
    pub(crate) reader: VerifiedReader,
}

impl Town {
    pub(crate) async fn new() -> Self {
        let chain = DevChain::new(Config { clock: Arc::new(|| START), ..Config::default() }).unwrap();
        let provider = chain.wallet_provider();
        let [owner, guardian] = [chain.accounts()[0], chain.accounts()[1]];
        let implementation = *AppAuth::deploy(&provider).await.unwrap().address();
        let kms_auth = KmsAuth::deploy(&provider, implementation, owner, guardian, t(NOTICE)).await.unwrap();
        let domains = DomainRegistry::deploy(&provider, *kms_auth.address(), owner).await.unwrap();
        let committee =
            KmsCommittee::deploy(&provider, owner, guardian, t(NOTICE), t(ATTESTATION)).await.unwrap();
        let contracts = Contracts {
            kms_auth: *kms_auth.address(),
            committee: *committee.address(),
            domain_registry: *domains.address(),
        };
        let init = AppInit {
            owner,
            guardian,
            notice: t(NOTICE),
            codeHashes: vec![hash(0)],
            devices: vec![hash(1)],
            anyDevice: false,
            teeKinds: vec![1],
            tcbFloor: 2,
            ..AppInit::default()
        };
        let app = kms_auth.predictApp(owner, B256::ZERO).call().await.unwrap();
        kms_auth.deployAndRegisterApp(init, B256::ZERO).send().await.unwrap().get_receipt().await.unwrap();
        let spec = ChainSpec::dev(chain.chain_id());
        let source = RpcWitnessSource::new("chain", provider.clone(), spec.clone());
        let nowhere = Pinned::at(BlockRef { number: 0, hash: B256::ZERO });
        let reader = VerifiedReader::new(Arc::new(nowhere), Arc::new(source), spec);
        let mut town =
            Self { chain, provider, contracts, app, state: State::new(contracts), next: 0, reader };
        town.take_in().await;
        town
    }

    fn address(&self, target: Target) -> Address {
        match target {
            Target::Registry => self.contracts.kms_auth,
            Target::App => self.app,
            Target::Domains => self.contracts.domain_registry,
        }
    }

    pub(crate) async fn step(&mut self, step: &Step) {
        match step {
            Step::Require(condition) => self.owner_requires(*condition).await,
            Step::Wait(seconds) => self.wait(*seconds),
            Step::Send(by, target, data) => {
                self.send(*by, self.address(*target), data.clone()).await;
            }
        }
        self.take_in().await;
    }

    /// Blocks that follow each other at once are a second apart, whatever the machine's clock says: what happens is the same
    /// in every run.
    pub(crate) fn wait(&self, seconds: u64) {
        self.chain.set_next_timestamp(self.now() + seconds).unwrap();
        self.chain.mine(1);
    }

    /// Contracts with code; none of them is a condition, so that each of them says no.
    async fn owner_requires(&self, condition: Require) {
        let Contracts { kms_auth, domain_registry, .. } = self.contracts;
        let candidates = [kms_auth, domain_registry, self.app];
        let data = match condition {
            Require::Add(n) => AppAuth::addConditionCall { condition: candidates[n] }.abi_encode(),
            Require::Remove(n) => AppAuth::removeConditionCall { condition: candidates[n] }.abi_encode(),
        };
        self.send(By::Owner, self.app, data).await;
    }

    pub(crate) async fn send(&self, by: By, to: Address, data: Vec<u8>) {
        let accounts = self.chain.accounts();
        let from = match by {
            By::Owner => accounts[0],
            By::Guardian => accounts[1],
            By::Stranger => accounts[2],
        };
        // With a gas limit nothing is estimated, so that calls that revert are mined as well.
        let request = TransactionRequest::default()
            .with_from(from)
            .with_to(to)
            .with_input(Bytes::from(data))
            .with_gas_limit(3_000_000);
        self.provider.send_transaction(request).await.unwrap().get_receipt().await.unwrap();
    }

    pub(crate) async fn take_in(&mut self) {
        let head = self.chain.head().number();
        let filter = Filter::new().from_block(self.next).to_block(head);
        for log in self.provider.get_logs(&filter).await.unwrap() {
            let located = Located::decode(&log, None).unwrap();
            let Located { event, at } = located.expect("only known events are emitted here");
            fold(&mut self.state, &event, &at);
        }
        self.next = head + 1;
    }

    pub(crate) async fn ask<C: SolCall>(&self, to: Address, call: C) -> C::Return {
        // At the newest block: without one, the answer is that of the next, a second later.
        let head = self.chain.head().hash();
        let request = TransactionRequest::default().with_to(to).with_input(call.abi_encode());
        C::abi_decode_returns(&self.provider.call(request).block(head.into()).await.unwrap()).unwrap()
    }
}
