// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Attacks on the release protocol. Each test fails when the check that it is about is taken out.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod support;

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use alloy::primitives::{Address, B256, Bytes, keccak256};
use mandate_attestation::dev_pki::{Defect, DevGuest, DevPki};
use mandate_kms::{boot, decide::Verdict, shares::RELEASE_INFO};
use mandate_model::{
    Outcome,
    outcome::PolicyReason,
    receipt_chain::verify_chain,
    wire::kms::{NodeNonce, ReleaseRequest, ReleaseResponse, RevocationNotice},
};
use mandate_threshold::{
    Partial, SealingKey,
    derive::{APP_NAMESPACE, app_message},
};
use redb::{StorageBackend, backends::InMemoryBackend};
use support::*;

fn assert_allowed(response: &ReleaseResponse) {
    assert!(matches!(response.outcome, Outcome::Allowed { .. }), "{}", response.outcome);
    assert!(response.partial().is_some() && response.receipt.is_some());
}

/// Denied, with a receipt that says so, and nothing released.
fn assert_denied(response: &ReleaseResponse, why: &str) {
    assert!(matches!(response.outcome, Outcome::Denied { .. }), "{}", response.outcome);
    assert!(response.outcome.to_string().contains(why), "{} does not say {why:?}", response.outcome);
    assert!(response.given.is_none());
    assert_eq!(response.receipt.as_ref().unwrap().outcome, response.outcome);
}

fn assert_undecided(response: &ReleaseResponse, why: &str) {
    assert!(matches!(response.outcome, Outcome::Undecided { .. }), "{}", response.outcome);
    assert!(response.outcome.to_string().contains(why), "{} does not say {why:?}", response.outcome);
    assert!(response.given.is_none() && response.receipt.is_none());
}

fn open(key: &SealingKey, request: &ReleaseRequest, response: &ReleaseResponse) -> Option<Partial> {
    let sealed = &response.partial().unwrap().sealed;
    let opened = mandate_threshold::open(key, RELEASE_INFO, &request.report_data(), sealed).ok()?;
    Some(Partial::decode(&opened).unwrap())
}

#[tokio::test]
async fn g1_allowed_request_gets_the_partial_of_its_app_and_a_receipt_that_can_be_replayed() {
    let world = World::new();
    let request = world.request();
    let response = world.release(&request).await;
    assert_allowed(&response);

    let partial = open(&transport(), &request, &response).unwrap();
    let message = app_message(CHAIN, KMS_AUTH.into(), APP.into(), 1, &world.output.group_key());
    assert!(world.output.public().verify_partial(APP_NAMESPACE, &message, &partial));

    let receipt = response.receipt.unwrap();
    assert!(receipt.is_signed(&world.context.domain()) && receipt.dev_anchors);
    assert_eq!((receipt.block_number, receipt.block_hash), (10, block(10).hash));
    assert_eq!(receipt.transport_key_hash, keccak256(request.transport_key));
    let asked = world.judge.0.lock().unwrap().asked[0].clone();
    assert_eq!((asked.info.appId, asked.info.composeHash, asked.tee), (APP, CODE, 1));
    // The generation that 0 stood for is the one in the receipt.
    let judged = mandate_model::bindings::BootRequest { generation: 1, ..asked };
    let (hash, bytes) = boot::encode(&judged);
    assert_eq!(receipt.request_hash, hash);
    assert_eq!(hash, mandate_model::boot::request_hash(&judged));
    assert_eq!(world.context.store.boot_request(hash).unwrap(), Some(bytes));
}

#[tokio::test]
async fn g4_partial_opens_with_the_transport_key_only_and_for_its_request_only() {
    let world = World::new();
    let request = world.request();
    let response = world.release(&request).await;
    assert!(open(&transport(), &request, &response).is_some());
    assert!(open(&SealingKey::from_seed([0x78; 32]), &request, &response).is_none());
    let other = world.request();
    assert!(open(&transport(), &other, &response).is_none());
    // What goes over the wire is not the partial itself.
    let partial = open(&transport(), &request, &response).unwrap().encode();
    let sealed = &response.partial().unwrap().sealed;
    assert!(!sealed.windows(partial.len()).any(|window| window == partial.as_slice()));
}

