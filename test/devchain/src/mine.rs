// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How transactions get into the pool, and from there into blocks.

use std::sync::Arc;

use alloy::{
    consensus::{
        Transaction as _, TxEnvelope, TxType, Typed2718 as _,
        transaction::{Recovered, SignerRecoverable as _},
    },
    eips::eip2718::Decodable2718 as _,
    primitives::{TxHash, U256},
    rpc::types::TransactionRequest,
    signers::SignerSync as _,
};

use crate::{
    build::Built,
    call,
    chain::{Chain, Change, Entry},
    config::{BaseFee, Mining},
    error::RpcError,
    evm,
    state::State,
};

/// The largest raw transaction taken, which is geth's limit too.
const MAX_TRANSACTION: usize = 128 * 1024;

/// The priority fee suggested and used where a sender names none, in wei.
pub(crate) const SUGGESTED_TIP: u128 = 1_000_000_000;

/// A transaction with its signature checked.
pub(crate) type Signed = Recovered<TxEnvelope>;

/// Decodes a raw transaction and recovers who signed it.
pub(crate) fn decode(raw: &[u8]) -> Result<Recovered<TxEnvelope>, RpcError> {
    if raw.len() > MAX_TRANSACTION {
        return Err(RpcError::server(format!(
            "oversized data: transaction size {}, limit {MAX_TRANSACTION}",
            raw.len()
        )));
    }
    let mut rest = raw;
    let tx = TxEnvelope::decode_2718(&mut rest)
        .map_err(|error| RpcError::params(format!("the raw transaction does not decode: {error}")))?;
    if !rest.is_empty() {
        return Err(RpcError::params("the raw transaction has bytes after its end"));
    }
    let sender = tx.recover_signer().map_err(|_| RpcError::server("invalid sender"))?;
    Ok(Recovered::new_unchecked(tx, sender))
}

impl Chain {
    /// Takes a signed transaction in, and with automine also into a block.
    pub(crate) fn submit(&mut self, tx: Recovered<TxEnvelope>) -> Result<TxHash, RpcError> {
        let hash = *tx.tx_hash();
        self.check(&tx)?;
        self.pool.add(tx)?;
        self.journal.push(Change::Pending(hash));
        if self.mining == Mining::Auto {
            let refused = self.mine_waiting();
            if let Some((_, error)) = refused.into_iter().find(|(refused, _)| *refused == hash) {
                return Err(error);
            }
        }
        Ok(hash)
    }

    /// What can be said against a transaction before it is executed.
    fn check(&self, tx: &Recovered<TxEnvelope>) -> Result<(), RpcError> {
        let (sender, state) = (tx.signer(), self.head_state());
        let refuse = |message: String| Err(RpcError::server(message));
        if matches!(tx.tx_type(), TxType::Eip4844 | TxType::Eip7702) {
            return refuse(format!("transaction type not supported: {}", tx.ty()));
        }
        if let Some(have) = tx.chain_id().filter(|id| *id != self.config.chain_id) {
            return refuse(format!("invalid chain id for signer: have {have} want {}", self.config.chain_id));
        }
        let (nonce, expected) = (tx.nonce(), state.nonce(sender));
        if nonce < expected {
            return refuse(format!("nonce too low: address {sender}, tx: {nonce} state: {expected}"));
        }
        if nonce == u64::MAX {
            return refuse("nonce has max value".to_owned());
        }
        if tx.gas_limit() > self.config.gas_limit {
            return refuse("exceeds block gas limit".to_owned());
        }
        let intrinsic = evm::intrinsic_gas(tx, sender);
        if tx.gas_limit() < intrinsic {
            return refuse(format!(
                "intrinsic gas too low: gas {}, minimum needed {intrinsic}",
                tx.gas_limit()
            ));
        }
        self.check_fees(tx, &state)
    }

