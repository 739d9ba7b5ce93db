// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The verified chain over the real contracts on the development chain.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use alloy::{
    primitives::{Address, B256, aliases::U40},
    providers::{DynProvider, Provider, ProviderBuilder},
};
use futures::future::{BoxFuture, FutureExt, ready};
use mandate_acme::name::DomainName;
use mandate_attestation::{
    dev_pki::{DevGuest, DevPki},
    verify,
};
use mandate_devchain::{Config, DevChain};
use mandate_gateway::{
    chain::{At, Chain, Standing, Verdict, VerifiedChain},
    facts::Facts,
};
use mandate_model::{
    Reason,
    bindings::{AppAuth, AppInit, DomainRegistry, KmsAuth},
    outcome::PolicyReason,
};
use mandate_witness::{
    BlockRef, ChainSpec, Endpoint, HeaderError, HeaderSource, Quorum, RpcWitnessSource, VerifiedReader,
};

use crate::world::{DOMAIN, NOW};

const CODE: B256 = B256::repeat_byte(0xc0);
const TDX: u8 = 1;
const UP_TO_DATE: u8 = 1;

struct Deployed {
    chain: DevChain,
    provider: DynProvider,
    verified: VerifiedChain,
    kms_auth: Address,
    registry: Address,
    app: Address,
    facts: Facts,
}

async fn deploy() -> Deployed {
    let chain = DevChain::new(Config::default()).unwrap();
    let signer = Config::default().signers().unwrap().remove(0);
    let owner = signer.address();
    let provider = ProviderBuilder::new().wallet(signer).connect_provider(chain.provider()).erased();
    let implementation = *AppAuth::deploy(&provider).await.unwrap().address();
    let kms_auth = KmsAuth::deploy(&provider, implementation, owner, owner, U40::from(60)).await.unwrap();
    let registry = *DomainRegistry::deploy(&provider, *kms_auth.address(), owner).await.unwrap().address();
    let init = AppInit {
        owner,
        guardian: owner,
        notice: U40::from(60),
        codeHashes: vec![CODE],
        devices: Vec::new(),
        anyDevice: true,
        teeKinds: vec![TDX],
        tcbFloor: UP_TO_DATE,
        ..AppInit::default()
    };
    let register = kms_auth.deployAndRegisterApp(init, B256::ZERO);
    let app = register.call().await.unwrap();
    register.send().await.unwrap().get_receipt().await.unwrap();
    let facts = facts_of(&DevGuest::new(app, CODE));
    let image = kms_auth.scheduleOsImage(facts.os_image_hash, String::new());
    image.send().await.unwrap().get_receipt().await.unwrap();
    // Blocks that follow each other at once are ahead of the clock, so a little more than the notice.
    chain.increase_time(120);
    let verified = verified(&chain, *kms_auth.address(), registry);
    let kms_auth = *kms_auth.address();
    Deployed { chain, provider, verified, kms_auth, registry, app, facts }
}

pub(crate) fn verified(chain: &DevChain, kms_auth: Address, registry: Address) -> VerifiedChain {
    let endpoint = Endpoint { name: "dev".to_owned(), provider: chain.provider().erased() };
    let headers = Quorum::new(31_337, 1, vec![endpoint]).unwrap();
    VerifiedChain::new(reader(chain, headers), kms_auth, registry)
}

pub(crate) fn reader(chain: &DevChain, headers: impl HeaderSource + 'static) -> VerifiedReader {
    let spec = ChainSpec::dev(31_337);
    let witnesses = RpcWitnessSource::new("dev", chain.provider().erased(), spec.clone());
    VerifiedReader::new(Arc::new(headers), Arc::new(witnesses), spec)
}

/// A chain that goes on while it is asked: one block after the other is the newest, and the last one stays.
#[derive(Debug)]
pub(crate) struct GoesOn(Mutex<VecDeque<BlockRef>>);

impl GoesOn {
    pub(crate) fn through(blocks: impl IntoIterator<Item = BlockRef>) -> Self {
        Self(Mutex::new(blocks.into_iter().collect()))
    }
}

impl HeaderSource for GoesOn {
    fn finalized(&self) -> BoxFuture<'_, Result<BlockRef, HeaderError>> {
        self.head()
    }

    fn head(&self) -> BoxFuture<'_, Result<BlockRef, HeaderError>> {
        let mut blocks = self.0.lock().unwrap();
        let newest = if blocks.len() > 1 { blocks.pop_front().unwrap() } else { blocks[0] };
        ready(Ok(newest)).boxed()
    }
}

pub(crate) fn newest(chain: &DevChain) -> BlockRef {
    let head = chain.head();
    BlockRef { number: head.number(), hash: head.hash() }
}

fn facts_of(guest: &DevGuest) -> Facts {
    let pki = DevPki::from_seed([5; 32]);
    let evidence = pki.evidence(guest, [0; 64], NOW);
    Facts::from(&verify(&evidence, &pki.trust_anchors(), NOW, &[0; 64]).unwrap())
}

fn is_allowed(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Allowed { .. })
}

