// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `mandate status`: chain, contracts, committee, at a glance.

use alloy::{
    eips::BlockNumberOrTag,
    providers::{DynProvider, Provider},
};
use mandate_model::bindings::{KmsAuth, KmsCommittee};
use serde_json::json;

use crate::{
    connection,
    context::{Context, view},
    error::Result,
};

pub(crate) async fn run(context: &Context<'_>) -> Result<()> {
    let (provider, deployment) = context.reader().await?;
    let kms_auth = KmsAuth::new(deployment.kms_auth, &provider);
    let committee = KmsCommittee::new(deployment.committee, &provider);
    let epoch = view::<_, _, KmsCommittee::KmsCommitteeErrors>(committee.currentEpoch()).await?;
    let nodes = view::<_, _, KmsCommittee::KmsCommitteeErrors>(committee.nodes()).await?;
    context
        .print(
            &provider,
            &json!({
                "chainId": deployment.chain_id,
                "head": height(&provider, BlockNumberOrTag::Latest).await?,
                "headTime": connection::now(&provider).await?,
                "finalized": height(&provider, BlockNumberOrTag::Finalized).await?,
                "kmsAuth": deployment.kms_auth,
                "owner": view::<_, _, KmsAuth::KmsAuthErrors>(kms_auth.owner()).await?,
                "guardian": view::<_, _, KmsAuth::KmsAuthErrors>(kms_auth.guardian()).await?,
                "noticeSeconds": view::<_, _, KmsAuth::KmsAuthErrors>(kms_auth.notice()).await?.to::<u64>(),
                "kmsApp": view::<_, _, KmsAuth::KmsAuthErrors>(kms_auth.kmsApp()).await?,
                "gatewayApp": view::<_, _, KmsAuth::KmsAuthErrors>(kms_auth.gatewayApp()).await?,
                "committee": deployment.committee,
                "nodes": nodes.len(),
                "epoch": epoch.number,
                "quorum": epoch.quorum,
                "domainRegistry": deployment.domain_registry,
            }),
        )
        .await
}

async fn height(provider: &DynProvider, tag: BlockNumberOrTag) -> Result<Option<u64>> {
    let block = provider.get_block_by_number(tag).await.map_err(|e| connection::failed(&e))?;
    Ok(block.map(|b| b.header.number))
}
