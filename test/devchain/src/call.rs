// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `eth_call` and `eth_estimateGas`, at any moment of the chain.

use alloy::{
    consensus::constants::KECCAK_EMPTY,
    primitives::{Bytes, TxKind, U256},
    rpc::types::TransactionRequest,
};
use revm::context::{
    BlockEnv, TxEnv,
    result::{EVMError, ExecutionResult, HaltReason, InvalidTransaction},
};

use crate::{chain::Moment, error::RpcError, evm, state::View};

/// Gas of a plain transfer.
const TRANSFER_GAS: u64 = 21_000;

/// Gas a call that moves value hands to its callee for free.
const CALL_STIPEND: u64 = 2_300;

/// Runs a call and answers what it returned.
pub(crate) fn call(moment: &Moment, request: &TransactionRequest) -> Result<Bytes, RpcError> {
    let (block, tx) = environment(moment, request)?;
    let result = run(moment, &block, &tx).map_err(|error| evm::refusal(error, &tx, &block))?;
    match evm::failure(&result) {
        None => Ok(result.into_output().unwrap_or_default()),
        Some(error) => Err(error),
    }
}

/// The least gas limit, to within 1.5 %, with which the call succeeds. The search is geth's: it accounts for the
/// 63/64 rule because each guess is tried.
pub(crate) fn estimate(moment: &Moment, request: &TransactionRequest) -> Result<u64, RpcError> {
    let (block, mut tx) = environment(moment, request)?;
    let mut high = match request.gas {
        Some(gas) if gas >= TRANSFER_GAS => gas.min(block.gas_limit),
        _ => block.gas_limit,
    };
    if tx.gas_price > 0 {
        high = high.min(affordable(moment, &tx)?);
    }
    let mut attempt = |gas: u64| {
        tx.gas_limit = gas;
        try_with(moment, &block, &tx)
    };
    if is_transfer(moment, request) && matches!(attempt(TRANSFER_GAS)?, Attempt::Enough { .. }) {
        return Ok(TRANSFER_GAS);
    }
    let (used, refunded) = match attempt(high)? {
        Attempt::Enough { used, refunded } => (used, refunded),
        Attempt::TooLittle => {
            return Err(RpcError::server(format!("gas required exceeds allowance ({high})")));
        }
        Attempt::Failed(error) => return Err(error),
    };
    let mut low = used.saturating_sub(1);
    let optimistic = (used + refunded + CALL_STIPEND).saturating_mul(64) / 63;
    if optimistic < high {
        narrow(&mut low, &mut high, optimistic, attempt(optimistic)?);
    }
    while low + 1 < high && (high - low) * 1000 > high * 15 {
        let middle = (low + (high - low) / 2).min(low.saturating_mul(2));
        narrow(&mut low, &mut high, middle, attempt(middle)?);
    }
    Ok(high)
}

/// What one guess at a gas limit came to.
enum Attempt {
    Enough { used: u64, refunded: u64 },
    TooLittle,
    Failed(RpcError),
}

fn narrow(low: &mut u64, high: &mut u64, guess: u64, outcome: Attempt) {
    match outcome {
        Attempt::Enough { .. } => *high = guess,
        // A revert may itself be for want of gas, as one level further down ran out.
        Attempt::TooLittle | Attempt::Failed(_) => *low = guess,
    }
}

fn try_with(moment: &Moment, block: &BlockEnv, tx: &TxEnv) -> Result<Attempt, RpcError> {
    match run(moment, block, tx) {
        Ok(ExecutionResult::Success { gas, .. }) => {
            Ok(Attempt::Enough { used: gas.tx_gas_used(), refunded: gas.inner_refunded() })
        }
        Ok(ExecutionResult::Halt { reason: HaltReason::OutOfGas(_), .. })
        | Err(EVMError::Transaction(InvalidTransaction::CallGasCostMoreThanGasLimit { .. })) => {
            Ok(Attempt::TooLittle)
        }
        Ok(result) => Ok(evm::failure(&result).map_or(Attempt::TooLittle, Attempt::Failed)),
        Err(error) => Err(evm::refusal(error, tx, block)),
    }
}