#[tokio::test]
async fn g7_grants_wait_for_finality_and_revocations_do_not() {
    let world = deploy().await;
    let (verified, facts) = (&world.verified, &world.facts);
    // The image's notice has passed at the head alone: finality lags two blocks behind.
    world.chain.mine(1);
    assert!(is_allowed(&verified.decide(facts, At::Head).await));
    let waiting = verified.decide(facts, At::Finalized).await;
    assert!(matches!(waiting, Verdict::Denied { .. }), "{waiting:?}");
    world.chain.mine(2);
    assert!(is_allowed(&verified.decide(facts, At::Finalized).await));

    let app = AppAuth::new(world.app, &world.provider);
    let revoked = app.revokeCode(CODE, false).send().await.unwrap().get_receipt().await.unwrap();
    let at_head = verified.decide(facts, At::Head).await;
    match &at_head {
        Verdict::Denied { reason: Reason::Policy(PolicyReason::CodeRevoked), block } => {
            assert_eq!(Some(block.number), revoked.block_number);
        }
        other => panic!("{other:?}"),
    }
    assert!(is_allowed(&verified.decide(facts, At::Finalized).await));
}

#[tokio::test]
async fn g1_other_code_is_denied_by_name() {
    let world = deploy().await;
    world.chain.mine(3);
    let other = facts_of(&DevGuest::new(world.app, B256::repeat_byte(0xdd)));
    match world.verified.decide(&other, At::Finalized).await {
        Verdict::Denied { reason, .. } => assert_eq!(reason, Reason::Policy(PolicyReason::CodeUnknown)),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn domain_has_a_holder_once_its_approval_is_final() {
    let world = deploy().await;
    let registry = DomainRegistry::new(world.registry, &world.provider);
    let approve = registry.approveDomain(DOMAIN.to_owned(), world.app);
    approve.send().await.unwrap().get_receipt().await.unwrap();
    let name = DomainName::try_from(DOMAIN).unwrap();
    assert_eq!(world.verified.app_of(&name, At::Head).await.unwrap().app, Some(world.app));
    assert_eq!(world.verified.app_of(&name, At::Finalized).await.unwrap().app, None);
    world.chain.mine(2);
    assert_eq!(world.verified.app_of(&name, At::Finalized).await.unwrap().app, Some(world.app));
}

/// How the app stands by what is final and by the newest block, once what was sent is mined.
macro_rules! after {
    ($world:ident, $call:expr) => {{
        $call.send().await.unwrap().get_receipt().await.unwrap();
        let standing = async |at| $world.verified.standing($world.app, at).await.unwrap();
        (standing(At::Finalized).await, standing(At::Head).await)
    }};
}

#[tokio::test]
async fn standing_tells_what_passes_from_what_lasts() {
    use Standing::{Active, Ended, Halted};
    let world = deploy().await;
    world.chain.mine(3);
    let (app, kms_auth) =
        (AppAuth::new(world.app, &world.provider), KmsAuth::new(world.kms_auth, &world.provider));
    let block = world.provider.get_block_by_number(Default::default()).await.unwrap().unwrap();
    let end = U40::from(block.header.timestamp + 1_000);
    assert_eq!(after!(world, app.pause(end)), (Active, Halted));
    world.chain.increase_time(2_000);
    world.chain.mine(3);
    assert_eq!(
        after!(world, kms_auth.suspendApp(world.app)),
        (Active, Halted),
        "the pause has ended by itself"
    );
    world.chain.mine(2);
    assert_eq!(after!(world, kms_auth.liftSuspension(world.app)), (Halted, Halted), "a notice is running");
    world.chain.increase_time(120);
    world.chain.mine(3);
    assert_eq!(after!(world, app.sunset()), (Active, Ended));
    world.chain.mine(2);
    assert_eq!(world.verified.standing(world.app, At::Finalized).await.unwrap(), Ended);
    let nobody = world.verified.standing(Address::repeat_byte(7), At::Head).await.unwrap();
    assert_eq!(nobody, Halted, "not registered");
}

/// Suspended in one block, paused in a later one: whoever reads of each what is best for the app takes it for active.
#[tokio::test]
async fn what_is_read_of_an_app_is_read_at_one_block() {
    let world = deploy().await;
    let (app, kms_auth) =
        (AppAuth::new(world.app, &world.provider), KmsAuth::new(world.kms_auth, &world.provider));
    kms_auth.suspendApp(world.app).send().await.unwrap().get_receipt().await.unwrap();
    let suspended = newest(&world.chain);
    kms_auth.liftSuspension(world.app).send().await.unwrap().get_receipt().await.unwrap();
    world.chain.increase_time(120);
    world.chain.mine(1);
    let end = U40::from(world.chain.head().timestamp() + 1_000);
    app.pause(end).send().await.unwrap().get_receipt().await.unwrap();
    let paused = newest(&world.chain);
    // Registration, sunset, pause, suspension.
    let headers = GoesOn::through([suspended, suspended, suspended, paused]);
    let chain = VerifiedChain::new(reader(&world.chain, headers), world.kms_auth, world.registry);
    assert_eq!(chain.standing(world.app, At::Head).await.unwrap(), Standing::Halted);
}

#[tokio::test]
async fn g6_contract_that_is_not_there_leaves_everything_undecided() {
    let world = deploy().await;
    world.chain.mine(3);
    let nowhere = verified(&world.chain, Address::repeat_byte(9), Address::repeat_byte(9));
    assert!(matches!(nowhere.decide(&world.facts, At::Finalized).await, Verdict::Undecided { .. }));
    let name = DomainName::try_from(DOMAIN).unwrap();
    assert!(nowhere.app_of(&name, At::Finalized).await.is_err());
    assert!(nowhere.standing(world.app, At::Finalized).await.is_err());
}
