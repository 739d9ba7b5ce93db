// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The dev chain against the tools people know: the same transactions make the same blocks in anvil, and cast works
//! unchanged.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use std::{
    env::consts::{ARCH, OS},
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::Arc,
    time::Duration,
};

use alloy::{
    consensus::{SignableTransaction as _, TxEip1559, TxEip2930, TxEnvelope, TxLegacy},
    eips::{
        eip2718::Encodable2718 as _,
        eip2930::{AccessList, AccessListItem},
    },
    network::TxSignerSync as _,
    node_bindings::Anvil,
    primitives::{Address, B256, Bytes, TxKind, U256, address, hex},
    providers::{Provider, ProviderBuilder, RootProvider},
    signers::local::PrivateKeySigner,
};
use mandate_devchain::{Config, DevChain, Server};
use serde_json::{Value, json};

const START: u64 = 1_800_000_000;
const GWEI: u128 = 1_000_000_000;

/// Called with nothing it answers slot 0; with a word it stores the word there and logs it; with fewer bytes than a
/// word it reverts with them.
const STORE: &str = "0x603580600b6000396000f336600f5760005460005260206000f35b60203610602a57600035806000558060005260776020\
                     6000a2005b366000600037366000fd";

/// Where the first account's first contract lands.
const CONTRACT: Address = address!("0x5FbDB2315678afecb367f032d93F642f64180aa3");

/// The binary of a pinned Foundry tool, as `npm install` puts it there.
fn foundry(tool: &str) -> PathBuf {
    let system = if OS == "macos" { "darwin" } else { OS };
    let machine = match ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let package = format!("{tool}-{system}-{machine}");
    let root =
        Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().find(|path| path.join("package.json").exists());
    let path = root.unwrap().join("node_modules/@foundry-rs").join(package).join("bin").join(tool);
    assert!(path.exists(), "{} is missing: run `npm ci` at the root of the repository", path.display());
    path
}

async fn serve(config: Config) -> (DevChain, Server) {
    let chain = DevChain::new(Config { genesis_timestamp: Some(START), clock: Arc::new(|| START), ..config })
        .unwrap();
    let server = chain.serve(([127, 0, 0, 1], 0).into()).await.unwrap();
    (chain, server)
}

fn http(url: &str) -> RootProvider {
    ProviderBuilder::new().disable_recommended_fillers().connect_http(url.parse().unwrap())
}

/// Both chains, asked the same.
struct Pair {
    ours: RootProvider,
    anvil: RootProvider,
}

impl Pair {
    async fn ask(&self, method: &'static str, params: Value) -> [Value; 2] {
        let ask = async |provider: &RootProvider| {
            let answer: Result<Value, _> = provider.raw_request(method.into(), &params).await;
            answer.unwrap_or_else(|error| match error.as_error_resp() {
                Some(payload) => json!({ "code": payload.code, "data": payload.data }),
                None => panic!("{method}: {error}"),
            })
        };
        [ask(&self.ours).await, ask(&self.anvil).await]
    }

    /// anvil answers with the hash before the block is made, and with the receipt before its pool lets the transaction go.
    async fn until_anvil_mined(&self, hash: &Value) {
        let mined = async || {
            let params = json!([hash]);
            let transaction: Value =
                self.anvil.raw_request("eth_getTransactionByHash".into(), &params).await.unwrap();
            let receipt: Value =
                self.anvil.raw_request("eth_getTransactionReceipt".into(), &params).await.unwrap();
            !receipt.is_null() && !transaction["blockNumber"].is_null()
        };
        let wait = async { while !mined().await {} };
        tokio::time::timeout(Duration::from_secs(30), wait).await.unwrap();
    }

    /// Answers must be equal but for what `but` names, which may differ or be missing on one side.
    async fn same(&self, method: &'static str, params: Value, but: &[&str]) -> Value {
        let [mut ours, mut anvil] = self.ask(method, params.clone()).await;
        strip(&mut ours, but);
        strip(&mut anvil, but);
        assert_eq!(ours, anvil, "{method} {params}");
        ours
    }
}

fn strip(value: &mut Value, names: &[&str]) {
    match value {
        // The proof that an empty trie lacks a key: geth says nothing, anvil names the empty node.
        Value::Array(values) if *values == [json!("0x80")] => values.clear(),
        Value::Array(values) => values.iter_mut().for_each(|value| strip(value, names)),
        Value::Object(map) => {
            map.retain(|name, _| !names.contains(&name.as_str()));
            map.values_mut().for_each(|value| strip(value, names));
        }
        _ => {}
    }
}

fn raw(
    signer: &PrivateKeySigner,
    mut tx: impl alloy::consensus::SignableTransaction<alloy::primitives::Signature>
    + Into<alloy::consensus::TypedTransaction>,
) -> Bytes {
    let signature = signer.sign_transaction_sync(&mut tx).unwrap();
    let tx: alloy::consensus::TypedTransaction = tx.into();
    TxEnvelope::from(tx.into_signed(signature)).encoded_2718().into()
}

