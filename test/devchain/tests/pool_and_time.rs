// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the chain takes in, what it refuses, and when blocks are made.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod common;

use std::time::Duration;

use alloy::{
    consensus::Transaction as _,
    eips::{BlockId, BlockNumberOrTag},
    network::TransactionBuilder as _,
    primitives::{Address, Bytes, U256, hex},
    providers::{Provider, ext::AnvilApi as _},
    rpc::types::TransactionRequest,
};
use common::{START, chain, config, deploy, load, send, store};
use mandate_devchain::{Config, DevChain, Mining};
use serde_json::{Value, json};

fn to(address: u8) -> TransactionRequest {
    TransactionRequest::default().to(Address::repeat_byte(address))
}

async fn refusal(provider: &impl Provider, request: TransactionRequest) -> String {
    provider.send_transaction(request).await.unwrap_err().to_string()
}

#[tokio::test]
async fn transactions_that_cannot_be_are_refused_in_geths_words() {
    let chain = chain();
    let provider = chain.wallet_provider();
    send(&provider, to(1)).await;
    let plain = || to(1).gas_limit(21_000);
    let low = refusal(&provider, plain().nonce(0)).await;
    assert!(low.contains("nonce too low: address 0xf39") && low.contains("tx: 0 state: 1"), "{low}");
    let poor = refusal(&provider, plain().value(U256::MAX)).await;
    assert!(poor.contains("insufficient funds for gas * price + value: address"), "{poor}");
    let thirsty = refusal(&provider, to(1).gas_limit(20_999)).await;
    assert!(thirsty.contains("intrinsic gas too low: gas 20999, minimum needed 21000"), "{thirsty}");
    let large = refusal(&provider, to(1).gas_limit(30_000_001)).await;
    assert!(large.contains("exceeds block gas limit"), "{large}");
    let cheap = refusal(&provider, plain().with_gas_price(1)).await;
    assert!(cheap.contains("max fee per gas less than block base fee"), "{cheap}");
    assert_eq!(chain.head().number(), 1, "a refusal makes no block");
}

#[tokio::test]
async fn chain_id_of_another_chain_is_refused() {
    let (one, other) = (chain(), DevChain::new(Config { chain_id: 5, ..config() }).unwrap());
    send(&one.wallet_provider(), to(1)).await;
    let tx = one.head().transactions()[0].tx.clone();
    let error = other.resubmit(tx).unwrap_err().to_string();
    assert!(error.contains("invalid chain id for signer: have 31337 want 5"), "{error}");
}

#[tokio::test]
async fn nonce_gap_waits_until_it_is_filled() {
    let chain = chain();
    let provider = chain.wallet_provider();
    let second = provider.send_transaction(to(1).gas_limit(21_000).nonce(1)).await.unwrap();
    assert_eq!(chain.head().number(), 0);
    let waiting = provider.get_transaction_by_hash(*second.tx_hash()).await.unwrap().unwrap();
    assert_eq!((waiting.block_hash, waiting.inner.nonce()), (None, 1));
    send(&provider, to(1).nonce(0)).await;
    assert_eq!(chain.head().transactions().len(), 2);
    assert!(second.get_receipt().await.unwrap().status());
}

#[tokio::test]
async fn replacement_must_pay_a_tenth_more() {
    let chain = DevChain::new(Config { mining: Mining::Manual, ..config() }).unwrap();
    let provider = chain.wallet_provider();
    let offer = |price: u128| to(1).gas_limit(21_000).nonce(0).with_gas_price(price);
    let first = *provider.send_transaction(offer(2_000_000_000)).await.unwrap().tx_hash();
    let error = refusal(&provider, offer(2_100_000_000)).await;
    assert!(error.contains("replacement transaction underpriced"), "{error}");
    assert!(refusal(&provider, offer(2_000_000_000)).await.contains("already known"));
    let second = *provider.send_transaction(offer(2_200_000_000)).await.unwrap().tx_hash();
    let nonce =
        |tag: BlockId| provider.get_transaction_count(chain.accounts()[0]).block_id(tag).into_future();
    assert_eq!(nonce(BlockId::pending()).await.unwrap(), 1);
    assert_eq!(nonce(BlockId::latest()).await.unwrap(), 0);
    chain.mine(1);
    assert!(provider.get_transaction_receipt(first).await.unwrap().is_none());
    assert!(provider.get_transaction_receipt(second).await.unwrap().is_some());
}

