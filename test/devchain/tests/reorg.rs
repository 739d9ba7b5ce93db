// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Blocks that are taken back: reorgs, rollbacks, snapshots, finality.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod common;

use alloy::{
    eips::{BlockId, BlockNumberOrTag, RpcBlockHash, eip2718::Encodable2718 as _},
    primitives::{Address, B256, Bytes, U256, hex},
    providers::{Provider, ext::AnvilApi as _},
    rpc::types::{
        Filter, TransactionRequest,
        anvil::{ReorgOptions, TransactionData},
    },
};
use common::{chain, config, deploy, send, store};
use mandate_devchain::{Change, Config, DevChain};

#[tokio::test]
async fn finality_lags_the_head_as_configured() {
    let chain = DevChain::new(Config { safe_lag: 2, finalized_lag: 5, ..config() }).unwrap();
    let provider = chain.provider();
    let at = async |tag| provider.get_block_by_number(tag).await.unwrap().unwrap().header.number;
    assert_eq!(at(BlockNumberOrTag::Finalized).await, 0);
    chain.mine(20);
    assert_eq!(at(BlockNumberOrTag::Latest).await, 20);
    assert_eq!(at(BlockNumberOrTag::Safe).await, 18);
    assert_eq!(at(BlockNumberOrTag::Finalized).await, 15);
    assert_eq!(at(BlockNumberOrTag::Pending).await, 21);
}

#[tokio::test]
async fn reorg_replaces_blocks_state_and_logs() {
    let chain = DevChain::new(Config { finalized_lag: 4, ..config() }).unwrap();
    let provider = chain.wallet_provider();
    let contract = deploy(&provider).await;
    let kept = send(&provider, store(contract, 1)).await;
    let lost = send(&provider, store(contract, 2)).await;
    chain.mine(1);
    let old = chain.head();

    let from = chain.accounts()[1];
    let done = chain.reorg(2, vec![vec![], vec![store(contract, 9).from(from).into()]]).unwrap();
    assert_eq!(done.removed.iter().map(|block| block.number()).collect::<Vec<_>>(), [3, 4]);
    assert_eq!(done.added.last().unwrap().hash(), chain.head().hash());
    assert_eq!(chain.head().number(), 4);
    assert_ne!(chain.head().hash(), old.hash());
    assert_eq!(chain.head().timestamp(), old.timestamp());

    assert_eq!(provider.get_storage_at(contract, U256::ZERO).await.unwrap(), U256::from(9));
    assert!(provider.get_transaction_receipt(lost.transaction_hash).await.unwrap().is_none());
    assert!(provider.get_transaction_receipt(kept.transaction_hash).await.unwrap().is_some());
    let logs = provider.get_logs(&Filter::new().from_block(0)).await.unwrap();
    assert_eq!(logs.iter().map(|log| log.block_number.unwrap()).collect::<Vec<_>>(), [2, 4]);

    // The dropped block still answers to its hash, with its state, but no longer as canonical.
    let orphan = BlockId::from(lost.block_hash.unwrap());
    assert_eq!(provider.get_storage_at(contract, U256::ZERO).block_id(orphan).await.unwrap(), U256::from(2));
    let canonical = BlockId::Hash(RpcBlockHash::from_hash(lost.block_hash.unwrap(), Some(true)));
    let error = provider.get_balance(from).block_id(canonical).await.unwrap_err().to_string();
    assert!(error.contains("not currently canonical"), "{error}");

    // What was dropped can come back.
    assert_eq!(*done.dropped[0].tx_hash(), lost.transaction_hash);
    chain.resubmit(done.dropped[0].clone()).unwrap();
    assert_eq!(provider.get_storage_at(contract, U256::ZERO).await.unwrap(), U256::from(2));
}

/// The hash of the block `back` before the one that the call is made at.
async fn block_hash(chain: &DevChain, back: u16, at: BlockId) -> B256 {
    let code = [&[0x61][..], &back.to_be_bytes(), &hex!("430340 600052 60206000f3")].concat();
    let request = TransactionRequest::default().input(Bytes::from(code).into());
    B256::from_slice(&chain.provider().call(request).block(at).await.unwrap())
}

#[tokio::test]
async fn block_hashes_in_the_evm_are_those_of_the_own_branch() {
    let chain = chain();
    chain.mine(300);
    let hash = |number: u64| chain.block(number).unwrap().hash();
    assert_eq!(block_hash(&chain, 1, BlockId::latest()).await, hash(299));
    assert_eq!(block_hash(&chain, 256, BlockId::latest()).await, hash(44));
    assert_eq!(block_hash(&chain, 257, BlockId::latest()).await, B256::ZERO);
    assert_eq!(block_hash(&chain, 1, BlockId::pending()).await, hash(300));
    assert_eq!(block_hash(&chain, 7, 10.into()).await, hash(3));
    let (parent, tip) = (hash(299), BlockId::from(hash(300)));
    chain.reorg(2, vec![]).unwrap();
    assert_eq!(block_hash(&chain, 1, tip).await, parent, "an orphan keeps its own past");
    assert_eq!(block_hash(&chain, 2, tip).await, chain.block(298).unwrap().hash());
    assert_ne!(block_hash(&chain, 1, BlockId::latest()).await, parent);
}

