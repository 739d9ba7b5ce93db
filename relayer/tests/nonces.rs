// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Transactions when the world does not go along: nonces that others use, gaps, fees, an account that runs dry.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod common;

use std::{sync::Arc, time::Duration};

use alloy::{
    consensus::{SignableTransaction, TxEip1559, TxEnvelope},
    eips::Encodable2718,
    primitives::{Address, Bytes, TxKind, U256},
    providers::Provider,
    rpc::types::TransactionRequest,
    signers::SignerSync,
};
use common::{World, payer, settle, world};
use mandate_model::bindings::KmsCommittee;
use mandate_relayer::{
    Redact,
    config::SenderConfig,
    effects::{
        NewEffect,
        webhook::{EventKind, WebhookConfig},
    },
    sender::{SendError, Sender},
    store::{EffectState, Lane, Lock, OutboxQuery, SignedTx, Store},
};
use mandate_runtime::{Ambient, Clock, clock::ManualClock, config::Secret};

const MINUTE: Duration = Duration::from_secs(60);

struct Desk {
    world: World,
    store: Arc<dyn Store>,
    clock: Arc<ManualClock>,
    sender: Sender,
}

async fn desk(config: SenderConfig) -> Desk {
    let world = world(2, ["http://node-1:1", "http://node-2:1"]).await;
    let store = world.memory().await;
    let clock = Arc::new(ManualClock::new(1_700_000_000));
    let sender = sender(&world, &store, &clock, config);
    Desk { world, store, clock, sender }
}

fn sender(world: &World, store: &Arc<dyn Store>, clock: &Arc<ManualClock>, config: SenderConfig) -> Sender {
    let ambient = Ambient { clock: Arc::clone(clock) as Arc<dyn Clock>, ..Ambient::system() };
    let redact = Redact::new(&Secret::new(String::new()));
    Sender::new(world.contracts(), ambient, world.provider(), Arc::clone(store), payer(), config, redact)
}

/// A transfer of nothing by the payer's key, as somebody else who has it would send.
fn foreign(world: &World, nonce: u64, max_fee: u128) -> TxEnvelope {
    let tx = TxEip1559 {
        chain_id: world.chain.chain_id(),
        nonce,
        gas_limit: 21_000,
        max_fee_per_gas: max_fee,
        max_priority_fee_per_gas: max_fee,
        to: TxKind::Call(Address::repeat_byte(9)),
        value: U256::ZERO,
        access_list: Default::default(),
        input: Bytes::new(),
    };
    let signature = payer().sign_hash_sync(&tx.signature_hash()).unwrap();
    tx.into_signed(signature).into()
}

impl Desk {
    async fn want_nonce(&self, n: u8) -> String {
        let submission = self.world.nonce(&self.world.nodes[0], n);
        let new =
            NewEffect::of_submission(&self.world.contracts(), self.world.nodes[0].address(), submission);
        self.store.enqueue(vec![new.clone()]).await.unwrap();
        new.key
    }

    async fn state(&self, key: &str) -> String {
        self.store.effect_state(key.to_owned()).await.unwrap().unwrap()
    }

    async fn follow(&self) {
        settle(&mut self.world.follower(Arc::clone(&self.store))).await;
    }

    async fn spent(&self) -> u64 {
        self.world.wallet.get_transaction_count(payer().address()).await.unwrap()
    }

    async fn nonce_on_chain(&self) -> u8 {
        let committee = KmsCommittee::new(self.world.deployment.committee, &self.world.wallet);
        committee.nonceOf(self.world.nodes[0].address()).call().await.unwrap()[0]
    }

    async fn fees(&self) -> Vec<u128> {
        let in_flight = self.store.in_flight(payer().address()).await.unwrap();
        in_flight.iter().flat_map(|effect| &effect.txs).map(|tx| tx.max_fee).collect()
    }

    /// Ticks and mines until the effect is done.
    async fn until_done(&mut self, key: &str) {
        for _ in 0..30 {
            self.sender.tick().await.unwrap();
            self.world.chain.mine(1);
            self.follow().await;
            self.clock.advance(Duration::from_secs(1));
            if self.state(key).await == "done" {
                return;
            }
        }
        panic!("{key} is {} for ever", self.state(key).await);
    }
}

#[tokio::test]
async fn effect_whose_nonce_somebody_else_used_gets_another() {
    let mut desk = desk(SenderConfig::default()).await;
    desk.world.automine(false);
    let key = desk.want_nonce(1).await;
    desk.sender.tick().await.unwrap();
    let ours = desk.fees().await[0];
    desk.world.chain.submit(&foreign(&desk.world, 0, 3 * ours).encoded_2718()).unwrap();
    desk.world.chain.mine(1);
    assert_eq!((desk.spent().await, desk.nonce_on_chain().await), (1, 0));
    desk.until_done(&key).await;
    assert_eq!((desk.spent().await, desk.nonce_on_chain().await), (2, 1));
}