/// One of everything: creation, each type, value, logs, a revert, too little gas, clearing a slot.
fn transactions(signers: &[PrivateKeySigner]) -> Vec<Bytes> {
    let word = |value: u64| Bytes::from(U256::from(value).to_be_bytes_vec());
    let dynamic = |nonce, to: TxKind, value: u64, input: Bytes, gas_limit| TxEip1559 {
        chain_id: 31337,
        nonce,
        gas_limit,
        max_fee_per_gas: 5 * GWEI,
        max_priority_fee_per_gas: GWEI / 3,
        to,
        value: U256::from(value),
        input,
        access_list: AccessList::default(),
    };
    let legacy = TxLegacy {
        chain_id: Some(31337),
        nonce: 0,
        gas_price: 3 * GWEI,
        gas_limit: 90_000,
        to: CONTRACT.into(),
        value: U256::ZERO,
        input: word(7),
    };
    let listed = TxEip2930 {
        chain_id: 31337,
        nonce: 1,
        gas_price: 2 * GWEI,
        gas_limit: 90_000,
        to: CONTRACT.into(),
        value: U256::ZERO,
        access_list: AccessList(vec![AccessListItem { address: CONTRACT, storage_keys: vec![B256::ZERO] }]),
        input: word(8),
    };
    let (one, two, call) = (&signers[0], &signers[1], TxKind::Call(CONTRACT));
    vec![
        raw(one, dynamic(0, TxKind::Create, 0, STORE.parse().unwrap(), 200_000)),
        raw(two, legacy.clone()),
        raw(two, listed),
        raw(one, dynamic(1, call, 0, Bytes::from_static(b"no"), 90_000)),
        raw(one, dynamic(2, TxKind::Call(Address::repeat_byte(0x42)), 1_000_000, Bytes::new(), 21_000)),
        raw(one, dynamic(3, call, 5, word(1), 90_000)),
        raw(one, dynamic(4, call, 0, word(2), 30_000)),
        raw(two, TxLegacy { chain_id: None, nonce: 2, input: word(9), ..legacy }),
        raw(one, dynamic(5, TxKind::Create, 0, Bytes::from(hex!("60ff60005260206000f3")), 60_000)),
        raw(one, dynamic(6, call, 0, word(0), 90_000)),
    ]
}

#[tokio::test]
async fn the_same_transactions_make_the_same_blocks_in_anvil() {
    let anvil = Anvil::at(foundry("anvil"))
        .args(["--hardfork", "cancun", "--base-fee", "1000000000", "--gas-limit", "30000000"])
        .args(["--timestamp", &START.to_string(), "--disable-default-create2-deployer"])
        .try_spawn()
        .unwrap();
    let (chain, server) = serve(Config::default()).await;
    let pair = Pair { ours: http(&server.http_url()), anvil: http(&anvil.endpoint()) };

    // The stand-in for a beacon chain's randomness is each chain's own, and with it everything that hashes it.
    let header = ["mixHash", "hash", "parentHash", "blockHash", "totalDifficulty", "size"];
    let transaction = ["blockHash"];
    // What anvil adds on its own.
    let receipt = ["blockHash", "blobGasPrice", "blockTimestamp", "revertReason"];
    let transactions = transactions(&chain.signers());
    for (index, raw) in transactions.iter().enumerate() {
        let timestamp = START + 10 * (index as u64 + 1);
        pair.ask("evm_setNextBlockTimestamp", json!([timestamp])).await;
        // Ours is constant; anvil's first block does not follow from its genesis block.
        let fee = json!([format!("{GWEI:#x}")]);
        let _: Value = pair.anvil.raw_request("anvil_setNextBlockBaseFeePerGas".into(), fee).await.unwrap();
        let hash = pair.same("eth_sendRawTransaction", json!([raw]), &[]).await;
        pair.until_anvil_mined(&hash).await;
        pair.same("eth_getTransactionReceipt", json!([hash]), &receipt).await;
        pair.same("eth_getTransactionByHash", json!([hash]), &transaction).await;
    }
    // anvil's block 0 commits to an empty state although it has accounts, and its trie keeps slots that were set to
    // zero: the transaction that clears one is the last, for its gas and refund alone.
    for number in 1..transactions.len() {
        let at = format!("{number:#x}");
        for full in [false, true] {
            let block = pair.same("eth_getBlockByNumber", json!([at, full]), &header).await;
            assert!(block["stateRoot"].is_string());
        }
        pair.same("eth_getBlockReceipts", json!([at]), &receipt).await;
        for account in [CONTRACT, chain.accounts()[0], Address::repeat_byte(0x42), Address::repeat_byte(0x99)]
        {
            pair.same("eth_getProof", json!([account, [B256::ZERO, B256::repeat_byte(1)], at]), &[]).await;
            pair.same("eth_getBalance", json!([account, at]), &[]).await;
            pair.same("eth_getTransactionCount", json!([account, at]), &[]).await;
            pair.same("eth_getCode", json!([account, at]), &[]).await;
        }
        pair.same("eth_call", json!([{ "to": CONTRACT }, at]), &[]).await;
        pair.same("eth_getStorageAt", json!([CONTRACT, "0x0", at]), &[]).await;
    }
    for filter in
        [json!({}), json!({ "address": CONTRACT }), json!({ "topics": [null, [B256::with_last_byte(8)]] })]
    {
        let mut filter = filter;
        filter["fromBlock"] = "earliest".into();
        pair.same("eth_getLogs", json!([filter]), &["blockHash"]).await;
    }
    pair.same("eth_feeHistory", json!(["0x5", "latest", [5.0, 50.0, 95.0]]), &["baseFeePerGas"]).await;
    let fails = json!([{ "to": CONTRACT, "data": "0x6e6f" }, "latest"]);
    assert_eq!(pair.same("eth_call", fails, &[]).await, json!({ "code": 3, "data": "0x6e6f" }));
}

