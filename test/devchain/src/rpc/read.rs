// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `eth_` methods that only look.

use alloy::{
    consensus::{TxEnvelope, transaction::Recovered},
    eips::{BlockId, BlockNumberOrTag, eip2718::Encodable2718 as _},
    primitives::{Address, B256, TxHash},
    rpc::types::{Filter, Index, TransactionRequest},
    serde::JsonStorageKey,
};
use serde_json::Value;

use super::{Answer, Args, data, json, quantity};
use crate::{
    block::{Block, rpc_pending},
    call,
    chain::{Chain, Moment},
    error::RpcError,
    handle::DevChain,
};

/// How many slots one proof may be asked for.
const MAX_PROOF_SLOTS: usize = 1024;

pub(super) fn handle(chain: &DevChain, method: &str, params: &Value) -> Option<Answer> {
    state(chain, method, params)
        .or_else(|| blocks(chain, method, params))
        .or_else(|| transactions(chain, method, params))
        .or_else(|| constant(chain, method))
}

fn constant(chain: &DevChain, method: &str) -> Option<Answer> {
    Some(match method {
        "eth_chainId" => Ok(quantity(chain.chain_id())),
        "eth_accounts" => json(chain.accounts()),
        "eth_syncing" | "eth_mining" => Ok(false.into()),
        "eth_protocolVersion" => Ok(quantity(65)),
        "eth_hashrate" => Ok(quantity(0)),
        "eth_coinbase" => json(chain.read(|chain| chain.config.coinbase)),
        _ => return None,
    })
}

fn state(chain: &DevChain, method: &str, params: &Value) -> Option<Answer> {
    Some(match method {
        "eth_getBalance" => account(chain, params, |state, address| json(state.state.balance(address))),
        "eth_getCode" => account(chain, params, |state, address| json(state.state.code(address))),
        "eth_getTransactionCount" => transaction_count(chain, params),
        "eth_getStorageAt" => storage(chain, params),
        "eth_getProof" => proof(chain, params),
        "eth_call" => run_call(chain, params),
        "eth_estimateGas" => estimate(chain, params),
        _ => return None,
    })
}

/// The state at the block that the parameter at `index` names, out of the lock.
fn moment(chain: &DevChain, args: &Args<'_>, index: usize) -> Result<Moment, RpcError> {
    let id: BlockId = args.optional(index)?.unwrap_or_default();
    chain.read(|chain| chain.moment(id))
}

fn account(chain: &DevChain, params: &Value, look: impl FnOnce(&Moment, Address) -> Answer) -> Answer {
    let args = Args::new(params, 2)?;
    let address = args.required(0)?;
    look(&moment(chain, &args, 1)?, address)
}

fn transaction_count(chain: &DevChain, params: &Value) -> Answer {
    let args = Args::new(params, 2)?;
    let (address, id): (Address, Option<BlockId>) = (args.required(0)?, args.optional(1)?);
    if id == Some(BlockId::pending()) {
        // What waits counts, also what the next block has no room for.
        return Ok(quantity(
            chain.read(|chain| chain.pool.next_nonce(address, chain.head_state().nonce(address))),
        ));
    }
    Ok(quantity(moment(chain, &args, 1)?.state.nonce(address)))
}

fn storage(chain: &DevChain, params: &Value) -> Answer {
    let args = Args::new(params, 3)?;
    let (address, slot): (Address, JsonStorageKey) = (args.required(0)?, args.required(1)?);
    let value = moment(chain, &args, 2)?.state.slot(address, slot.as_b256().into());
    json(B256::from(value))
}

fn proof(chain: &DevChain, params: &Value) -> Answer {
    let args = Args::new(params, 3)?;
    let (address, slots): (Address, Vec<JsonStorageKey>) =
        (args.required(0)?, args.optional(1)?.unwrap_or_default());
    if slots.len() > MAX_PROOF_SLOTS {
        return Err(RpcError::params(format!("too many keys: {}, limit {MAX_PROOF_SLOTS}", slots.len())));
    }
    json(moment(chain, &args, 2)?.state.proof(address, &slots))
}

fn run_call(chain: &DevChain, params: &Value) -> Answer {
    let args = Args::new(params, 4)?;
    let request: TransactionRequest = args.required(0)?;
    refuse_overrides(&args)?;
    Ok(data(call::call(&moment(chain, &args, 1)?, &request)?))
}

/// Without a block named, gas is estimated for the next one, where the transaction will be.
fn estimate(chain: &DevChain, params: &Value) -> Answer {
    let args = Args::new(params, 4)?;
    let request: TransactionRequest = args.required(0)?;
    refuse_overrides(&args)?;
    let id: BlockId = args.optional(1)?.unwrap_or_else(BlockId::pending);
    let moment = chain.read(|chain| chain.moment(id))?;
    Ok(quantity(call::estimate(&moment, &request)?))
}