/// The gas that the sender's balance pays for.
fn affordable(moment: &Moment, tx: &TxEnv) -> Result<u64, RpcError> {
    let available = moment
        .state
        .balance(tx.caller)
        .checked_sub(tx.value)
        .ok_or_else(|| RpcError::server("insufficient funds for transfer"))?;
    let gas = available.checked_div(U256::from(tx.gas_price)).unwrap_or(U256::MAX);
    Ok(u64::try_from(gas).unwrap_or(u64::MAX))
}

fn is_transfer(moment: &Moment, request: &TransactionRequest) -> bool {
    let data = request.input.input().is_none_or(|data| data.is_empty());
    match request.to {
        Some(TxKind::Call(to)) if data => moment.state.code_hash(to).is_none_or(|hash| hash == KECCAK_EMPTY),
        _ => false,
    }
}

fn run(
    moment: &Moment,
    block: &BlockEnv,
    tx: &TxEnv,
) -> Result<ExecutionResult, EVMError<std::convert::Infallible>> {
    let view = View { state: &moment.state, ancestors: &moment.ancestors };
    evm::call(view, moment.chain_id, block.clone(), tx.clone())
}

/// Refuses what Cancun without blobs does not have, instead of leaving it out silently.
pub(crate) fn refuse_unsupported(request: &TransactionRequest, chain_id: u64) -> Result<(), RpcError> {
    let refuse = |message: String| Err(RpcError::params(message));
    if request.sidecar.is_some()
        || request.blob_versioned_hashes.is_some()
        || request.max_fee_per_blob_gas.is_some()
        || request.authorization_list.is_some()
        || request.transaction_type.is_some_and(|ty| ty > 2)
    {
        return refuse("transaction type not supported: no blobs and no authorizations here".to_owned());
    }
    if let Some(have) = request.chain_id.filter(|id| *id != chain_id) {
        return refuse(format!("chainId does not match node's (have={have}, want={chain_id})"));
    }
    let dynamic = request.max_fee_per_gas.is_some() || request.max_priority_fee_per_gas.is_some();
    if request.gas_price.is_some() && dynamic {
        return refuse("both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified".to_owned());
    }
    if let (Some(data), Some(input)) = (&request.input.data, &request.input.input)
        && data != input
    {
        return refuse(r#"both "data" and "input" are set and not equal"#.to_owned());
    }
    Ok(())
}

fn environment(moment: &Moment, request: &TransactionRequest) -> Result<(BlockEnv, TxEnv), RpcError> {
    refuse_unsupported(request, moment.chain_id)?;
    let block = evm::block_env(&moment.header);
    let caller = request.from.unwrap_or_default();
    let dynamic = request.max_fee_per_gas.is_some() || request.max_priority_fee_per_gas.is_some();
    let tip = request.max_priority_fee_per_gas;
    let tx = TxEnv {
        tx_type: if dynamic { 2 } else { u8::from(request.access_list.is_some()) },
        caller,
        gas_limit: request.gas.unwrap_or(block.gas_limit).min(block.gas_limit),
        gas_price: request.max_fee_per_gas.or(request.gas_price).or(tip).unwrap_or_default(),
        kind: request.to.unwrap_or(TxKind::Create),
        value: request.value.unwrap_or_default(),
        data: request.input.input().cloned().unwrap_or_default(),
        nonce: moment.state.nonce(caller),
        chain_id: Some(moment.chain_id),
        access_list: request.access_list.clone().unwrap_or_default(),
        gas_priority_fee: dynamic.then(|| tip.unwrap_or_default()),
        ..TxEnv::default()
    };
    Ok((block, tx))
}
