// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Random lives of an app, the registry and the domains, on a chain with the real contracts.
//!
//! G-9: after every transaction, the state folded from the events is what the contracts say of themselves.
//! G-5: what is executed on a proof is what the chain itself answers.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]
// The contracts' own names, so that calls can be filled by shorthand.
#![allow(non_snake_case)]

use std::sync::Arc;

use alloy::{
    network::TransactionBuilder,
    primitives::{Address, B256, Bytes, U256, aliases::U40, keccak256},
    providers::{DynProvider, Provider},
    rpc::types::{Filter, TransactionRequest},
    sol_types::SolCall,
};
use mandate_devchain::{Config, DevChain};
use mandate_model::{
    bindings::{AppAuth, AppInit, DomainRegistry, KmsAuth},
    boot::BootFacts,
    event::Located,
    state::{App, Contracts, Governed, State, fold},
};
use mandate_witness::{BlockRef, ChainSpec, Pinned, RpcWitnessSource, VerifiedReader};
use proptest::prelude::*;

const NOTICE: u64 = 100;

fn t(seconds: u64) -> U40 {
    U40::from(seconds)
}

fn hash(n: u8) -> B256 {
    B256::repeat_byte(n + 1)
}

fn name(n: u8) -> String {
    format!("app-{n}.example")
}

/// Who sends a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Owner,
    Guardian,
    Stranger,
}

#[derive(Debug, Clone)]
enum Step {
    Wait(u64),
    Send(By, Target, Vec<u8>),
}

#[derive(Debug, Clone, Copy)]
enum Target {
    Registry,
    App,
    Domains,
}

struct Town {
    chain: DevChain,
    provider: DynProvider,
    contracts: Contracts,
    app: Address,
    state: State,
    next: u64,
    reader: VerifiedReader,
}