#[tokio::test]
async fn replayed_nonce_is_denied() {
    let world = World::new();
    let request = world.request();
    assert_allowed(&world.release(&request).await);
    assert_denied(&world.release(&request).await, "nonce");
}

#[tokio::test]
async fn nonce_is_spent_even_when_the_request_is_denied() {
    let world = World::new();
    let request = world.request();
    let mut damaged = request.clone();
    damaged.evidence = Bytes::from_static(b"not evidence");
    assert_denied(&world.release(&damaged).await, "evidence");
    assert_denied(&world.release(&request).await, "nonce");
}

#[tokio::test]
async fn expired_nonce_is_denied() {
    let world = World::new();
    let request = world.request();
    world.clock.advance(Duration::from_secs(30));
    assert_denied(&world.release(&request).await, "expired");
}

#[tokio::test]
async fn nonce_of_another_node_only_is_denied() {
    let world = World::new();
    let mut request = world.bare_request();
    request.nonces = vec![NodeNonce { node: Address::repeat_byte(0x55), nonce: request.nonces[0].nonce }];
    let request = world.attested(request, &guest());
    assert_denied(&world.release(&request).await, "no nonce of this node");
}

#[tokio::test]
async fn repeated_or_unordered_nonces_are_denied() {
    let world = World::new();
    for reverse in [false, true] {
        let mut request = world.bare_request();
        let extra = NodeNonce { node: Address::ZERO, nonce: B256::ZERO };
        let own = request.nonces[0].clone();
        request.nonces = if reverse { vec![own, extra] } else { vec![own.clone(), own] };
        let request = world.attested(request, &guest());
        assert_denied(&world.release(&request).await, "ascending order");
    }
}

#[tokio::test]
async fn evidence_bound_to_another_transport_key_is_denied() {
    let world = World::new();
    let mut request = world.request();
    request.transport_key = SealingKey::from_seed([0x66; 32]).public().into();
    assert_denied(&world.release(&request).await, "report data");
}

#[tokio::test]
async fn evidence_bound_to_other_nonces_or_generation_is_denied() {
    let world = World::new();
    let mut request = world.request();
    request.generation = 7;
    assert_denied(&world.release(&request).await, "report data");
    let mut request = world.request();
    request.nonces.push(NodeNonce { node: Address::repeat_byte(0xff), nonce: B256::ZERO });
    assert_denied(&world.release(&request).await, "report data");
}

#[tokio::test]
async fn evidence_for_other_report_data_is_denied() {
    let world = World::new();
    let request = world.attested(world.bare_request(), &guest().with_defect(Defect::OtherReportData));
    assert_denied(&world.release(&request).await, "report data");
}

#[tokio::test]
async fn tampered_quote_and_quote_under_another_root_are_denied() {
    let world = World::new();
    let request = world.attested(world.bare_request(), &guest().with_defect(Defect::TamperedQuote));
    assert_denied(&world.release(&request).await, "evidence");
    let mut request = world.bare_request();
    let stranger = DevPki::from_seed([8; 32]);
    request.evidence = stranger.evidence(&guest(), request.report_data(), NOW).encode().into();
    assert_denied(&world.release(&request).await, "evidence");
}

#[tokio::test]
async fn wrong_chain_or_policy_contract_is_denied_and_spends_no_nonce() {
    let world = World::new();
    let mut request = world.bare_request();
    request.chain_id = 1;
    assert_denied(&world.release(&world.attested(request.clone(), &guest())).await, "chain id");
    request.chain_id = CHAIN;
    request.kms_auth = Address::repeat_byte(0xbb);
    assert_denied(&world.release(&world.attested(request.clone(), &guest())).await, "KmsAuth");
    request.kms_auth = KMS_AUTH;
    assert_allowed(&world.release(&world.attested(request, &guest())).await);
}

#[tokio::test]
async fn g6_nothing_is_released_when_the_lease_is_over() {
    let world = World::new();
    world.clock.advance(LEASE + Duration::from_secs(1));
    let request = world.request();
    assert_undecided(&world.release(&request).await, "freshness lease");
    assert!(world.judge.0.lock().unwrap().asked.is_empty(), "the chain is not even asked");
}