#[tokio::test]
async fn gap_below_a_transaction_of_ours_is_filled_by_the_next_effect() {
    let mut desk = desk(SenderConfig::default()).await;
    let stuck = behind_a_gap(&desk, 1).await;
    let next = desk.want_nonce(2).await;
    desk.until_done(&next).await;
    desk.until_done(&stuck).await;
    assert_eq!(desk.spent().await, 2, "no nonce is wasted");
}

#[tokio::test]
async fn gap_that_nothing_fills_is_used_up_by_an_empty_transaction() {
    let mut desk = desk(SenderConfig::default()).await;
    let stuck = behind_a_gap(&desk, 2).await;
    desk.sender.tick().await.unwrap();
    desk.world.chain.mine(1);
    assert_eq!(desk.spent().await, 0, "it waits behind the gap");
    desk.until_done(&stuck).await;
    assert_eq!((desk.spent().await, desk.nonce_on_chain().await), (3, 1));
    let gaps = OutboxQuery { kind: Some("fill_gap".to_owned()), limit: 10, ..OutboxQuery::default() };
    assert_eq!(desk.store.outbox(gaps).await.unwrap().len(), 2);
}

/// An effect whose kept transaction has `nonce` while nothing has the ones before: its predecessors were lost.
async fn behind_a_gap(desk: &Desk, nonce: u64) -> String {
    let key = desk.want_nonce(1).await;
    let signer = payer().address();
    assert!(desk.store.hold(Lock::Signer(signer)).await.unwrap());
    let claimed = desk.store.claim(Lane::Chain, 1).await.unwrap().remove(0);
    let call = mandate_relayer::effects::transaction(&desk.world.contracts(), &claimed.effect).unwrap();
    let fee = 20_000_000_000;
    let tx = TxEip1559 {
        chain_id: desk.world.chain.chain_id(),
        nonce,
        gas_limit: 500_000,
        max_fee_per_gas: fee,
        max_priority_fee_per_gas: 1,
        to: TxKind::Call(call.to),
        value: U256::ZERO,
        access_list: Default::default(),
        input: call.data,
    };
    let signature = payer().sign_hash_sync(&tx.signature_hash()).unwrap();
    let envelope: TxEnvelope = tx.into_signed(signature).into();
    let raw = envelope.encoded_2718().into();
    let signed = SignedTx { hash: *envelope.tx_hash(), signer, nonce, max_fee: fee, priority_fee: 1, raw };
    assert!(desk.store.keep_transaction(key.clone(), signed).await.unwrap());
    desk.store.let_go(Lock::Signer(signer)).await.unwrap();
    key
}

#[tokio::test]
async fn transaction_that_no_block_takes_is_replaced_at_a_higher_fee_and_mined_once() {
    let mut desk = desk(SenderConfig { bump_after: MINUTE, ..SenderConfig::default() }).await;
    desk.world.automine(false);
    let key = desk.want_nonce(1).await;
    desk.sender.tick().await.unwrap();
    desk.clock.advance(Duration::from_secs(59));
    desk.sender.tick().await.unwrap();
    assert_eq!(desk.fees().await.len(), 1, "not yet");
    desk.clock.advance(Duration::from_secs(1));
    desk.sender.tick().await.unwrap();
    let fees = desk.fees().await;
    assert!(fees.len() == 2 && fees[1] > fees[0] + fees[0] / 10, "{fees:?}");
    desk.until_done(&key).await;
    assert_eq!((desk.spent().await, desk.nonce_on_chain().await), (1, 1));
}

#[tokio::test]
async fn fee_is_raised_up_to_the_cap_and_no_further() {
    let mut desk = desk(SenderConfig { bump_after: MINUTE, ..SenderConfig::default() }).await;
    desk.world.automine(false);
    desk.want_nonce(1).await;
    desk.sender.tick().await.unwrap();
    let first = desk.fees().await[0];
    let most = u64::try_from(first / 1_000_000_000).unwrap().max(1);
    assert!(u128::from(most) * 1_000_000_000 < first + first / 8, "the next fee is above the cap");
    let config = SenderConfig { bump_after: MINUTE, max_fee_gwei: most, ..SenderConfig::default() };
    desk.sender = sender(&desk.world, &desk.store, &desk.clock, config);
    for _ in 0..3 {
        desk.sender.tick().await.unwrap();
        desk.clock.advance(MINUTE);
    }
    assert_eq!(desk.fees().await, [first]);
    desk.world.chain.mine(1);
    assert_eq!(desk.spent().await, 1, "the old one is still good");
}

