// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The committee as of the finalised block.

use std::sync::{Mutex, PoisonError};

use alloy::primitives::B256;
use mandate_model::{
    bindings::{Epoch, KmsCommittee, Node},
    wire::relayer::{CommitteeView, Member},
};
use mandate_runtime::http::ApiError;

use super::Api;
use crate::chain::Contracts;

/// The view of the newest finalised block that was asked about.
#[derive(Debug, Default)]
pub(crate) struct CommitteeCache(Mutex<Option<(B256, CommitteeView)>>);

pub(super) async fn view(api: &Api) -> Result<CommitteeView, ApiError> {
    let progress = api.store.progress().await.map_err(ApiError::internal)?;
    let block =
        progress.finalized.ok_or_else(|| ApiError::unavailable("no finalised block was processed yet"))?.hash;
    if let Some((at, view)) = &*api.committee.0.lock().unwrap_or_else(PoisonError::into_inner)
        && *at == block
    {
        return Ok(view.clone());
    }
    let contract = KmsCommittee::new(api.contracts.committee, &api.provider);
    let (epoch, nodes) = (contract.currentEpoch().block(block.into()), contract.nodes().block(block.into()));
    let read = futures::future::try_join(async { epoch.call().await }, async { nodes.call().await }).await;
    let (epoch, nodes) = read.map_err(|e| ApiError::bad_gateway(api.redact.text(e)))?;
    let view = assemble(&api.contracts, epoch, &nodes);
    *api.committee.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((block, view.clone()));
    Ok(view)
}

fn assemble(contracts: &Contracts, epoch: Epoch, nodes: &[Node]) -> CommitteeView {
    // An evicted member keeps its place, which fixes the others' indices, but cannot be reached.
    let member = |key: &_| {
        let known = nodes.iter().find(|node| node.nodeKey == *key);
        Member {
            node: *key,
            dealing_key: known.map(|node| node.dealingKey).unwrap_or_default(),
            url: known.map(|node| node.url.clone()).unwrap_or_default(),
        }
    };
    CommitteeView {
        chain_id: contracts.chain_id,
        kms_auth: contracts.kms_auth,
        committee: contracts.committee,
        epoch: epoch.number,
        quorum: epoch.quorum,
        members: epoch.members.iter().map(member).collect(),
        group_key: epoch.groupKey,
        polynomial: epoch.polynomial,
    }
}