impl Town {
    async fn new() -> Self {
        let chain = DevChain::new(Config::default()).unwrap();
        let provider = chain.wallet_provider();
        let [owner, guardian] = [chain.accounts()[0], chain.accounts()[1]];
        let implementation = *AppAuth::deploy(&provider).await.unwrap().address();
        let kms_auth = KmsAuth::deploy(&provider, implementation, owner, guardian, t(NOTICE)).await.unwrap();
        let domains = DomainRegistry::deploy(&provider, *kms_auth.address(), owner).await.unwrap();
        let contracts = Contracts {
            kms_auth: *kms_auth.address(),
            committee: Address::repeat_byte(0xcc),
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

    async fn step(&mut self, step: &Step) {
        match step {
            Step::Wait(seconds) => {
                self.chain.increase_time(*seconds);
                self.chain.mine(1);
            }
            Step::Send(by, target, data) => {
                let accounts = self.chain.accounts();
                let from = match by {
                    By::Owner => accounts[0],
                    By::Guardian => accounts[1],
                    By::Stranger => accounts[2],
                };
                // With a gas limit nothing is estimated, so that calls that revert are mined as well.
                let request = TransactionRequest::default()
                    .with_from(from)
                    .with_to(self.address(*target))
                    .with_input(Bytes::from(data.clone()))
                    .with_gas_limit(3_000_000);
                self.provider.send_transaction(request).await.unwrap().get_receipt().await.unwrap();
            }
        }
        self.take_in().await;
    }

    async fn take_in(&mut self) {
        let head = self.chain.head().number();
        let filter = Filter::new().from_block(self.next).to_block(head);
        for log in self.provider.get_logs(&filter).await.unwrap() {
            let located = Located::decode(&log, None).unwrap();
            let Located { event, at } = located.expect("only known events are emitted here");
            fold(&mut self.state, &event, &at);
        }
        self.next = head + 1;
    }

    async fn ask<C: SolCall>(&self, to: Address, call: C) -> C::Return {
        let request = TransactionRequest::default().with_to(to).with_input(call.abi_encode());
        C::abi_decode_returns(&self.provider.call(request).await.unwrap()).unwrap()
    }

    async fn check(&self) {
        let app = self.state.app(self.app).unwrap().1.unwrap();
        self.check_governed(self.contracts.kms_auth, &self.state.registry.governed).await;
        self.check_governed(self.app, &app.governed).await;
        self.check_app(app).await;
        self.check_registry().await;
        self.check_domains().await;
        self.check_decision().await;
    }

    fn now(&self) -> u64 {
        self.chain.head().timestamp()
    }

    async fn check_governed(&self, to: Address, governed: &Governed) {
        let now = self.now();
        assert_eq!(self.ask(to, KmsAuth::ownerCall {}).await, governed.owner);
        assert_eq!(self.ask(to, KmsAuth::guardianCall {}).await, governed.guardian.at(now));
        assert_eq!(self.ask(to, KmsAuth::noticeCall {}).await, t(governed.notice.at(now)));
        let pending = self.ask(to, KmsAuth::pendingOwnerCall {}).await;
        let (owner, from) = governed.pending_owner.unwrap_or_default();
        assert_eq!((pending.newOwner, pending.acceptableFrom), (owner, t(from)));
    }

    async fn check_app(&self, app: &App) {
        let (to, now) = (self.app, self.now());
        for n in 0..4 {
            let told = self.ask(to, AppAuth::codeStateCall { codeHash: hash(n) }).await;
            let version = app.codes.get(&hash(n)).cloned().unwrap_or_default();
            assert_eq!(told.state, version.state(now) as u8, "code {n}");
            assert_eq!(told.version.activeFrom, t(version.active_from));
            assert_eq!(
                (told.version.retireAt, told.version.revoked),
                (t(version.retire_at), version.revoked)
            );
            let any = app.any_device_from.is_some_and(|from| from <= now);
            let device = app.devices.get(&hash(n)).copied().unwrap_or_default();
            let listed = device.allowed_from != 0 && device.allowed_from <= now;
            let allowed = self.ask(to, AppAuth::isDeviceAllowedCall { deviceId: hash(n) }).await;
            assert_eq!(allowed, now >= device.denied_until && (any || listed), "device {n}");
            let allowed = self.ask(to, AppAuth::isTeeAllowedCall { tee: n }).await;
            assert_eq!(allowed, app.tees.get(&n).is_some_and(|from| *from <= now), "TEE {n}");
        }
        assert_eq!(self.ask(to, AppAuth::tcbFloorCall {}).await, app.tcb_floor.at(now));
        assert_eq!(self.ask(to, AppAuth::pausedUntilCall {}).await, t(app.paused_until));
        assert_eq!(self.ask(to, AppAuth::isGuardianPauseArmedCall {}).await, app.guardian_pause_armed);
        let generation = self.ask(to, AppAuth::generationCall {}).await;
        assert_eq!((generation.current, generation.previousUntil), (app.generation, t(app.previous_until)));
    }

    async fn check_registry(&self) {
        let (to, now, registry) = (self.contracts.kms_auth, self.now(), &self.state.registry);
        for n in 0..4 {
            let told = self.ask(to, KmsAuth::osImageStateCall { osImageHash: hash(n) }).await;
            let version = registry.os_images.get(&hash(n)).cloned().unwrap_or_default();
            assert_eq!(told.state, version.state(now) as u8, "OS image {n}");
            assert_eq!(
                (told.version.retireAt, told.version.revoked),
                (t(version.retire_at), version.revoked)
            );
        }
        let registration = registry.apps[&self.app];
        let told = self.ask(to, KmsAuth::isRegisteredCall { app: self.app }).await;
        assert_eq!((told.registered, told.foreign), (true, registration.foreign));
        let suspended = self.ask(to, KmsAuth::isSuspendedCall { app: self.app }).await;
        assert_eq!(suspended, now < registration.suspended_until);
        assert_eq!(self.ask(to, KmsAuth::kmsAppCall {}).await, registry.kms_app.at(now));
        assert_eq!(self.ask(to, KmsAuth::gatewayAppCall {}).await, registry.gateway_app.at(now));
    }

    async fn check_domains(&self) {
        let (to, domains) = (self.contracts.domain_registry, &self.state.domains);
        assert_eq!(self.ask(to, DomainRegistry::ownerCall {}).await, domains.owner);
        let guardian = self.chain.accounts()[1];
        let recorder = self.ask(to, DomainRegistry::isRecorderCall { recorder: guardian }).await;
        assert_eq!(recorder, domains.recorders.contains(&guardian));
        for n in 0..3 {
            let told = self.ask(to, DomainRegistry::domainCall { name: name(n) }).await;
            let Some(domain) = domains.domains.get(&keccak256(name(n))) else {
                assert_eq!(told.app, Address::ZERO);
                continue;
            };
            assert_eq!(
                (told.app, told.name, told.approvedAt),
                (domain.app, domain.name.clone(), t(domain.approved_at))
            );
            assert_eq!((told.issuer, told.accountUri), (domain.issuer.clone(), domain.account_uri.clone()));
            let newest = domain.certificates.last();
            assert_eq!(told.certificate, newest.map(|c| c.fingerprint).unwrap_or_default());
            assert_eq!(told.notAfter, t(newest.map(|c| c.not_after).unwrap_or_default()));
        }
    }

    /// The chain's own answer, and the one that is executed on a proof at the same block.
    async fn check_decision(&self) {
        let head = self.chain.head();
        let block = BlockRef { number: head.number(), hash: head.hash() };
        for code in [hash(0), hash(1)] {
            let facts = BootFacts {
                app_id: self.app,
                compose_hash: code,
                instance_id: Address::repeat_byte(9),
                device_id: hash(1),
                mr_aggregated: B256::ZERO,
                mr_system: B256::ZERO,
                os_image_hash: hash(0),
                tcb_status: "SWHardeningNeeded".into(),
                advisory_ids: vec!["INTEL-SA-00001".into()],
                tee: 1,
            };
            let call = KmsAuth::decideCall { request: facts.request(0) };
            let proven = self.reader.read_at(block, self.contracts.kms_auth, &call).await.unwrap();
            assert_eq!(proven.timestamp, self.now());
            assert_eq!(proven.value, self.ask(self.contracts.kms_auth, call).await);
        }
    }
}

fn on_app() -> impl Strategy<Value = Vec<u8>> {
    (0usize..17, 0u8..4, 0u64..400, any::<bool>()).prop_map(|(which, n, seconds, flag)| {
        let (codeHash, deviceId, until) = (hash(n), hash(n), t(1 << 33));
        match which {
            0 | 1 => {
                let (sourceUri, handover) = ("git+https://example".to_owned(), t(seconds));
                AppAuth::scheduleCodeCall { codeHash, sourceUri, supersede: flag, handover }.abi_encode()
            }
            2 => AppAuth::revokeCodeCall { codeHash, rotate: flag }.abi_encode(),
            3 => AppAuth::retireCodeCall { codeHash, retireAt: until }.abi_encode(),
            4 => AppAuth::addComposeHashCall { composeHash: codeHash }.abi_encode(),
            5 => AppAuth::removeComposeHashCall { composeHash: codeHash }.abi_encode(),
            6 => AppAuth::armGuardianPauseCall {}.abi_encode(),
            7 => AppAuth::allowDeviceCall { deviceId }.abi_encode(),
            8 => AppAuth::denyDeviceCall { deviceId }.abi_encode(),
            9 if flag => AppAuth::allowAnyDeviceCall {}.abi_encode(),
            9 => AppAuth::removeAnyDeviceCall {}.abi_encode(),
            10 if flag => AppAuth::allowTeeCall { tee: n }.abi_encode(),
            10 => AppAuth::removeTeeCall { tee: n }.abi_encode(),
            11 => AppAuth::setTcbFloorCall { floor: n + 1 }.abi_encode(),
            12 => AppAuth::rotateKeysCall { handover: t(seconds) }.abi_encode(),
            _ => governed(which, n, seconds),
        }
    })
}

fn governed(which: usize, n: u8, seconds: u64) -> Vec<u8> {
    match which % 4 {
        0 => AppAuth::setNoticeCall { notice_: t(seconds) }.abi_encode(),
        1 => AppAuth::setGuardianCall { guardian_: Address::repeat_byte(n) }.abi_encode(),
        2 => AppAuth::transferOwnershipCall { newOwner: Address::repeat_byte(n) }.abi_encode(),
        _ => AppAuth::acceptOwnershipCall {}.abi_encode(),
    }
}

fn on_registry() -> impl Strategy<Value = Vec<u8>> {
    (0usize..9, 0u8..4, 0u64..400).prop_map(|(which, n, seconds)| {
        let osImageHash = hash(n);
        match which {
            0 | 1 => KmsAuth::scheduleOsImageCall { osImageHash, sourceUri: String::new() }.abi_encode(),
            2 => KmsAuth::retireOsImageCall { osImageHash, retireAt: t(0) }.abi_encode(),
            3 => KmsAuth::revokeOsImageCall { osImageHash }.abi_encode(),
            _ => governed(which, n, seconds),
        }
    })
}

fn on_domains() -> impl Strategy<Value = Vec<u8>> {
    (0usize..5, 0u8..3, any::<bool>()).prop_map(|(which, n, flag)| {
        let name = name(n);
        match which {
            0 => DomainRegistry::releaseDomainCall { name }.abi_encode(),
            1 => {
                let (issuer, accountUri) = (format!("ca{n}.example"), "https://ca.example/1".to_owned());
                DomainRegistry::pinAccountCall { name, issuer, accountUri }.abi_encode()
            }
            _ => {
                let (fingerprint, notAfter) = (hash(u8::from(flag)), t(5000));
                DomainRegistry::recordCertificateCall { name, fingerprint, spkiHash: B256::ZERO, notAfter }
                    .abi_encode()
            }
        }
    })
}

fn by() -> impl Strategy<Value = By> {
    prop_oneof![6 => Just(By::Owner), 3 => Just(By::Guardian), 1 => Just(By::Stranger)]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (1u64..300).prop_map(Step::Wait),
        6 => (by(), on_app()).prop_map(|(by, data)| Step::Send(by, Target::App, data)),
        2 => (by(), on_registry()).prop_map(|(by, data)| Step::Send(by, Target::Registry, data)),
        2 => (by(), on_domains()).prop_map(|(by, data)| Step::Send(by, Target::Domains, data)),
    ]
}

/// Calls that need the app's or an account's address, or the present time.
async fn warm_up(town: &mut Town) {
    let (app, guardian, until) = (town.app, town.chain.accounts()[1], t(town.now() + 500));
    let calls = [
        (
            By::Owner,
            Target::Domains,
            DomainRegistry::setRecorderCall { recorder: guardian, allowed: true }.abi_encode(),
        ),
        (By::Owner, Target::Domains, DomainRegistry::approveDomainCall { name: name(0), app }.abi_encode()),
        (By::Owner, Target::Domains, DomainRegistry::approveDomainCall { name: name(1), app }.abi_encode()),
        (By::Owner, Target::Registry, KmsAuth::setKmsAppCall { app }.abi_encode()),
        (By::Owner, Target::Registry, KmsAuth::setGatewayAppCall { app }.abi_encode()),
        (By::Guardian, Target::Registry, KmsAuth::suspendAppCall { app }.abi_encode()),
        (By::Owner, Target::Registry, KmsAuth::liftSuspensionCall { app }.abi_encode()),
        (By::Guardian, Target::App, AppAuth::pauseCall { until }.abi_encode()),
        (
            By::Owner,
            Target::Registry,
            KmsAuth::scheduleOsImageCall { osImageHash: hash(0), sourceUri: String::new() }.abi_encode(),
        ),
        (By::Owner, Target::App, AppAuth::transferOwnershipCall { newOwner: guardian }.abi_encode()),
    ];
    for (by, target, data) in calls {
        town.step(&Step::Send(by, target, data)).await;
        town.check().await;
    }
    town.step(&Step::Wait(600)).await;
    town.check().await;
}

#[test]
fn g9_folded_state_is_what_the_contracts_say() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let config = ProptestConfig { cases: 6, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(steps in prop::collection::vec(step(), 1..40))| {
        runtime.block_on(async {
            let mut town = Town::new().await;
            warm_up(&mut town).await;
            for step in &steps {
                town.step(step).await;
                town.check().await;
            }
        });
    });
}

/// A changed witness is refused or gives the same answer, never another one.
#[test]
fn g5_decision_is_refused_when_a_witness_is_tampered_with() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let town = Town::new().await;
        let head = town.chain.head();
        let block = BlockRef { number: head.number(), hash: head.hash() };
        let call = KmsAuth::isRegisteredCall { app: town.app };
        let view = mandate_witness::ViewCall { to: town.contracts.kms_auth, data: call.abi_encode().into() };
        let spec = ChainSpec::dev(town.chain.chain_id());
        let witness = mandate_witness::build(&town.provider, &spec, block.hash, &view).await.unwrap();
        let honest = mandate_witness::execute(&witness, block, &spec, &view).unwrap();
        assert_eq!(U256::from_be_slice(&honest[..32]), U256::from(1));
        let bytes = witness.encode();
        for at in (0..bytes.len()).step_by(97) {
            let mut forged = bytes.clone();
            forged[at] ^= 1;
            let answer = mandate_witness::Witness::decode(&forged)
                .ok()
                .and_then(|w| mandate_witness::execute(&w, block, &spec, &view).ok());
            assert!(answer.is_none_or(|a| a == honest), "byte {at}");
        }
    });
}