fn refuse_overrides(args: &Args<'_>) -> Result<(), RpcError> {
    for (index, what) in [(2, "state"), (3, "block")] {
        let overrides: Option<serde_json::Map<String, Value>> = args.optional(index)?;
        if overrides.is_some_and(|overrides| !overrides.is_empty()) {
            return Err(RpcError::params(format!("{what} overrides are not supported here")));
        }
    }
    Ok(())
}

fn blocks(chain: &DevChain, method: &str, params: &Value) -> Option<Answer> {
    Some(match method {
        "eth_blockNumber" => Ok(quantity(chain.read(Chain::height))),
        "eth_getBlockByNumber" | "eth_getBlockByHash" => block(chain, method, params),
        "eth_getHeaderByNumber" | "eth_getHeaderByHash" => {
            with_block(chain, method, params, 1, |block, _| json(block.rpc_header()))
        }
        "eth_getBlockTransactionCountByNumber" | "eth_getBlockTransactionCountByHash" => {
            with_block(chain, method, params, 1, |block, _| Ok(quantity(block.transactions().len() as u64)))
        }
        "eth_getUncleCountByBlockNumber" | "eth_getUncleCountByBlockHash" => {
            with_block(chain, method, params, 1, |_, _| Ok(quantity(0)))
        }
        "eth_getUncleByBlockNumberAndIndex" | "eth_getUncleByBlockHashAndIndex" => Ok(Value::Null),
        "eth_getBlockReceipts" => with_block(chain, method, params, 1, |block, _| {
            let receipts = (0..).zip(block.transactions()).map(|(index, tx)| block.rpc_receipt(index, tx));
            json(receipts.collect::<Vec<_>>())
        }),
        "eth_getTransactionByBlockNumberAndIndex" | "eth_getTransactionByBlockHashAndIndex" => {
            with_block(chain, method, params, 2, |block, args| {
                let index = args.required::<Index>(1)?.0;
                json(block.transactions().get(index).map(|tx| block.rpc_transaction(index as u64, tx)))
            })
        }
        "eth_getLogs" => logs(chain, params),
        _ => return None,
    })
}

fn block(chain: &DevChain, method: &str, params: &Value) -> Answer {
    with_block(chain, method, params, 2, |block, args| {
        json(block.rpc_block(args.optional(1)?.unwrap_or_default()))
    })
}

/// Answers about the block that the first parameter names; null when there is none.
fn with_block(
    chain: &DevChain,
    method: &str,
    params: &Value,
    limit: usize,
    answer: impl FnOnce(&Block, &Args<'_>) -> Answer,
) -> Answer {
    let args = Args::new(params, limit)?;
    let id = if method == "eth_getBlockReceipts" {
        args.required(0)?
    } else if method.contains("Hash") {
        BlockId::from(args.required::<B256>(0)?)
    } else {
        BlockId::from(args.required::<BlockNumberOrTag>(0)?)
    };
    if id == BlockId::pending() {
        return answer(&chain.read(Chain::preview).block, &args);
    }
    match chain.read(|chain| chain.find(id).map(|found| found.map(|entry| entry.block.clone())))? {
        Some(block) => answer(&block, &args),
        None => Ok(Value::Null),
    }
}

fn logs(chain: &DevChain, params: &Value) -> Answer {
    let filter: Filter = Args::new(params, 1)?.required(0)?;
    json(chain.read(|chain| chain.logs(&filter))?)
}

fn transactions(chain: &DevChain, method: &str, params: &Value) -> Option<Answer> {
    Some(match method {
        "eth_getTransactionByHash" => transaction(chain, params),
        "eth_getRawTransactionByHash" => raw_transaction(chain, params),
        "eth_getTransactionReceipt" => receipt(chain, params),
        _ => return None,
    })
}

fn transaction(chain: &DevChain, params: &Value) -> Answer {
    let hash: TxHash = Args::new(params, 1)?.required(0)?;
    json(chain.read(|chain| {
        let mined = chain.mined(&hash).map(|(block, index, tx)| block.rpc_transaction(index, tx));
        mined.or_else(|| chain.pool.find(&hash).map(rpc_pending))
    }))
}

fn raw_transaction(chain: &DevChain, params: &Value) -> Answer {
    let hash: TxHash = Args::new(params, 1)?.required(0)?;
    let raw = |tx: &Recovered<TxEnvelope>| tx.encoded_2718();
    let found = chain.read(|chain| {
        chain.mined(&hash).map(|(_, _, mined)| raw(&mined.tx)).or_else(|| chain.pool.find(&hash).map(raw))
    });
    Ok(found.map_or(Value::Null, data))
}

fn receipt(chain: &DevChain, params: &Value) -> Answer {
    let hash: TxHash = Args::new(params, 1)?.required(0)?;
    json(chain.read(|chain| chain.mined(&hash).map(|(block, index, tx)| block.rpc_receipt(index, tx))))
}
