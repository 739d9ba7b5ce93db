// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What gas costs.

use alloy::{consensus::Transaction as _, eips::BlockNumberOrTag, rpc::types::FeeHistory};
use serde_json::Value;

use super::{Answer, Args, json};
use crate::{block::Block, chain::Chain, error::RpcError, handle::DevChain, mine::SUGGESTED_TIP};

/// How many blocks one fee history may cover, as in geth.
const MAX_BLOCKS: u64 = 1024;

/// How many percentiles one fee history may ask for, as in geth.
const MAX_PERCENTILES: usize = 100;

pub(super) fn handle(chain: &DevChain, method: &str, params: &Value) -> Option<Answer> {
    Some(match method {
        "eth_gasPrice" => Ok(price(chain.read(next_base_fee).saturating_add(SUGGESTED_TIP))),
        "eth_maxPriorityFeePerGas" => Ok(price(SUGGESTED_TIP)),
        "eth_blobBaseFee" => Ok(price(1)),
        "eth_feeHistory" => history(chain, params),
        _ => return None,
    })
}

fn price(wei: u128) -> Value {
    format!("{wei:#x}").into()
}

fn next_base_fee(chain: &Chain) -> u128 {
    u128::from(chain.pending_moment().header.base_fee_per_gas.unwrap_or_default())
}

fn history(chain: &DevChain, params: &Value) -> Answer {
    let args = Args::new(params, 3)?;
    let count = args.number(0)?.ok_or_else(|| RpcError::params("missing value for required argument 0"))?;
    let newest: BlockNumberOrTag = args.required(1)?;
    let percentiles: Vec<f64> = args.optional(2)?.unwrap_or_default();
    if percentiles.len() > MAX_PERCENTILES {
        return Err(RpcError::params(format!("over the query limit {MAX_PERCENTILES} of percentiles")));
    }
    let ascending = percentiles.iter().zip(percentiles.iter().skip(1)).all(|(low, high)| low < high);
    if !ascending || percentiles.iter().any(|percentile| !(0.0..=100.0).contains(percentile)) {
        return Err(RpcError::params("invalid reward percentiles: they ascend within 0 and 100"));
    }
    json(chain.read(|chain| collect(chain, count.min(MAX_BLOCKS), newest, &percentiles))?)
}

fn collect(
    chain: &Chain,
    count: u64,
    newest: BlockNumberOrTag,
    percentiles: &[f64],
) -> Result<FeeHistory, RpcError> {
    let newest = chain.number_of(newest);
    if newest > chain.height() {
        return Err(RpcError::params(format!(
            "request beyond head block: requested {newest}, head {}",
            chain.height()
        )));
    }
    if count == 0 {
        return Ok(FeeHistory::default());
    }
    let oldest_block = (newest + 1).saturating_sub(count);
    let blocks: Vec<&Block> =
        (oldest_block..=newest).filter_map(|number| Some(chain.entry(number)?.block.as_ref())).collect();
    let base_fee = |block: &Block| u128::from(block.header().base_fee_per_gas.unwrap_or_default());
    let following = chain.entry(newest + 1).map_or_else(|| next_base_fee(chain), |e| base_fee(&e.block));
    let reward = blocks.iter().map(|block| rewards(block, percentiles)).collect();
    Ok(FeeHistory {
        oldest_block,
        base_fee_per_gas: blocks.iter().map(|block| base_fee(block)).chain([following]).collect(),
        gas_used_ratio: blocks.iter().map(|block| fullness(block)).collect(),
        base_fee_per_blob_gas: vec![1; blocks.len() + 1],
        blob_gas_used_ratio: vec![0.0; blocks.len()],
        reward: (!percentiles.is_empty()).then_some(reward),
    })
}

fn fullness(block: &Block) -> f64 {
    let header = block.header();
    if header.gas_limit == 0 { 0.0 } else { header.gas_used as f64 / header.gas_limit as f64 }
}

/// The tips at the given percentiles of the block's gas.
fn rewards(block: &Block, percentiles: &[f64]) -> Vec<u128> {
    let header = block.header();
    let base_fee = header.base_fee_per_gas.unwrap_or_default();
    let tip = |price: u128| price.saturating_sub(u128::from(base_fee));
    let mut tips: Vec<(u128, u64)> = block
        .transactions()
        .iter()
        .map(|mined| (tip(mined.tx.effective_gas_price(Some(base_fee))), mined.gas_used))
        .collect();
    tips.sort_unstable();
    let at = |percentile: &f64| {
        let threshold = header.gas_used as f64 * percentile / 100.0;
        let mut sum = 0u64;
        let reached = tips.iter().find(|(_, gas)| {
            sum += gas;
            sum as f64 >= threshold
        });
        reached.or(tips.last()).map_or(0, |(tip, _)| *tip)
    };
    percentiles.iter().map(at).collect()
}
