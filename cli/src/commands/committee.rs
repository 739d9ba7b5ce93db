// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `mandate committee`.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use alloy::{
    contract::CallBuilder,
    primitives::{Address, Bytes, aliases::U40},
    sol_types::SolCall,
};
use mandate_model::{
    bindings::{
        KmsCommittee::{self, KmsCommitteeErrors as Errors},
        Node,
    },
    wire::kms::NodeStatus,
};
use mandate_runtime::{http::Client, net::TcpNet};
use serde_json::{Value, json};

use super::governance::direct_or_propose;
use crate::{
    args::{AdmitArgs, CommitteeCommand, OpenArgs, Route, Switch},
    context::{ConfigFile, Context, send, sent, view},
    deploy::uint40,
    error::{CliError, Result},
};

/// How long a node may take to say who it is.
const PATIENCE: Duration = Duration::from_secs(10);

const REPLICAS: &str =
    "every replica holds the whole key: whoever reads one of them knows every app's secret";

pub(crate) async fn run(context: &Context<'_>, command: &CommitteeCommand) -> Result<()> {
    match command {
        CommitteeCommand::Show => show(context).await,
        CommitteeCommand::Admit(args) => admit(context, args).await,
        CommitteeCommand::Open(args) => open(context, args).await,
        CommitteeCommand::Evict { node, route } => {
            let call = KmsCommittee::evictNodeCall { nodeKey: *node };
            tell(context, route, &call, format!("Evict node {node}")).await
        }
        CommitteeCommand::DemandAttestation { grace, route } => {
            let call = KmsCommittee::demandAttestationCall { grace: uint40(*grace)? };
            tell(context, route, &call, "Have every KMS node attest itself again".to_owned()).await
        }
        CommitteeCommand::Replicate { replicated, route } => {
            let replicated = *replicated == Switch::On;
            if replicated {
                eprintln!("warning: {REPLICAS}");
            }
            let call = KmsCommittee::setReplicationCall { replicated };
            let what = if replicated { "Have the single member replicated" } else { "End the replicas" };
            tell(context, route, &call, what.to_owned()).await
        }
    }
}

async fn admit(context: &Context<'_>, args: &AdmitArgs) -> Result<()> {
    let url = args.url.trim_end_matches('/');
    let client = Client::new(Arc::new(TcpNet)).timeout(PATIENCE);
    let status: NodeStatus =
        client.get_json(&format!("{url}/v1/node")).await.map_err(CliError::unavailable)?;
    let until = SystemTime::now() + args.lasts;
    let until = until.duration_since(SystemTime::UNIX_EPOCH).map_err(CliError::data)?;
    let node = Node {
        nodeKey: status.node,
        operator: args.operator,
        dealingKey: status.dealing_key,
        sealingKey: status.sealing_key,
        url: url.to_owned(),
        evidenceDigest: Default::default(),
        admittedFrom: U40::ZERO,
        expiresAt: uint40(until)?,
        attestedUntil: U40::ZERO,
    };
    let description = format!("Admit node {} at {url}, operated by {}", node.nodeKey, node.operator);
    eprintln!(
        "node {}, dealing key {}, sealing key {}: compare them with what `mandate-kms --keys` prints on its machine",
        node.nodeKey, node.dealingKey, node.sealingKey
    );
    tell(context, &args.route, &KmsCommittee::admitNodeCall { node_: node }, description).await
}

async fn open(context: &Context<'_>, args: &OpenArgs) -> Result<()> {
    let windows = (uint40(args.deal)?, uint40(args.confirm)?);
    let call = KmsCommittee::openCeremonyCall::from((args.kind as u8, windows.0, windows.1));
    tell(context, &args.route, &call, format!("Open a ceremony: {:?}", args.kind)).await
}

/// Sends `call` to the committee, or what the route says instead.
async fn tell(
    context: &Context<'_>,
    route: &Route,
    call: &(impl SolCall + Sync),
    description: String,
) -> Result<()> {
    let committee: Address = ConfigFile::load(&context.global.config)?.deployment.committee;
    let data: Bytes = call.abi_encode().into();
    if direct_or_propose(context, route, committee, data.clone(), description).await?.is_some() {
        return Ok(());
    }
    let (provider, ..) = context.writer().await?;
    let call = CallBuilder::new_raw(&provider, data).to(committee);
    let (block, transaction) = sent(&send::<_, _, Errors>(call).await?);
    context.print(&provider, &json!({"block": block, "transaction": transaction})).await
}

async fn show(context: &Context<'_>) -> Result<()> {
    let (provider, deployment) = context.reader().await?;
    let committee = KmsCommittee::new(deployment.committee, &provider);
    let epoch = view::<_, _, Errors>(committee.currentEpoch()).await?;
    let period = view::<_, _, Errors>(committee.attestationPeriod()).await?;
    let replicated = view::<_, _, Errors>(committee.replicatedFrom()).await?;
    let nodes: Vec<Value> = view::<_, _, Errors>(committee.nodes())
        .await?
        .into_iter()
        .map(|node| {
            json!({
                "node": node.nodeKey, "operator": node.operator, "url": node.url,
                "member": epoch.members.contains(&node.nodeKey),
                "admittedFrom": node.admittedFrom.to::<u64>(), "expiresAt": node.expiresAt.to::<u64>(),
                "attestedUntil": (!period.is_zero()).then(|| node.attestedUntil.to::<u64>()),
                "evidence": node.evidenceDigest,
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
                "attestationPeriod": period.to::<u64>(),
                "replicatedFrom": replicated.to::<u64>(),
                "nodes": nodes,
            }),
        )
        .await
}