#[tokio::test]
async fn blocks_fill_to_the_gas_limit_and_the_rest_waits() {
    let chain = DevChain::new(Config { mining: Mining::Manual, gas_limit: 100_000, ..config() }).unwrap();
    let provider = chain.wallet_provider();
    for _ in 0..6 {
        let _pending = provider.send_transaction(to(1).gas_limit(30_000)).await.unwrap();
    }
    chain.mine(3);
    let counts: Vec<usize> =
        (1..=3).map(|number| chain.block(number).unwrap().transactions().len()).collect();
    // A limit of 30,000 must fit, though only 21,000 are used.
    assert_eq!(counts, [4, 2, 0]);
}

#[tokio::test]
async fn time_moves_only_as_told() {
    let chain = chain();
    let provider = chain.provider();
    let time = || chain.head().timestamp();
    chain.mine(2);
    assert_eq!(time(), START + 2);
    chain.increase_time(86_400);
    assert_eq!(time(), START + 2, "no block, no time");
    chain.mine(1);
    assert_eq!(time(), START + 86_400);
    chain.set_next_timestamp(START + 200_000).unwrap();
    let pending = provider.get_block_by_number(BlockNumberOrTag::Pending).await.unwrap().unwrap();
    assert_eq!(pending.header.timestamp, START + 200_000);
    chain.mine(2);
    assert_eq!(time(), START + 200_001);
    assert!(chain.set_next_timestamp(START).is_err());
    provider.anvil_increase_time(10).await.unwrap();
    provider.evm_mine(None).await.unwrap();
    assert_eq!(time(), START + 200_010);
}

/// Answers the block's timestamp, number and base fee.
const CLOCKED: &[u8] = &hex!("601180600b6000396000f3" "42600052" "43602052" "48604052" "60606000f3");

#[tokio::test]
async fn calls_see_the_block_they_are_made_at() {
    let chain = chain();
    let provider = chain.wallet_provider();
    let receipt = send(&provider, TransactionRequest::default().with_deploy_code(CLOCKED)).await;
    let contract = receipt.contract_address.unwrap();
    chain.increase_time(1000);
    chain.mine(1);
    let seen = async |request: TransactionRequest, at: BlockId| {
        let bytes = provider.call(request.to(contract)).block(at).await.unwrap();
        bytes.chunks(32).map(|word| U256::from_be_slice(word).to::<u64>()).collect::<Vec<_>>()
    };
    let free = TransactionRequest::default;
    assert_eq!(seen(free(), 1.into()).await, [START + 1, 1, 0], "a call that pays nothing sees no base fee");
    assert_eq!(seen(free(), BlockId::latest()).await, [START + 1000, 2, 0]);
    assert_eq!(seen(free(), BlockId::pending()).await, [START + 1001, 3, 0]);
    let paying = free().from(chain.accounts()[0]).with_gas_price(2_000_000_000).gas_limit(100_000);
    assert_eq!(seen(paying, BlockId::latest()).await, [START + 1000, 2, 1_000_000_000]);
}

#[tokio::test]
async fn call_may_come_from_a_contract() {
    let chain = chain();
    let provider = chain.wallet_provider();
    let contract = deploy(&provider).await;
    send(&provider, store(contract, 3)).await;
    let answer = provider.call(load(contract).from(contract)).await.unwrap();
    assert_eq!(U256::from_be_slice(&answer), U256::from(3));
}

