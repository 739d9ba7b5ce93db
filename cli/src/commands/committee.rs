// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `mandate committee show`.

use mandate_model::bindings::KmsCommittee::{self, KmsCommitteeErrors as Errors};
use serde_json::{Value, json};

use crate::{
    context::{Context, view},
    error::Result,
};

pub(crate) async fn show(context: &Context<'_>) -> Result<()> {
    let (provider, deployment) = context.reader().await?;
    let committee = KmsCommittee::new(deployment.committee, &provider);
    let epoch = view::<_, _, Errors>(committee.currentEpoch()).await?;
    let nodes: Vec<Value> = view::<_, _, Errors>(committee.nodes())
        .await?
        .into_iter()
        .map(|node| {
            json!({
                "node": node.nodeKey, "operator": node.operator, "url": node.url,
                "member": epoch.members.contains(&node.nodeKey),
                "admittedFrom": node.admittedFrom.to::<u64>(), "expiresAt": node.expiresAt.to::<u64>(),
            })
        })
        .collect();
    context
        .print(
            &provider,
            &json!({
                "committee": deployment.committee,
                "epoch": epoch.number,
                "round": view::<_, _, Errors>(committee.round()).await?,
                "quorum": epoch.quorum,
                "groupKey": epoch.groupKey,
                "nodes": nodes,
            }),
        )
        .await
}
