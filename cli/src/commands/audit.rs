// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `mandate audit`: fetches the nodes' receipts, holds them against the chain and against what others hold, and judges each
//! decision again.

mod archive;
mod held;
mod visit;

use std::collections::BTreeMap;

use alloy::{primitives::Address, providers::DynProvider};
use mandate_model::{
    bindings::KmsCommittee::{self, KmsCommitteeErrors},
    deployment::Deployment,
    signed,
};
use serde_json::{Value, json};

use self::visit::{Visit, Visitor};
use super::judged;
use crate::{
    args::AuditArgs,
    context::{Context, view},
    error::{CliError, Code, Result},
};

/// What no audit can show.
const NOT_PROVEN: [&str; 2] = [
    "that a node signed nothing after its newest root but what it serves: --held with what guests were given, and --archive, \
     show it",
    "what only the node knew: refused requests, remembered revocations, and whatever it keeps no longer",
];

pub(crate) async fn run(context: &Context<'_>, args: &AuditArgs) -> Result<()> {
    let (provider, deployment) = context.reader().await?;
    let verifier = judged::verifier(&args.trust)?;
    let domain = signed::domain(deployment.chain_id, deployment.committee);
    let mut held = held::read(&args.held, &domain)?;
    let nodes = chosen(&provider, &deployment, &args.nodes).await?;
    let unknown = held.keys().find(|node| !nodes.iter().any(|(known, _)| known == *node));
    if let Some(node) = unknown {
        return Err(CliError::data(format!(
            "--held: a receipt of {node}, which is not audited: add --node {node}"
        )));
    }
    let visitor = Visitor::new(provider, deployment, verifier, args);
    let mut visits = Vec::new();
    for (node, url) in nodes {
        visits.push(visitor.visit(node, url, held.remove(&node).unwrap_or_default()).await?);
    }
    let anchors = judged::anchors_word(visitor.anchors());
    let shown = json!({
        "audited": visits.len(),
        "findings": findings(&visits),
        "incomplete": visits.iter().filter(|visit| !visit.is_complete()).count(),
        "anchors": anchors,
        "nodes": visits.iter().map(Visit::shown).collect::<Vec<Value>>(),
        "notProven": NOT_PROVEN,
    });
    context.print_plain(&shown)?;
    end(&visits)
}

/// The nodes to audit, with where they answer: those that were named, or all that the committee lists.
async fn chosen(
    provider: &DynProvider,
    deployment: &Deployment,
    named: &[(Address, Option<String>)],
) -> Result<Vec<(Address, Option<String>)>> {
    let committee = KmsCommittee::new(deployment.committee, provider);
    let listed: BTreeMap<Address, String> = view::<_, _, KmsCommitteeErrors>(committee.nodes())
        .await?
        .into_iter()
        .map(|node| (node.nodeKey, node.url))
        .collect();
    let of_chain = |node: &Address| listed.get(node).filter(|url| !url.is_empty()).cloned();
    if named.is_empty() {
        if listed.is_empty() {
            return Err(CliError::refused("the committee lists no node"));
        }
        return Ok(listed.keys().map(|node| (*node, of_chain(node))).collect());
    }
    Ok(named.iter().map(|(node, url)| (*node, url.clone().or_else(|| of_chain(node)))).collect())
}

fn findings(visits: &[Visit]) -> usize {
    visits.iter().map(|visit| visit.log.findings.len()).sum()
}

/// Ends the command: 0 when all holds, 1 with findings, 75 when there are none but not everything could be asked.
fn end(visits: &[Visit]) -> Result<()> {
    let (count, with) =
        (findings(visits), visits.iter().filter(|visit| !visit.log.findings.is_empty()).count());
    if count > 0 {
        return Err(CliError::refused(format!("{count} findings about {with} of {} nodes", visits.len())));
    }
    let incomplete = visits.iter().filter(|visit| !visit.is_complete()).count();
    if incomplete > 0 {
        let text =
            format!("no finding, but {incomplete} of {} nodes could not be audited in full", visits.len());
        return Err(CliError::new(Code::Undecided, text));
    }
    Ok(())
}