#[tokio::test]
async fn reorg_of_finalized_blocks_is_refused() {
    let chain = chain();
    chain.mine(10);
    let before = chain.head().hash();
    let error = chain.reorg(3, vec![]).unwrap_err().to_string();
    assert!(error.contains("block 8 is final"), "{error}");
    assert!(chain.reorg(0, vec![]).is_err());
    assert!(chain.reorg(u64::MAX, vec![]).is_err());
    assert!(chain.rollback(3).is_err());
    assert_eq!(chain.head().hash(), before);
    chain.reorg(2, vec![]).unwrap();
}

#[tokio::test]
async fn reorg_with_an_impossible_transaction_changes_nothing() {
    let chain = chain();
    chain.mine(5);
    let before = chain.head().hash();
    let poor = TransactionRequest::default()
        .from(chain.accounts()[0])
        .to(Address::ZERO)
        .value(U256::MAX)
        .gas_limit(21_000);
    assert!(chain.reorg(1, vec![vec![poor.into()]]).is_err());
    let unknown = TransactionRequest::default().from(Address::ZERO).to(Address::ZERO);
    assert!(chain.reorg(1, vec![vec![unknown.into()]]).is_err());
    assert_eq!(chain.head().hash(), before);
    let mut changes = chain.changes();
    chain.mine(1);
    assert!(matches!(changes.next().await, Some(Change::Added(block)) if block.number() == 6));
}

#[tokio::test]
async fn reorg_takes_raw_transactions_that_were_dropped() {
    let chain = chain();
    let provider = chain.wallet_provider();
    let receipt = send(&provider, TransactionRequest::default().to(Address::repeat_byte(3))).await;
    let dropped = chain.reorg(1, vec![]).unwrap().dropped;
    let raw = dropped[0].encoded_2718();
    chain.reorg(1, vec![vec![Bytes::from(raw).into()]]).unwrap();
    let again = provider.get_transaction_receipt(receipt.transaction_hash).await.unwrap().unwrap();
    assert_ne!(again.block_hash, receipt.block_hash);
}

#[tokio::test]
async fn changes_tell_each_block_once_and_in_order() {
    let chain = chain();
    let mut changes = chain.changes();
    chain.mine(3);
    chain.reorg(2, vec![]).unwrap();
    let mut told = Vec::new();
    for _ in 0..7 {
        told.push(match changes.next().await.unwrap() {
            Change::Added(block) => block.number() as i64,
            Change::Removed(block) => -(block.number() as i64),
            Change::Pending(_) => 0,
        });
    }
    assert_eq!(told, [1, 2, 3, -3, -2, 2, 3]);
    drop(chain);
    assert!(changes.next().await.is_none());
}

#[tokio::test]
async fn anvil_api_drives_reorg_rollback_and_snapshots() {
    let chain = chain();
    let provider = chain.wallet_provider();
    provider.anvil_mine(Some(10), Some(12)).await.unwrap();
    let times: Vec<u64> = (1..=10).map(|number| chain.block(number).unwrap().timestamp()).collect();
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] == 12), "{times:?}");

    let snapshot = provider.anvil_snapshot().await.unwrap();
    let head = chain.head().hash();
    let to = Address::repeat_byte(8);
    let evil = TransactionRequest::default().from(chain.accounts()[2]).to(to).value(U256::ONE);
    let options = ReorgOptions { depth: 2, tx_block_pairs: vec![(TransactionData::JSON(evil), 1)] };
    provider.anvil_reorg(options).await.unwrap();
    assert_eq!(provider.get_balance(to).await.unwrap(), U256::ONE);
    provider.anvil_rollback(Some(1)).await.unwrap();
    assert_eq!(provider.get_block_number().await.unwrap(), 9);
    assert!(provider.anvil_revert(snapshot).await.unwrap());
    assert_eq!(chain.head().hash(), head);
    assert!(!provider.anvil_revert(snapshot).await.unwrap());
}

#[tokio::test]
async fn polled_log_filter_reports_removed_logs() {
    let chain = chain();
    let provider = chain.wallet_provider();
    let contract = deploy(&provider).await;
    let filter = provider.new_filter(&Filter::new().address(contract)).await.unwrap();
    let blocks = provider.new_block_filter().await.unwrap();
    send(&provider, store(contract, 1)).await;
    chain.reorg(1, vec![]).unwrap();
    let logs = provider.get_filter_changes::<alloy::rpc::types::Log>(filter).await.unwrap();
    assert_eq!(logs.iter().map(|log| log.removed).collect::<Vec<_>>(), [false, true]);
    assert!(provider.get_filter_changes::<alloy::rpc::types::Log>(filter).await.unwrap().is_empty());
    let hashes = provider.get_filter_changes::<B256>(blocks).await.unwrap();
    assert_eq!(hashes.last(), Some(&chain.head().hash()));
    assert!(provider.uninstall_filter(filter).await.unwrap());
    assert!(!provider.uninstall_filter(filter).await.unwrap());
}
