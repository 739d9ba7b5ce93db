// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Sealed blocks and their JSON.

use alloy::{
    consensus::{
        Block as RawBlock, BlockBody, Header, Receipt, ReceiptEnvelope, ReceiptWithBloom, Sealed,
        Transaction as _, TxEnvelope, TxType, transaction::Recovered,
    },
    eips::eip4895::Withdrawals,
    primitives::{Address, B256, Log as RawLog, TxHash, U256},
    rlp::Encodable,
    rpc::types::{
        Block as RpcBlock, BlockTransactions, Header as RpcHeader, Log, Transaction, TransactionReceipt,
    },
};

/// One executed transaction.
#[derive(Clone, Debug)]
pub struct Mined {
    /// The transaction with its sender.
    pub tx: Recovered<TxEnvelope>,
    /// Its consensus receipt, with cumulative gas, logs and bloom.
    pub receipt: ReceiptEnvelope<RawLog>,
    /// The gas this transaction alone used.
    pub gas_used: u64,
    /// The contract it created.
    pub created: Option<Address>,
    /// The index in the block of its first log.
    pub first_log: u64,
}

/// One sealed block: its header and what it executed.
#[derive(Clone, Debug)]
pub struct Block {
    header: Sealed<Header>,
    mined: Vec<Mined>,
    size: usize,
}

impl Mined {
    /// The transaction's hash.
    pub fn hash(&self) -> TxHash {
        *self.tx.tx_hash()
    }

    /// Whether it did not revert.
    pub fn succeeded(&self) -> bool {
        self.receipt.status()
    }
}

impl Block {
    pub(crate) fn seal(header: Header, mined: Vec<Mined>) -> Self {
        let transactions = mined.iter().map(|mined| mined.tx.inner().clone()).collect();
        let body: BlockBody<TxEnvelope> =
            BlockBody { transactions, ommers: Vec::new(), withdrawals: Some(Withdrawals::default()) };
        let raw = RawBlock::new(header, body);
        let size = raw.length();
        Self { header: Sealed::new(raw.header), mined, size }
    }

    /// The header.
    pub fn header(&self) -> &Header {
        self.header.inner()
    }

    /// The header's hash.
    pub fn hash(&self) -> B256 {
        self.header.hash()
    }

    /// The block's number.
    pub fn number(&self) -> u64 {
        self.header.number
    }

    /// The block's timestamp.
    pub fn timestamp(&self) -> u64 {
        self.header.timestamp
    }

    /// The executed transactions in order.
    pub fn transactions(&self) -> &[Mined] {
        &self.mined
    }

    pub(crate) fn rpc_header(&self) -> RpcHeader {
        RpcHeader {
            hash: self.hash(),
            inner: self.header().clone(),
            total_difficulty: None,
            size: Some(U256::from(self.size)),
        }
    }

    pub(crate) fn rpc_block(&self, full: bool) -> RpcBlock {
        let transactions = if full {
            let each = (0..).zip(&self.mined).map(|(index, mined)| self.rpc_transaction(index, mined));
            BlockTransactions::Full(each.collect())
        } else {
            BlockTransactions::Hashes(self.mined.iter().map(Mined::hash).collect())
        };
        RpcBlock {
            header: self.rpc_header(),
            uncles: Vec::new(),
            transactions,
            withdrawals: Some(Withdrawals::default()),
        }
    }

    pub(crate) fn rpc_transaction(&self, index: u64, mined: &Mined) -> Transaction {
        Transaction {
            inner: mined.tx.clone(),
            block_hash: Some(self.hash()),
            block_number: Some(self.number()),
            transaction_index: Some(index),
            effective_gas_price: Some(self.effective_gas_price(mined)),
            block_timestamp: Some(self.timestamp()),
        }
    }

    pub(crate) fn rpc_receipt(&self, index: u64, mined: &Mined) -> TransactionReceipt {
        TransactionReceipt {
            inner: receipt_with_logs(mined, self.rpc_logs_of(index, mined, false).collect()),
            transaction_hash: mined.hash(),
            transaction_index: Some(index),
            block_hash: Some(self.hash()),
            block_number: Some(self.number()),
            gas_used: mined.gas_used,
            effective_gas_price: self.effective_gas_price(mined),
            blob_gas_used: None,
            blob_gas_price: None,
            from: mined.tx.signer(),
            to: mined.tx.to(),
            contract_address: mined.created,
        }
    }

    /// All logs of the block, in order.
    pub(crate) fn rpc_logs(&self, removed: bool) -> impl Iterator<Item = Log> {
        (0..).zip(&self.mined).flat_map(move |(index, mined)| self.rpc_logs_of(index, mined, removed))
    }

    fn rpc_logs_of(&self, index: u64, mined: &Mined, removed: bool) -> impl Iterator<Item = Log> {
        (mined.first_log..).zip(mined.receipt.logs()).map(move |(log_index, log)| Log {
            inner: log.clone(),
            block_hash: Some(self.hash()),
            block_number: Some(self.number()),
            block_timestamp: Some(self.timestamp()),
            transaction_hash: Some(mined.hash()),
            transaction_index: Some(index),
            log_index: Some(log_index),
            removed,
        })
    }

    fn effective_gas_price(&self, mined: &Mined) -> u128 {
        mined.tx.effective_gas_price(self.header.base_fee_per_gas)
    }
}

/// A transaction that waits, as JSON.
pub(crate) fn rpc_pending(tx: &Recovered<TxEnvelope>) -> Transaction {
    Transaction {
        inner: tx.clone(),
        block_hash: None,
        block_number: None,
        transaction_index: None,
        effective_gas_price: Some(tx.max_fee_per_gas()),
        block_timestamp: None,
    }
}

fn receipt_with_logs(mined: &Mined, logs: Vec<Log>) -> ReceiptEnvelope<Log> {
    let receipt = Receipt {
        status: mined.receipt.status().into(),
        cumulative_gas_used: mined.receipt.cumulative_gas_used(),
        logs,
    };
    let with_bloom = ReceiptWithBloom { receipt, logs_bloom: *mined.receipt.logs_bloom() };
    envelope(mined.tx.tx_type(), with_bloom)
}

/// The receipt in the envelope of the transaction's type. Types that the pool refuses do not get here.
pub(crate) fn envelope<T>(ty: TxType, receipt: ReceiptWithBloom<Receipt<T>>) -> ReceiptEnvelope<T> {
    match ty {
        TxType::Legacy => ReceiptEnvelope::Legacy(receipt),
        TxType::Eip2930 => ReceiptEnvelope::Eip2930(receipt),
        TxType::Eip1559 => ReceiptEnvelope::Eip1559(receipt),
        TxType::Eip4844 => ReceiptEnvelope::Eip4844(receipt),
        TxType::Eip7702 => ReceiptEnvelope::Eip7702(receipt),
    }
}
