// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One transaction or call in revm, under the rules of Cancun.

use std::{convert::Infallible, marker::PhantomData};

use alloy::{
    consensus::{Header, Transaction as _, TxEnvelope, Typed2718 as _},
    primitives::{Address, U256},
    sol_types::{Panic, Revert, SolError},
};
use revm::{
    Context, ExecuteEvm, MainBuilder, MainContext,
    context::{
        BlockEnv, ContextSetters, ContextTr, JournalTr, TxEnv,
        result::{EVMError, ExecutionResult, HaltReason, InvalidTransaction, OutOfGasError, ResultAndState},
    },
    context_interface::{
        cfg::{gas::InitialAndFloorGas, gas_params::GasParams},
        journaled_state::account::JournaledAccountTr,
        transaction::Transaction as _,
    },
    database_interface::WrapDatabaseRef,
    handler::{
        EvmTr, FrameResult, FrameTr, Handler, handler::EvmTrError, pre_execution::calculate_caller_fee,
    },
    interpreter::interpreter_action::FrameInit,
    primitives::hardfork::SpecId,
    state::EvmState,
};

use crate::{error::RpcError, state::View};

type Failure = EVMError<Infallible>;

macro_rules! evm {
    ($view:expr, $chain_id:expr, $block:expr) => {
        Context::mainnet()
            .with_db(WrapDatabaseRef($view))
            .with_block($block)
            .modify_cfg_chained(|cfg| {
                cfg.set_spec_and_mainnet_gas_params(SpecId::CANCUN);
                cfg.chain_id = $chain_id;
            })
            .build_mainnet()
    };
}

/// Runs a signed transaction. Nothing is written: the caller applies the state.
pub(crate) fn transact(
    view: View<'_>,
    chain_id: u64,
    block: BlockEnv,
    tx: TxEnv,
) -> Result<ResultAndState, Failure> {
    // revm's Evm is not Send, so it lives for one transaction.
    evm!(view, chain_id, block).transact(tx)
}

/// Runs a call that nobody signed: the sender may be a contract and its nonce is not looked at.
pub(crate) fn call(
    view: View<'_>,
    chain_id: u64,
    mut block: BlockEnv,
    tx: TxEnv,
) -> Result<ExecutionResult, Failure> {
    if tx.gas_price == 0 {
        // As geth does: a call that pays nothing sees no base fee.
        block.basefee = 0;
    }
    let mut evm = evm!(view, chain_id, block);
    evm.ctx.set_tx(tx);
    CallHandler::<_, Failure, _>(PhantomData).run(&mut evm)
}

struct CallHandler<EVM, ERROR, FRAME>(PhantomData<(EVM, ERROR, FRAME)>);

impl<EVM, ERROR, FRAME> Handler for CallHandler<EVM, ERROR, FRAME>
where
    EVM: EvmTr<Context: ContextTr<Journal: JournalTr<State = EvmState>>, Frame = FRAME>,
    ERROR: EvmTrError<EVM>,
    FRAME: FrameTr<FrameResult = FrameResult, FrameInit = FrameInit>,
{
    type Evm = EVM;
    type Error = ERROR;
    type HaltReason = HaltReason;

    fn validate_against_state_and_deduct_caller(
        &self,
        evm: &mut EVM,
        _gas: &mut InitialAndFloorGas,
    ) -> Result<(), ERROR> {
        let (block, tx, cfg, journal, _, _) = evm.ctx().all_mut();
        let mut caller = journal.load_account_with_code_mut(tx.caller())?.data;
        let balance = calculate_caller_fee(*caller.balance(), tx, block, cfg)?;
        caller.set_balance(balance);
        if tx.kind().is_call() {
            caller.bump_nonce();
        }
        Ok(())
    }
}

/// The block as revm sees it.
pub(crate) fn block_env(header: &Header) -> BlockEnv {
    BlockEnv {
        number: U256::from(header.number),
        beneficiary: header.beneficiary,
        timestamp: U256::from(header.timestamp),
        gas_limit: header.gas_limit,
        basefee: header.base_fee_per_gas.unwrap_or_default(),
        prevrandao: Some(header.mix_hash),
        ..BlockEnv::default()
    }
}

