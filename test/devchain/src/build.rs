// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Making a block: executing transactions on the parent's state and sealing the header.

use alloy::{
    consensus::{
        EMPTY_OMMER_ROOT_HASH, Header, Receipt, ReceiptEnvelope, ReceiptWithBloom, Transaction as _,
        TxEnvelope,
        constants::EMPTY_WITHDRAWALS,
        proofs::{calculate_receipt_root, calculate_transaction_root},
        transaction::Recovered,
    },
    eips::eip1559::{BaseFeeParams, calc_next_block_base_fee},
    primitives::{B256, Bloom, Bytes, TxHash, keccak256, logs_bloom},
};
use revm::context::result::{EVMError, InvalidTransaction};

use crate::{
    block::{Block, Mined, envelope},
    config::{BaseFee, Config},
    error::RpcError,
    evm,
    state::{Ancestors, State, View},
};

/// Where a block goes: its parent and what it may not choose.
#[derive(Debug)]
pub(crate) struct Site<'a> {
    pub(crate) config: &'a Config,
    pub(crate) parent: &'a Header,
    pub(crate) parent_hash: B256,
    pub(crate) state: &'a State,
    pub(crate) ancestors: &'a Ancestors,
    pub(crate) timestamp: u64,
    /// Written to the header, so that two branches never make the same block.
    pub(crate) extra_data: Bytes,
}

/// A block with the state after it, and the transactions that can never be in one.
#[derive(Debug)]
pub(crate) struct Built {
    pub(crate) block: Block,
    pub(crate) state: State,
    pub(crate) refused: Vec<(TxHash, RpcError)>,
}

/// Whether a transaction went in.
enum Step {
    Included,
    /// It cannot be in this block but may be in a later one.
    Later,
    Refused(RpcError),
}

struct Builder<'a> {
    site: &'a Site<'a>,
    header: Header,
    state: State,
    mined: Vec<Mined>,
    gas_used: u64,
    logs: u64,
}

/// The header of block 0 over `state`.
pub(crate) fn genesis(config: &Config, state: &State, timestamp: u64) -> Block {
    let base_fee = match config.base_fee {
        BaseFee::Constant(fee) | BaseFee::Eip1559(fee) => fee,
    };
    let header = Header {
        beneficiary: config.coinbase,
        gas_limit: config.gas_limit,
        timestamp,
        base_fee_per_gas: Some(base_fee),
        state_root: state.root(),
        ..post_cancun()
    };
    Block::seal(header, Vec::new())
}

/// The header that a block at `site` will have, before anything is executed.
pub(crate) fn header_at(site: &Site<'_>) -> Header {
    let parent = site.parent;
    let inherited = parent.base_fee_per_gas.unwrap_or_default();
    let base_fee = match site.config.base_fee {
        BaseFee::Constant(fee) => fee,
        BaseFee::Eip1559(_) => {
            calc_next_block_base_fee(parent.gas_used, parent.gas_limit, inherited, BaseFeeParams::ethereum())
        }
    };
    let number = parent.number + 1;
    Header {
        parent_hash: site.parent_hash,
        beneficiary: site.config.coinbase,
        number,
        gas_limit: site.config.gas_limit,
        timestamp: site.timestamp,
        // No beacon chain is behind this one: a hash that changes from block to block stands for its randomness.
        mix_hash: keccak256([site.parent_hash.as_slice(), &number.to_be_bytes()].concat()),
        base_fee_per_gas: Some(base_fee),
        extra_data: site.extra_data.clone(),
        ..post_cancun()
    }
}

fn post_cancun() -> Header {
    Header {
        ommers_hash: EMPTY_OMMER_ROOT_HASH,
        withdrawals_root: Some(EMPTY_WITHDRAWALS),
        blob_gas_used: Some(0),
        excess_blob_gas: Some(0),
        parent_beacon_block_root: Some(B256::ZERO),
        ..Header::default()
    }
}

/// Builds a block of as many of `candidates` as can be in it, earlier ones first.
pub(crate) fn build(site: &Site<'_>, candidates: Vec<Recovered<TxEnvelope>>) -> Built {
    let mut builder = Builder {
        site,
        header: header_at(site),
        state: site.state.clone(),
        mined: Vec::new(),
        gas_used: 0,
        logs: 0,
    };
    let refused = builder.include_all(candidates);
    builder.seal(refused)
}

impl Builder<'_> {
    /// Goes over the candidates until none moves: including one can make room for its sender's next nonce.
    fn include_all(&mut self, mut candidates: Vec<Recovered<TxEnvelope>>) -> Vec<(TxHash, RpcError)> {
        let mut refused = Vec::new();
        loop {
            let before = candidates.len();
            candidates.retain(|tx| match self.include(tx) {
                Step::Included => false,
                Step::Later => true,
                Step::Refused(error) => {
                    refused.push((*tx.tx_hash(), error));
                    false
                }
            });
            if candidates.is_empty() || candidates.len() == before {
                return refused;
            }
        }
    }

    fn include(&mut self, tx: &Recovered<TxEnvelope>) -> Step {
        if self.gas_used.saturating_add(tx.gas_limit()) > self.header.gas_limit
            || tx.nonce() > self.state.nonce(tx.signer())
        {
            return Step::Later;
        }
        let view = View { state: &self.state, ancestors: self.site.ancestors };
        let (env, block) = (evm::tx_env(tx, tx.signer()), evm::block_env(&self.header));
        let executed = evm::transact(view, self.site.config.chain_id, block.clone(), env.clone());
        let executed = match executed {
            Ok(executed) => executed,
            Err(EVMError::Transaction(InvalidTransaction::GasPriceLessThanBasefee))
                if self.fee_may_fall() =>
            {
                return Step::Later;
            }
            Err(error) => return Step::Refused(evm::refusal(error, &env, &block)),
        };
        let gas_used = executed.result.tx_gas_used();
        self.gas_used += gas_used;
        let created = executed.result.created_address();
        let status = executed.result.is_success();
        // A transaction that failed leaves no logs, whatever it emitted on its way.
        let logs = if status { executed.result.into_logs() } else { Vec::new() };
        let first_log = self.logs;
        self.logs += logs.len() as u64;
        let logs_bloom = logs_bloom(&logs);
        let receipt = Receipt { status: status.into(), cumulative_gas_used: self.gas_used, logs };
        let receipt = envelope(tx.tx_type(), ReceiptWithBloom { receipt, logs_bloom });
        self.state.apply(executed.state);
        self.mined.push(Mined { tx: tx.clone(), receipt, gas_used, created, first_log });
        Step::Included
    }

    fn fee_may_fall(&self) -> bool {
        matches!(self.site.config.base_fee, BaseFee::Eip1559(_))
    }

    fn seal(mut self, refused: Vec<(TxHash, RpcError)>) -> Built {
        let transactions: Vec<&TxEnvelope> = self.mined.iter().map(|mined| mined.tx.inner()).collect();
        let receipts: Vec<&ReceiptEnvelope> = self.mined.iter().map(|mined| &mined.receipt).collect();
        self.header.transactions_root = calculate_transaction_root(&transactions);
        self.header.receipts_root = calculate_receipt_root(&receipts);
        self.header.logs_bloom = receipts.iter().fold(Bloom::ZERO, |all, one| all | *one.logs_bloom());
        self.header.gas_used = self.gas_used;
        self.header.state_root = self.state.root();
        Built { block: Block::seal(self.header, self.mined), state: self.state, refused }
    }
}
