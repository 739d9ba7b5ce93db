// SPDX-License-Identifier: Apache-2.0 OR MIT
//! An app that runs on the hardware of two vendors, one of which is given up: K1, K9, D5, R6.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod support;

use alloy::primitives::{Address, aliases::U40};
use mandate_attestation::dev_pki::{DevGuest, DevSnpGuest, DevSnpPki};
use mandate_kms::Running;
use mandate_model::{Outcome, bindings::AppAuth, wire::kms::ReleaseResponse};
use mandate_threshold::{AppSecret, derive::APP_NAMESPACE};
use support::town::{CODE, Town, asking::partials};

const HANDOVER: u64 = 3_600;
/// Blocks come faster than their times say, so that the chain is ahead of the clock.
const AHEAD: u64 = 600;
const TDX: u8 = 1;
const SNP: u8 = 2;

/// One node that serves one app, whose guests attest with either vendor's evidence.
struct Lines {
    town: Town,
    snp: DevSnpPki,
    node: Running,
    app: Address,
}

impl Lines {
    async fn found() -> Self {
        let (town, snp) = (Town::found().await, DevSnpPki::from_seed([9; 32]));
        let node = town.start_that_asks(1, &[&town.chain], snp.anchor(town.pki.trust_anchors())).await;
        town.open_genesis(&[1]).await;
        town.reached(std::slice::from_ref(&node), 1).await;
        let app = town.register_app().await;
        let policy = AppAuth::new(app, &town.provider);
        let device = DevSnpGuest::new(app, CODE).device_id();
        town.mined(policy.allowTee(SNP).into_transaction_request()).await;
        town.mined(policy.allowDevice(device).into_transaction_request()).await;
        town.pass(1).await;
        Self { town, snp, node, app }
    }

    /// What a guest with this evidence gets for a generation, 0 for the present one.
    async fn ask(&self, tee: u8, generation: u64) -> (ReleaseResponse, Option<AppSecret>) {
        let (tdx, snp) = (DevGuest::new(self.app, CODE), DevSnpGuest::new(self.app, CODE));
        let evidence = |data, now| match tee {
            TDX => self.town.pki.evidence(&tdx, data, now),
            _ => self.snp.evidence(&snp, data, now),
        };
        let (request, mut responses) = self.town.ask_with(&[&self.node], (0, generation), evidence).await;
        let (parts, response) = (partials(&request, &responses), responses.remove(0));
        let Some(given) = response.partial() else { return (response, None) };
        let public = self.town.polynomial(0).await;
        let message = self.town.message_of(self.app, given.generation, &public);
        let signature = public.combine(APP_NAMESPACE, &message, &parts).unwrap();
        let secret = AppSecret::derive(&signature, &message);
        (response, Some(secret))
    }

    async fn secret(&self, tee: u8, generation: u64) -> AppSecret {
        let (response, secret) = self.ask(tee, generation).await;
        secret.unwrap_or_else(|| panic!("{}", response.outcome))
    }

    async fn assert_denied(&self, tee: u8, generation: u64, why: &str) {
        let (response, secret) = self.ask(tee, generation).await;
        assert!(
            matches!(response.outcome, Outcome::Denied { .. }) && secret.is_none(),
            "{}",
            response.outcome
        );
        assert!(response.outcome.to_string().contains(why), "{}", response.outcome);
        assert!(response.receipt.is_some());
    }
}

/// The secret is the app's, not its machine's, so the instances move: the line is removed at once, from the head on, and the
/// rest is rotated away from what its machines may have leaked.
#[tokio::test(flavor = "multi_thread")]
async fn hardware_line_that_is_given_up_gets_no_key_and_the_app_goes_on_elsewhere_with_new_ones() {
    let lines = Lines::found().await;
    let old = lines.secret(TDX, 0).await;
    assert!(old == lines.secret(SNP, 0).await, "one secret on the hardware of both vendors");

    let policy = AppAuth::new(lines.app, &lines.town.provider);
    lines.town.mined(policy.removeTee(TDX).into_transaction_request()).await;
    lines.assert_denied(TDX, 0, "TEE").await;
    assert!(old == lines.secret(SNP, 0).await, "what was written on the old line can be read on the new");

    let rotate = policy.rotateKeys(U40::from(HANDOVER)).into_transaction_request();
    let block = lines.town.mined(rotate).await;
    lines.town.final_block(block).await;
    let new = lines.secret(SNP, 0).await;
    assert!(new != old && new == lines.secret(SNP, 2).await);
    assert!(old == lines.secret(SNP, 1).await, "the handover, for moving the data");
    lines.assert_denied(TDX, 2, "TEE").await;

    // At the head first, and then for good.
    lines.town.chain.increase_time(HANDOVER + AHEAD);
    lines.town.chain.mine(1);
    lines.assert_denied(SNP, 1, "generation").await;
    lines.town.final_block(lines.town.chain.head().number()).await;
    lines.assert_denied(SNP, 1, "generation").await;
    lines.assert_denied(SNP, 3, "generation").await;
    assert!(new == lines.secret(SNP, 0).await);
}

/// R6: a version is withdrawn and, in the same transaction, the keys that its instances had.
#[tokio::test(flavor = "multi_thread")]
async fn revoked_code_takes_its_generation_with_it_without_handover() {
    let lines = Lines::found().await;
    let policy = AppAuth::new(lines.app, &lines.town.provider);
    let next = alloy::primitives::B256::repeat_byte(0x0d);
    let schedule = policy.scheduleCode(next, String::new(), false, U40::ZERO);
    lines.town.mined(schedule.into_transaction_request()).await;
    lines.town.pass(1).await;
    let guest = DevGuest::new(lines.app, next);
    let ask = async |generation| {
        let evidence = |data, now| lines.town.pki.evidence(&guest, data, now);
        lines.town.ask_with(&[&lines.node], (0, generation), evidence).await
    };
    let old = lines.secret(TDX, 0).await;
    let (request, answers) = ask(0).await;
    assert!(old == lines.town.combine(lines.app, &request, &answers).await, "an upgrade finds its data");

    let block = lines.town.mined(policy.revokeCode(CODE, true).into_transaction_request()).await;
    lines.town.final_block(block).await;
    lines.assert_denied(TDX, 0, "code hash revoked").await;
    let (request, answers) = ask(0).await;
    assert_eq!(answers[0].partial().unwrap().generation, 2);
    let public = lines.town.polynomial(0).await;
    let message = lines.town.message_of(lines.app, 2, &public);
    let signature = public.combine(APP_NAMESPACE, &message, &partials(&request, &answers)).unwrap();
    assert!(AppSecret::derive(&signature, &message) != old);
    let (_, answers) = ask(1).await;
    assert!(answers[0].given.is_none() && answers[0].outcome.to_string().contains("generation"));
}