#[tokio::test]
async fn g6_nothing_is_released_when_the_chain_cannot_be_read() {
    let world = World::new();
    world.script(|s| s.finalized = Err(no_header()));
    let response = world.release(&world.request()).await;
    assert_undecided(&response, "finalised block");
    assert!(!response.outcome.to_string().contains("token"), "g12: the endpoint's token is told to nobody");
    world.script(|s| {
        s.finalized = Ok(Verdict::Allowed { valid_until: NOW + 1 });
        s.head = Err(no_header());
    });
    assert_undecided(&world.release(&world.request()).await, "head");
}

#[tokio::test]
async fn g6_head_below_finality_is_undecided() {
    let world = World::new();
    world.script(|s| s.head_height = 9);
    assert_undecided(&world.release(&world.request()).await, "below the finalised block");
}

#[tokio::test]
async fn g6_node_without_a_share_is_undecided() {
    let world = World::new();
    world.shares.replace(None, None);
    assert_undecided(&world.release(&world.request()).await, "epoch");
}

#[tokio::test]
async fn g7_denied_at_head_while_allowed_at_finality_is_denied() {
    let world = World::new();
    world.script(|s| s.head = Ok(Verdict::Denied(PolicyReason::CodeRevoked)));
    let response = world.release(&world.request()).await;
    assert_denied(&response, "code hash revoked");
    assert_eq!(response.receipt.unwrap().block_number, 10);
}

#[tokio::test]
async fn g1_unknown_app_and_allowed_at_head_only_are_denied() {
    let world = World::new();
    world.script(|s| s.finalized = Ok(Verdict::Denied(PolicyReason::AppNotRegistered)));
    let stranger = DevGuest::new(Address::repeat_byte(0xee), CODE);
    let request = world.attested(world.bare_request(), &stranger);
    assert_denied(&world.release(&request).await, "app not registered");
}

#[tokio::test]
async fn app_in_the_request_is_the_one_in_the_evidence() {
    let world = World::new();
    let stranger = DevGuest::new(Address::repeat_byte(0xee), B256::repeat_byte(0xdd));
    let request = world.attested(world.bare_request(), &stranger);
    let response = world.release(&request).await;
    let asked = world.judge.0.lock().unwrap().asked[0].info.clone();
    assert_eq!((asked.appId, asked.composeHash), (stranger.app_id, stranger.compose_hash));
    let partial = open(&transport(), &request, &response).unwrap();
    let mine = app_message(CHAIN, KMS_AUTH.into(), APP.into(), 1, &world.output.group_key());
    assert!(!world.output.public().verify_partial(APP_NAMESPACE, &mine, &partial));
}

#[tokio::test]
async fn transport_key_of_low_order_gets_nothing() {
    let world = World::new();
    let mut request = world.bare_request();
    request.transport_key = B256::ZERO;
    let request = world.attested(request, &guest());
    assert_denied(&world.release(&request).await, "transport key");
}

fn notice(block_number: u64) -> RevocationNotice {
    RevocationNotice { app: APP, code_hashes: vec![CODE], block_number }
}

#[tokio::test]
async fn g7_verified_revocation_denies_even_when_the_endpoints_fall_behind_again() {
    let world = World::new();
    world.script(|s| s.revoked = true);
    assert_eq!(world.revocations.notice(&notice(12)).await.unwrap().len(), 1);
    // From here on the endpoints show the state before the revocation.
    world.script(|s| s.revoked = false);
    assert_denied(&world.release(&world.request()).await, "code hash revoked");
    assert!(world.judge.0.lock().unwrap().asked.is_empty());
}

#[tokio::test]
async fn g5_notice_without_a_revocation_on_chain_changes_nothing() {
    let world = World::new();
    assert!(world.revocations.notice(&notice(12)).await.unwrap().is_empty());
    assert_allowed(&world.release(&world.request()).await);
}

#[tokio::test]
async fn notice_above_this_nodes_head_is_to_be_sent_again() {
    let world = World::new();
    let error = world.revocations.notice(&notice(13)).await.unwrap_err();
    assert!(error.to_string().contains("try again"), "{error}");
    let many = RevocationNotice { code_hashes: vec![CODE; 65], ..notice(1) };
    assert!(world.revocations.notice(&many).await.unwrap_err().to_string().contains("at most 64"));
}

