// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A registry of domains on a chain, an app, and a relayer that records certificates.
#![allow(unreachable_pub, dead_code)]

use std::{path::Path, sync::Arc, time::Duration};

use alloy::{
    primitives::{Address, B256, aliases::U40, hex},
    providers::{DynProvider, Provider},
    transports::BoxTransport,
};
use mandate_devchain::{Config as ChainSettings, DevChain, Injection};
use mandate_gateway::chain::VerifiedChain;
use mandate_model::{
    bindings::{AppAuth, AppInit, DomainRegistry, KmsAuth, KmsCommittee},
    deployment::Deployment,
};
use mandate_relayer::{
    Config as RelayerConfig, Retry, Service,
    chain::{EndpointSource, Endpoints},
    config::EffectsConfig,
};
use mandate_runtime::{Ambient, config::Secret};
use mandate_witness::{ChainSpec, Endpoint, Quorum, RpcWitnessSource, VerifiedReader};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The code that the app may run.
pub const CODE: B256 = B256::repeat_byte(0xc0);

pub struct Registry {
    pub chain: DevChain,
    pub deployment: Deployment,
    /// Of the chain's first account, which owns everything.
    pub app: Address,
    wallet: DynProvider,
}

impl Registry {
    /// With an app whose code is in force.
    pub async fn start() -> Self {
        let settings = ChainSettings { finalized_lag: 2, safe_lag: 1, ..ChainSettings::default() };
        let chain = DevChain::new(settings).unwrap();
        let (wallet, owner, notice) = (chain.wallet_provider(), chain.accounts()[0], U40::ZERO);
        let implementation = *AppAuth::deploy(&wallet).await.unwrap().address();
        let kms_auth = KmsAuth::deploy(&wallet, implementation, owner, owner, notice).await.unwrap();
        let committee =
            *KmsCommittee::deploy(&wallet, owner, owner, notice, U40::ZERO).await.unwrap().address();
        let registry = DomainRegistry::deploy(&wallet, *kms_auth.address(), owner).await.unwrap();
        let payer = chain.signers().pop().unwrap().address();
        registry.setRecorder(payer, true).send().await.unwrap().get_receipt().await.unwrap();
        let init = AppInit {
            owner,
            guardian: owner,
            notice: U40::from(1),
            codeHashes: vec![CODE],
            anyDevice: true,
            teeKinds: vec![1],
            tcbFloor: 1,
            ..AppInit::default()
        };
        let register = kms_auth.deployAndRegisterApp(init, B256::ZERO);
        let app = register.call().await.unwrap();
        register.send().await.unwrap().get_receipt().await.unwrap();
        chain.mine(4);
        let deployment = Deployment {
            chain_id: chain.chain_id(),
            kms_auth: *kms_auth.address(),
            app_implementation: implementation,
            committee,
            domain_registry: *registry.address(),
            role_council: owner,
            governance_factory: None,
            receipt_anchor: None,
            genesis_block: 1,
        };
        Self { chain, deployment, app, wallet }
    }

    /// With the app at an address that no deployment would come to, for evidence that is made for that one.
    pub async fn with_app(app: Address) -> Self {
        let mut this = Self::start().await;
        this.chain.inject(&Injection { copies: vec![(this.app, app)], slots: Vec::new() });
        this.app = app;
        let kms_auth = KmsAuth::new(this.deployment.kms_auth, &this.wallet);
        let registered = kms_auth.registerApp(app).send().await.unwrap().get_receipt().await.unwrap();
        assert!(registered.status());
        this.chain.mine(4);
        this
    }

    /// Allows an OS image.
    pub async fn allow_image(&self, image: B256) {
        let kms_auth = KmsAuth::new(self.deployment.kms_auth, &self.wallet);
        let scheduled = kms_auth.scheduleOsImage(image, String::new()).send().await.unwrap();
        assert!(scheduled.get_receipt().await.unwrap().status());
        self.chain.mine(4);
    }

    fn contract(&self) -> DomainRegistry::DomainRegistryInstance<&DynProvider> {
        DomainRegistry::new(self.deployment.domain_registry, &self.wallet)
    }

    /// Gives the domain to the app.
    pub async fn approve(&self, name: &str) {
        let approve = self.contract().approveDomain(name.to_owned(), self.app).send().await.unwrap();
        assert!(approve.get_receipt().await.unwrap().status());
        self.chain.mine(4);
    }

    pub async fn release(&self, name: &str) {
        let release = self.contract().releaseDomain(name.to_owned()).send().await.unwrap();
        assert!(release.get_receipt().await.unwrap().status());
    }

    pub async fn domain(&self, name: &str) -> mandate_model::bindings::Domain {
        self.contract().domain(name.to_owned()).call().await.unwrap()
    }

    pub fn verified(&self) -> VerifiedChain {
        let (provider, spec) = (self.chain.provider().erased(), ChainSpec::dev(self.chain.chain_id()));
        let endpoint = Endpoint { name: "dev".to_owned(), provider: provider.clone() };
        let headers = Quorum::new(self.chain.chain_id(), 1, vec![endpoint]).unwrap();
        let witnesses = RpcWitnessSource::new("dev", provider, spec.clone());
        let reader = VerifiedReader::new(Arc::new(headers), Arc::new(witnesses), spec);
        VerifiedChain::new(reader, self.deployment.kms_auth, self.deployment.domain_registry)
    }

    /// A relayer that tells `gateway`, until `stop`.
    pub async fn relayer(
        &self,
        dir: &Path,
        gateway: String,
        effects: EffectsConfig,
        stop: &CancellationToken,
    ) -> JoinHandle<()> {
        let store = dir.join("relayer.sqlite");
        let mut config = RelayerConfig::new(
            ([127, 0, 0, 1], 0).into(),
            self.deployment.clone(),
            "http://127.0.0.1:1",
            store,
        );
        config.gateways = vec![gateway];
        config.chain.poll = Duration::from_millis(20);
        let retry = Retry { first: Duration::from_millis(20), most: Duration::from_millis(200) };
        config.effects = EffectsConfig { retry, ..effects };
        let payer = self.chain.signers().pop().unwrap();
        config.signer.key = Some(Secret::new(hex::encode(payer.to_bytes())));
        let source = EndpointSource {
            name: "chain".to_owned(),
            transport: BoxTransport::new(self.chain.clone()),
            requests_per_second: None,
        };
        let (id, ambient) = (self.chain.chain_id(), Ambient::system());
        let endpoints = Endpoints::of_transports(vec![source], &config.chain, id, ambient.clone()).unwrap();
        let service = Service::start(config, ambient, endpoints).await.unwrap();
        tokio::spawn(service.run(stop.clone()))
    }
}
