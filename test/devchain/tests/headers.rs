// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Headers, receipts and proofs are what any client would compute from the same data.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod common;

use alloy::{
    consensus::{
        BlockHeader as _, ReceiptEnvelope, TxEnvelope,
        constants::{EMPTY_ROOT_HASH, KECCAK_EMPTY},
        proofs::{calculate_receipt_root, calculate_transaction_root},
    },
    eips::{BlockId, BlockNumberOrTag, eip2930::AccessList},
    network::TransactionBuilder as _,
    primitives::{Address, B256, Bloom, U256, keccak256},
    providers::Provider,
    rpc::types::{EIP1186AccountProofResponse, TransactionRequest},
};
use alloy_trie::{Nibbles, TrieAccount, proof::verify_proof};
use common::{START, chain, config, deploy, send, store};
use mandate_devchain::{BaseFee, Config, DevChain, Mining};

/// Three senders, three transaction types, one failure, all in one block.
async fn full_block(chain: &DevChain) {
    let provider = chain.wallet_provider();
    let contract = deploy(&provider).await;
    chain.set_mining(Mining::Manual).unwrap();
    let accounts = chain.accounts();
    let gas = 100_000;
    let legacy = store(contract, 1).from(accounts[1]).gas_limit(gas).with_gas_price(3_000_000_000);
    let listed = store(contract, 2)
        .from(accounts[2])
        .gas_limit(gas)
        .with_gas_price(3_000_000_000)
        .access_list(AccessList::default());
    let dynamic = store(contract, 3)
        .from(accounts[3])
        .gas_limit(gas)
        .max_fee_per_gas(9_000_000_000)
        .max_priority_fee_per_gas(500_000_000);
    let failing = store(contract, 0)
        .from(accounts[4])
        .gas_limit(gas)
        .with_gas_price(2_000_000_000)
        .input(vec![1].into());
    for request in [legacy, listed, dynamic, failing] {
        let _pending = provider.send_transaction(request).await.unwrap();
    }
    chain.mine(1);
}

#[tokio::test]
async fn header_commits_to_everything_in_the_block() {
    let chain = chain();
    full_block(&chain).await;
    let provider = chain.provider();
    let block = provider.get_block_by_number(BlockNumberOrTag::Latest).full().await.unwrap().unwrap();
    assert_eq!(block.header.inner.hash_slow(), block.header.hash);
    let parent = provider.get_block_by_number(1.into()).await.unwrap().unwrap();
    assert_eq!(block.header.parent_hash, parent.header.hash);

    let txs: Vec<TxEnvelope> = block.transactions.txns().map(|tx| tx.inner.inner().clone()).collect();
    assert_eq!(txs.iter().map(|tx| tx.tx_type() as u8).collect::<Vec<_>>(), [0, 1, 2, 0]);
    assert_eq!(calculate_transaction_root(&txs), block.header.transactions_root);

    let receipts = provider.get_block_receipts(BlockId::latest()).await.unwrap().unwrap();
    let envelopes: Vec<ReceiptEnvelope> =
        receipts.iter().map(|receipt| receipt.inner.clone().into_primitives_receipt()).collect();
    assert_eq!(calculate_receipt_root(&envelopes), block.header.receipts_root);
    let bloom = envelopes.iter().fold(Bloom::ZERO, |all, receipt| all | *receipt.logs_bloom());
    assert_eq!(bloom, block.header.logs_bloom);

    let mut cumulative = 0;
    for (index, receipt) in receipts.iter().enumerate() {
        cumulative += receipt.gas_used;
        assert_eq!(receipt.inner.cumulative_gas_used(), cumulative);
        assert_eq!(receipt.transaction_index, Some(index as u64));
        assert_eq!(receipt.status(), index != 3);
        let price = [3_000_000_000, 3_000_000_000, 1_500_000_000, 2_000_000_000][index];
        assert_eq!(receipt.effective_gas_price, price);
    }
    assert_eq!(cumulative, block.header.gas_used);
    let log_indices: Vec<_> =
        receipts.iter().flat_map(|receipt| receipt.inner.logs()).map(|log| log.log_index.unwrap()).collect();
    assert_eq!(log_indices, [0, 1, 2], "a transaction that failed leaves no log");
}