#[tokio::test]
async fn estimate_is_enough_and_hardly_more() {
    let chain = chain();
    let provider = chain.wallet_provider();
    let contract = deploy(&provider).await;
    let request = store(contract, 77);
    let estimate = provider.estimate_gas(request.clone()).await.unwrap();
    let used = send(&provider, request.clone().gas_limit(estimate)).await.gas_used;
    assert!(estimate >= used && estimate <= used + used / 50, "{estimate} for {used}");
    let failed = provider.estimate_gas(load(contract).input(Bytes::from_static(b"no").into())).await;
    assert_eq!(failed.unwrap_err().as_error_resp().unwrap().code, 3);
    let tight = provider.estimate_gas(store(contract, 78).gas_limit(21_500)).await.unwrap_err().to_string();
    assert!(tight.contains("gas required exceeds allowance (21500)"), "{tight}");
}

#[tokio::test(start_paused = true)]
async fn interval_mining_keeps_its_pace_and_ends_with_the_chain() {
    let chain = chain();
    chain.mine_every(Duration::from_secs(12)).unwrap();
    let mut changes = chain.changes();
    let started = tokio::time::Instant::now();
    for _ in 0..3 {
        changes.next().await.unwrap();
    }
    assert_eq!(started.elapsed().as_secs(), 36);
    chain.set_mining(Mining::Auto).unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(chain.head().number(), 3);
    assert!(chain.mine_every(Duration::ZERO).is_err());
    chain.mine_every(Duration::from_secs(1)).unwrap();
    drop(chain);
    assert!(changes.next().await.is_none(), "the miner must not keep the chain alive");
}

#[test]
fn interval_mining_outside_of_a_runtime_is_an_error() {
    assert!(chain().mine_every(Duration::from_secs(1)).is_err());
}

fn rpc(chain: &DevChain, method: &str, params: Value) -> Value {
    chain.handle(method, &params).unwrap_or_else(|error| json!([error.code, error.message]))
}

#[tokio::test]
async fn fee_history_covers_the_blocks_asked_for() {
    let chain = chain();
    chain.mine(3);
    send(&chain.wallet_provider(), to(1)).await;
    let history = rpc(&chain, "eth_feeHistory", json!(["0x2", "latest", [25.0, 75.0]]));
    assert_eq!(history["oldestBlock"], "0x3");
    assert_eq!(history["baseFeePerGas"].as_array().unwrap().len(), 3);
    assert_eq!(history["gasUsedRatio"], json!([0.0, 0.0007]));
    assert_eq!(history["reward"][0], json!(["0x0", "0x0"]));
    assert_eq!(rpc(&chain, "eth_feeHistory", json!([1, "latest", [50, 10]]))[0], -32602);
    assert_eq!(rpc(&chain, "eth_feeHistory", json!([1, "0x99"]))[0], -32602);
}

#[test]
fn malformed_parameters_are_told_apart_by_code() {
    let chain = chain();
    let code = |method: &str, params: Value| rpc(&chain, method, params)[0].clone();
    assert_eq!(code("eth_getBalance", json!([])), -32602);
    assert_eq!(code("eth_getBalance", json!({"address": "0x"})), -32602);
    assert_eq!(code("eth_getBalance", json!(["0x12"])), -32602);
    assert_eq!(code("eth_getBalance", json!([Address::ZERO, "0x1", 3])), -32602);
    assert_eq!(code("eth_getBalance", json!([Address::ZERO, "0x1"])), -32000);
    assert_eq!(code("eth_sendRawTransaction", json!(["0x02ff"])), -32602);
    assert_eq!(code("eth_sendTransaction", json!([{"from": Address::ZERO}])), -32000);
    assert_eq!(code("eth_call", json!([{}, "latest", {"0x0": {}}])), -32602);
    assert_eq!(code("eth_getLogs", json!([{"fromBlock": "0x2", "toBlock": "0x1"}])), -32602);
    assert_eq!(code("eth_getFilterChanges", json!(["0x9"])), -32000);
    assert_eq!(code("eth_subscribe", json!(["newHeads"])), -32000);
    assert_eq!(code("debug_traceTransaction", json!([])), -32601);
    assert_eq!(code("nonsense", json!([])), -32601);
    assert_eq!(rpc(&chain, "eth_getBlockByNumber", json!(["0x63", false])), Value::Null);
}
