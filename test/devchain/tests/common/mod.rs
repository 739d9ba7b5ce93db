// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A chain with a clock that stands still, and a contract small enough to write by hand.

#![allow(dead_code, unreachable_pub)]

use std::sync::Arc;

use alloy::{
    network::TransactionBuilder as _,
    primitives::{Address, Bytes, U256, hex},
    providers::Provider,
    rpc::types::{TransactionReceipt, TransactionRequest},
};
use mandate_devchain::{Config, DevChain};

/// The time at which every test's chain starts, and stays unless it is moved.
pub const START: u64 = 1_800_000_000;

/// Called with nothing it answers slot 0; with a word it stores the word there and logs it under topic 0x77; with
/// fewer bytes than a word it reverts with them.
pub const STORE: &[u8] = &hex!(
    "603580600b6000396000f3"
    "36600f5760005460005260206000f35b60203610602a576000358060005580600052607760206000a2005b36600060003736 6000fd"
);

/// The topic that the contract logs under.
pub const TOPIC: U256 = U256::from_limbs([0x77, 0, 0, 0]);

pub fn config() -> Config {
    Config { genesis_timestamp: Some(START), clock: Arc::new(|| START), ..Config::default() }
}

pub fn chain() -> DevChain {
    DevChain::new(config()).unwrap()
}

pub async fn deploy(provider: &impl Provider) -> Address {
    let receipt = send(provider, TransactionRequest::default().with_deploy_code(STORE)).await;
    receipt.contract_address.unwrap()
}

pub fn store(contract: Address, value: u64) -> TransactionRequest {
    TransactionRequest::default().to(contract).input(Bytes::from(U256::from(value).to_be_bytes_vec()).into())
}

pub fn load(contract: Address) -> TransactionRequest {
    TransactionRequest::default().to(contract)
}

pub async fn send(provider: &impl Provider, request: TransactionRequest) -> TransactionReceipt {
    provider.send_transaction(request).await.unwrap().get_receipt().await.unwrap()
}