#[tokio::test]
async fn gas_is_paid_burned_and_tipped_to_the_wei() {
    let coinbase = Address::repeat_byte(0xc0);
    let chain = DevChain::new(Config { coinbase, ..config() }).unwrap();
    let provider = chain.wallet_provider();
    let (from, to) = (chain.accounts()[0], Address::repeat_byte(1));
    let before = provider.get_balance(from).await.unwrap();
    let receipt = send(&provider, TransactionRequest::default().to(to).value(U256::from(7))).await;
    let gas = U256::from(receipt.gas_used);
    let paid = gas * U256::from(receipt.effective_gas_price) + U256::from(7);
    assert_eq!(provider.get_balance(from).await.unwrap(), before - paid);
    assert_eq!(provider.get_balance(to).await.unwrap(), U256::from(7));
    let tip = receipt.effective_gas_price - 1_000_000_000;
    assert_eq!(provider.get_balance(coinbase).await.unwrap(), gas * U256::from(tip));
}

#[tokio::test]
async fn base_fee_follows_eip_1559_when_asked_to() {
    let chain = DevChain::new(Config { base_fee: BaseFee::Eip1559(8_000_000_000), ..config() }).unwrap();
    chain.mine(2);
    let fee = |number: u64| chain.block(number).unwrap().header().base_fee_per_gas().unwrap();
    assert_eq!([fee(0), fee(1), fee(2)], [8_000_000_000, 7_000_000_000, 6_125_000_000]);
}

fn check(proof: &EIP1186AccountProofResponse, state_root: B256) {
    let absent = proof.code_hash == KECCAK_EMPTY && proof.nonce == 0 && proof.balance.is_zero();
    let account = TrieAccount {
        nonce: proof.nonce,
        balance: proof.balance,
        storage_root: proof.storage_hash,
        code_hash: proof.code_hash,
    };
    let expected = (!absent).then(|| alloy::rlp::encode(account));
    let key = Nibbles::unpack(keccak256(proof.address));
    verify_proof(state_root, key, expected, &proof.account_proof).unwrap();
    for slot in &proof.storage_proof {
        let expected = (!slot.value.is_zero()).then(|| alloy::rlp::encode(slot.value));
        let key = Nibbles::unpack(keccak256(slot.key.as_b256()));
        verify_proof(proof.storage_hash, key, expected, &slot.proof).unwrap();
    }
}

#[tokio::test]
async fn proofs_verify_against_every_header_and_only_against_theirs() {
    let chain = chain();
    let provider = chain.wallet_provider();
    let contract = deploy(&provider).await;
    for value in [5, 6, 0, 7] {
        send(&provider, store(contract, value)).await;
    }
    let (stranger, slots) = (Address::repeat_byte(0x99), vec![B256::ZERO, B256::with_last_byte(1)]);
    let mut values = Vec::new();
    for number in 0..=5 {
        let root = chain.block(number).unwrap().header().state_root;
        for address in [contract, stranger, chain.accounts()[0], chain.accounts()[9]] {
            let proof = provider.get_proof(address, slots.clone()).number(number).await.unwrap();
            check(&proof, root);
            let elsewhere = chain.block((number + 1) % 6).unwrap().header().state_root;
            let key = Nibbles::unpack(keccak256(address));
            assert!(verify_proof(elsewhere, key, None, &proof.account_proof).is_err());
            if address == contract {
                values.push(proof.storage_proof[0].value.to::<u64>());
                let empty = number < 2 || number == 4;
                assert_eq!(proof.storage_hash == EMPTY_ROOT_HASH, empty, "block {number}");
            }
        }
    }
    assert_eq!(values, [0, 0, 5, 6, 0, 7]);
}

#[tokio::test]
async fn state_older_than_the_history_is_refused_and_not_invented() {
    let chain = DevChain::new(Config { state_history: Some(3), ..config() }).unwrap();
    chain.mine(10);
    let provider = chain.provider();
    let account = chain.accounts()[0];
    for number in 8..=10 {
        assert!(!provider.get_balance(account).number(number).await.unwrap().is_zero());
    }
    let error = provider.get_balance(account).number(7).await.unwrap_err().to_string();
    assert!(error.contains("the state of block 7 is no longer kept"), "{error}");
    assert!(provider.get_block_by_number(7.into()).await.unwrap().is_some());
}

#[test]
fn chains_of_one_config_are_equal_to_the_last_bit() {
    let make = || {
        let chain = chain();
        chain.mine(5);
        chain.increase_time(100);
        chain.mine(1);
        chain
    };
    assert_eq!(make().head().hash(), make().head().hash());
    assert_eq!(make().head().timestamp(), START + 100);
}
