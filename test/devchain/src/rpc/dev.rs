// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Methods that only a development chain has: time, mining, reorgs. Names and forms are anvil's where it has them.

use std::time::Duration;

use alloy::{
    primitives::{B256, Bytes},
    rpc::types::TransactionRequest,
};
use serde::Deserialize;
use serde_json::{Value, json as object};

use super::{Answer, Args, json, number, quantity};
use crate::{
    block::Block, chain::Chain, config::Mining, error::RpcError, handle::DevChain, reorg::Replacement,
};

/// How many blocks one request may mine.
const MAX_MINED: u64 = 100_000;

pub(super) fn handle(chain: &DevChain, method: &str, params: &Value) -> Option<Answer> {
    let (_, name) = method.split_once('_')?;
    Some(match (method, name) {
        ("evm_mine", _) => evm_mine(chain, params),
        // anvil answers nothing and alloy insists on that.
        ("anvil_reorg", _) => reorg(chain, params).map(|_| Value::Null),
        ("mandate_reorg" | "dev_reorg", _) => reorg(chain, params),
        ("anvil_rollback" | "mandate_rollback", _) => rollback(chain, params),
        ("txpool_status", _) => Ok(chain.read(status)),
        (_, "mine") => mine(chain, params),
        (_, "increaseTime") => {
            with_number(params, |seconds| Ok(chain.write(|chain| chain.time.increase(seconds)).into()))
        }
        (_, "setNextBlockTimestamp") => with_number(params, |timestamp| {
            chain.write(|chain| chain.time.set_next(chain.head().block.timestamp(), timestamp))?;
            Ok(Value::Null)
        }),
        (_, "setTime") => with_number(params, |timestamp| {
            Ok(chain.write(|chain| chain.time.set(&chain.config.clock, timestamp)).into())
        }),
        (_, "setBlockTimestampInterval") => with_number(params, |seconds| {
            chain.write(|chain| chain.time.set_interval(Some(seconds)));
            Ok(Value::Null)
        }),
        (_, "removeBlockTimestampInterval") => {
            chain.write(|chain| chain.time.set_interval(None));
            Ok(true.into())
        }
        (_, "snapshot") => Ok(quantity(chain.snapshot())),
        (_, "revert") => with_number(params, |id| Ok(chain.revert(id).into())),
        (_, "setAutomine") => set_automine(chain, params),
        (_, "getAutomine") => Ok(chain.read(|chain| chain.mining == Mining::Auto).into()),
        (_, "setIntervalMining") => set_interval(chain, params),
        (_, "dropTransaction") => drop_transaction(chain, params),
        (_, "dropAllTransactions") => {
            chain.write(|chain| chain.pool.clear());
            Ok(Value::Null)
        }
        (_, "nodeInfo") => Ok(chain.read(info)),
        _ => return None,
    })
}

fn with_number(params: &Value, act: impl FnOnce(u64) -> Answer) -> Answer {
    let number = Args::new(params, 1)?.number(0)?;
    act(number.ok_or_else(|| RpcError::params("missing value for required argument 0"))?)
}

fn mine_some(chain: &DevChain, blocks: u64, interval: Option<u64>) -> Result<(), RpcError> {
    if blocks > MAX_MINED {
        return Err(RpcError::params(format!("too many blocks at once: {blocks}, limit {MAX_MINED}")));
    }
    for made in 0..blocks {
        chain.write(|chain| {
            // The distance is between these blocks, not before the first.
            if let Some(seconds) = interval.filter(|_| made > 0) {
                let parent = chain.head().block.timestamp();
                let next = parent.saturating_add(seconds.max(1));
                chain.time.set_next(parent, next)?;
            }
            chain.mine();
            Ok(())
        })?;
    }
    Ok(())
}

/// `anvil_mine(blocks, seconds between them)`.
fn mine(chain: &DevChain, params: &Value) -> Answer {
    let args = Args::new(params, 2)?;
    mine_some(chain, args.number(0)?.unwrap_or(1), args.number(1)?)?;
    Ok(Value::Null)
}

/// `evm_mine(timestamp or {timestamp, blocks})`.
fn evm_mine(chain: &DevChain, params: &Value) -> Answer {
    let options: Value = Args::new(params, 1)?.optional(0)?.unwrap_or_default();
    let field = |name: &str| match options.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => number(value)
            .map(Some)
            .ok_or_else(|| RpcError::params(format!("invalid argument 0: {name} is not a number"))),
    };
    let (timestamp, blocks) = match &options {
        Value::Null => (None, None),
        Value::Object(_) => (field("timestamp")?, field("blocks")?),
        plain => {
            let timestamp = number(plain);
            (Some(timestamp.ok_or_else(|| RpcError::params("invalid argument 0: not a timestamp"))?), None)
        }
    };
    if let Some(timestamp) = timestamp {
        chain.write(|chain| chain.time.set_next(chain.head().block.timestamp(), timestamp))?;
    }
    mine_some(chain, blocks.unwrap_or(1), None)?;
    Ok(quantity(0))
}