    fn check_fees(&self, tx: &Recovered<TxEnvelope>, state: &State) -> Result<(), RpcError> {
        let (sender, price) = (tx.signer(), tx.max_fee_per_gas());
        if let Some(tip) = tx.max_priority_fee_per_gas().filter(|tip| *tip > price) {
            return Err(RpcError::server(format!(
                "max priority fee per gas higher than max fee per gas: address {sender}, \
                 maxPriorityFeePerGas: {tip}, maxFeePerGas: {price}"
            )));
        }
        // Where the base fee never falls, a transaction below it would wait for ever.
        if let BaseFee::Constant(base_fee) = self.config.base_fee
            && price < u128::from(base_fee)
        {
            return Err(RpcError::server(format!(
                "max fee per gas less than block base fee: address {sender}, maxFeePerGas: {price}, \
                 baseFee: {base_fee}"
            )));
        }
        let gas = U256::from(tx.gas_limit()).saturating_mul(U256::from(price));
        let (want, have) = (gas.saturating_add(tx.value()), state.balance(sender));
        if have < want {
            return Err(RpcError::server(format!(
                "insufficient funds for gas * price + value: address {sender} have {have} want {want}"
            )));
        }
        Ok(())
    }

    /// Makes blocks until no waiting transaction can be in one; none when there is nothing to put in.
    fn mine_waiting(&mut self) -> Vec<(TxHash, RpcError)> {
        let mut refused = Vec::new();
        while !self.pool.is_empty() {
            let built = self.preview();
            let empty = built.block.transactions().is_empty();
            refused.extend(built.refused.iter().cloned());
            if empty {
                built.refused.iter().for_each(|(hash, _)| {
                    self.pool.remove(hash);
                });
                break;
            }
            self.adopt(built);
        }
        refused
    }

    /// Makes one block of what waits, empty or not.
    pub(crate) fn mine(&mut self) {
        let built = self.preview();
        self.adopt(built);
    }

    /// Makes a block that was just previewed the head.
    fn adopt(&mut self, built: Built) {
        self.time.advance(&self.config.clock, self.head().block.timestamp());
        for (hash, _) in &built.refused {
            self.pool.remove(hash);
        }
        self.push(Entry { block: Arc::new(built.block), state: Some(built.state) });
        let state = self.head_state();
        self.pool.prune(|sender| state.nonce(sender));
    }

    /// Signs a dev account's request; what it leaves open is filled in from `state`.
    pub(crate) fn sign(
        &self,
        mut request: TransactionRequest,
        nonce: impl FnOnce(&State) -> u64,
        state: &State,
    ) -> Result<Recovered<TxEnvelope>, RpcError> {
        let from = request.from.ok_or_else(|| RpcError::params("a transaction to sign needs `from`"))?;
        let signer = self.signers.get(&from).ok_or_else(|| {
            RpcError::server(format!("unknown account {from}: only the chain's own accounts can sign here"))
        })?;
        call::refuse_unsupported(&request, self.config.chain_id)?;
        request.nonce.get_or_insert_with(|| nonce(state));
        request.chain_id = Some(self.config.chain_id);
        request.to.get_or_insert_default();
        if request.gas_price.is_none() {
            let base_fee = u128::from(self.head().block.header().base_fee_per_gas.unwrap_or_default());
            let tip = *request.max_priority_fee_per_gas.get_or_insert(SUGGESTED_TIP);
            request.max_fee_per_gas.get_or_insert(base_fee.saturating_mul(2).saturating_add(tip));
        }
        if request.gas.is_none() {
            request.gas = Some(call::estimate(&self.pending_moment(), &request)?);
        }
        let typed =
            request.build_typed_tx().map_err(|_| RpcError::params("the transaction is incomplete"))?;
        let signature = signer
            .sign_hash_sync(&typed_hash(&typed))
            .map_err(|error| RpcError::server(format!("signing failed: {error}")))?;
        Ok(Recovered::new_unchecked(typed.into_envelope(signature), from))
    }
}

fn typed_hash(tx: &alloy::consensus::TypedTransaction) -> alloy::primitives::B256 {
    use alloy::consensus::SignableTransaction as _;
    tx.signature_hash()
}