#[tokio::test]
async fn g7_remembered_revocation_survives_a_restart_and_a_reorg_takes_it_back_at_finality() {
    let world = World::new();
    world.script(|s| s.revoked = true);
    world.revocations.notice(&notice(12)).await.unwrap();
    let again =
        mandate_kms::revocation::Revocations::open(world.context.store.clone(), world.judge.clone()).unwrap();
    assert_eq!(again.remembered(APP, CODE).map(|(reason, _)| reason), Some(PolicyReason::CodeRevoked));
    world.script(|s| {
        s.revoked = false;
        s.finalized_height = 11;
    });
    again.settle(block(11)).await.unwrap();
    assert!(
        matches!(again.remembered(APP, CODE), Some((PolicyReason::CodeRevoked, _))),
        "block 12 is not final yet"
    );
    again.settle(block(12)).await.unwrap();
    assert_eq!(again.remembered(APP, CODE), None);
    assert!(world.context.store.denials().unwrap().is_empty());
}

#[tokio::test]
async fn g7_confirmed_revocation_stays_and_a_pause_ends_with_its_time() {
    let world = World::new();
    world.script(|s| {
        s.revoked = true;
        s.paused_until = NOW + 20;
    });
    assert_eq!(world.revocations.notice(&notice(12)).await.unwrap().len(), 2);
    let other = B256::repeat_byte(0xdd);
    assert!(matches!(world.revocations.remembered(APP, other), Some((PolicyReason::AppPaused, _))));
    for (height, paused) in [(12, true), (19, true), (20, false)] {
        world.script(|s| s.finalized_height = height);
        world.revocations.settle(block(height)).await.unwrap();
        assert_eq!(world.revocations.remembered(APP, other).is_some(), paused, "at block {height}");
    }
    world.script(|s| s.revoked = false);
    world.revocations.settle(block(30)).await.unwrap();
    assert!(matches!(world.revocations.remembered(APP, CODE), Some((PolicyReason::CodeRevoked, _))));
}

#[tokio::test]
async fn g8_every_answer_but_undecided_leaves_a_receipt_in_one_chain() {
    let world = World::new();
    assert_allowed(&world.release(&world.request()).await);
    let spent = world.request();
    world.release(&spent).await;
    assert_denied(&world.release(&spent).await, "nonce");
    world.script(|s| s.finalized = Err(no_header()));
    assert_undecided(&world.release(&world.request()).await, "finalised");
    world.script(|s| s.finalized = Ok(Verdict::Denied(PolicyReason::CodeRetired)));
    assert_denied(&world.release(&world.request()).await, "code hash retired");
    let receipts = world.receipts.read(0, 100).await.unwrap();
    assert_eq!(receipts.len(), 4);
    verify_chain(&receipts, world.keys.address(), &world.context.domain()).unwrap();
}

/// A disk that can be made to fail.
#[derive(Debug)]
struct Disk {
    inner: InMemoryBackend,
    broken: Arc<AtomicBool>,
}

impl Disk {
    fn check(&self) -> Result<(), io::Error> {
        match self.broken.load(Ordering::SeqCst) {
            true => Err(io::Error::other("disk full")),
            false => Ok(()),
        }
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> Result<u64, io::Error> {
        self.inner.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        self.inner.read(offset, out)
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        self.check()?;
        self.inner.set_len(len)
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        self.check()?;
        self.inner.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        self.check()?;
        self.inner.write(offset, data)
    }
}

#[tokio::test]
async fn g8_nothing_is_released_when_the_receipt_cannot_be_kept() {
    let broken = Arc::new(AtomicBool::new(false));
    let world = World::with_backend(Disk { inner: InMemoryBackend::new(), broken: broken.clone() });
    assert_allowed(&world.release(&world.request()).await);
    broken.store(true, Ordering::SeqCst);
    let request = world.request();
    let error = world.releaser.release(request).await.unwrap_err();
    assert!(error.to_string().contains("nothing is released"), "{error}");
}