#[tokio::test]
async fn nothing_is_sent_while_the_network_asks_for_more_than_the_cap() {
    let mut desk = desk(SenderConfig { max_fee_gwei: 1, ..SenderConfig::default() }).await;
    let asked = desk.world.wallet.estimate_eip1559_fees().await.unwrap().max_fee_per_gas;
    assert!(asked > 1_000_000_000, "the test needs a dear network: {asked}");
    let key = desk.want_nonce(1).await;
    let refused = desk.sender.tick().await;
    assert!(matches!(refused, Err(SendError::TooDear { .. })), "{refused:?}");
    assert_eq!((desk.state(&key).await.as_str(), desk.spent().await), ("pending", 0));
}

#[tokio::test]
async fn account_that_cannot_pay_sends_nothing_tells_so_and_goes_on_once_it_can() {
    let mut desk = desk(SenderConfig::default()).await;
    let hook = WebhookConfig::new("ops", "https://x.example", "0123456789abcdef", [EventKind::LowBalance]);
    let config = SenderConfig { low_balance_gwei: 1_000_000, ..SenderConfig::default() };
    desk.sender = sender(&desk.world, &desk.store, &desk.clock, config).telling(vec![hook.subscription()]);
    let rich = desk.world.wallet.get_accounts().await.unwrap()[0];
    drain(&desk.world, rich).await;
    let key = desk.want_nonce(1).await;
    let spent = desk.spent().await;
    let refused = desk.sender.tick().await;
    assert!(matches!(refused, Err(SendError::CannotPay { .. })), "{refused:?}");
    assert_eq!((desk.state(&key).await.as_str(), desk.spent().await), ("pending", spent));
    desk.clock.advance(MINUTE);
    assert!(desk.sender.tick().await.is_err());
    let told = OutboxQuery {
        state: Some(EffectState::Pending),
        kind: Some("webhook".to_owned()),
        limit: 10,
        ..OutboxQuery::default()
    };
    assert_eq!(desk.store.outbox(told).await.unwrap().len(), 1, "told once");

    let gift = TransactionRequest::default()
        .from(rich)
        .to(payer().address())
        .value(U256::from(10).pow(U256::from(18)));
    common::sent(desk.world.wallet.send_transaction(gift).await.unwrap()).await;
    desk.until_done(&key).await;
    assert_eq!(desk.nonce_on_chain().await, 1);
}

/// Leaves the payer next to nothing.
async fn drain(world: &World, to: Address) {
    let balance = world.wallet.get_balance(payer().address()).await.unwrap();
    let fee = 10_000_000_000_u128;
    let tx = TxEip1559 {
        chain_id: world.chain.chain_id(),
        nonce: 0,
        gas_limit: 21_000,
        max_fee_per_gas: fee,
        max_priority_fee_per_gas: fee,
        to: TxKind::Call(to),
        value: balance - U256::from(21_000 * fee),
        access_list: Default::default(),
        input: Bytes::new(),
    };
    let signature = payer().sign_hash_sync(&tx.signature_hash()).unwrap();
    let envelope: TxEnvelope = tx.into_signed(signature).into();
    world.chain.submit(&envelope.encoded_2718()).unwrap();
    world.chain.mine(1);
}

#[tokio::test]
async fn kept_transaction_is_sent_again_after_a_restart_and_not_another() {
    let mut desk = desk(SenderConfig::default()).await;
    desk.world.automine(false);
    let key = desk.want_nonce(1).await;
    desk.sender.tick().await.unwrap();
    let before = desk.store.in_flight(payer().address()).await.unwrap();
    desk.sender = sender(&desk.world, &desk.store, &desk.clock, SenderConfig::default());
    desk.sender.tick().await.unwrap();
    assert_eq!(desk.store.in_flight(payer().address()).await.unwrap(), before);
    desk.until_done(&key).await;
    assert_eq!(desk.spent().await, 1);
}

#[tokio::test]
async fn mined_transaction_of_a_block_that_is_reorganised_away_is_sent_again_and_mined_once() {
    let mut desk = desk(SenderConfig::default()).await;
    let key = desk.want_nonce(1).await;
    desk.follow().await;
    desk.sender.tick().await.unwrap();
    desk.follow().await;
    desk.sender.tick().await.unwrap();
    assert_eq!(desk.state(&key).await, "mined");
    desk.world.chain.reorg(1, Vec::new()).unwrap();
    assert_eq!((desk.spent().await, desk.nonce_on_chain().await), (0, 0));
    desk.until_done(&key).await;
    assert_eq!((desk.spent().await, desk.nonce_on_chain().await), (1, 1));
}
