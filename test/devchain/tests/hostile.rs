// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Whatever arrives, the chain answers or refuses; it never panics and goes on working.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod common;

use alloy::{
    primitives::{Address, B256},
    providers::Provider as _,
};
use common::chain;
use mandate_devchain::Mining;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

const METHODS: &[&str] = &[
    "anvil_dropTransaction",
    "anvil_mine",
    "anvil_nodeInfo",
    "anvil_reorg",
    "anvil_rollback",
    "anvil_setBlockTimestampInterval",
    "eth_accounts",
    "eth_blockNumber",
    "eth_call",
    "eth_chainId",
    "eth_estimateGas",
    "eth_feeHistory",
    "eth_gasPrice",
    "eth_getBalance",
    "eth_getBlockByHash",
    "eth_getBlockByNumber",
    "eth_getBlockReceipts",
    "eth_getBlockTransactionCountByNumber",
    "eth_getCode",
    "eth_getFilterChanges",
    "eth_getFilterLogs",
    "eth_getLogs",
    "eth_getProof",
    "eth_getStorageAt",
    "eth_getTransactionByBlockNumberAndIndex",
    "eth_getTransactionByHash",
    "eth_getTransactionCount",
    "eth_getTransactionReceipt",
    "eth_newBlockFilter",
    "eth_newFilter",
    "eth_sendRawTransaction",
    "eth_sendTransaction",
    "eth_sign",
    "eth_signTransaction",
    "eth_uninstallFilter",
    "evm_increaseTime",
    "evm_mine",
    "evm_revert",
    "evm_setAutomine",
    "evm_setIntervalMining",
    "evm_setNextBlockTimestamp",
    "evm_setTime",
    "evm_snapshot",
    "mandate_reorg",
    "net_version",
    "txpool_status",
    "web3_sha3",
];

/// Values that parse somewhere, so that the methods are entered and not only knocked at.
fn plausible() -> impl Strategy<Value = Value> {
    let account = common::chain().accounts()[0];
    prop_oneof![
        Just(json!(account)),
        Just(json!(Address::ZERO)),
        Just(json!(B256::ZERO)),
        prop::sample::select(
            &["latest", "pending", "safe", "finalized", "earliest", "0x0", "0x1", "0xffffffffffffffff"][..]
        )
        .prop_map(Value::from),
        any::<u64>().prop_map(|number| format!("{number:#x}").into()),
        (0u64..4).prop_map(Value::from),
        prop::collection::vec(any::<u8>(), 0..80).prop_map(|bytes| alloy::hex::encode_prefixed(bytes).into()),
        Just(json!([B256::ZERO, "0x1"])),
        Just(json!([10.0, 50.0])),
        request(account),
        filter(),
    ]
}

const FIELDS: &[&str] =
    &["gas", "gasPrice", "maxFeePerGas", "maxPriorityFeePerGas", "value", "nonce", "type", "chainId"];

fn request(account: Address) -> impl Strategy<Value = Value> {
    let quantity = prop_oneof![
        Just(Value::Null),
        Just(json!("0x0")),
        Just(json!("0x5208")),
        Just(json!("0x3b9aca00")),
        Just(json!("0xffffffffffffffffffffffffffffffff")),
        any::<u64>().prop_map(|number| format!("{number:#x}").into()),
    ];
    let code = prop::collection::vec(any::<u8>(), 0..60);
    (prop::collection::btree_map(prop::sample::select(FIELDS), quantity, 0..4), code, any::<bool>()).prop_map(
        move |(fields, code, create)| {
            let mut object: Map<String, Value> = fields
                .into_iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(k, v)| (k.to_owned(), v))
                .collect();
            object.insert("from".to_owned(), json!(account));
            if !create {
                object.insert("to".to_owned(), json!(Address::repeat_byte(4)));
            }
            object.insert("data".to_owned(), alloy::hex::encode_prefixed(code).into());
            Value::Object(object)
        },
    )
}

fn filter() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!({})),
        Just(
            json!({"fromBlock": "earliest", "toBlock": "0xffffffffffffffff", "topics": [null, [B256::ZERO]]})
        ),
        Just(json!({"blockHash": B256::ZERO, "address": [Address::ZERO]})),
    ]
}

fn arbitrary_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        2 => plausible(),
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<f64>().prop_map(Value::from),
        1 => ".{0,70}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::btree_map("[a-zA-Z]{1,12}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn handle_never_panics(
        calls in prop::collection::vec(
            (prop::sample::select(METHODS), prop::collection::vec(arbitrary_json(), 0..4)), 1..24),
        wild in arbitrary_json(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _inside = runtime.enter();
        let chain = chain();
        chain.mine(4);
        for (method, params) in calls {
            // Mining a hundred thousand blocks is allowed, but not what this looks for.
            let long = ["anvil_mine", "evm_mine"].contains(&method) && params.iter().any(|p| !p.is_null());
            if !long {
                let _answer = chain.handle(method, &Value::Array(params));
            }
            let _answer = chain.handle(method, &wild);
        }
        chain.set_mining(Mining::Manual).unwrap();
        let before = chain.head().number();
        chain.mine(1);
        prop_assert_eq!(chain.head().number(), before + 1);
        prop_assert_eq!(chain.head().header().hash_slow(), chain.head().hash());
    }

    #[test]
    fn raw_transactions_never_panic(mut raw in prop::collection::vec(any::<u8>(), 0..200), ty in 0u8..6) {
        if let Some(first) = raw.first_mut() {
            *first = ty;
        }
        prop_assert!(chain().submit(&raw).is_err());
    }

    #[test]
    fn calls_of_arbitrary_code_never_panic(code in prop::collection::vec(any::<u8>(), 0..200)) {
        let request = json!({ "data": alloy::hex::encode_prefixed(code), "gas": "0x30d40" });
        let _answer = chain().handle("eth_call", &json!([request, "latest"]));
    }
}

#[tokio::test]
async fn transaction_with_flipped_bits_is_never_taken_as_the_senders() {
    let chain = chain();
    let provider = chain.wallet_provider();
    let request = alloy::rpc::types::TransactionRequest::default().to(Address::ZERO);
    common::send(&provider, request).await;
    let hash = chain.head().transactions()[0].hash();
    let raw = provider.get_raw_transaction_by_hash(hash).await.unwrap().unwrap();
    let from = chain.accounts()[0];
    let nonce = provider.get_transaction_count(from).await.unwrap();
    for byte in 0..raw.len() {
        let mut forged = raw.to_vec();
        forged[byte] ^= 1;
        // A forgery is refused or belongs to somebody without funds, who is refused too.
        assert!(chain.submit(&forged).is_err(), "byte {byte}");
    }
    assert_eq!(provider.get_transaction_count(from).await.unwrap(), nonce);
}