fn set_automine(chain: &DevChain, params: &Value) -> Answer {
    let on: bool = Args::new(params, 1)?.required(0)?;
    let mining = match (on, chain.read(|chain| chain.mining)) {
        (true, _) => Mining::Auto,
        (false, Mining::Auto) => Mining::Manual,
        (false, other) => other,
    };
    set_mining(chain, mining)
}

/// `anvil_setIntervalMining(seconds)`; 0 mines only when asked.
fn set_interval(chain: &DevChain, params: &Value) -> Answer {
    with_number(params, |seconds| {
        set_mining(
            chain,
            match seconds {
                0 => Mining::Manual,
                seconds => Mining::Interval(Duration::from_secs(seconds)),
            },
        )
    })
}

fn set_mining(chain: &DevChain, mining: Mining) -> Answer {
    chain.set_mining(mining).map_err(|error| RpcError::server(error.to_string()))?;
    Ok(Value::Null)
}

/// A transaction of a reorg: raw bytes, or a request of one of the chain's accounts.
#[derive(Deserialize)]
#[serde(untagged)]
enum Planned {
    Raw(Bytes),
    Request(Box<TransactionRequest>),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ReorgOptions {
    depth: u64,
    /// Each transaction with the index of its block in the new branch.
    #[serde(default, alias = "tx_block_pairs")]
    tx_block_pairs: Vec<(Planned, u64)>,
}

/// `anvil_reorg(depth, [(transaction, block index)…])`, also with the two as named fields.
fn reorg(chain: &DevChain, params: &Value) -> Answer {
    let options = match params {
        Value::Array(_) => {
            let args = Args::new(params, 2)?;
            match args.number(0) {
                Ok(Some(depth)) => {
                    ReorgOptions { depth, tx_block_pairs: args.optional(1)?.unwrap_or_default() }
                }
                _ => args.required(0)?,
            }
        }
        options => ReorgOptions::deserialize(options).map_err(|error| RpcError::params(error.to_string()))?,
    };
    let mut plan: Vec<Vec<Replacement>> = Vec::new();
    for (planned, index) in options.tx_block_pairs {
        let index = usize::try_from(index).ok().filter(|_| index < options.depth);
        let index = index.ok_or_else(|| {
            RpcError::params(format!("a block index lies outside of the reorg's depth of {}", options.depth))
        })?;
        if plan.len() <= index {
            plan.resize_with(index + 1, Vec::new);
        }
        if let Some(block) = plan.get_mut(index) {
            block.push(match planned {
                Planned::Raw(raw) => Replacement::Raw(raw),
                Planned::Request(request) => Replacement::Request(request),
            });
        }
    }
    let done = chain.write(|chain| chain.reorg(options.depth, plan))?;
    let hashes =
        |blocks: &[std::sync::Arc<Block>]| blocks.iter().map(|block| block.hash()).collect::<Vec<_>>();
    let dropped: Vec<B256> = done.dropped.iter().map(|tx| *tx.tx_hash()).collect();
    Ok(object!({ "removed": hashes(&done.removed), "added": hashes(&done.added), "dropped": dropped }))
}

fn rollback(chain: &DevChain, params: &Value) -> Answer {
    let depth = Args::new(params, 1)?.number(0)?.unwrap_or(1);
    chain.write(|chain| chain.rollback(depth))?;
    Ok(Value::Null)
}

fn drop_transaction(chain: &DevChain, params: &Value) -> Answer {
    let hash: B256 = Args::new(params, 1)?.required(0)?;
    let dropped = chain.write(|chain| chain.pool.remove(&hash));
    json(dropped.then_some(hash))
}

fn status(chain: &Chain) -> Value {
    let waiting = chain.pool.len() as u64;
    let ready = chain.preview().block.transactions().len() as u64;
    object!({ "pending": quantity(ready), "queued": quantity(waiting.saturating_sub(ready)) })
}

fn info(chain: &Chain) -> Value {
    let head = &chain.head().block;
    object!({
        "currentBlockNumber": quantity(head.number()),
        "currentBlockTimestamp": head.timestamp(),
        "currentBlockHash": head.hash(),
        "hardFork": "cancun",
        "transactionOrder": "fifo",
        "environment": {
            "baseFee": quantity(head.header().base_fee_per_gas.unwrap_or_default()),
            "chainId": chain.config.chain_id,
            "gasLimit": quantity(chain.config.gas_limit),
            "gasPrice": quantity(head.header().base_fee_per_gas.unwrap_or_default()),
        },
        "forkConfig": { "forkUrl": null, "forkBlockNumber": null, "forkRetryBackoff": null },
    })
}