/// cast, talking to a served chain.
struct Cast {
    binary: PathBuf,
    url: String,
}

impl Cast {
    async fn output(&self, args: &[&str]) -> Output {
        let mut command = Command::new(&self.binary);
        command.args(args).env("ETH_RPC_URL", &self.url).env_remove("FOUNDRY_PROFILE");
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    }

    async fn run(&self, args: &[&str]) -> String {
        let output = self.output(args).await;
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "cast {args:?}: {out}{err}");
        out.trim().to_owned()
    }

    async fn json(&self, args: &[&str]) -> Value {
        let text = self.run(args).await;
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("cast {args:?}: {error} in {text}"))
    }

    async fn refused(&self, args: &[&str]) -> String {
        let output = self.output(args).await;
        assert!(!output.status.success(), "cast {args:?} should have been refused");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cast_works_unchanged() {
    let (chain, server) = serve(Config::default()).await;
    let cast = Cast { binary: foundry("cast"), url: server.http_url() };
    let key = alloy::hex::encode_prefixed(chain.signers()[0].to_bytes());
    let (me, contract) = (chain.accounts()[0].to_string(), CONTRACT.to_string());
    let five = B256::with_last_byte(5).to_string();

    assert_eq!(cast.run(&["block-number"]).await, "0");
    assert_eq!(cast.run(&["chain-id"]).await, "31337");
    assert_eq!(cast.run(&["balance", &me, "--ether"]).await, "10000.000000000000000000");
    let deployed = cast.json(&["send", "--json", "--private-key", &key, "--create", STORE]).await;
    assert_eq!(deployed["contractAddress"].as_str().unwrap().to_lowercase(), contract.to_lowercase());
    let sent = cast.json(&["send", "--json", "--private-key", &key, &contract, &five]).await;
    assert_eq!((&sent["status"], &sent["blockNumber"]), (&json!("0x1"), &json!("0x2")));
    cast.run(&["send", "--unlocked", "--from", &me, &contract, &five]).await;
    cast.run(&["send", "--legacy", "--private-key", &key, &contract, &five]).await;

    assert_eq!(cast.run(&["call", &contract]).await, five);
    assert_eq!(cast.run(&["call", "--block", "1", &contract]).await, B256::ZERO.to_string());
    assert_eq!(cast.run(&["storage", &contract, "0"]).await, five);
    assert_eq!(cast.run(&["nonce", &me]).await, "4");
    let hash = sent["transactionHash"].as_str().unwrap();
    assert_eq!(cast.json(&["receipt", hash, "--json"]).await, sent);
    assert_eq!(cast.json(&["tx", hash, "--json"]).await["hash"], json!(hash));
    assert_eq!(cast.json(&["logs", "--json", "--address", &contract]).await.as_array().unwrap().len(), 3);
    let block = cast.json(&["block", "latest", "--json"]).await;
    assert_eq!(block["hash"], json!(chain.head().hash()));
    assert_eq!(cast.run(&["block", "finalized", "--field", "number"]).await, "2");
    let proof = cast.json(&["proof", &contract, "0"]).await;
    assert_eq!(proof["storageProof"][0]["value"], "0x5");
    assert_eq!(cast.run(&["rpc", "eth_chainId"]).await, r#""0x7a69""#);
    cast.run(&["rpc", "evm_increaseTime", "3600"]).await;
    cast.run(&["rpc", "evm_mine"]).await;
    assert_eq!(cast.run(&["block", "latest", "--field", "timestamp"]).await, (START + 3600).to_string());
    cast.run(&["estimate", &contract, &five]).await;
    cast.run(&["gas-price"]).await;

    let reverted = cast.refused(&["call", &contract, "0x6e6f"]).await;
    assert!(reverted.contains(r#"error code 3: execution reverted, data: "0x6e6f""#), "{reverted}");
    let late = cast.refused(&["send", "--private-key", &key, "--nonce", "0", &contract, &five]).await;
    assert!(late.contains("nonce too low"), "{late}");
}