/// A signed transaction as revm sees it.
pub(crate) fn tx_env(tx: &TxEnvelope, sender: Address) -> TxEnv {
    TxEnv {
        tx_type: tx.ty(),
        caller: sender,
        gas_limit: tx.gas_limit(),
        gas_price: tx.max_fee_per_gas(),
        kind: tx.kind(),
        value: tx.value(),
        data: tx.input().clone(),
        nonce: tx.nonce(),
        chain_id: tx.chain_id(),
        access_list: tx.access_list().cloned().unwrap_or_default(),
        gas_priority_fee: tx.max_priority_fee_per_gas(),
        ..TxEnv::default()
    }
}

/// The gas that a transaction costs before its first instruction.
pub(crate) fn intrinsic_gas(tx: &TxEnvelope, sender: Address) -> u64 {
    GasParams::new_spec(SpecId::CANCUN).initial_tx_gas_for_tx(tx_env(tx, sender), None).initial_total_gas()
}

/// What a failed execution says to the caller; `None` when it succeeded.
pub(crate) fn failure(result: &ExecutionResult) -> Option<RpcError> {
    match result {
        ExecutionResult::Success { .. } => None,
        ExecutionResult::Revert { output, .. } => Some(RpcError::revert(revert_text(output), output.clone())),
        ExecutionResult::Halt { reason, .. } => Some(RpcError::server(halt_text(reason))),
    }
}

fn revert_text(output: &[u8]) -> String {
    let reason = Revert::abi_decode(output)
        .map(|revert| revert.reason)
        .or_else(|_| Panic::abi_decode(output).map(|panic| panic.to_string()));
    match reason {
        Ok(reason) => format!("execution reverted: {reason}"),
        Err(_) => "execution reverted".to_owned(),
    }
}

fn halt_text(reason: &HaltReason) -> String {
    match reason {
        HaltReason::OutOfGas(OutOfGasError::Basic) => "out of gas".to_owned(),
        HaltReason::OutOfGas(error) => format!("out of gas: {error}"),
        HaltReason::OpcodeNotFound => "invalid opcode".to_owned(),
        HaltReason::InvalidFEOpcode => "invalid opcode: INVALID".to_owned(),
        HaltReason::InvalidJump => "invalid jump destination".to_owned(),
        HaltReason::CreateContractSizeLimit => "max code size exceeded".to_owned(),
        other => other.to_string(),
    }
}

/// Why a transaction cannot be in the next block, in geth's words where geth has some.
pub(crate) fn refusal(error: Failure, tx: &TxEnv, block: &BlockEnv) -> RpcError {
    let reason = match error {
        EVMError::Transaction(reason) => reason,
        other => return RpcError::server(other.to_string()),
    };
    let who = tx.caller;
    RpcError::server(match reason {
        InvalidTransaction::NonceTooLow { tx, state } => {
            format!("nonce too low: address {who}, tx: {tx} state: {state}")
        }
        InvalidTransaction::NonceTooHigh { tx, state } => {
            format!("nonce too high: address {who}, tx: {tx} state: {state}")
        }
        InvalidTransaction::LackOfFundForMaxFee { fee, balance } => {
            format!("insufficient funds for gas * price + value: address {who} have {balance} want {fee}")
        }
        InvalidTransaction::CallGasCostMoreThanGasLimit { initial_gas, gas_limit } => {
            format!("intrinsic gas too low: have {gas_limit}, want {initial_gas}")
        }
        InvalidTransaction::CallerGasLimitMoreThanBlock => "exceeds block gas limit".to_owned(),
        InvalidTransaction::GasPriceLessThanBasefee => format!(
            "max fee per gas less than block base fee: address {who}, maxFeePerGas: {}, baseFee: {}",
            tx.gas_price, block.basefee
        ),
        InvalidTransaction::PriorityFeeGreaterThanMaxFee => format!(
            "max priority fee per gas higher than max fee per gas: address {who}, maxPriorityFeePerGas: {}, \
             maxFeePerGas: {}",
            tx.gas_priority_fee.unwrap_or_default(),
            tx.gas_price
        ),
        InvalidTransaction::RejectCallerWithCode => format!("sender not an eoa: address {who}"),
        InvalidTransaction::CreateInitCodeSizeLimit => {
            format!("max initcode size exceeded: code size {} limit 49152", tx.data.len())
        }
        InvalidTransaction::InvalidChainId => "invalid chain id for signer".to_owned(),
        other => other.to_string(),
    })
}
