// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What time it is for the contracts at a finalised block: what is scheduled, paused or retired follows from that.

use std::sync::{Mutex, PoisonError};

use alloy::{primitives::B256, providers::Provider};
use mandate_model::wire::BlockRef;
use mandate_runtime::http::ApiError;

use super::Api;

/// The time of the newest block that was asked about.
#[derive(Debug, Default)]
pub(crate) struct BlockTime(Mutex<Option<(B256, u64)>>);

/// The timestamp of `block`, Unix seconds. The header is checked against the block's hash, so the endpoint cannot choose it.
pub(super) async fn of(api: &Api, block: BlockRef) -> Result<u64, ApiError> {
    if let Some((at, time)) = *api.time.0.lock().unwrap_or_else(PoisonError::into_inner)
        && at == block.hash
    {
        return Ok(time);
    }
    let header = api.provider.get_block_by_hash(block.hash).await;
    let header = header.map_err(|e| ApiError::bad_gateway(api.redact.text(e)))?;
    let header =
        header.ok_or_else(|| ApiError::bad_gateway("the endpoint does not have the finalised block"))?;
    let header = header.header.inner;
    if header.hash_slow() != block.hash {
        return Err(ApiError::bad_gateway("the endpoint's finalised header does not have its hash"));
    }
    *api.time.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((block.hash, header.timestamp));
    Ok(header.timestamp)
}
